//! Convolution, pooling, matrix product and element-wise kernels of Ocelli: pure functions on slices.

/// Whether a kernel replaces what its destination holds or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accumulate {
    /// `destination = result`.
    Set,
    /// `destination += result`.
    Add,
}
