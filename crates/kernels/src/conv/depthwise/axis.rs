//! The index arithmetic of one axis of a depthwise pass: destinations, taps and the sources they meet at.
//!
//! Forward, destination `i` reads source `i · stride + p · dilation − pad` at position `p` of its window. Backward to the
//! data, `i` reads source `(i + pad − p · dilation) / stride` wherever that is whole. Destinations that are equal modulo
//! the stride meet the same positions: they are a *phase*, on which the source is again linear in destination and tap,
//! so that no zero is ever inserted or multiplied. Taps are counted in the order of their sources in both directions.

use std::ops::Range;

use super::super::geometry::{Axis, Conv2dGeometry};

/// Direction of a pass along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the input to the output.
    Forward,
    /// From the gradient of the output to that of the input.
    Backward,
}

/// The destinations of one phase, numbered `q = 0, 1, …`, and the taps, `k = 0, 1, …`, that they read.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    /// First destination.
    pub first: usize,
    /// Distance of destinations, which is the number of phases of the axis.
    pub step: usize,
    /// Number of destinations.
    pub count: usize,
    /// Number of taps.
    pub taps: usize,
    /// Index of the first tap in the filter, and the distance to the next.
    pub filter: (usize, isize),
    /// Distance of the sources of neighbouring destinations.
    pub source_step: usize,
    /// Distance of the sources of neighbouring taps.
    pub source_tap: usize,
    /// Source of `q = 0, k = 0`; it may be padding.
    source: isize,
    sources: usize,
}

impl Phase {
    /// Returns the number of phases of an axis.
    pub fn number(g: &Conv2dGeometry, axis: Axis, direction: Direction) -> usize {
        match (direction, axis) {
            (Direction::Forward, _) => 1,
            (Direction::Backward, Axis::H) => g.stride_h,
            (Direction::Backward, Axis::W) => g.stride_w,
        }
    }

    /// Creates phase `first` of the [`Phase::number`] phases of an axis.
    pub fn new(g: &Conv2dGeometry, axis: Axis, direction: Direction, first: usize) -> Self {
        let (input, output, kernel, stride, dilation, pad) = match axis {
            Axis::H => (g.in_h, g.out_h, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top),
            Axis::W => (g.in_w, g.out_w, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left),
        };
        // Positions of the window: the first one met, and the distance to the next.
        let (position, tap_step, step, sources, destinations) = match direction {
            Direction::Forward => (0, 1, 1, input, output),
            Direction::Backward => {
                let tap_step = stride / greatest_common_divisor(stride, dilation);
                let meets = |position: &usize| (first + pad).abs_diff(position * dilation).is_multiple_of(stride);
                let position = (0..kernel.min(tap_step)).find(meets).unwrap_or(kernel);
                (position, tap_step, stride, output, input)
            }
        };
        let taps = (kernel - position).div_ceil(tap_step);
        let last = position + taps.saturating_sub(1) * tap_step;
        // Backward, the last position meets the first source.
        let (source, source_step, source_tap, begin, next) = match direction {
            Direction::Forward => (-(pad as isize), stride, dilation, position, tap_step as isize),
            Direction::Backward => {
                let source = (first + pad) as isize - (last * dilation) as isize;
                (source / stride as isize, 1, tap_step * dilation / stride, last, -(tap_step as isize))
            }
        };
        // Places of the taps in the filter, which may be flipped.
        let at = |position: usize| g.mode.window_position(position, kernel);
        let filter = match taps {
            0 => (0, 0),
            1 => (at(begin), 0),
            _ => (at(begin), at(begin.wrapping_add_signed(next)) as isize - at(begin) as isize),
        };
        let count = destinations.saturating_sub(first).div_ceil(step);
        Self { first, step, count, taps, filter, source_step, source_tap, source, sources }
    }

    /// Returns the source that destination `q` reads at tap `k`; outside the axis where that is padding.
    pub fn source(&self, q: usize, k: usize) -> isize {
        self.source + (q * self.source_step + k * self.source_tap) as isize
    }

    /// Returns the index of tap `k` in the filter.
    pub fn filter(&self, k: usize) -> usize {
        self.filter.0.wrapping_add_signed(k as isize * self.filter.1)
    }

    fn is_inside(&self, q: usize, k: usize) -> bool {
        usize::try_from(self.source(q, k)).is_ok_and(|source| source < self.sources)
    }

    /// Returns the taps of destination `q` that are not padding; the source is linear in the tap, so they are
    /// neighbours.
    pub fn taps_at(&self, q: usize) -> Range<usize> {
        let Some(begin) = (0..self.taps).find(|&k| self.is_inside(q, k)) else { return 0..0 };
        begin..begin + (begin..self.taps).take_while(|&k| self.is_inside(q, k)).count()
    }

    /// Returns the destinations with no tap in the padding; they are neighbours too. Those before and behind are the
    /// borders.
    pub fn interior(&self) -> Range<usize> {
        let Some(last) = self.taps.checked_sub(1) else { return 0..self.count };
        let whole = |&q: &usize| self.is_inside(q, 0) && self.is_inside(q, last);
        let begin = (0..self.count).find(whole).unwrap_or(self.count);
        begin..(begin..self.count).rfind(whole).map_or(begin, |q| q + 1)
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
