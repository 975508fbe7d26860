//! A band of outputs and the scratch memory that holds what they read.
//!
//! The scratch is `[input row][picture][column of outputs][columns of taps][channel of the block]`: patches along the width
//! only. Rows are shared by the taps above each other, so that a 3×3 filter copies three times and not nine; what lies
//! beyond the border is zero there, and nobody asks again. Where outputs step over rows, input rows are sorted by their
//! remainder first. Both together make the outputs of a band, in the order row, picture, column, *evenly spaced* in the
//! scratch: tiles run across the ends of rows and from picture to picture, and a picture of 7×7 has no remainders.

use std::ops::Range;

use ocelli_simd::Isa;

use super::problem::{Axis, Problem};
use crate::gemm::tile::Segment;

/// Outputs that are computed together: some columns of some rows of some pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub images: Range<usize>,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// Some channels of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub group: usize,
    pub range: Range<usize>,
}

impl Band {
    /// Outputs of one channel.
    pub fn pixels(&self) -> usize {
        self.images.len() * self.rows.len() * self.columns.len()
    }

    /// Whether the outputs lie one behind the other in the tensor that is written.
    pub fn is_contiguous(&self, problem: &Problem) -> bool {
        let (rows, columns) = (&problem.rows, &problem.columns);
        let one_line = self.images.len() == 1 && self.rows.len() == 1;
        let whole_lines = self.columns.len() == columns.positions && rows.every == 1;
        columns.every == 1 && (one_line || whole_lines && (self.images.len() == 1 || rows.positions == 1))
    }

    /// The pixels of the tensor that is written, from output `first` of the band on, in the order of the scratch.
    #[inline(always)]
    pub fn positions(&self, problem: &Problem, first: usize) -> Positions<'_> {
        let (line, column) = (first / self.columns.len(), first % self.columns.len());
        let (row, image) = (line / self.images.len(), line % self.images.len());
        let (rows, columns) = (problem.rows, problem.columns);
        Positions { band: self, rows, columns, image, row, column }
    }
}

/// See [`Band::positions`].
pub(super) struct Positions<'a> {
    band: &'a Band,
    rows: Axis,
    columns: Axis,
    image: usize,
    row: usize,
    column: usize,
}

impl Iterator for Positions<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let Self { band, rows, columns, .. } = *self;
        let row = rows.first + (band.rows.start + self.row) * rows.every;
        let column = columns.first + (band.columns.start + self.column) * columns.every;
        let position = ((band.images.start + self.image) * rows.positions + row) * columns.positions + column;
        self.column += 1;
        if self.column == band.columns.len() {
            (self.column, self.image) = (0, self.image + 1);
            if self.image == band.images.len() {
                (self.image, self.row) = (0, self.row + 1);
            }
        }
        Some(position)
    }
}

/// How far the outputs of a band are apart in its scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Without gaps, for reading along each.
    Dense,
    /// By an odd number of cache lines, for reading across all: an even one would leave some sets of the first-level cache
    /// empty and fill others twice.
    OddLines,
}

impl Spacing {
    /// The distance of outputs of `run` numbers.
    pub fn apart(self, run: usize) -> usize {
        match self {
            Self::OddLines if run >= LINE => (run.div_ceil(LINE) | 1) * LINE,
            Self::Dense | Self::OddLines => run,
        }
    }
}

/// Numbers of a cache line.
const LINE: usize = 16;

/// Where things lie in the scratch of a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Numbers of one output in one row: the columns of taps times the channels.
    pub run: usize,
    /// From one output to the next.
    pub pixel: usize,
    /// Numbers of one input row of all pictures.
    line: usize,
    /// Input rows of each remainder.
    rows_of_phase: usize,
    step: usize,
    dilation: usize,
}

impl Layout {
    pub fn new(problem: &Problem, band: &Band, channels: usize, spacing: Spacing) -> Self {
        let run = problem.columns.taps * channels;
        let pixel = spacing.apart(run);
        Self {
            run,
            pixel,
            line: band.images.len() * band.columns.len() * pixel,
            rows_of_phase: band.rows.len() + (problem.rows.span() - 1) / problem.rows.step,
            step: problem.rows.step,
            dilation: problem.rows.dilation,
        }
    }

    /// All numbers, and a vector more that copies may spill into; whole cache lines.
    pub fn len(&self, problem: &Problem) -> usize {
        let last = problem.rows.span().min(self.step) - 1;
        ((last + 1) * self.rows_of_phase * self.line).next_multiple_of(LINE) + SPILL
    }

    /// What output 0 reads in the row of a tap.
    #[inline(always)]
    pub fn tap(&self, tap: usize) -> usize {
        let row = tap * self.dilation;
        (row % self.step * self.rows_of_phase + row / self.step) * self.line
    }

