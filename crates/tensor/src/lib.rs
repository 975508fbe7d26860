//! The tensor of Ocelli and the basic types that every other crate shares.
//!
//! A [`Tensor`] is a contiguous, 64-byte aligned block of elements in row-major order with a shape. Images and
//! activations are `[N, H, W, C]`. Cloning shares the storage; writing to a shared tensor copies it first. There are
//! no strided views: code that needs another layout copies. That one decision keeps every kernel a function on slices.
//!
//! ```
//! use ocelli_tensor::Tensor;
//!
//! let mut a = Tensor::zeros([2, 2, 3]);
//! let b = a.clone();                    // shares the storage
//! a.data_mut()[0] = 1.0;                // copies it: `b` keeps its zeros
//! assert_eq!((a.data()[0], b.data()[0]), (1.0, 0.0));
//! assert_eq!(a.rows(1..2).shape(), [1, 2, 3]);
//! ```
//!
//! The crate also has [`Batch`], the named tensors that one step of a network reads; [`Arena`], the block of memory in which
//! a plan is executed; [`Key`], which makes every random number a function of its purpose; `.npy` files; and conversions from
//! and to `ndarray`.

#![forbid(unsafe_code)]

mod arena;
mod atomic;
mod axis;
mod batch;
mod buffer;
mod display;
mod element;
mod error;
mod ndarray;
mod npy;
mod random;
mod size;
mod tensor;

pub use arena::Arena;
pub use atomic::write_atomically;
pub use axis::{Axis, ShapeText};
pub use batch::{Batch, Value};
pub use element::{Element, ElementKind};
pub use error::{Error, Result};
pub use random::{Key, Stream};
pub use size::{Size, element_count};
pub use tensor::Tensor;
