//! Convolution, pooling, matrix product and element-wise kernels of Ocelli: pure functions on slices.

mod awake;
pub mod batch_norm;
pub mod broadcast;
mod cache;
pub mod conv;
pub mod copy;
pub mod distance;
pub mod dropout;
pub mod elementwise;
mod epilogue;
pub mod finite;
pub mod gemm;
pub mod group_norm;
pub mod interpolate;
pub mod l2_norm;
pub mod layer_norm;
pub mod local_response;
pub mod matrices;
pub mod optimizer;
pub mod pad;
mod parallel;
pub mod pool;
pub mod reduce;
mod scratch;
mod sizes;
pub mod softmax;
mod stores;
#[cfg(test)]
mod tests;

pub use awake::{announce_work, beside_waiting_threads};
pub use epilogue::{Activation, Epilogue};
pub use scratch::Scratch;

/// Effect of a kernel on its destination: replace the contents, or add to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Accumulate {
    /// `destination = result`.
    #[default]
    Set,
    /// `destination += result`.
    Add,
}
