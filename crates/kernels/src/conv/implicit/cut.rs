//! The division of a problem into bands of outputs, blocks of the depth and groups of panels: a function of sizes
//! alone.

use std::ops::Range;

use ocelli_simd::MOST_LANES;

use super::band::{Band, Channels, Layout, MOST_SEGMENTS, Spacing};
use super::problem::Problem;
use crate::cache;
use crate::gemm::tile::VECTORS;
use crate::gemm::{PIECES_OF_ONE, wanted_pieces};

/// Depth of a block: 64 channels of 3 × 3 taps. Its panel of 16 columns, 36 KiB, is a little more than the first-level
/// cache, yet shorter blocks are slower, because each passes over the destination again: 3 × 3 on 64 channels at 224 px
/// reaches 0.90 of the peak with 576 and 0.80 with 288; on 512 at 14 px, 0.88 and 0.85, and 0.87 with 864.
const DEPTH: usize = 576;

/// Largest depth that is a single block.
const WHOLE_DEPTH: usize = 640;

/// Channels of a block are a multiple of this, so that copies are of whole vectors.
const CHANNELS_STEP: usize = 8;

/// Columns of a block are a multiple of this: whole panels of any set.
const COLUMNS_STEP: usize = VECTORS * MOST_LANES;

/// Elements of the scratch of a filter gradient's band (256 KiB), whose outputs are the depth of a block and decide the
/// bits.
const FILTER_SCRATCH: usize = 64 << 10;

/// Returns the elements of the scratch of any other band: half of the second-level cache (256 KiB of 512).
fn band_scratch() -> usize {
    cache::second_level() / 2
}

/// Least height of a band, in multiples of the rows that it shares with the next, which both copy. A band is cut in
/// width for that, where neighbours share nothing.
const BAND_OVER_HALO: usize = 4;

/// Fewest outputs of a band that is made smaller for the sake of more pieces: so many rows use a panel that is brought
/// to the first-level cache.
const BAND_PIXELS: usize = 192;

/// Fewest outputs of an image that is a band of its own, whose outputs are then contiguous. It does not count where
/// rows reach the border: rows of several images are then long enough to leave out the taps that see nothing else.
const IMAGE: usize = 64;

/// Fewest panels of a task, for the same reason: they use the scratch that the task fills.
const TASK_PANELS: usize = 4;

/// Fewest outputs of a band of what would be a single task: two tiles.
const FEW_PIXELS: usize = 24;

/// The depth of a problem in blocks: channels of a group, and rows of taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Channels of a block.
    pub channels: usize,
    /// Rows of taps of a block.
    pub tap_rows: usize,
}

impl Blocks {
    pub fn new(problem: &Problem) -> Self {
        let taps = problem.taps().max(1);
        let most = if problem.terms() <= WHOLE_DEPTH { problem.depth } else { (DEPTH / taps).max(CHANNELS_STEP) };
        let channels = even(problem.depth, most.next_multiple_of(CHANNELS_STEP));
        let channels = channels.next_multiple_of(CHANNELS_STEP).min(problem.depth);
        let tap_row = (problem.columns.taps * channels).max(1);
        let tap_rows = even(problem.rows.taps, (WHOLE_DEPTH / tap_row).clamp(1, MOST_SEGMENTS));
        Self { channels, tap_rows }
    }

    /// Returns the blocks of channels of a group.
    pub fn channels(&self, problem: &Problem, group: usize) -> impl Iterator<Item = Channels> + use<> {
        let (depth, step) = (problem.depth, self.channels);
        (0..depth).step_by(step).map(move |start| Channels { group, range: start..depth.min(start + step) })
    }

    /// Returns the blocks of rows of taps.
    pub fn tap_rows(&self, problem: &Problem) -> impl Iterator<Item = Range<usize>> + use<> {
        let (taps, step) = (problem.rows.taps, self.tap_rows);
        (0..taps).step_by(step.max(1)).map(move |start| start..taps.min(start + step))
    }
}

/// Returns the size of the largest of the nearly equal parts of `whole`, none larger than `most`.
fn even(whole: usize, most: usize) -> usize {
    whole.div_ceil(whole.div_ceil(most).max(1))
}

