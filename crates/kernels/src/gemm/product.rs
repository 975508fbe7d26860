//! The product in blocks: panels of the right operand, rows of the left one, tiles of the result.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};
use rayon::prelude::*;

use super::PARALLEL_FLOPS;
use super::matrix::{Block, Matrix, MatrixMut, assert_sizes};
use super::panels::{Contiguous, PackPanels, Panels};
use super::tile::{
    DepthContiguous, Finish, Left, Product, Rows, RowsContiguous, Segment, even_tiles, narrow_tile_rows, tile,
    tile_rows,
};
use crate::{Accumulate, Epilogue, scratch};

/// Depth of a block. A panel of 16 columns then has 16 KiB (32 columns: 32 KiB), half of the first-level cache, and adding
/// a tile to memory costs some 1 % of computing it.
const DEPTH: usize = 256;

/// Rows of a block: with [`DEPTH`] 240 KiB of the left operand, half of the second-level cache.
const ROWS: usize = 120;

/// Columns that are packed at a time, 4 MiB with [`DEPTH`].
const COLUMNS: usize = 4096;

/// So many pieces or more balance the load of a few threads.
const PIECES: usize = 16;

/// A piece has at least so many panels (if there are), so that a copied block of the left operand is used as often.
const PIECE_PANELS: usize = 4;

/// Rows of the left operand that are copied lie so far apart: a little more than a block's depth, so that they do not
/// fall into the same sets of a cache.
const COPIED_STEP: usize = DEPTH + 16;

/// A left operand whose rows lie further apart than this is copied block by block: its rows would fall into few sets of
/// the first-level cache and each on a page of its own.
const FAR: usize = 512;

/// A matrix packed for the right side of products, for the instruction set that was current when it was made.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix<'a> {
    panels: Panels,
    set: InstructionSet,
    data: &'a [f32],
}

/// Numbers that a packed `[depth, columns]` matrix takes on the current instruction set.
#[must_use]
pub fn packed_len(depth: usize, columns: usize) -> usize {
    Panels::new(InstructionSet::current(), depth, columns).packed_len()
}

impl<'a> PackedMatrix<'a> {
    /// Packs `b` into `packed`.
    ///
    /// # Panics
    /// If `packed` has not [`packed_len`] numbers.
    #[must_use]
    pub fn pack(b: Matrix<'_>, packed: &'a mut [f32]) -> Self {
        let set = InstructionSet::current();
        let panels = Panels::new(set, b.row_count(), b.column_count());
        assert_eq!(packed.len(), panels.packed_len(), "a packed matrix has panels of whole vectors");
        pack(set, &panels, b, 0..b.row_count(), packed);
        Self { panels, set, data: packed }
    }

    /// What [`PackedMatrix::pack`] wrote, on the same instruction set.
    ///
    /// # Panics
    /// If `data` has not [`packed_len`] numbers.
    #[must_use]
    pub fn from_packed(data: &'a [f32], depth: usize, columns: usize) -> Self {
        let set = InstructionSet::current();
        let panels = Panels::new(set, depth, columns);
        assert_eq!(data.len(), panels.packed_len(), "a packed matrix has panels of whole vectors");
        Self { panels, set, data }
    }
}

/// `c = activation(a·b + bias + residual)`, as the epilogue says.
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, `c: [m, n]`; any of the sizes may be 0 (with `k = 0` the product is zero).
///
/// # Panics
/// If the sizes do not agree, or if there is a residual and `c` is not contiguous.
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    assert_sizes(&a, &b, c.row_count(), c.column_count());
    let Some(task) = Task::new(a, c, epilogue) else { return };
    let set = InstructionSet::current();
    let depth = a.column_count().min(DEPTH);
    let columns = b.column_count().min(COLUMNS);
    scratch::with(Panels::new(set, depth, columns).packed_len(), |packed| {
        for first in (0..b.column_count()).step_by(COLUMNS) {
            let columns = first..b.column_count().min(first + COLUMNS);
            for depth in blocks(b.row_count(), DEPTH) {
                let panels = Panels::new(set, depth.len(), columns.len());
                let packed = &mut packed[..panels.packed_len()];
                pack(set, &panels, b.columns(columns.clone()).rows(depth.clone()), 0..depth.len(), packed);
                let right = Right { panels: &panels, first: 0, packed };
                task.columns(columns.clone()).block(set, depth, &right);
            }
        }
    });
}

/// [`gemm`] with a right operand that is packed already.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_packed(a: Matrix<'_>, b: &PackedMatrix<'_>, c: MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    let (rows, columns) = (c.row_count(), c.column_count());
    assert!(
        a.row_count() == rows && a.column_count() == b.panels.depth && b.panels.columns == columns,
        "[{}, {}] x [{}, {}] does not give [{rows}, {columns}]",
        a.row_count(),
        a.column_count(),
        b.panels.depth,
        b.panels.columns,
    );
    let Some(task) = Task::new(a, c, epilogue) else { return };
    for depth in blocks(b.panels.depth, DEPTH) {
        task.block(b.set, depth.clone(), &Right { panels: &b.panels, first: depth.start, packed: b.data });
    }
}

