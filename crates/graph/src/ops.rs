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
mod erf;
mod extremum;
mod fill;
mod folded;
mod fused;
mod gather;
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
mod permute;
mod pool;
mod power;
mod reduce;
mod reduce_keeping;
mod resample;
mod reshape;
mod slice;
mod softmax;
mod squared_distance;
mod stack;
mod stochastic_depth;
mod upsample;

pub use activation::{ActivationBackward, ActivationOp};
pub use arithmetic::Arithmetic;
pub use batch_matmul::{BatchMatMul, SummedMatMul};
pub use batch_norm::{
    BatchNormAddBackwardParameters, BatchNormBackwardData, BatchNormBackwardParameters, BatchNormOp,
    BatchNormParameters, FollowedBy, NormStatistics,
};
pub use clamp::{ClampBackward, ClampOp};
pub use comparison::ComparisonOp;
pub use concat::Concat;
pub use connections::{ConnectionError, ConnectionTable, Connections, ConnectionsBackward};
pub use conv_transpose2d::ConvTranspose2dOp;
pub use conv2d::{Conv2dBackwardData, Conv2dBackwardFilter, Conv2dOp};
pub use dropout::DropoutOp;
pub use erf::Erf;
pub use extremum::{ExtremumOp, ExtremumShare};
pub use fill::Fill;
pub use folded::{FoldedBias, FoldedFilter};
pub use fused::{Fused, Product};
pub use gather::{Gather, GatherBackward};
pub use gram::{Gram, GramBackward};
pub use group_norm::{GroupNormBackwardData, GroupNormBackwardSums, GroupNormOp};
pub use l2_normalised::{L2NormalisedBackward, L2NormalisedOp};
pub use layer_norm::{LayerNormBackwardData, LayerNormBackwardParameters, LayerNormOp};
pub use linear::{LinearOp, MatMul, Orientation};
pub use local_response_norm::{LocalResponseNormBackward, LocalResponseNormOp};
pub use map::{MapBackward, MapOp};
pub use number::NodeOrNumber;
pub use ocelli_kernels::interpolate::Interpolation;
pub use one_hot::OneHot;
pub use pad::{PadBackward, PadOp};
pub use permute::Permute;
pub use pool::{
    AdaptiveAvgPoolBackward, AdaptiveAvgPoolOp, Argmax, AvgPoolBackward, AvgPoolOp, MaxPoolBackward, MaxPoolOp,
};
pub use power::Power;
pub use reduce::{ReduceKind, ReduceOp, Spread};
pub use resample::{Resample, ResampleBackward, Sampling};
pub use reshape::{Identity, ReshapeOp};
pub use slice::{Slice, SliceBackward};
pub use softmax::{SoftmaxBackward, SoftmaxOp};
pub use squared_distance::{SquaredDistance, SquaredDistanceBackward};
pub use stack::Stack;
pub use stochastic_depth::StochasticDepthOp;
pub use upsample::{Interpolate, InterpolateBackward};

use crate::{Axis, Dim, Fault, Shape};
use ocelli_kernels::broadcast::MAX_RANK;
use ocelli_tensor::Size;

/// Shape rule of elementwise operations: the shape of the first operand.
fn same_shape(x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
    Ok(vec![x[0].clone()])
}

/// Returns a fault unless operand `input` has `rank` axes.
fn expect_rank(x: &[&Shape], input: usize, rank: usize, expected: &'static str) -> Result<(), Fault> {
    if x[input].rank() == rank { Ok(()) } else { Err(Fault::Rank { input, expected }) }
}

/// Returns the sizes of weights: an operand of `rank` axes that has no batch axis.
fn weight_sizes(x: &[&Shape], input: usize, rank: usize, expected: &'static str) -> Result<Vec<usize>, Fault> {
    expect_rank(x, input, rank, expected)?;
    match x[input].dims()[0] {
        Dim::Fixed(_) => Ok(x[input].at(1)),
        samples => {
            Err(Fault::Operand { input, expected: format!("{expected} without samples"), got: samples.to_string() })
        }
    }
}

/// Returns a fault unless operand `input`, if it exists, has one element for each of `channels`.
fn expect_bias(x: &[&Shape], input: usize, channels: usize) -> Result<(), Fault> {
    match x.get(input).map(|bias| bias.dims()) {
        None => Ok(()),
        Some(&[Dim::Fixed(size)]) if size == channels => Ok(()),
        Some(&[got]) => {
            Err(Fault::Size { input, axis: Axis::C, expected: channels, what: "elements of the bias", got })
        }
        Some(_) => Err(Fault::Rank { input, expected: "a bias [channels]" }),
    }
}

/// Returns a fault if there are more axes than the kernels handle.
fn expect_few_axes(rank: usize) -> Result<(), Fault> {
    if rank <= MAX_RANK {
        return Ok(());
    }
    Err(Fault::Setting(format!("at most {MAX_RANK} axes can be worked on, got {rank}; reshape to fewer")))
}

/// Counts work as a product of sizes; `u64::MAX` if it is larger.
fn work(sizes: &[usize]) -> u64 {
    Size::product_of(sizes).get().map_or(u64::MAX, |count| count as u64)
}

/// Returns the sizes `[N, H, W, C]` or `[kernel_h, kernel_w, in, out]` of an operand whose axes the shape rule has
/// counted.
fn four(sizes: &[usize]) -> [usize; 4] {
    sizes.try_into().expect("shapes of four axes were checked when the network was traced")
}