/// The bands of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bands {
    images: usize,
    rows: usize,
    columns: usize,
    image_bands: usize,
    row_bands: usize,
    column_bands: usize,
}

impl Bands {
    /// Divides a problem into bands of at most `most_pixels` whose scratch, of `pixel` elements for each output and
    /// input row, has `scratch` elements or less.
    pub fn new(problem: &Problem, pixel: usize, scratch: usize, most_pixels: usize) -> Self {
        let (rows, columns) = (&problem.rows, &problem.columns);
        let phases = rows.taps.min(rows.step).max(1);
        let halo = (rows.span() - 1) / rows.step;
        let lines = |out_rows: usize| phases * (out_rows + halo);
        let low = rows.outputs.min((BAND_OVER_HALO * halo).max(1));
        let fit = (scratch / (lines(low) * pixel)).min(most_pixels / low).max(1);
        let width = even(columns.outputs, fit);
        let height = (scratch / (phases * width * pixel)).saturating_sub(halo).min(most_pixels / width).max(1);
        let height = even(rows.outputs, height);
        let images = (scratch / (lines(height) * width * pixel)).min(most_pixels / (width * height)).max(1);
        let whole = height == rows.outputs && width == columns.outputs;
        let alone = height * width >= IMAGE && !rows.reaches_border();
        let images = if whole && !alone { even(problem.batch, images) } else { 1 };
        Self::of(problem, images.max(1), height, width)
    }

    fn of(problem: &Problem, images: usize, rows: usize, columns: usize) -> Self {
        Self {
            images,
            rows,
            columns,
            image_bands: problem.batch.div_ceil(images),
            row_bands: problem.rows.outputs.div_ceil(rows),
            column_bands: problem.columns.outputs.div_ceil(columns),
        }
    }

    /// Returns bands of half as many images or rows, unless these are small.
    fn smaller(&self, problem: &Problem, least: usize) -> Option<Self> {
        let Self { images, rows, columns, .. } = *self;
        let smaller = if images > 1 {
            Self::of(problem, images.div_ceil(2), rows, columns)
        } else if rows > 1 {
            Self::of(problem, 1, even(rows, rows.div_ceil(2)), columns)
        } else {
            return None;
        };
        (smaller.images * smaller.rows * columns >= least).then_some(smaller)
    }

    pub fn count(&self) -> usize {
        self.image_bands * self.row_bands * self.column_bands
    }

    /// Returns band `index`; the bands of an image are neighbours.
    pub fn band(&self, problem: &Problem, index: usize) -> Band {
        let (index, column) = (index / self.column_bands, index % self.column_bands);
        let (image, row) = (index / self.row_bands, index % self.row_bands);
        let part = |index: usize, size: usize, whole: usize| index * size..whole.min((index + 1) * size);
        Band {
            images: part(image, self.images, problem.batch),
            rows: part(row, self.rows, problem.rows.outputs),
            columns: part(column, self.columns, problem.columns.outputs),
        }
    }

    /// Returns the number of outputs of the largest band.
    pub fn most_pixels(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Returns the number of elements of the scratch of the largest band.
    pub fn scratch_len(&self, problem: &Problem, channels: usize, spacing: Spacing) -> usize {
        let largest = Band { images: 0..self.images, rows: 0..self.rows, columns: 0..self.columns };
        Layout::new(problem, &largest, channels, spacing).len(problem)
    }
}

/// The tasks of a problem, each with a band, a group and some panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tasks {
    pub blocks: Blocks,
    pub bands: Bands,
    /// Panels of a task.
    pub panels: usize,
    /// Parts into which the panels of a group are cut.
    pub panel_parts: usize,
}

