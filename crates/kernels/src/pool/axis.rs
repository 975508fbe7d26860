//! One image axis of a pooling: the inputs that a window covers, and the windows that cover an input.

use std::ops::Range;

/// An axis of the input, and the windows along it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Axis {
    Sliding { input: usize, output: usize, kernel: usize, stride: usize, before: usize, after: usize },
    Adaptive { input: usize, output: usize },
}

impl Axis {
    /// Returns the inputs that window `o` covers.
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

    /// Returns the windows that cover input `i`.
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

    /// Returns [`Axis::windows`] of one input after the other, from the first on: by counting, because a division takes
    /// longer than computing a pixel. The iterator does not end.
    #[inline(always)]
    pub(super) fn all_windows(self) -> AllWindows {
        AllWindows { axis: self, input: 0, windows: self.windows(0) }
    }

    /// Returns the windows that no edge cuts off: each is a step further than the one before it.
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

    /// Returns true if no input is in two windows.
    pub(super) fn is_disjoint(self) -> bool {
        matches!(self, Self::Sliding { kernel, stride, .. } if kernel <= stride)
    }

    /// Returns the distance of windows where it is known.
    pub(super) fn stride(self) -> usize {
        match self {
            Self::Sliding { stride, .. } => stride,
            Self::Adaptive { .. } => 1,
        }
    }

    /// Returns the number of positions, padding included, that window `o` covers: a window that begins near the end of
    /// the padding (where the output's size was rounded up) is cut off there.
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

    /// Returns the position in window `o` of input `i`.
    #[inline(always)]
    pub(super) fn place_in_window(self, o: usize, i: usize) -> usize {
        match self {
            Self::Sliding { stride, before, .. } => i + before - o * stride,
            Self::Adaptive { .. } => i - self.inputs(o).start,
        }
    }
}

/// Iterator of [`Axis::all_windows`].
pub(super) struct AllWindows {
    axis: Axis,
    input: usize,
    /// Windows that cover the input.
    windows: Range<usize>,
}

impl Iterator for AllWindows {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let covering = self.windows.clone();
        self.input += 1;
        match self.axis {
            Axis::Sliding { output, kernel, stride, before, .. } => {
                // From one input to the next, no more than one window ends and no more than one begins.
                let (place, Range { start, end }) = (self.input + before, &mut self.windows);
                *start += usize::from(*start < output && place == *start * stride + kernel);
                *end += usize::from(*end < output && place == *end * stride);
            }
            Axis::Adaptive { .. } => self.windows = self.axis.windows(self.input),
        }
        Some(covering)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_as_they_are_computed() {
        for (input, kernel, stride) in
            (1..12usize).flat_map(|i| (1..=5).flat_map(move |k| (1..7).map(move |s| (i, k, s))))
        {
            for (before, after) in (0..=kernel / 2).flat_map(|b| [(b, 0), (b, b)]) {
                let Some(steps) = (input + before + after).checked_sub(kernel) else { continue };
                for output in [steps / stride + 1, steps.div_ceil(stride) + 1] {
                    let axis = Axis::Sliding { input, output, kernel, stride, before, after };
                    let counted: Vec<_> = axis.all_windows().take(input).collect();
                    let computed: Vec<_> = (0..input).map(|i| axis.windows(i)).collect();
                    assert_eq!(counted, computed, "{axis:?}");
                }
            }
            let axis = Axis::Adaptive { input, output: kernel };
            assert!(axis.all_windows().take(input).eq((0..input).map(|i| axis.windows(i))), "{axis:?}");
        }
    }
}
