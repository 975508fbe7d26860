//! The operations, one idea a file: shape rule, kernel, backward rule, and the [`Node`](crate::Node) methods that apply it.

mod activation;
mod arithmetic;
mod batch_matmul;
mod batch_norm;
mod clamp;
mod comparison;
mod concat;
mod connections;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod extremum;
mod fill;
mod folded;
mod fused;
mod gram;
mod group_norm;
mod l2_normalised;
mod layer_norm;
mod linear;
mod local_response_norm;
mod map;
mod number;
mod one_hot;
mod pad;
mod pool;
mod reduce;
mod reduce_keeping;
mod reshape;
mod slice;
mod softmax;
mod squared_distance;
mod stack;
mod upsample;

pub use activation::{Activation, ActivationBackward};
pub use arithmetic::Arithmetic;
pub use batch_matmul::BatchMatMul;
pub(crate) use batch_norm::FollowedBy;
pub use batch_norm::{BatchNormOp, BatchNormParameters};
pub use clamp::Clamp;
pub use comparison::Comparison;
pub use concat::Concat;
pub use connections::{ConnectionError, ConnectionTable, Connections};
pub use conv_transpose2d::ConvTranspose2dOp;
pub use conv2d::{Conv2dBackwardData, Conv2dBackwardFilter, Conv2dOp};
pub use dropout::DropoutOp;
pub use extremum::Extremum;
pub use fill::Fill;
pub use folded::{FoldedBias, FoldedFilter};
pub use fused::{Fused, FusedBatchNorm, Product};
pub use gram::Gram;
pub use group_norm::GroupNormOp;
pub use l2_normalised::L2NormalisedOp;
pub use layer_norm::LayerNormOp;
pub use linear::{LinearOp, MatMul, Orientation};
pub use local_response_norm::LocalResponseNormOp;
pub use map::Map;
pub use number::NodeOrNumber;
pub use ocelli_kernels::interpolate::Interpolation;
pub use one_hot::OneHot;
pub use pad::PadOp;
pub use pool::{AdaptiveAvgPoolOp, AvgPoolOp, MaxPoolOp};
pub use reduce::{Reduce, Spread};
pub use reshape::{Identity, Reshape};
pub use slice::Slice;
pub use softmax::SoftmaxOp;
pub use stack::Stack;
pub use upsample::Interpolate;

use crate::{Fault, Op, Shape};
use std::any::Any;

/// [`Op::is_same`] of an operation that is data.
fn equal<T: Op + PartialEq>(op: &T, other: &dyn Op) -> bool {
    let other: &dyn Any = other;
    other.downcast_ref() == Some(op)
}

/// The shape of the first operand: elementwise operations.
fn same_shape(x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
    Ok(vec![x[0].clone()])
}

/// A fault unless operand `input` has `rank` axes.
fn expect_rank(x: &[&Shape], input: usize, rank: usize, expected: &'static str) -> Result<(), Fault> {
    if x[input].rank() == rank { Ok(()) } else { Err(Fault::Rank { input, expected }) }
}

/// The sizes `[N, H, W, C]` or `[kernel_h, kernel_w, in, out]` of an operand whose axes the shape rule has counted.
fn four(sizes: &[usize]) -> [usize; 4] {
    sizes.try_into().expect("shapes of four axes were checked when the network was traced")
}
