//! Pooling over windows of `[N, H, W, C]`: maximum, average and adaptive average.
//!
//! Channels are innermost, so a vector holds neighbouring channels of one pixel and every kernel is a loop over the
//! pixels of a window. Backward passes *gather*: each pixel of the input adds what the windows that cover it send,
//! in a fixed order, so that threads never write to one place. The global average is a
//! [`sum`](crate::reduce::sum) over the image axes.

mod adaptive;
mod average;
mod axis;
mod geometry;
mod max;
pub mod naive;
mod pixels;
#[cfg(test)]
mod tests;

pub use adaptive::{AdaptiveGeometry, adaptive_backward, adaptive_forward};
pub use average::{CountPadding, average_backward, average_forward};
pub use geometry::{PoolError, PoolGeometry, PoolSettings, Rounding};
pub use max::{max_backward, max_forward};
