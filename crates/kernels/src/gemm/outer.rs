//! Sums of outer products, `C = Σᵢ aᵢ ⊗ bᵢ = Aᵀ·B`, of very many short rows: the gradient of a 1 × 1 filter.
//!
//! Every element of the operands serves few multiplications, so that copies count. Rows are taken in *bands* that stay
//! in the second-level cache, and the next band is fetched while one is multiplied. The right operand is packed into
//! panels; the left one, whose neighbours in a row are the rows of a tile, is read where it lies, or spread out where its
//! rows share few sets of the caches: the longer one is better on the left.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::finish::{Destination, Rows};
use super::matrix::Matrix;
use super::panels::{Panels, pack_panel};
use super::prefetch::BlockPrefetcher;
use super::stream::Streams;
use super::tile::{Product, Segment, Strides, even_tiles, most_rows, tile};
use super::wanted_pieces;
use crate::cache::odd_lines;
use crate::parallel::each_piece;
use crate::{Accumulate, Scratch, cache, scratch};

/// Most rows of a band: its panel of the right operand is then half of the first-level cache.
const BAND: usize = 192;

/// Rows of the result for which the rows of the operands are cut into as many pieces as balance the load. It decides the
/// bits of the sums, so it does not follow the caches.
const RESULT_ROWS: usize = 256;

/// Fewest rows of the result that one task sums, where there are as many: they use what the task packs.
const LEAST_BLOCK: usize = 32;

/// Tasks for each thread.
const TASKS: usize = 2;

/// Returns the most rows of the result that one task sums: the left operand of a band is then a quarter of the second-level
/// cache, and the next band another.
fn most_block() -> usize {
    cache::second_level() / (4 * BAND)
}

/// Divisor of the operands' elements that bounds those of the sums of all pieces, if there is more than one piece.
const SUMS_PART: usize = 2;

/// The division of a sum of outer products: a function of its sizes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OuterProducts {
    /// Rows of both operands.
    rows: usize,
    /// Columns of the left operand, rows of the result.
    m: usize,
    /// Columns of the right operand and of the result.
    n: usize,
    /// Rows of the result that one task sums.
    block: usize,
    /// Rows of the operands in a band.
    band: usize,
    /// Rows of the operands in a piece, whole bands.
    piece: usize,
}

impl OuterProducts {
    /// Plans the sum for `[rows, m]` and `[rows, n]`, none of them empty.
    pub fn new(rows: usize, m: usize, n: usize) -> Self {
        let result = m.saturating_mul(n);
        let wanted = wanted_pieces(rows.saturating_mul(result).saturating_mul(2));
        let most = rows.saturating_mul(m.saturating_add(n)) / result.saturating_mul(SUMS_PART);
        let pieces = wanted.div_ceil(m.div_ceil(RESULT_ROWS)).min(most).max(1);
        // An even number of pieces divides among two and four threads.
        let pieces = if pieces > 1 { pieces.next_multiple_of(2) } else { 1 };
        let piece = rows.div_ceil(pieces);
        let band = piece.div_ceil(piece.div_ceil(BAND));
        // The bits are the same however the rows of the result are divided, and few tasks pack less.
        let tasks = wanted.min(TASKS * rayon::current_num_threads());
        let blocks = tasks.div_ceil(pieces).min(m / LEAST_BLOCK).max(m.div_ceil(most_block()));
        Self { rows, m, n, block: m.div_ceil(blocks), band, piece: piece.next_multiple_of(band) }
    }

    /// Returns the number of pieces into which the rows are cut.
    pub fn pieces(&self) -> usize {
        self.rows.div_ceil(self.piece)
    }

    /// Returns the number of elements of a band of the left operand that are copied.
    fn copied(&self) -> usize {
        if cache::reads_across(self.band, self.m) { 0 } else { self.band * odd_lines(self.block.min(self.m)) }
    }

    /// Returns the scratch memory that a task takes of its thread.
    pub fn scratch(&self) -> Scratch {
        Scratch::of(self.copied() + Panels::new(InstructionSet::current(), self.band, self.n).packed_len())
    }

