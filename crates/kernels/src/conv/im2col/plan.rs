//! The division of one convolution into pieces and blocks: a function of its geometry and nothing else.

use std::ops::Range;

use ocelli_simd::InstructionSet;

use super::Origin;
use crate::conv::algorithm::Pass;
use crate::conv::geometry::{Conv2dGeometry, ConvMode};
use crate::gemm::{Matrix, MatrixMut, PARALLEL_FLOPS, Threads, gemm_on};
use crate::{Accumulate, Epilogue};

/// Elements of a block of patches (256 KiB): it is written and then packed by the product, both out of the second-level
/// cache.
const PATCH_BLOCK: usize = 64 << 10;

/// Fewest pixels of a block (if the piece has them), because the product packs the filters anew for each block. Where
/// patches are long this comes before [`PATCH_BLOCK`], and the filter is cut into slabs of rows instead.
const BLOCK_PIXELS: usize = 256;

/// Most pieces: they balance the load of a workstation, and each needs its own part of the workspace.
const MAX_PIECES: usize = 16;

/// Fewest output pixels of a piece, again because each packs the filters.
const PIECE_PIXELS: usize = 128;

/// Fewest pieces worth cutting into: fewer would not keep a thread pool busy, so then there is one, and the work inside
/// it is cut.
const FEW_PIECES: usize = 8;

/// Most elements of the blocks of patches of all pieces together, if there is more than one piece (16 MiB).
const MAX_PATCHES: usize = 4 << 20;

/// Most elements of the partial filter gradients of all pieces together, if there is more than one (16 MiB).
const MAX_PARTIAL_SUMS: usize = 4 << 20;

/// Least height of a band of `dx`, in multiples of the rows around it that it must compute as well.
const BAND_OVER_HALO: usize = 4;

/// The division of one pass.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    pub g: &'a Conv2dGeometry,
    /// True if patches need no copy: `x` is the patch matrix.
    pub in_place: bool,
    pub threads: Threads,
    /// Instruction set that was current on the calling thread.
    set: InstructionSet,
    pub pieces: usize,
    /// Output rows of the batch in a piece (forward, backward-filter).
    pub rows_per_piece: usize,
    /// Images in a piece (backward-data).
    pub images_per_piece: usize,
    /// Pieces in an image; more than 1 only if `images_per_piece` is 1 (backward-data).
    pub bands: usize,
    /// Input rows in a piece (backward-data).
    pub band_rows: usize,
    /// Output rows whose patches are made at once.
    pub block_rows: usize,
    /// Filter rows whose patches are made at once.
    slab_taps: usize,
    /// Elements of patches that a piece holds; at least 1, so that chunks of it are as many as pieces.
    pub piece_workspace: usize,
    /// Elements of partial sums behind the patches.
    partial_sums: usize,
    /// Elements of a row of the output.
    pub output_row: usize,
    /// Elements of a row of the input.
    pub input_row: usize,
}

impl<'a> Plan<'a> {
    pub fn new(g: &'a Conv2dGeometry, pass: Pass) -> Self {
        let in_place = patches_lie_in_input(g);
        let rows = g.batch * g.out_h;
        let tap_row = g.kernel_w * g.group_in_c();
        // Slabs of filter rows and blocks of output rows.
        let slab_taps = if in_place { g.kernel_h } else { (PATCH_BLOCK / (BLOCK_PIXELS * tap_row)).max(1) };
        let slab_taps = g.kernel_h.div_ceil(g.kernel_h.div_ceil(slab_taps));
        let block_pixels = (PATCH_BLOCK / (slab_taps * tap_row)).max(BLOCK_PIXELS);
        let block_rows = if in_place { rows.max(1) } else { block_pixels.div_ceil(g.out_w).min(rows.max(1)) };
        let block = if in_place { 1 } else { block_rows * g.out_w * slab_taps * tap_row };

        // Largest number of pieces.
        let filter_len = g.filter_len();
        let mut most = match g.macs().saturating_mul(2) {
            flops if flops < PARALLEL_FLOPS as u64 => 1,
            _ => MAX_PIECES.min(g.output_pixels() / PIECE_PIXELS).min(MAX_PATCHES / block).max(1),
        };
        if pass == Pass::BackwardFilter {
            most = most.min(MAX_PARTIAL_SUMS / filter_len).max(1);
        }
        if most < FEW_PIECES {
            most = 1;
        }

        // Pieces: output rows, whole images, or bands of an image.
        let rows_per_piece = rows.div_ceil(most).max(1);
        let images_per_piece = g.batch.div_ceil(most).max(1);
        let halo = (g.kernel_h - 1) * g.dilation_h;
        let whole_image = in_place && g.kernel_h > 1;
        let (bands, band_rows) = if images_per_piece > 1 || whole_image {
            (1, images_per_piece * g.in_h)
        } else {
            let bands = most.div_ceil(g.batch.max(1));
            let band_rows = g.in_h.div_ceil(bands).max(BAND_OVER_HALO * halo).clamp(1, g.in_h.max(1));
            (g.in_h.div_ceil(band_rows), band_rows)
        };
        let pieces = match pass {
            Pass::Forward | Pass::BackwardFilter => rows.div_ceil(rows_per_piece),
            Pass::BackwardData => g.batch.div_ceil(images_per_piece) * bands,
        };
        Self {
            g,
            in_place,
            threads: if pieces == 1 { Threads::Pool } else { Threads::One },
            set: InstructionSet::current(),
            pieces,
            rows_per_piece,
            images_per_piece,
            bands,
            band_rows,
            block_rows: match pass {
                Pass::Forward | Pass::BackwardFilter => block_rows.min(rows_per_piece),
                Pass::BackwardData => block_rows,
            },
            slab_taps,
            piece_workspace: block,
            partial_sums: if pass == Pass::BackwardFilter && pieces > 1 { pieces * filter_len } else { 0 },
            output_row: g.out_w * g.out_c,
            input_row: g.in_w * g.in_c,
        }
    }