    /// The segments of a tile: one for each row of taps.
    pub fn segments(&self, taps: Range<usize>) -> ([Segment; MOST_SEGMENTS], usize) {
        let mut segments = [Segment { offset: 0, depth: self.run }; MOST_SEGMENTS];
        let count = taps.len();
        for (segment, tap) in segments.iter_mut().zip(taps) {
            segment.offset = self.tap(tap);
        }
        (segments, count)
    }
}

/// Rows of taps that one tile sums at most: filters are rarely higher, and higher ones are cut.
pub(super) const MOST_SEGMENTS: usize = 16;

/// Numbers of the longest vector.
const SPILL: usize = 16;

/// Fills the scratch of a band with some channels of a group.
#[inline(always)]
pub(super) fn fill<I: Isa>(
    isa: I,
    problem: &Problem,
    band: &Band,
    channels: &Channels,
    layout: &Layout,
    x: &[f32],
    scratch: &mut [f32],
) {
    let rows = &problem.rows;
    let read_rows = (band.rows.len() - 1) * rows.step + rows.span();
    for phase in 0..rows.step.min(rows.span()) {
        // Rows of a remainder that no tap has are not read.
        if !(0..rows.taps.min(rows.step)).any(|tap| tap * rows.dilation % rows.step == phase) {
            continue;
        }
        for index in 0..layout.rows_of_phase {
            let local = index * rows.step + phase;
            if local >= read_rows {
                break;
            }
            let row = rows.read_by(band.rows.start) + local as isize;
            let lines = &mut scratch[(phase * layout.rows_of_phase + index) * layout.line..];
            for (image, index) in band.images.clone().zip(0..) {
                let line = &mut lines[index * band.columns.len() * layout.pixel..];
                if (0..rows.inputs as isize).contains(&row) {
                    let line_index = image * rows.inputs + row as usize;
                    fill_line(isa, problem, band, channels, layout.pixel, &x[line_index * line_len(problem)..], line);
                } else {
                    line[..band.columns.len() * layout.pixel].fill(0.0);
                }
            }
        }
    }
}

/// Numbers of a row of the tensor that is read.
fn line_len(problem: &Problem) -> usize {
    problem.columns.inputs * problem.input_pixel()
}

/// Fills what the outputs, `apart` from each other, of one row and picture read of the input row at the start of `x`. Copies
/// are whole vectors that may spill into what is written next.
#[inline(always)]
fn fill_line<I: Isa>(
    isa: I,
    problem: &Problem,
    band: &Band,
    channels: &Channels,
    apart: usize,
    x: &[f32],
    line: &mut [f32],
) {
    let (columns, pixel) = (&problem.columns, problem.input_pixel());
    let depth = channels.range.len();
    let first_channel = channels.group * problem.depth + channels.range.start;
    // Neighbouring taps are neighbours in memory where they have all channels.
    let whole_run = columns.dilation == 1 && depth == pixel;
    let inside = columns.outputs_inside(band.columns.clone());
    for (column, index) in band.columns.clone().zip(0..) {
        let mut to = index * apart;
        let from = columns.read_by(column);
        let taps = if inside.contains(&column) { 0..columns.taps } else { columns.taps_inside(from) };
        zero(isa, &mut line[to..], taps.start * depth);
        to += taps.start * depth;
        let at = |tap: usize| (from + (tap * columns.dilation) as isize) as usize * pixel + first_channel;
        if !taps.is_empty() {
            if whole_run {
                let len = taps.len() * depth;
                copy(isa, &x[at(taps.start)..], &mut line[to..], len);
                to += len;
            } else {
                for tap in taps.clone() {
                    copy(isa, &x[at(tap)..], &mut line[to..], depth);
                    to += depth;
                }
            }
        }
        zero(isa, &mut line[to..], (columns.taps - taps.end) * depth);
    }
}

/// Copies `len` numbers, and whatever follows up to a whole vector.
#[inline(always)]
fn copy<I: Isa>(isa: I, from: &[f32], to: &mut [f32], len: usize) {
    let whole = len.next_multiple_of(I::LANES);
    if from.len() < whole || to.len() < whole {
        return to[..len].copy_from_slice(&from[..len]);
    }
    for (to, from) in to[..whole].chunks_exact_mut(I::LANES).zip(from[..whole].chunks_exact(I::LANES)) {
        isa.store(isa.load(from), to);
    }
}

/// Zeroes `len` numbers, and whatever follows up to a whole vector.
#[inline(always)]
fn zero<I: Isa>(isa: I, to: &mut [f32], len: usize) {
    let whole = len.next_multiple_of(I::LANES);
    if to.len() < whole {
        return to[..len].fill(0.0);
    }
    for to in to[..whole].chunks_exact_mut(I::LANES) {
        isa.store(isa.zero(), to);
    }
}
