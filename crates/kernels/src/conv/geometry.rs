//! The geometry of a two-dimensional convolution: sizes, strides, padding and groups, checked once and trusted after.

use ocelli_tensor::Size;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sizes::{LONGEST_AXIS, is_addressable, length};

/// Orientation of the filter: slid as it stands, or turned by 180° first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConvMode {
    /// `y[p] = Σ w[k] · x[p + k]`, what every framework calls convolution.
    #[default]
    CrossCorrelation,
    /// `y[p] = Σ w[k] · x[p + (K − 1) − k]`: the filter is flipped on both axes, as in mathematics. It equals the
    /// cross-correlation with the flipped filter over the same window.
    Convolution,
}

/// Zero padding around the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Padding {
    /// No padding: every window lies inside the image.
    #[default]
    Valid,
    /// Enough zeros for `ceil(in / stride)` outputs, by the rule of TensorFlow and Keras: on each axis
    /// `total = max((out − 1) · stride + (kernel − 1) · dilation + 1 − in, 0)`, of which `total / 2` go before the
    /// image; where `total` is odd the extra pixel is at the bottom or right.
    Same,
    /// An explicit number of pixels at each side.
    Explicit {
        /// Rows above the image.
        top: usize,
        /// Rows below it.
        bottom: usize,
        /// Columns to its left.
        left: usize,
        /// Columns to its right.
        right: usize,
    },
}

impl Padding {
    /// Pads all four sides by the same number of pixels.
    #[must_use]
    pub fn uniform(pixels: usize) -> Self {
        Self::Explicit { top: pixels, bottom: pixels, left: pixels, right: pixels }
    }
}

/// A spatial axis of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Axis {
    /// Rows, axis 1 of `[N, H, W, C]`.
    H,
    /// Columns, axis 2 of `[N, H, W, C]`.
    W,
}

/// Settings of a convolution, apart from the sizes of its operands.
///
/// ```
/// use ocelli_kernels::conv::{Conv2dGeometry, Conv2dSettings, Padding};
///
/// let settings = Conv2dSettings { stride_h: 2, stride_w: 2, padding: Padding::Same, ..Conv2dSettings::default() };
/// let g = Conv2dGeometry::new(&settings, [1, 224, 224, 3], [7, 7, 3, 64])?;
/// assert_eq!((g.out_h, g.out_w, g.pad_top, g.pad_bottom), (112, 112, 2, 3));
/// # Ok::<(), ocelli_kernels::conv::GeometryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv2dSettings {
    /// Rows between neighbouring windows.
    pub stride_h: usize,
    /// Columns between neighbouring windows.
    pub stride_w: usize,
    /// Rows between neighbouring taps of the filter.
    pub dilation_h: usize,
    /// Columns between neighbouring taps of the filter.
    pub dilation_w: usize,
    /// Zero padding around the image.
    pub padding: Padding,
    /// Number of groups of channels, which do not see each other.
    pub groups: usize,
    /// Orientation of the filter.
    pub mode: ConvMode,
}

impl Default for Conv2dSettings {
    fn default() -> Self {
        Self {
            stride_h: 1,
            stride_w: 1,
            dilation_h: 1,
            dilation_w: 1,
            padding: Padding::Valid,
            groups: 1,
            mode: ConvMode::CrossCorrelation,
        }
    }
}

/// Error for settings and sizes that make no convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GeometryError {
    /// A setting or size that must be positive is 0.
    #[error("{what} must be at least 1, got 0")]
    Zero {
        /// Name of the setting or size.
        what: &'static str,
    },
    /// The groups do not divide the input channels.
    #[error("groups = {groups} does not divide the {channels} input channels")]
    GroupsOfInput {
        /// Requested number of groups.
        groups: usize,
        /// Channels of the input.
        channels: usize,
    },
    /// The groups do not divide the output channels.
    #[error("groups = {groups} does not divide the {channels} output channels")]
    GroupsOfOutput {
        /// Requested number of groups.
        groups: usize,
        /// Channels of the output.
        channels: usize,
    },
    /// The filter was made for another number of channels.
    #[error("the filter sees {filter} input channels per group but the input has {input}")]
    Channels {
        /// Axis 2 of the filter.
        filter: usize,
        /// Channels of the input divided by the groups.
        input: usize,
    },
    /// No window fits into the padded image.
    #[error("the filter spans {span} pixels on axis {axis:?} but the padded input has {padded}")]
    FilterTooLarge {
        /// Axis on which nothing fits.
        axis: Axis,
        /// Pixels from the first to the last tap of the dilated filter.
        span: usize,
        /// Pixels of the input with its padding.
        padded: usize,
    },
    /// A tensor would have more elements than memory has addresses.
    #[error("the {what} of this convolution overflows the address space")]
    Overflow {
        /// Name of the tensor or size that is too large.
        what: &'static str,
    },
}