    /// Writes the sums `[m, n]` of the pieces, one behind the other, to `c`; or adds them to `c`.
    ///
    /// # Panics
    /// If a length is not that of the sizes.
    pub fn run(&self, a: &[f32], b: &[f32], c: &mut [f32], accumulate: Accumulate) {
        let Self { rows, m, n, block, .. } = *self;
        assert_eq!((a.len(), b.len()), (rows * m, rows * n), "the operands have their sizes");
        assert_eq!(c.len(), self.pieces() * m * n, "there is a result for each piece");
        let set = InstructionSet::current();
        let (a, b) = (Matrix::new(a, rows, m), Matrix::new(b, rows, n));
        let task = |piece: usize, index: usize, c: &mut [f32]| {
            let rows = piece * self.piece..rows.min((piece + 1) * self.piece);
            let columns = index * block..m.min((index + 1) * block);
            let a = a.rows(rows.clone()).columns(columns);
            let (left, right) = (self.copied(), Panels::new(set, self.band, n).packed_len());
            // Outside of the kernel: the instruction set does not reach into a closure.
            scratch::with(left + right, |scratch| {
                let (left, right) = scratch.split_at_mut(left);
                dispatch_on(set, Task { set, a, b: b.rows(rows), band: self.band, left, right, c, accumulate });
            });
        };
        if c.len() == m * n && block == m {
            return task(0, 0, c);
        }
        each_piece(c, m * n, &|piece, c| {
            each_piece(c, block * n, &|index, c| task(piece, index, c));
        });
    }
}

/// A task: some rows of both operands and some rows of the result.
struct Task<'a> {
    set: InstructionSet,
    /// Task's part of the left operand.
    a: Matrix<'a>,
    b: Matrix<'a>,
    band: usize,
    /// Room for a band of the left operand; none if it is read where it lies.
    left: &'a mut [f32],
    /// Room for a band of the right operand, packed.
    right: &'a mut [f32],
    c: &'a mut [f32],
    accumulate: Accumulate,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        for first in (0..self.a.row_count()).step_by(self.band) {
            let band = first..self.a.row_count().min(first + self.band);
            let panels = Panels::new(self.set, band.len(), self.b.column_count());
            self.pack(isa, &band, &panels);
            let accumulate = if first == 0 { self.accumulate } else { Accumulate::Add };
            self.multiply(isa, &band, &panels, accumulate);
        }
    }
}

impl Task<'_> {
    /// Copies a band of both operands.
    #[inline(always)]
    fn pack<I: Isa>(&mut self, isa: I, band: &Range<usize>, panels: &Panels) {
        let m = self.a.column_count();
        for (row, to) in band.clone().zip(self.left.chunks_exact_mut(odd_lines(m))) {
            to[..m].copy_from_slice(self.a.row(row, 0..m));
        }
        for index in 0..panels.count() {
            let panel = panels.panel(index);
            let packed = &mut self.right[panel.start..][..band.len() * panel.width];
            pack_panel(isa, panels, index, self.b, band.clone(), packed);
        }
    }

    /// Adds the products of a band.
    #[inline(always)]
    fn multiply<I: Isa>(&mut self, isa: I, band: &Range<usize>, panels: &Panels, accumulate: Accumulate) {
        let (m, n) = (self.a.column_count(), panels.columns);
        let segments = [Segment { offset: 0, depth: band.len() }];
        let next = band.end..self.a.row_count().min(band.end + self.band);
        let mut ahead = [BlockPrefetcher::of(&self.b.rows(next.clone())), BlockPrefetcher::of(&self.a.rows(next))];
        let a = self.a.rows(band.clone());
        let (data, step) = if self.left.is_empty() { (a.data, a.row_stride) } else { (&*self.left, odd_lines(m)) };
        assert!((band.len() - 1) * step + m <= data.len(), "a band lies in its operand or in its scratch");
        assert_eq!(self.c.len(), m * n, "a task has its rows of the result");
        for panel in 0..panels.count() {
            let panel = panels.panel(panel);
            let b = &self.right[panel.start..][..band.len() * panel.width];
            for (first, count) in even_tiles(m, most_rows::<I>(panel.vectors)) {
                let streams = Streams::and(None, ahead.iter_mut().find_map(|ahead| ahead.take(band.len())));
                let c = self.c[first * n + panel.column..].as_mut_ptr();
                let to = Destination::plain(c, Rows::Apart(n), panel.columns, accumulate);
                let (a, strides) = (data[first..].as_ptr(), Strides::rows_contiguous(step));
                let product = Product { a, strides, segments: &segments, b: b.as_ptr(), streams };
                // SAFETY: the first assertion covers columns `first..first + count` of all rows of the band, and `b` has as
                // many; the second covers the rows of the result, which is borrowed for this task alone.
                unsafe { tile(isa, count, panel.vectors, &product, &to) };
            }
        }
    }
}
