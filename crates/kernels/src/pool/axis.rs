//! One image axis of a pooling: which inputs a window covers, and which windows cover an input.

use std::ops::Range;

/// An axis of the input, and the windows along it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Axis {
    Sliding { input: usize, output: usize, kernel: usize, stride: usize, before: usize, after: usize },
    Adaptive { input: usize, output: usize },
}

impl Axis {
    /// The inputs that window `o` covers.
    #[inline(always)]
    pub(super) fn inputs(self, o: usize) -> Range<usize> {
        match self {
            Self::Sliding { input, kernel, stride, before, .. } => {
                let start = o * stride;
                start.saturating_sub(before)..(start + kernel).saturating_sub(before).min(input)
            }
            Self::Adaptive { input, output } => o * input / output..((o + 1) * input).div_ceil(output),
        }
    }

    /// The windows that cover input `i`.
    #[inline(always)]
    pub(super) fn windows(self, i: usize) -> Range<usize> {
        match self {
            Self::Sliding { output, kernel, stride, before, .. } => {
                let place = i + before;
                let first = if place < kernel { 0 } else { (place - kernel) / stride + 1 };
                first.min(output)..(place / stride + 1).min(output)
            }
            Self::Adaptive { input, output } => i * output / input..((i + 1) * output).div_ceil(input),
        }
    }

    /// The windows that no edge cuts off: each is a step further than the one before it.
    pub(super) fn interior(self) -> Range<usize> {
        match self {
            Self::Sliding { input, output, kernel, stride, before, .. } => {
                let begin = before.div_ceil(stride).min(output);
                let end = (before + input).checked_sub(kernel).map_or(0, |last| (last / stride + 1).min(output));
                begin..end.max(begin)
            }
            Self::Adaptive { .. } => 0..0,
        }
    }

    /// The distance of windows where it is known.
    pub(super) fn stride(self) -> usize {
        match self {
            Self::Sliding { stride, .. } => stride,
            Self::Adaptive { .. } => 1,
        }
    }

    /// The number of places, padding included, that window `o` covers: a window that begins near the end of the
    /// padding (where the output's size was rounded up) is cut off there.
    #[inline(always)]
    pub(super) fn padded_count(self, o: usize) -> usize {
        match self {
            Self::Sliding { input, kernel, stride, before, after, .. } => {
                let start = o * stride;
                (start + kernel).min(before + input + after) - start
            }
            Self::Adaptive { .. } => self.inputs(o).len(),
        }
    }

    /// The place in window `o` of input `i`.
    #[inline(always)]
    pub(super) fn place_in_window(self, o: usize, i: usize) -> usize {
        match self {
            Self::Sliding { stride, before, .. } => i + before - o * stride,
            Self::Adaptive { .. } => i - self.inputs(o).start,
        }
    }
}