/// Windows along one axis: their number, and the zeros before and after the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Number of windows, which is the output size.
    pub out: usize,
    /// Zeros before the first pixel.
    pub before: usize,
    /// Zeros after the last pixel.
    pub after: usize,
}

/// Returns the pixels from the first to the last tap of a dilated filter: `(kernel − 1) · dilation + 1`; `None` when it
/// overflows.
#[must_use]
pub fn span(kernel: usize, dilation: usize) -> Option<usize> {
    ((Size::from(kernel) - 1) * dilation + 1).get()
}

/// Returns the number of windows of `span` pixels, `stride` apart, in `padded` pixels: `(padded − span) / stride + 1`,
/// or `None` when not one fits or the stride is 0.
#[must_use]
pub fn out_size(padded: usize, span: usize, stride: usize) -> Option<usize> {
    let steps = padded.checked_sub(span)?.checked_div(stride)?;
    (Size::from(steps) + 1).get()
}

impl Padding {
    /// Returns the windows along one axis of `size` pixels, for a filter of `span` pixels (dilation counted).
    ///
    /// # Errors
    /// When the stride is 0, no window fits, or the padded axis is longer than `i32::MAX` pixels.
    pub fn windows(self, axis: Axis, size: usize, span: usize, stride: usize) -> Result<Windows, GeometryError> {
        if stride == 0 {
            return Err(GeometryError::Zero { what: "the stride" });
        }
        let overflow = GeometryError::Overflow { what: "padded input" };
        let (before, after) = match (self, axis) {
            (Self::Valid, _) => (0, 0),
            (Self::Explicit { top, bottom, .. }, Axis::H) => (top, bottom),
            (Self::Explicit { left, right, .. }, Axis::W) => (left, right),
            (Self::Same, _) => {
                let steps = size.div_ceil(stride).saturating_sub(1);
                let reach = (Size::from(steps) * stride + span).get().ok_or(overflow)?;
                let total = if size == 0 { 0 } else { reach.saturating_sub(size) };
                (total / 2, total - total / 2)
            }
        };
        let padded = (Size::from(size) + before + after).get().filter(|&padded| padded <= LONGEST_AXIS);
        let padded = padded.ok_or(overflow)?;
        let out = out_size(padded, span, stride).ok_or(GeometryError::FilterTooLarge { axis, span, padded })?;
        Ok(Windows { out, before, after })
    }
}

/// The complete geometry of one convolution, which every kernel of [`crate::conv`] takes.
///
/// Made by [`Conv2dGeometry::new`], which checks it; kernels trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Conv2dGeometry {
    /// Number of images.
    pub batch: usize,
    /// Rows of an image.
    pub in_h: usize,
    /// Columns of an image.
    pub in_w: usize,
    /// Channels of an image.
    pub in_c: usize,
    /// Rows of the filter.
    pub kernel_h: usize,
    /// Columns of the filter.
    pub kernel_w: usize,
    /// Number of filters, which are the channels of the output.
    pub out_c: usize,
    /// Rows between neighbouring windows; with a single window, at most enough to leave the padded image.
    pub stride_h: usize,
    /// Columns between neighbouring windows; with a single window, at most enough to leave the padded image.
    pub stride_w: usize,
    /// Rows between neighbouring taps; with a single tap, at most enough to leave the padded image.
    pub dilation_h: usize,
    /// Columns between neighbouring taps; with a single tap, at most enough to leave the padded image.
    pub dilation_w: usize,
    /// Zero rows above the image.
    pub pad_top: usize,
    /// Zero rows below the image.
    pub pad_bottom: usize,
    /// Zero columns left of the image.
    pub pad_left: usize,
    /// Zero columns right of the image.
    pub pad_right: usize,
    /// Number of groups of channels, which do not see each other.
    pub groups: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
    /// Orientation of the filter.
    pub mode: ConvMode,
}