/// Cuts `0..whole` into as few ranges of at most `most` as there can be, of nearly equal lengths.
fn blocks(whole: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    even_tiles(whole, most).map(|(first, count)| first..first + count)
}

/// Packs rows of all panels, on the pool if there are many.
fn pack(set: InstructionSet, panels: &Panels, b: Matrix<'_>, rows: Range<usize>, packed: &mut [f32]) {
    let panels = *panels;
    if packed.len() < PARALLEL_PACK {
        let indices = 0..panels.count();
        return dispatch_on(set, PackPanels { panels, indices, b, rows, packed });
    }
    let len = panels.panel(0).width * rows.len();
    packed.par_chunks_mut(len).enumerate().for_each(|(index, packed)| {
        dispatch_on(set, PackPanels { panels, indices: index..index + 1, b, rows: rows.clone(), packed });
    });
}

/// Numbers below which packing is not cut for threads.
const PARALLEL_PACK: usize = 1 << 16;

/// The packed right operand of a block.
struct Right<'a> {
    panels: &'a Panels,
    /// The row of the panels at which the block begins.
    first: usize,
    packed: &'a [f32],
}

/// A product without its right operand.
#[derive(Clone, Copy)]
struct Task<'a> {
    a: Matrix<'a>,
    c: Block,
    /// The first column of `c` in the whole result.
    column: usize,
    accumulate: Accumulate,
    finish: Finish,
}

impl<'a> Task<'a> {
    /// `None` if nothing is left to multiply.
    fn new(a: Matrix<'a>, mut c: MatrixMut<'a>, epilogue: &Epilogue<'a>) -> Option<Self> {
        let (rows, columns) = (c.row_count(), c.column_count());
        epilogue.assert_fits(rows * columns, columns);
        assert!(epilogue.residual.is_none() || c.is_contiguous(), "a residual is added to a contiguous matrix");
        if rows == 0 || columns == 0 {
            return None;
        }
        if a.column_count() == 0 {
            c.finish_empty(epilogue);
            return None;
        }
        let finish = Finish::of(epilogue);
        Some(Self { a, c: c.block(), column: 0, accumulate: epilogue.accumulate, finish })
    }

    fn columns(&self, columns: Range<usize>) -> Self {
        Self { c: self.c.columns(columns.clone()), column: self.column + columns.start, ..*self }
    }

    /// Multiplies a block of the depth, in pieces of rows and panels.
    fn block(&self, set: InstructionSet, depth: Range<usize>, right: &Right<'_>) {
        let (rows, panels) = (self.a.row_count(), right.panels.count());
        let last = depth.end == self.a.column_count();
        let piece = Piece {
            a: self.a.columns(depth.clone()),
            c: self.c,
            column: self.column,
            right,
            rows: 0..rows,
            panels: 0..panels,
            accumulate: if depth.start == 0 { self.accumulate } else { Accumulate::Add },
            finish: if last { self.finish } else { Finish::NOTHING },
        };
        let flops = rows.saturating_mul(depth.len()).saturating_mul(right.panels.columns).saturating_mul(2);
        let row_blocks = rows.div_ceil(ROWS);
        if flops < PARALLEL_FLOPS {
            return blocks(rows, ROWS).for_each(|rows| dispatch_on(set, piece.part(rows, 0..panels)));
        }
        // An even number of blocks divides among two and four threads.
        let row_blocks = if row_blocks > 1 { row_blocks.next_multiple_of(2) } else { 1 };
        let most_rows = rows.div_ceil(row_blocks);
        let groups = PIECES.div_ceil(row_blocks).min(panels.div_ceil(PIECE_PANELS)).max(1);
        let group = panels.div_ceil(groups);
        let groups = panels.div_ceil(group);
        (0..row_blocks * groups).into_par_iter().for_each(|index| {
            let (row, group_index) = (index / groups * most_rows, index % groups);
            let rows = row.min(rows)..rows.min(row + most_rows);
            let panels = group_index * group..panels.min((group_index + 1) * group);
            dispatch_on(set, piece.part(rows, panels));
        });
    }
}

/// Some rows and panels of a block: the work of one task.
#[derive(Clone)]
struct Piece<'a> {
    /// The left operand, with the columns of the block.
    a: Matrix<'a>,
    c: Block,
    column: usize,
    right: &'a Right<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    accumulate: Accumulate,
    finish: Finish,
}

impl Piece<'_> {
    fn part(&self, rows: Range<usize>, panels: Range<usize>) -> Self {
        Self { rows, panels, ..self.clone() }
    }
}

