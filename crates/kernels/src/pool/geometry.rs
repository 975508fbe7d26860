//! What a pooling kernel is told.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::conv::Axis;

/// Whether the last window may reach beyond the last pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rounding {
    /// Windows lie within the padded picture.
    #[default]
    Floor,
    /// A window may reach beyond it, if it begins in the picture or in the padding before it.
    Ceil,
}

/// What a user chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PoolSettings {
    /// Rows of a window.
    pub kernel_h: usize,
    /// Columns of a window.
    pub kernel_w: usize,
    /// Rows from one window to the next.
    pub stride_h: usize,
    /// Columns from one window to the next.
    pub stride_w: usize,
    /// Rows of padding above the picture.
    pub pad_top: usize,
    /// Rows of padding below.
    pub pad_bottom: usize,
    /// Columns of padding on the left.
    pub pad_left: usize,
    /// Columns of padding on the right.
    pub pad_right: usize,
    /// Whether the last window may reach beyond the last pixel.
    pub rounding: Rounding,
}

impl PoolSettings {
    /// Windows of `size` by `size`, side by side, without padding.
    pub const fn square(size: usize) -> Self {
        Self {
            kernel_h: size,
            kernel_w: size,
            stride_h: size,
            stride_w: size,
            pad_top: 0,
            pad_bottom: 0,
            pad_left: 0,
            pad_right: 0,
            rounding: Rounding::Floor,
        }
    }
}

/// Why there is no pooling of the sizes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// A setting that must be positive is 0.
    #[error("{what} must be at least 1, got 0")]
    Zero {
        /// Its name.
        what: &'static str,
    },
    /// A window could lie in padding alone.
    #[error("padding {padding} on axis {axis:?} is more than half of a window of {window}")]
    Padding {
        /// The axis.
        axis: Axis,
        /// Pixels of padding on one side.
        padding: usize,
        /// Pixels of the window.
        window: usize,
    },
    /// Not one window fits.
    #[error("a window of {window} pixels on axis {axis:?} does not fit into {padded}")]
    WindowTooLarge {
        /// The axis.
        axis: Axis,
        /// Pixels of the window.
        window: usize,
        /// Pixels of the padded picture.
        padded: usize,
    },
    /// The tensors would be larger than memory has addresses.
    #[error("a pooled tensor overflows the address space")]
    Overflow,
}

/// One pooling, complete; made by [`PoolGeometry::new`], trusted by the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolGeometry {
    /// Pictures.
    pub batch: usize,
    /// Rows of a picture.
    pub in_h: usize,
    /// Columns of a picture.
    pub in_w: usize,
    /// Channels.
    pub channels: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
    /// Windows, strides and padding.
    pub settings: PoolSettings,
}

struct Side {
    axis: Axis,
    size: usize,
    kernel: usize,
    stride: usize,
    before: usize,
    after: usize,
}

impl Side {
    fn windows(&self, rounding: Rounding) -> Result<usize, PoolError> {
        let Self { axis, size, kernel, stride, before, after } = *self;
        let padding = before.max(after);
        if padding > kernel / 2 {
            return Err(PoolError::Padding { axis, padding, window: kernel });
        }
        let padded = size.checked_add(before + after).ok_or(PoolError::Overflow)?;
        let room = padded.checked_sub(kernel).filter(|_| size > 0);
        let room = room.ok_or(PoolError::WindowTooLarge { axis, window: kernel, padded })?;
        let count = room / stride + 1;
        // One more window, if the last one does not end with the picture and the next begins before its last pixel.
        let more = rounding == Rounding::Ceil && room % stride != 0 && count * stride < size + before;
        Ok(count + usize::from(more))
    }
}

impl PoolGeometry {
    /// The pooling of `[N, H, W, C]`.
    ///
    /// # Errors
    /// One [`PoolError`] for each way in which sizes and settings can contradict each other.
    pub fn new(settings: &PoolSettings, [batch, in_h, in_w, channels]: [usize; 4]) -> Result<Self, PoolError> {
        let s = *settings;
        for (what, value) in
            [("kernel_h", s.kernel_h), ("kernel_w", s.kernel_w), ("stride_h", s.stride_h), ("stride_w", s.stride_w)]
        {
            if value == 0 {
                return Err(PoolError::Zero { what });
            }
        }
        let rows = Side {
            axis: Axis::H,
            size: in_h,
            kernel: s.kernel_h,
            stride: s.stride_h,
            before: s.pad_top,
            after: s.pad_bottom,
        };
        let columns = Side {
            axis: Axis::W,
            size: in_w,
            kernel: s.kernel_w,
            stride: s.stride_w,
            before: s.pad_left,
            after: s.pad_right,
        };
        let (out_h, out_w) = (rows.windows(s.rounding)?, columns.windows(s.rounding)?);
        let fits = |h: usize, w: usize| {
            let len = batch.checked_mul(h)?.checked_mul(w)?.checked_mul(channels)?;
            (len <= isize::MAX as usize / size_of::<f32>()).then_some(())
        };
        fits(in_h, in_w).and_then(|()| fits(out_h, out_w)).ok_or(PoolError::Overflow)?;
        Ok(Self { batch, in_h, in_w, channels, out_h, out_w, settings: s })
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_h * self.in_w * self.channels
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_h * self.out_w * self.channels
    }

    /// The rows of the picture in the windows of output row `row`, and how many rows of the window lie above them.
    pub(crate) fn rows(&self, row: usize) -> (std::ops::Range<usize>, usize) {
        let s = &self.settings;
        clipped(row * s.stride_h, s.pad_top, s.kernel_h, self.in_h)
    }

    /// The same for columns.
    pub(crate) fn columns(&self, column: usize) -> (std::ops::Range<usize>, usize) {
        let s = &self.settings;
        clipped(column * s.stride_w, s.pad_left, s.kernel_w, self.in_w)
    }
}

/// The pixels of a window that begins at `start` of the padded axis.
fn clipped(start: usize, before: usize, kernel: usize, size: usize) -> (std::ops::Range<usize>, usize) {
    let first = start.saturating_sub(before);
    let end = (start + kernel).saturating_sub(before).min(size);
    (first.min(end)..end, before.saturating_sub(start))
}
