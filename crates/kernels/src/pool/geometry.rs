//! The sizes of a pooling.

use ocelli_tensor::Size;

use super::axis::Axis;
use crate::sizes::{LONGEST_AXIS, is_addressable, length};

/// Rounding of the output's size when windows do not fit evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Rounding {
    /// Leaves out windows that are not whole.
    #[default]
    Floor,
    /// Lets the last window reach beyond the padding; it must begin in the input or in the padding before it.
    Ceil,
}

/// Settings of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PoolSettings {
    /// The window's height.
    pub kernel_h: usize,
    /// The window's width.
    pub kernel_w: usize,
    /// Vertical step from window to window.
    pub stride_h: usize,
    /// Horizontal step from window to window.
    pub stride_w: usize,
    /// Rows of padding above the image.
    pub pad_top: usize,
    /// Rows of padding below it.
    pub pad_bottom: usize,
    /// Columns of padding to its left.
    pub pad_left: usize,
    /// Columns of padding to its right.
    pub pad_right: usize,
    /// Rounding of the output's size when windows do not fit evenly.
    pub rounding: Rounding,
}

impl PoolSettings {
    /// Creates a square window with a step of its own size and no padding.
    pub fn square(kernel: usize) -> Self {
        Self {
            kernel_h: kernel,
            kernel_w: kernel,
            stride_h: kernel,
            stride_w: kernel,
            pad_top: 0,
            pad_bottom: 0,
            pad_left: 0,
            pad_right: 0,
            rounding: Rounding::Floor,
        }
    }

    /// Sets the step on both axes.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride_h: stride, stride_w: stride, ..self }
    }

    /// Sets equal padding on all sides.
    pub fn padding(self, padding: usize) -> Self {
        Self { pad_top: padding, pad_bottom: padding, pad_left: padding, pad_right: padding, ..self }
    }

    /// Sets the rounding of the output's size.
    pub fn rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }
}

/// Error for settings that do not fit together, or not the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// A window of no pixels.
    #[error("the pooling window is {height} x {width}: both must be 1 or more")]
    EmptyWindow {
        /// The window's height.
        height: usize,
        /// The window's width.
        width: usize,
    },
    /// A step of zero.
    #[error("the pooling stride is {vertical} x {horizontal}: both must be 1 or more")]
    ZeroStride {
        /// The vertical step.
        vertical: usize,
        /// The horizontal step.
        horizontal: usize,
    },
    /// Windows that would hold padding alone.
    #[error("padding of {padding} on axis {axis} is more than half of the pooling window's {kernel}")]
    WidePadding {
        /// `H` or `W`.
        axis: char,
        /// The padding on one side.
        padding: usize,
        /// The window's size.
        kernel: usize,
    },
    /// A window larger than the image.
    #[error("the pooling window needs {kernel} or more pixels on axis {axis}, got {padded} (padding included)")]
    LargeWindow {
        /// `H` or `W`.
        axis: char,
        /// The window's size.
        kernel: usize,
        /// The input's size with padding.
        padded: usize,
    },
    /// A window of more pixels than a maximum's position in it, an `f32`, tells apart.
    #[error("the pooling window is {height} x {width}: it may have {most} pixels at most")]
    WideWindow {
        /// The window's height.
        height: usize,
        /// The window's width.
        width: usize,
        /// The most pixels.
        most: usize,
    },
    /// A tensor would have more elements, or an axis more pixels, than can be counted.
    #[error("the {what} of this pooling overflows the address space")]
    Overflow {
        /// Name of the tensor or size that is too large.
        what: &'static str,
    },
    /// An image of no pixels, or an adaptive pooling to none.
    #[error("axis {axis} has no pixels")]
    NoPixels {
        /// `H` or `W`.
        axis: char,
    },
}

/// The sizes of a pooling of `[batch, in_h, in_w, channels]` to `[batch, out_h, out_w, channels]`.
///
/// Made by [`PoolGeometry::new`], which checks what kernels rely on: every window covers a pixel of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolGeometry {
    /// Number of images.
    pub batch: usize,
    /// The input's height.
    pub in_h: usize,
    /// The input's width.
    pub in_w: usize,
    /// Number of channels.
    pub channels: usize,
    /// The window's height.
    pub kernel_h: usize,
    /// The window's width.
    pub kernel_w: usize,
    /// Vertical step; with a single window, at most enough to leave the padded image.
    pub stride_h: usize,
    /// Horizontal step; with a single window, at most enough to leave the padded image.
    pub stride_w: usize,
    /// Rows of padding above the image.
    pub pad_top: usize,
    /// Rows of padding below it.
    pub pad_bottom: usize,
    /// Columns of padding to its left.
    pub pad_left: usize,
    /// Columns of padding to its right.
    pub pad_right: usize,
    /// The output's height.
    pub out_h: usize,
    /// The output's width.
    pub out_w: usize,
}

