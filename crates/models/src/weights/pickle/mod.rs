//! A pickle machine that knows what state dicts use and nothing else.
//!
//! A pickle is a program for a stack machine, and Python's machine imports and calls whatever the program names. This one has
//! no way to run anything: the few names in [`Global`] stand for values that it builds itself, every other name is an
//! error. Values refer to each other by number ([`ObjectId`]), so that no nesting, however deep or circular, makes anything
//! recurse, and the numbers of operations and of bytes are limited.

mod machine;
mod value;

pub(super) use machine::{PickleError, unpickle};
pub(super) use value::{Object, ObjectId, Pickle, StorageRef, TensorRef, Value};