impl Tasks {
    /// Divides a problem with `panels` panels in a group into `wanted` pieces, if its sizes allow.
    pub fn new(problem: &Problem, panels: usize, wanted: usize) -> Self {
        let blocks = Blocks::new(problem);
        let pixel = Spacing::of(problem).apart(problem, blocks.channels).max(1);
        let mut bands = Bands::new(problem, pixel, band_scratch(), usize::MAX);
        let mut cut = |wanted: usize, least_pixels, least_panels| {
            let pieces = |bands: &Bands| bands.count() * problem.groups;
            while pieces(&bands) < wanted {
                let Some(smaller) = bands.smaller(problem, least_pixels) else { break };
                bands = smaller;
            }
            let pieces = pieces(&bands).max(1);
            let parts = wanted.div_ceil(pieces).min(panels.div_ceil(least_panels)).max(1);
            (pieces * parts, parts)
        };
        let (tasks, mut parts) = cut(wanted, BAND_PIXELS, TASK_PANELS);
        if tasks == 1 {
            (_, parts) = cut(wanted.min(PIECES_OF_ONE), FEW_PIXELS, 1);
        }
        let panels_of_task = even(panels, panels.div_ceil(parts));
        Self { blocks, bands, panels: panels_of_task, panel_parts: panels.div_ceil(panels_of_task) }
    }

    pub fn count(&self, problem: &Problem) -> usize {
        self.bands.count() * problem.groups * self.panel_parts
    }
}

/// Most rows of the left operand in one block of a filter gradient.
const FILTER_ROWS: usize = 192;

/// Most outputs in one band of a filter gradient: they are its depth. Shorter ones pass over the sums more often (3 × 3
/// on 512 channels, 14 px: 0.84, 0.82 and 0.79 of the peak for 384, 256 and 192), and longer ones do not fit the
/// first-level cache with the lines of the inputs beside them.
const FILTER_PIXELS: usize = 384;

/// Most elements of the partial sums of all pieces together, if there is more than one piece (16 MiB).
const PARTIAL_SUMS: usize = 4 << 20;

/// Fewest columns of the filter that a task of its gradient computes, where they are cut: they use the scratch that the
/// task fills.
const TASK_COLUMNS: usize = 64;

/// The tasks of a filter gradient, each with a block of channels of a group, a block of the filter's columns and a piece
/// of the bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilterTasks {
    pub channels: usize,
    /// Blocks of channels in a group.
    pub channel_blocks: usize,
    /// Columns of the filter of a task.
    pub columns: usize,
    /// Blocks of columns in a group.
    pub column_blocks: usize,
    pub bands: Bands,
    /// Bands of a piece.
    pub bands_of_piece: usize,
    /// Number of pieces, each of which has sums of its own if there are several.
    pub pieces: usize,
}

impl FilterTasks {
    pub fn new(problem: &Problem) -> Self {
        let most = (FILTER_ROWS / problem.columns.taps).max(CHANNELS_STEP);
        let channels = even(problem.depth, most).next_multiple_of(CHANNELS_STEP).min(problem.depth);
        let channel_blocks = problem.depth.div_ceil(channels);
        let pixel = Spacing::OddLines.apart(problem, channels);
        let bands = Bands::new(problem, pixel, FILTER_SCRATCH, FILTER_PIXELS);
        let wanted = wanted_pieces(problem.flops());
        let pieces = wanted.div_ceil(channel_blocks * problem.groups).min(PARTIAL_SUMS / problem.filter_len()).max(1);
        let bands_of_piece = bands.count().div_ceil(pieces).max(1);
        let pieces = bands.count().div_ceil(bands_of_piece);
        // Few pixels of few channels are one piece, however many columns the filter has. A power of two divides among
        // two and four threads.
        let column_blocks = wanted / (channel_blocks * problem.groups * pieces.max(1));
        let column_blocks = column_blocks.min(problem.width / TASK_COLUMNS).max(1);
        let columns = problem.width.div_ceil(1 << column_blocks.ilog2()).next_multiple_of(COLUMNS_STEP);
        let columns = columns.min(problem.width).max(1);
        let column_blocks = problem.width.div_ceil(columns);
        Self { channels, channel_blocks, columns, column_blocks, bands, bands_of_piece, pieces }
    }

    /// Returns the number of tasks of a piece.
    pub fn count(&self, problem: &Problem) -> usize {
        self.channel_blocks * self.column_blocks * problem.groups
    }

    /// Returns the number of elements of the partial sums: those of the pieces, and those of all pieces together where
    /// pixels are merged, whose sums are not yet the filter's.
    pub fn workspace(&self, problem: &Problem) -> usize {
        let sums = match (self.pieces, problem.merged) {
            (1, 1) => 0,
            (pieces, 1) => pieces,
            (pieces, _) => pieces + 1,
        };
        sums * problem.filter_len()
    }
}