impl PoolGeometry {
    /// Creates the geometry of a pooling of an input `[N, H, W, C]`.
    ///
    /// # Errors
    /// One [`PoolError`] for every way in which the settings contradict each other or the input.
    pub fn new(settings: PoolSettings, [batch, in_h, in_w, channels]: [usize; 4]) -> Result<Self, PoolError> {
        let s = settings;
        // Settings by themselves.
        if s.kernel_h == 0 || s.kernel_w == 0 {
            return Err(PoolError::EmptyWindow { height: s.kernel_h, width: s.kernel_w });
        }
        if s.stride_h == 0 || s.stride_w == 0 {
            return Err(PoolError::ZeroStride { vertical: s.stride_h, horizontal: s.stride_w });
        }
        // Windows on both axes.
        let rows = Windows::new('H', in_h, s.kernel_h, s.stride_h, [s.pad_top, s.pad_bottom], s.rounding)?;
        let columns = Windows::new('W', in_w, s.kernel_w, s.stride_w, [s.pad_left, s.pad_right], s.rounding)?;
        if length(&[s.kernel_h, s.kernel_w]) > MOST_PLACES {
            return Err(PoolError::WideWindow { height: s.kernel_h, width: s.kernel_w, most: MOST_PLACES });
        }
        // Tensors that can be addressed.
        let (out_h, out_w) = (rows.count, columns.count);
        for (what, shape) in [("input", [batch, in_h, in_w, channels]), ("output", [batch, out_h, out_w, channels])] {
            if !is_addressable(shape) {
                return Err(PoolError::Overflow { what });
            }
        }
        Ok(Self {
            batch,
            in_h,
            in_w,
            channels,
            kernel_h: s.kernel_h,
            kernel_w: s.kernel_w,
            stride_h: rows.stride,
            stride_w: columns.stride,
            pad_top: s.pad_top,
            pad_bottom: s.pad_bottom,
            pad_left: s.pad_left,
            pad_right: s.pad_right,
            out_h,
            out_w,
        })
    }

    /// Returns the number of elements of the input.
    pub fn input_length(&self) -> usize {
        self.batch * self.in_h * self.in_w * self.channels
    }

    /// Returns the number of elements of the output.
    pub fn output_length(&self) -> usize {
        self.batch * self.out_h * self.out_w * self.channels
    }

    pub(super) fn vertical(&self) -> Axis {
        Axis::Sliding {
            input: self.in_h,
            output: self.out_h,
            kernel: self.kernel_h,
            stride: self.stride_h,
            before: self.pad_top,
            after: self.pad_bottom,
        }
    }

    pub(super) fn horizontal(&self) -> Axis {
        Axis::Sliding {
            input: self.in_w,
            output: self.out_w,
            kernel: self.kernel_w,
            stride: self.stride_w,
            before: self.pad_left,
            after: self.pad_right,
        }
    }
}

/// Most pixels of a window, whose indices an `f32` holds exactly.
const MOST_PLACES: usize = 1 << 24;

/// The windows along an axis.
struct Windows {
    count: usize,
    /// Distance from one window to the next.
    stride: usize,
}

impl Windows {
    fn new(
        axis: char,
        input: usize,
        kernel: usize,
        stride: usize,
        [before, after]: [usize; 2],
        rounding: Rounding,
    ) -> Result<Self, PoolError> {
        if input == 0 {
            return Err(PoolError::NoPixels { axis });
        }
        if let Some(padding) = [before, after].into_iter().find(|&padding| padding > kernel / 2) {
            return Err(PoolError::WidePadding { axis, padding, kernel });
        }
        let padded = (Size::from(input) + before + after).get().filter(|&padded| padded <= LONGEST_AXIS);
        let padded = padded.ok_or(PoolError::Overflow { what: "padded input" })?;
        let steps = padded.checked_sub(kernel).ok_or(PoolError::LargeWindow { axis, kernel, padded })?;
        // Beyond the image a step leads nowhere, however long it is; a shorter one can be multiplied.
        let stride = stride.min(padded + 1);
        let count = match rounding {
            Rounding::Floor => steps / stride + 1,
            Rounding::Ceil => {
                let last = steps.div_ceil(stride);
                if last * stride >= input + before { last } else { last + 1 }
            }
        };
        Ok(Self { count, stride })
    }
}