impl Conv2dGeometry {
    /// Creates the convolution of `input` (`[N, H, W, C]`) with filters of the sizes `filter`
    /// (`[kernel_h, kernel_w, in_c / groups, out_c]`).
    ///
    /// # Errors
    /// One [`GeometryError`] for every way in which sizes and settings can contradict each other, or be so large that a
    /// tensor, or what an algorithm computes from their sizes, could not be counted. An empty batch is no error.
    pub fn new(settings: &Conv2dSettings, input: [usize; 4], filter: [usize; 4]) -> Result<Self, GeometryError> {
        let Conv2dSettings { stride_h, stride_w, dilation_h, dilation_w, padding, groups, mode } = *settings;
        let [batch, in_h, in_w, in_c] = input;
        let [kernel_h, kernel_w, filter_c, out_c] = filter;
        // Sizes and settings by themselves.
        for (what, size) in [
            ("stride_h", stride_h),
            ("stride_w", stride_w),
            ("dilation_h", dilation_h),
            ("dilation_w", dilation_w),
            ("groups", groups),
            ("kernel_h", kernel_h),
            ("kernel_w", kernel_w),
            ("the number of input channels", in_c),
            ("the number of output channels", out_c),
        ] {
            if size == 0 {
                return Err(GeometryError::Zero { what });
            }
        }
        // Groups and channels.
        if !in_c.is_multiple_of(groups) {
            return Err(GeometryError::GroupsOfInput { groups, channels: in_c });
        }
        if !out_c.is_multiple_of(groups) {
            return Err(GeometryError::GroupsOfOutput { groups, channels: out_c });
        }
        if filter_c != in_c / groups {
            return Err(GeometryError::Channels { filter: filter_c, input: in_c / groups });
        }
        // Windows on both axes.
        let overflow = |what| move || GeometryError::Overflow { what };
        let span_h = span(kernel_h, dilation_h).ok_or_else(overflow("filter"))?;
        let span_w = span(kernel_w, dilation_w).ok_or_else(overflow("filter"))?;
        let rows = padding.windows(Axis::H, in_h, span_h, stride_h)?;
        let cols = padding.windows(Axis::W, in_w, span_w, stride_w)?;
        for (what, size) in [("the height of the input", in_h), ("the width of the input", in_w)] {
            if size == 0 {
                return Err(GeometryError::Zero { what });
            }
        }
        // Tensors that can be addressed.
        let (padded_h, padded_w) = (in_h + rows.before + rows.after, in_w + cols.before + cols.after);
        for (what, fits) in [
            ("input", is_addressable(input)),
            ("filter", is_countable(&filter)),
            ("output", is_addressable([batch, rows.out, cols.out, out_c])),
            ("padded input", is_countable(&[padded_h, padded_w, in_c.max(out_c)])),
            // Algorithms count the elements of one row of patches.
            ("patch matrix", is_countable(&[cols.out, kernel_h, kernel_w, in_c])),
        ] {
            if !fits {
                return Err(overflow(what)());
            }
        }
        Ok(Self {
            batch,
            in_h,
            in_w,
            in_c,
            kernel_h,
            kernel_w,
            out_c,
            // Beyond the image a step leads nowhere, however long it is; a shorter one can be multiplied.
            stride_h: stride_h.min(padded_h + 1),
            stride_w: stride_w.min(padded_w + 1),
            dilation_h: dilation_h.min(padded_h + 1),
            dilation_w: dilation_w.min(padded_w + 1),
            pad_top: rows.before,
            pad_bottom: rows.after,
            pad_left: cols.before,
            pad_right: cols.after,
            groups,
            out_h: rows.out,
            out_w: cols.out,
            mode,
        })
    }

