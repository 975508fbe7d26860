//! A band of outputs and the scratch memory that holds what they read.
//!
//! The scratch is `[input row][image][column of outputs][columns of taps][channel of the block]`: patches along the
//! width only. Rows are shared by the taps above each other, so that a 3×3 filter copies three times and not nine;
//! whatever lies beyond the border is zero there, and needs no further test. Where outputs step over rows, input rows
//! are sorted by their remainder first. Both together make the outputs of a band, in the order row, image, column,
//! *evenly spaced* in the scratch: tiles run across the ends of rows and from image to image, and an image of 7×7
//! leaves no partial tiles. Where outputs are dot products, whose arithmetic is as short as such copies are long,
//! columns of taps are shared as well: a line is then `[column][channel of the block]`.

use std::ops::Range;

use ocelli_simd::MOST_LANES;

use super::problem::{Axis, Problem};
use crate::cache::{LINE, odd_lines};
use crate::gemm::tile::Segment;

/// A band of outputs that are computed together: some columns of some rows of some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub images: Range<usize>,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// A range of channels of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub group: usize,
    pub range: Range<usize>,
}

impl Band {
    /// Returns the number of outputs of one channel.
    pub fn pixels(&self) -> usize {
        self.images.len() * self.rows.len() * self.columns.len()
    }

    /// Returns true if the outputs are contiguous in the tensor that is written.
    pub fn is_contiguous(&self, problem: &Problem) -> bool {
        let (rows, columns) = (&problem.rows, &problem.columns);
        let one_line = self.images.len() == 1 && self.rows.len() == 1;
        let whole_lines = self.columns.len() == columns.positions && rows.every == 1;
        columns.every == 1 && (one_line || whole_lines && (self.images.len() == 1 || rows.positions == 1))
    }

    /// Returns the pixels of the written tensor with which the lines of the band begin, in the order of the scratch;
    /// the others of a line follow, if no output is left out ([`Axis::every`]).
    pub fn lines(&self, problem: &Problem) -> impl Iterator<Item = usize> + use<> {
        let (images, first_column) = (self.images.clone(), self.columns.start);
        let (rows, columns) = (problem.rows.positions, problem.columns.positions);
        let lines = self.rows.clone().flat_map(move |row| images.clone().map(move |image| (image, row)));
        lines.map(move |(image, row)| (image * rows + row) * columns + first_column)
    }

    /// Returns the pixels of the written tensor, from output `first` of the band on, in the order of the scratch.
    #[inline(always)]
    pub fn positions(&self, problem: &Problem, first: usize) -> Positions<'_> {
        let (line, column) = (first / self.columns.len(), first % self.columns.len());
        let (row, image) = (line / self.images.len(), line % self.images.len());
        let (rows, columns) = (problem.rows, problem.columns);
        let mut positions = Positions { band: self, rows, columns, image, row, column, position: 0 };
        positions.seek();
        positions
    }
}

/// Iterator over the pixels of a band; see [`Band::positions`].
pub(super) struct Positions<'a> {
    band: &'a Band,
    rows: Axis,
    columns: Axis,
    image: usize,
    row: usize,
    column: usize,
    position: usize,
}

impl Positions<'_> {
    /// Computes the position from row, image and column.
    #[inline(always)]
    fn seek(&mut self) {
        let Self { band, rows, columns, .. } = *self;
        let row = rows.first + (band.rows.start + self.row) * rows.every;
        let column = columns.first + (band.columns.start + self.column) * columns.every;
        self.position = ((band.images.start + self.image) * rows.positions + row) * columns.positions + column;
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let position = self.position;
        self.column += 1;
        self.position += self.columns.every;
        if self.column == self.band.columns.len() {
            (self.column, self.image) = (0, self.image + 1);
            if self.image == self.band.images.len() {
                (self.image, self.row) = (0, self.row + 1);
            }
            self.seek();
        }
        Some(position)
    }
}

/// Spacing of the outputs of a band in its scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// No gaps, for reading along each output.
    Dense,
    /// By the outputs' step, so that neighbours share the columns which both read; the ends of lines lie further apart.
    Shared,
    /// By an odd number of cache lines ([`odd_lines`]), for reading across all outputs.
    OddLines,
}

impl Spacing {
    /// Returns the spacing of the forward and the backward-data pass. The tiles of dot products have few rows, which
    /// divide a line well enough.
    pub fn of(problem: &Problem) -> Self {
        if problem.by_dots() { Self::Shared } else { Self::Dense }
    }

    /// Returns the distance of outputs that read so many channels of a row.
    pub fn apart(self, problem: &Problem, channels: usize) -> usize {
        let run = problem.columns.taps * channels;
        match self {
            Self::OddLines if run >= LINE => odd_lines(run),
            Self::Dense | Self::OddLines => run,
            Self::Shared => problem.columns.step * channels,
        }
    }
}

/// The memory layout of a band's scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Elements of one output in one row: the columns of taps times the channels.
    pub run: usize,
    /// Distance from one output to the next.
    pub pixel: usize,
    /// Extra distance between the ends of lines, on top of the distance of outputs; 0 if these are evenly spaced.
    pub gap: usize,
    /// Elements of one input row of one image.
    pub image: usize,
    /// Elements of one input row of all images.
    pub line: usize,
    /// Input rows of each remainder.
    pub rows_of_phase: usize,
    step: usize,
    dilation: usize,
}

impl Layout {
    pub fn new(problem: &Problem, band: &Band, channels: usize, spacing: Spacing) -> Self {
        let run = problem.columns.taps * channels;
        let pixel = spacing.apart(problem, channels);
        let gap = if spacing == Spacing::Shared { run - pixel } else { 0 };
        let image = band.columns.len() * pixel + gap;
        Self {
            run,
            pixel,
            gap,
            image,
            line: band.images.len() * image,
            rows_of_phase: band.rows.len() + (problem.rows.span() - 1) / problem.rows.step,
            step: problem.rows.step,
            dilation: problem.rows.dilation,
        }
    }

    /// Returns the number of elements, including a vector that copies may spill into; whole cache lines.
    pub fn len(&self, problem: &Problem) -> usize {
        let last = problem.rows.span().min(self.step) - 1;
        ((last + 1) * self.rows_of_phase * self.line).next_multiple_of(LINE) + SPILL
    }

    /// Returns the offset of output 0 in the row of a tap.
    #[inline(always)]
    pub fn tap(&self, tap: usize) -> usize {
        let row = tap * self.dilation;
        (row % self.step * self.rows_of_phase + row / self.step) * self.line
    }

    /// Returns the segments of a tile: one for each row of taps.
    pub fn segments(&self, taps: Range<usize>) -> ([Segment; MOST_SEGMENTS], usize) {
        let mut segments = [Segment { offset: 0, depth: self.run }; MOST_SEGMENTS];
        let count = taps.len();
        for (segment, tap) in segments.iter_mut().zip(taps) {
            segment.offset = self.tap(tap);
        }
        (segments, count)
    }
}

/// Most rows of taps that one tile sums: filters are rarely higher, and higher ones are cut.
pub(super) const MOST_SEGMENTS: usize = 16;

/// Elements of the longest vector.
const SPILL: usize = MOST_LANES;
