//! Convolution, pooling, matrix product and element-wise kernels of Ocelli: pure functions on slices.

pub mod broadcast;
pub mod conv;
pub mod copy;
pub mod dropout;
pub mod elementwise;
pub mod finite;
pub mod gemm;
pub mod optimizer;
pub mod pool;
pub mod reduce;
pub mod softmax;

/// Whether a kernel replaces what its destination holds or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accumulate {
    /// `destination = result`.
    Set,
    /// `destination += result`.
    Add,
}
