//! Adaptive average pooling: to a given size, whatever the input's is.

use super::PoolError;
use super::average::{self, Averaging, CountPadding};
use super::axis::Axis;
use crate::Accumulate;
use crate::sizes::{LONGEST_AXIS, is_addressable};

/// The sizes of an adaptive pooling of `[batch, in_h, in_w, channels]` to `[batch, out_h, out_w, channels]`.
///
/// Along an axis, window `o` covers the inputs from `⌊o · in / out⌋` to before `⌈(o + 1) · in / out⌉`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveGeometry {
    /// Number of images.
    pub batch: usize,
    /// The input's height.
    pub in_h: usize,
    /// The input's width.
    pub in_w: usize,
    /// Number of channels.
    pub channels: usize,
    /// The output's height.
    pub out_h: usize,
    /// The output's width.
    pub out_w: usize,
}

impl AdaptiveGeometry {
    /// Creates the geometry of a pooling of an input `[N, H, W, C]` to `[out_h, out_w]` pixels.
    ///
    /// # Errors
    /// If the input or the output has no pixels, or more than can be counted.
    pub fn new([out_h, out_w]: [usize; 2], [batch, in_h, in_w, channels]: [usize; 4]) -> Result<Self, PoolError> {
        for (axis, input, output) in [('H', in_h, out_h), ('W', in_w, out_w)] {
            if input == 0 || output == 0 {
                return Err(PoolError::NoPixels { axis });
            }
        }
        for (what, shape) in [("input", [batch, in_h, in_w, channels]), ("output", [batch, out_h, out_w, channels])] {
            // The edges of windows are products of both sizes of an axis.
            if !is_addressable(shape) || shape[1..3].iter().any(|&pixels| pixels > LONGEST_AXIS) {
                return Err(PoolError::Overflow { what });
            }
        }
        Ok(Self { batch, in_h, in_w, channels, out_h, out_w })
    }

    fn averaging(&self) -> Averaging {
        Averaging {
            vertical: Axis::Adaptive { input: self.in_h, output: self.out_h },
            horizontal: Axis::Adaptive { input: self.in_w, output: self.out_w },
            count: CountPadding::Exclude,
            input: [self.in_h, self.in_w, self.channels],
            output: [self.out_h, self.out_w, self.channels],
            batch: self.batch,
        }
    }
}

/// Computes `y`, the average of each window.
pub fn adaptive_forward(g: &AdaptiveGeometry, x: &[f32], y: &mut [f32]) {
    average::forward(&g.averaging(), x, y);
}

/// Adds to each element of `dx`, or sets it to, the gradients that its windows send to it.
pub fn adaptive_backward(g: &AdaptiveGeometry, dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    average::backward(&g.averaging(), dy, dx, accumulate);
}