    /// Returns the input's shape, `[N, H, W, C]`.
    #[must_use]
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.in_h, self.in_w, self.in_c]
    }

    /// Returns the filter's shape, `[kernel_h, kernel_w, in_c / groups, out_c]`.
    #[must_use]
    pub fn filter_shape(&self) -> [usize; 4] {
        [self.kernel_h, self.kernel_w, self.group_in_c(), self.out_c]
    }

    /// Returns the output's shape, `[N, H, W, C]`.
    #[must_use]
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.out_h, self.out_w, self.out_c]
    }

    /// Returns the number of elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.input_shape().iter().product()
    }

    /// Returns the number of elements of the filters.
    #[must_use]
    pub fn filter_len(&self) -> usize {
        self.filter_shape().iter().product()
    }

    /// Returns the number of elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output_shape().iter().product()
    }

    /// Returns the pixels from the first tap to the last, both counted, on the height and the width.
    pub(crate) fn spans(&self) -> [usize; 2] {
        let span = |kernel: usize, dilation: usize| (kernel - 1) * dilation + 1;
        [span(self.kernel_h, self.dilation_h), span(self.kernel_w, self.dilation_w)]
    }

    /// Returns the number of input channels that one output channel sees.
    #[must_use]
    pub fn group_in_c(&self) -> usize {
        self.in_c / self.groups
    }

    /// Returns the number of output channels of one group.
    #[must_use]
    pub fn group_out_c(&self) -> usize {
        self.out_c / self.groups
    }

    /// Returns the number of values summed for one output: `kernel_h · kernel_w · in_c / groups`.
    #[must_use]
    pub fn patch_len(&self) -> usize {
        self.kernel_h * self.kernel_w * self.group_in_c()
    }

    /// Returns the number of output pixels of the whole batch.
    #[must_use]
    pub fn output_pixels(&self) -> usize {
        self.batch * self.out_h * self.out_w
    }

    /// Returns the number of multiply-accumulates of one pass, multiplications with padding counted; the three passes
    /// have equally many. Saturates.
    #[must_use]
    pub fn macs(&self) -> u64 {
        (self.output_len() as u64).saturating_mul(self.patch_len() as u64)
    }

    /// Returns the input row that output row `out_row` reads through row `tap` of the filter, unless that is padding.
    #[must_use]
    pub fn input_row(&self, out_row: usize, tap: usize) -> Option<usize> {
        let tap = self.mode.window_position(tap, self.kernel_h);
        let row = (out_row * self.stride_h + tap * self.dilation_h).checked_sub(self.pad_top)?;
        (row < self.in_h).then_some(row)
    }

    /// Returns the input column that output column `out_column` reads through column `tap` of the filter, unless that
    /// is padding.
    #[must_use]
    pub fn input_column(&self, out_column: usize, tap: usize) -> Option<usize> {
        let tap = self.mode.window_position(tap, self.kernel_w);
        let column = (out_column * self.stride_w + tap * self.dilation_w).checked_sub(self.pad_left)?;
        (column < self.in_w).then_some(column)
    }
}

impl ConvMode {
    /// Returns the position in its window that tap `tap` of `kernel` taps reads: `tap`, or mirrored.
    #[must_use]
    pub fn window_position(self, tap: usize, kernel: usize) -> usize {
        match self {
            Self::CrossCorrelation => tap,
            Self::Convolution => kernel - 1 - tap,
        }
    }
}

/// Most elements of a filter, of an image with its padding, and of a row of patches: 64 TiB.
///
/// Algorithms multiply one of these with block sizes of the others (36 planes of 64 tiles, 16 lanes, 384 pixels), less
/// than 2¹⁶ in all, so that nothing that they compute from an accepted geometry overflows.
const MOST_ELEMENTS: u64 = 1 << 44;