impl Kernel for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        if self.rows.is_empty() {
            return;
        }
        let (rows, depth) = (self.rows.len(), self.a.column_count());
        let a = self.a.rows(self.rows.clone());
        let far = a.row_stride > FAR && self.panels.len() >= PIECE_PANELS;
        match a.contiguous() {
            Contiguous::Rows if !far => {
                self.multiply::<I, DepthContiguous>(isa, &LeftBlock::rows::<I>(a.data, a.row_stride));
            }
            Contiguous::Rows => scratch::with(rows * COPIED_STEP, |copy| {
                for (row, copy) in copy.chunks_exact_mut(COPIED_STEP).enumerate() {
                    copy[..depth].copy_from_slice(a.row(row, 0..depth));
                }
                self.multiply::<I, DepthContiguous>(isa, &LeftBlock::rows::<I>(copy, COPIED_STEP));
            }),
            Contiguous::Columns | Contiguous::Neither => {
                let step = rows.div_ceil(rows.div_ceil(tile_rows::<I>()));
                scratch::with(rows.next_multiple_of(step) * depth, |copy| {
                    for ((first, count), copy) in even_tiles(rows, step).zip(copy.chunks_exact_mut(step * depth)) {
                        isa.call(CopyAcross { a, rows: first..first + count, step, copy });
                    }
                    self.multiply::<I, RowsContiguous>(isa, &LeftBlock::tiles(copy, step, depth));
                });
            }
        }
    }
}

/// The left operand of a piece, as tiles read it.
struct LeftBlock<'a> {
    data: &'a [f32],
    /// The step of [`Left`].
    step: usize,
    /// From one row to the next.
    row: usize,
    /// From one tile to the next, on top of its rows.
    tile: usize,
    /// The most rows of a tile on a full panel.
    rows: usize,
    /// The most rows of a tile on a panel of one vector.
    narrow_rows: usize,
}

impl<'a> LeftBlock<'a> {
    /// Rows `step` apart.
    fn rows<I: Isa>(data: &'a [f32], step: usize) -> Self {
        Self { data, step, row: step, tile: 0, rows: tile_rows::<I>(), narrow_rows: narrow_tile_rows::<I>() }
    }

    /// Tiles of `step` rows, copied one after the other.
    fn tiles(data: &'a [f32], step: usize, depth: usize) -> Self {
        Self { data, step, row: 0, tile: step * depth, rows: step, narrow_rows: step }
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn multiply<I: Isa, L: Left>(&self, isa: I, left: &LeftBlock<'_>) {
        let (rows, depth) = (self.rows.len(), self.a.column_count());
        let segments = [Segment { offset: 0, depth }];
        let block = self.c.rows(self.rows.clone());
        for panel in self.panels.clone() {
            let panel = self.right.panels.panel(panel);
            let b = &self.right.packed[panel.start + self.right.first * panel.width..][..depth * panel.width];
            let most = if panel.vectors == 1 { left.narrow_rows } else { left.rows };
            let column = self.column + panel.column;
            for (index, (first, count)) in even_tiles(rows, most).enumerate() {
                let a = &left.data[first * left.row + index * left.tile..];
                let (row_stride, column_stride) = L::strides(left.step);
                assert!((count - 1) * row_stride + (depth - 1) * column_stride < a.len(), "a tile lies in its operand");
                let place = (self.rows.start + first) * block.row_stride + column;
                // SAFETY: `block` lies in `c`, which is borrowed for the whole product and shared among tasks by disjoint
                // rows and panels; this row and column are inside the block.
                let first = unsafe { block.first.add(first * block.row_stride + panel.column) };
                let rows = Rows::Apart(block.row_stride);
                let to = self.finish.at(first, place, column, rows, panel.columns, self.accumulate);
                let product = Product { a: a.as_ptr(), step: left.step, segments: &segments, b: b.as_ptr() };
                // SAFETY: the assertion above covers the last number of the left operand; `b` holds `depth` rows of the
                // panel; the destination is explained above, and bias and residual fit it (`Epilogue::assert_fits`).
                unsafe { tile::<I, L>(isa, count, panel.vectors, product, to) };
            }
        }
    }
}

/// Copies some rows of a matrix, whose columns are contiguous or neither, to `[depth, step]`.
struct CopyAcross<'a> {
    a: Matrix<'a>,
    rows: Range<usize>,
    step: usize,
    copy: &'a mut [f32],
}

impl Kernel for CopyAcross<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { a, rows, step, copy } = self;
        for d in 0..a.column_count() {
            let (from, to) = (&a.data[rows.start * a.row_stride + d * a.col_stride..], &mut copy[d * step..]);
            if a.row_stride == 1 && from.len() >= I::LANES && to.len() >= I::LANES && step <= I::LANES {
                // What is written beyond this step is overwritten by the next.
                isa.store(isa.load(from), to);
            } else {
                for (i, to) in to[..rows.len()].iter_mut().enumerate() {
                    *to = from[i * a.row_stride];
                }
            }
        }
    }
}
