//! Element types of tensors.

use crate::Value;
use std::fmt::{Debug, Display};

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ElementKind {
    /// 32-bit floating point, for everything that is computed.
    #[default]
    F32,
    /// 32-bit unsigned integers, for labels.
    U32,
}

impl Display for ElementKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ElementKind::F32 => "f32",
            ElementKind::U32 => "u32",
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
}

/// An element type of [`Tensor`](crate::Tensor): `f32`, or `u32` for labels.
pub trait Element: Copy + Default + PartialEq + Debug + Display + Send + Sync + bytemuck::Pod + sealed::Sealed {
    /// The element type as a value.
    const KIND: ElementKind;
    /// The name of this type in `.npy` files.
    const NPY: &'static str;
    /// Wraps a tensor of this type.
    fn value(tensor: crate::Tensor<Self>) -> Value;
}

impl Element for f32 {
    const KIND: ElementKind = ElementKind::F32;
    const NPY: &'static str = "<f4";
    fn value(tensor: crate::Tensor<f32>) -> Value {
        Value::F32(tensor)
    }
}

impl Element for u32 {
    const KIND: ElementKind = ElementKind::U32;
    const NPY: &'static str = "<u4";
    fn value(tensor: crate::Tensor<u32>) -> Value {
        Value::U32(tensor)
    }
}