/// Returns true if a filter, an image or a row of patches of these sizes is small enough.
fn is_countable(sizes: &[usize]) -> bool {
    length(sizes) as u64 <= MOST_ELEMENTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(settings: Conv2dSettings, input: [usize; 4], filter: [usize; 4]) -> Result<Conv2dGeometry, String> {
        Conv2dGeometry::new(&settings, input, filter).map_err(|error| error.to_string())
    }

    #[test]
    fn same_padding_follows_the_tensorflow_rule() {
        // (in, kernel, stride, dilation) -> (out, before, after), by hand from the rule.
        for ((size, kernel, stride, dilation), expected) in [
            ((224, 7, 2, 1), (112, 2, 3)),
            ((28, 5, 1, 1), (28, 2, 2)),
            ((28, 2, 1, 1), (28, 0, 1)),
            ((7, 3, 2, 1), (4, 1, 1)),
            ((8, 3, 2, 1), (4, 0, 1)),
            ((10, 3, 1, 2), (10, 2, 2)),
            ((5, 1, 3, 1), (2, 0, 0)),
            ((4, 2, 4, 1), (1, 0, 0)),
            ((3, 9, 1, 1), (3, 4, 4)),
        ] {
            let windows = Padding::Same.windows(Axis::W, size, span(kernel, dilation).unwrap(), stride).unwrap();
            assert_eq!((windows.out, windows.before, windows.after), expected, "{size} {kernel} {stride} {dilation}");
        }
    }

    #[test]
    fn published_sizes() {
        let alexnet = Conv2dSettings { stride_h: 4, stride_w: 4, padding: Padding::uniform(2), ..Default::default() };
        let g = geometry(alexnet, [1, 224, 224, 3], [11, 11, 3, 64]).unwrap();
        assert_eq!(g.output_shape(), [1, 55, 55, 64]);
        assert_eq!(g.macs(), 55 * 55 * 64 * 11 * 11 * 3);
        let grouped = Conv2dSettings { groups: 2, padding: Padding::uniform(2), ..Default::default() };
        let g = geometry(grouped, [2, 27, 27, 96], [5, 5, 48, 256]).unwrap();
        assert_eq!((g.patch_len(), g.group_out_c(), g.out_h), (1200, 128, 27));
    }

    #[test]
    fn every_contradiction_has_its_sentence() {
        let plain = Conv2dSettings::default();
        let cases = [
            (Conv2dSettings { stride_w: 0, ..plain }, [1, 8, 8, 4], [3, 3, 4, 8], "stride_w must be at least 1, got 0"),
            (
                Conv2dSettings { dilation_h: 0, ..plain },
                [1, 8, 8, 4],
                [3, 3, 4, 8],
                "dilation_h must be at least 1, got 0",
            ),
            (Conv2dSettings { groups: 0, ..plain }, [1, 8, 8, 4], [3, 3, 4, 8], "groups must be at least 1, got 0"),
            (plain, [1, 8, 8, 4], [0, 3, 4, 8], "kernel_h must be at least 1, got 0"),
            (plain, [1, 8, 8, 0], [3, 3, 0, 8], "the number of input channels must be at least 1, got 0"),
            (
                Conv2dSettings { groups: 3, ..plain },
                [1, 8, 8, 64],
                [3, 3, 64, 8],
                "groups = 3 does not divide the 64 input channels",
            ),
            (
                Conv2dSettings { groups: 4, ..plain },
                [1, 8, 8, 64],
                [3, 3, 16, 10],
                "groups = 4 does not divide the 10 output channels",
            ),
            (plain, [1, 8, 8, 4], [3, 3, 3, 8], "the filter sees 3 input channels per group but the input has 4"),
            (
                Conv2dSettings { dilation_h: 4, ..plain },
                [1, 8, 9, 4],
                [3, 3, 4, 8],
                "the filter spans 9 pixels on axis H but the padded input has 8",
            ),
            (plain, [1, 3, 2, 4], [3, 3, 4, 8], "the filter spans 3 pixels on axis W but the padded input has 2"),
            (
                Conv2dSettings { padding: Padding::Same, ..plain },
                [1, 0, 2, 4],
                [1, 1, 4, 8],
                "the filter spans 1 pixels on axis H but the padded input has 0",
            ),
            (plain, [1 << 30, 1 << 20, 1 << 20, 4], [1, 1, 4, 8], "the input of this convolution overflows"),
            (
                Conv2dSettings { padding: Padding::uniform(usize::MAX), ..plain },
                [1, 8, 8, 4],
                [1, 1, 4, 8],
                "the padded input of this convolution overflows",
            ),
            (
                Conv2dSettings { dilation_w: usize::MAX, ..plain },
                [1, 8, 8, 4],
                [3, 3, 4, 8],
                "the filter of this convolution overflows",
            ),
            (plain, [1 << 40, 1, 1, 4], [1, 1, 4, 1 << 22], "the output of this convolution overflows"),
        ];
        for (settings, input, filter, sentence) in cases {
            let error = geometry(settings, input, filter).unwrap_err();
            assert!(error.starts_with(sentence), "{error:?} is not {sentence:?}");
        }
    }

    #[test]
    fn an_empty_batch_is_no_error() {
        let g = geometry(Conv2dSettings::default(), [0, 8, 8, 4], [3, 3, 4, 8]).unwrap();
        assert_eq!((g.output_len(), g.macs()), (0, 0));
    }

    #[test]
    fn a_flipped_filter_reads_its_window_mirrored() {
        let settings = Conv2dSettings { mode: ConvMode::Convolution, padding: Padding::Same, ..Default::default() };
        let g = geometry(settings, [1, 4, 4, 1], [3, 3, 1, 1]).unwrap();
        assert_eq!((g.input_row(0, 0), g.input_row(0, 1), g.input_row(0, 2)), (Some(1), Some(0), None));
    }
}
