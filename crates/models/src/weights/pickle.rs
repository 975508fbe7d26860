//! A pickle machine that knows what state dicts use and nothing else.
//!
//! A pickle is a program for a stack machine, and Python's machine imports and calls whatever the program names. This
//! one has no way to run anything: the few names in the module `names` stand for values that it builds itself, or for
//! other data than weights, which is dropped; every other name is an error. Values refer to each other by number
//! ([`ObjectId`]), so that no nesting, however deep or circular, causes recursion, and all memory is taken from the
//! file's budget.

mod calls;
mod chunks;
mod machine;
mod names;
mod value;

pub(super) use machine::{PickleError, unpickle};
pub(super) use names::Global;
pub(super) use value::{MAX_RANK, Object, Pickle, PickleValue, TensorRef};