    /// Returns the number of elements of the workspace of all pieces.
    pub fn workspace(&self) -> usize {
        self.pieces * self.piece_workspace + self.partial_sums
    }

    /// Computes `c = a·b` or `c += a·b`, on the threads that the plan assigns.
    pub fn multiply(&self, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: Accumulate) {
        gemm_on(self.set, self.threads, a, b, c, &Epilogue::of(accumulate));
    }

    /// Returns the possible numbers of output rows of a block: mostly the largest; the last of a piece and of the last
    /// piece have fewer.
    pub fn blocks(&self) -> impl Iterator<Item = usize> {
        let rows = self.g.batch * self.g.out_h;
        let last = rows - rows.saturating_sub(1) / self.rows_per_piece * self.rows_per_piece;
        let of_piece = |rows: usize| [rows.min(self.block_rows), rows % self.block_rows];
        [of_piece(self.rows_per_piece), of_piece(last)].into_iter().flatten().filter(|&rows| rows > 0)
    }

    /// Returns the filter rows, slab by slab.
    pub fn slabs(&self) -> impl Iterator<Item = Slab> {
        (0..self.g.kernel_h).step_by(self.slab_taps).map(|begin| self.slab(begin))
    }

    /// Returns the first slab and the last one, which may be smaller than the others.
    pub fn outermost_slabs(&self) -> [Slab; 2] {
        [0, (self.g.kernel_h - 1) / self.slab_taps * self.slab_taps].map(|begin| self.slab(begin))
    }

    fn slab(&self, begin: usize) -> Slab {
        let tap_row = self.g.kernel_w * self.g.group_in_c();
        Slab { begin, end: self.g.kernel_h.min(begin + self.slab_taps), tap_row }
    }

    /// Returns the columns of `y` and `w` that belong to a group.
    pub fn output_columns(&self, group: usize) -> Range<usize> {
        let channels = self.g.group_out_c();
        group * channels..(group + 1) * channels
    }

    /// Returns the columns of `x`, seen as the patch matrix, that belong to a group.
    pub fn patch_columns(&self, group: usize) -> Range<usize> {
        let len = self.g.patch_len();
        group * len..(group + 1) * len
    }

    /// Returns the output rows of the batch that read any of `rows` input rows from `origin` on.
    pub fn output_rows_of(&self, origin: Origin, rows: usize) -> Range<usize> {
        let g = self.g;
        if self.bands == 1 {
            let images = rows / g.in_h;
            return origin.image * g.out_h..(origin.image + images) * g.out_h;
        }
        let halo = (g.kernel_h - 1) * g.dilation_h;
        let first = (origin.row + g.pad_top).saturating_sub(halo).div_ceil(g.stride_h);
        let last = (origin.row + rows - 1 + g.pad_top) / g.stride_h;
        let base = origin.image * g.out_h;
        let end = (last + 1).min(g.out_h);
        base + first.min(end)..base + end
    }
}

/// Returns true if `x` is the patch matrix: the patches of all output pixels lie in it one behind the other.
fn patches_lie_in_input(g: &Conv2dGeometry) -> bool {
    let unpadded = (g.pad_top, g.pad_bottom, g.pad_left, g.pad_right) == (0, 0, 0, 0);
    let pointwise = (g.kernel_h, g.kernel_w, g.stride_h, g.stride_w) == (1, 1, 1, 1);
    let whole_image = (g.kernel_h, g.kernel_w) == (g.in_h, g.in_w)
        && (g.dilation_h, g.dilation_w, g.groups) == (1, 1, 1)
        && g.mode == ConvMode::CrossCorrelation;
    unpadded && (pointwise || whole_image)
}

/// A slab of neighbouring rows of the filter.
#[derive(Clone, Debug)]
pub(super) struct Slab {
    begin: usize,
    end: usize,
    /// Elements of one filter row of one group: `kernel_w · in_c / groups`.
    tap_row: usize,
}

impl Slab {
    /// Returns the filter rows.
    pub fn taps(&self) -> Range<usize> {
        self.begin..self.end
    }

    /// Returns true for the first slab of the filter.
    pub fn is_first(&self) -> bool {
        self.begin == 0
    }

    /// Returns the rows of the filter matrix, which are the columns of the whole patch matrix.
    pub fn filter_rows(&self) -> Range<usize> {
        self.begin * self.tap_row..self.end * self.tap_row
    }

    /// Returns the number of elements of a patch of this slab.
    pub fn width(&self) -> usize {
        (self.end - self.begin) * self.tap_row
    }
}
