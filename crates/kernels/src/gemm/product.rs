//! The product in blocks: panels of the right operand, rows of the left one, tiles of the result.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, MOST_LANES, Stores, dispatch_on};

use super::few_rows::{Packed, has_few_rows, multiply_few_rows};
use super::finish::{Destination, Finish, Rows};
use super::matrix::{Block, Matrix, MatrixMut, assert_sizes};
use super::panels::{Contiguous, PackPanels, Panel, Panels};
use super::prefetch::BlockPrefetcher;
use super::stream::Streams;
use super::thin::gemm_thin;
use super::tile::{Product, Segment, Strides, VECTORS, even_tiles, narrow_tile_rows, tile, tile_rows};
use super::{FAR, PARALLEL_FLOPS, PIECES, PIECES_OF_ONE, Threads};
use crate::parallel::{each, each_piece};
use crate::stores::stores_for_product;
use crate::{Accumulate, Epilogue, cache, scratch};

/// Depth of a block. A panel of 16 columns then has 16 KiB (32 columns: 32 KiB), half of the first-level cache, and adding
/// a tile to memory costs some 1 % of computing it.
pub(super) const DEPTH: usize = 256;

/// Returns the most rows of a block: with [`DEPTH`] a quarter of the second-level cache (120 for 512 KiB), in whole tiles.
pub(super) fn block_rows() -> usize {
    const STEP: usize = 12;
    cache::second_level() / (4 * DEPTH) / STEP * STEP
}

/// Returns the columns that are packed at a time: with [`DEPTH`] an eighth of the last-level cache (4096 for 32 MiB),
/// where they stay while all rows of the left operand pass by.
fn block_columns() -> usize {
    (cache::last_level() / (8 * DEPTH)).clamp(COLUMNS / 4, 2 * COLUMNS) / MOST_WIDTH * MOST_WIDTH
}

/// Columns with which, and elements with which, the packed depth is determined. It decides the bits of a result, so it
/// does not follow the caches.
const COLUMNS: usize = 4096;
const PACKED: usize = 1 << 20;

/// Most columns of a panel.
const MOST_WIDTH: usize = VECTORS * MOST_LANES;

/// Fewest panels of a piece (if there are), so that a copied block of the left operand is used as often.
const PIECE_PANELS: usize = 4;

/// Rows of a piece, at least: a panel is then used for some tiles.
const PIECE_ROWS: usize = 96;

/// Fewest rows of a piece of what would be a single one: two tiles.
const FEW_ROWS: usize = 24;

/// Fewest panels for which rows of the left operand are copied: for fewer the copy costs more than it saves.
const COPIED_PANELS: usize = 8;

/// Most panels for which a left operand whose columns are contiguous is read where it lies.
const ACROSS_PANELS: usize = 8;

/// Distance of copied rows of the left operand: a little more than a block's depth, so that they do not fall into the
/// same sets of a cache.
pub(super) const COPIED_STEP: usize = DEPTH + 16;

/// Elements (32 MiB) above which a right operand lies in memory rather than in the last-level cache. One tile has too few
/// steps to fetch the next panel; two, of fewer rows, do it together, and took 0.6 to 0.9 of the time for 5 to 14 rows and
/// 64 MB (AVX-512).
const IN_MEMORY: usize = 8 << 20;

/// Steps of the depth in whose time a vector of the result is stored.
const STORE: usize = 16;

/// Distance of rows above which a left operand is copied block by block: its rows would fall into few sets of the
/// first-level cache and each on a page of its own.
pub(super) const FAR_ROWS: usize = 512;

/// A matrix packed for the right side of products, for the instruction set that was current when it was made.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatrix<'a> {
    panels: Panels,
    set: InstructionSet,
    data: &'a [f32],
}

/// Returns the number of elements that a packed `[depth, columns]` matrix takes on the current instruction set;
/// `usize::MAX` if there are more.
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
        pack(Threads::Pool, set, &panels, b, 0..b.row_count(), packed);
        Self { panels, set, data: packed }
    }

    /// Creates a packed matrix from the elements that [`PackedMatrix::pack`] wrote, on the same instruction set.
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

/// A step is a row of a panel.
impl Packed for PackedMatrix<'_> {
    /// For more rows tiles are as fast, beside memory and in the caches.
    const MOST_ROWS: usize = 4;

    const STEP: usize = VECTORS;

    #[inline(always)]
    fn panels(&self) -> &Panels {
        &self.panels
    }

    #[inline(always)]
    fn chunk<I: Isa>(&self, panel: &Panel, rows: &Range<usize>) -> &[f32] {
        &self.data[panel.start + rows.start * panel.width..panel.start + rows.end * panel.width]
    }

    #[inline(always)]
    unsafe fn step<I: Isa>(isa: I, place: *const f32) -> [I::Vector; VECTORS] {
        // SAFETY: the caller's.
        unsafe { [isa.load_ptr(place), isa.load_ptr(place.add(I::LANES))] }
    }
}

/// Computes `c = activation(a·b + bias + residual)`, as the epilogue says.
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, `c: [m, n]`; any of the sizes may be 0 (with `k = 0` the product is zero).
///
/// # Panics
/// If the sizes do not agree, or if there is a residual and `c` is not contiguous.
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, mut c: MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    assert_sizes(a.size(), b.size(), c.size());
    if !gemm_thin(a, b, &mut c, epilogue) {
        gemm_on(InstructionSet::current(), Threads::Pool, a, b, c, epilogue);
    }
}

/// Computes [`gemm`] on an instruction set and on some threads. The bits of a row of the result do not depend on how
/// many rows there are.
///
/// # Panics
/// Under the conditions of [`gemm`].
pub(crate) fn gemm_on(
    set: InstructionSet,
    threads: Threads,
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: MatrixMut<'_>,
    epilogue: &Epilogue<'_>,
) {
    assert_sizes(a.size(), b.size(), c.size());
    let Some(task) = Task::new(a, c, epilogue) else { return };
    let block = right_block(set, b.row_count(), b.column_count());
    scratch::with(block.packed_len(), |packed| {
        let most_columns = block_columns();
        for first in (0..b.column_count()).step_by(most_columns) {
            let columns = first..b.column_count().min(first + most_columns);
            for depth in blocks(b.row_count(), block.depth) {
                let panels = Panels::new(set, depth.len(), columns.len());
                let packed = &mut packed[..panels.packed_len()];
                let part = b.columns(columns.clone()).rows(depth.clone());
                pack(threads, set, &panels, part, 0..depth.len(), packed);
                let right = Right { panels: &panels, first: depth.start, packed };
                task.columns(columns.clone()).multiply(threads, set, depth, &right);
            }
        }
    });
}

/// Returns the largest block of a right operand that is packed at a time.
pub(super) fn right_block(set: InstructionSet, depth: usize, columns: usize) -> Panels {
    let most_depth = (PACKED / columns.min(COLUMNS)).max(DEPTH);
    Panels::new(set, depth.min(most_depth), columns.min(block_columns()))
}

/// Computes [`gemm`] with a right operand that is packed already.
///
/// # Panics
/// Under the conditions of [`gemm`].
pub fn gemm_packed(a: Matrix<'_>, b: &PackedMatrix<'_>, c: MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    assert_sizes(a.size(), [b.panels.depth, b.panels.columns], c.size());
    let Some(task) = Task::new(a, c, epilogue) else { return };
    let (right, depth) = (Right { panels: &b.panels, first: 0, packed: b.data }, 0..b.panels.depth);
    if has_few_rows::<PackedMatrix<'_>>(&a) {
        let count = b.panels.count();
        let whole = if b.panels.panel(count - 1).vectors == VECTORS { count } else { count - 1 };
        multiply_few_rows(b.set, task, b, whole);
        if whole < count {
            dispatch_on(
                b.set,
                Piece { task: &task, right: &right, rows: 0..a.row_count(), panels: whole..count, depth },
            );
        }
    } else {
        task.multiply(Threads::Pool, b.set, depth, &right);
    }
}

/// Cuts `0..whole` into as few ranges of at most `most` as there can be, of nearly equal lengths.
pub(super) fn blocks(whole: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    even_tiles(whole, most).map(|(first, count)| first..first + count)
}

/// Packs rows of all panels.
fn pack(threads: Threads, set: InstructionSet, panels: &Panels, b: Matrix<'_>, rows: Range<usize>, packed: &mut [f32]) {
    let panels = *panels;
    if threads == Threads::One || packed.len() < PARALLEL_PACK {
        let indices = 0..panels.count();
        return dispatch_on(set, PackPanels { panels, indices, b, rows, packed });
    }
    let len = PACKED_PANELS * panels.panel(0).width * rows.len();
    each_piece(packed, len, &|index, packed| {
        let first = index * PACKED_PANELS;
        let indices = first..panels.count().min(first + PACKED_PANELS);
        dispatch_on(set, PackPanels { panels, indices, b, rows: rows.clone(), packed });
    });
}

/// Panels that are packed together: half a kilobyte or more of each row is read at once.
const PACKED_PANELS: usize = 8;

/// Elements below which packing is not cut for threads.
const PARALLEL_PACK: usize = 1 << 16;

/// Rows of the right operand, packed.
pub(super) struct Right<'a> {
    pub panels: &'a Panels,
    /// Row of the whole operand at which the panels begin.
    pub first: usize,
    pub packed: &'a [f32],
}

impl Right<'_> {
    /// Returns a panel and its elements for a range of the depth.
    #[inline(always)]
    fn chunk(&self, index: usize, depth: &Range<usize>) -> (Panel, &[f32]) {
        let panel = self.panels.panel(index);
        let first = panel.start + (depth.start - self.first) * panel.width;
        (panel, &self.packed[first..first + depth.len() * panel.width])
    }

    /// Returns the elements that are read after [`Self::chunk`]: as deep a part of the next panel or, after the last
    /// one, a deeper part of the first.
    #[inline(always)]
    fn chunk_after(&self, index: usize, panels: &Range<usize>, depth: &Range<usize>) -> &[f32] {
        if index + 1 < panels.end {
            return self.chunk(index + 1, depth).1;
        }
        let end = self.first + self.panels.depth;
        self.chunk(panels.start, &(depth.end..end.min(depth.end + depth.len()))).1
    }
}

/// A product without its right operand.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub a: Matrix<'a>,
    pub c: Block,
    /// Column of the whole result that is the first of `c`.
    pub column: usize,
    pub accumulate: Accumulate,
    pub finish: Finish,
}

impl<'a> Task<'a> {
    /// Finishes empty products; returns `None` if nothing is left to multiply.
    pub fn new(a: Matrix<'a>, mut c: MatrixMut<'a>, epilogue: &Epilogue<'a>) -> Option<Self> {
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

    /// Returns the number of rows of the result.
    pub fn row_count(&self) -> usize {
        self.a.row_count()
    }

    /// Returns the task for some columns of the result.
    pub fn columns(&self, columns: Range<usize>) -> Self {
        Self { c: self.c.columns(columns.clone()), column: self.column + columns.start, ..*self }
    }

    /// Multiplies a range of the depth, in pieces of rows and panels.
    fn multiply(&self, threads: Threads, set: InstructionSet, depth: Range<usize>, right: &Right<'_>) {
        let (rows, panels) = (self.a.row_count(), right.panels.count());
        // Lanes that columns leave unfilled take time as others do.
        let width = right.panels.packed_len() / right.panels.depth;
        let flops = rows.saturating_mul(depth.len() + STORE).saturating_mul(width).saturating_mul(2);
        let piece = |rows, panels| Piece { task: self, right, rows, panels, depth: depth.clone() };
        if threads == Threads::One || flops < PARALLEL_FLOPS {
            return blocks(rows, block_rows()).for_each(|rows| dispatch_on(set, piece(rows, 0..panels)));
        }
        // Rows are cut first: a piece copies its rows, if at all, for all of its panels. An even number of blocks divides among two
        // and four threads.
        let row_blocks = rows.div_ceil(block_rows()).max((rows / PIECE_ROWS).min(PIECES));
        let mut row_blocks = if row_blocks > 1 { row_blocks.next_multiple_of(2) } else { 1 };
        let mut groups = PIECES.div_ceil(row_blocks).min(panels.div_ceil(PIECE_PANELS)).max(1);
        if row_blocks * groups == 1 {
            groups = panels.min(PIECES_OF_ONE);
            row_blocks = (PIECES_OF_ONE / groups).min(rows / FEW_ROWS).max(1);
        }
        let most_rows = rows.div_ceil(row_blocks);
        let group = panels.div_ceil(groups);
        let groups = panels.div_ceil(group);
        each(row_blocks * groups, &|index| {
            let (row, group_index) = (index / groups * most_rows, index % groups);
            let rows = row.min(rows)..rows.min(row + most_rows);
            let panels = group_index * group..panels.min((group_index + 1) * group);
            dispatch_on(set, piece(rows, panels));
        });
    }
}

/// A piece: some rows and panels, the work of one thread at a time.
pub(super) struct Piece<'a> {
    pub task: &'a Task<'a>,
    pub right: &'a Right<'a>,
    pub rows: Range<usize>,
    pub panels: Range<usize>,
    /// Depth of the whole product.
    pub depth: Range<usize>,
}

impl Kernel for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        if self.rows.is_empty() {
            return;
        }
        for block in blocks(self.depth.len(), DEPTH) {
            self.block(isa, self.depth.start + block.start..self.depth.start + block.end);
        }
        // For results that were stored past the caches.
        isa.fence();
    }
}

/// The left operand of a block, as tiles read it.
struct LeftBlock<'a> {
    data: &'a [f32],
    strides: Strides,
    /// Distance from one tile to the next: so much for each row of the tile, and so much more.
    row: usize,
    tile: usize,
    /// Most rows of a tile on a full panel.
    rows: usize,
    /// Most rows of a tile on a panel of one vector.
    narrow_rows: usize,
}

impl<'a> LeftBlock<'a> {
    /// Creates a block of rows `step` apart.
    fn rows<I: Isa>(data: &'a [f32], step: usize) -> Self {
        let (rows, narrow_rows) = (tile_rows::<I>(), narrow_tile_rows::<I>());
        Self { data, strides: Strides::depth_contiguous(step), row: step, tile: 0, rows, narrow_rows }
    }

    /// Creates a block of neighbouring rows whose steps of the depth are `step` apart.
    fn columns<I: Isa>(data: &'a [f32], step: usize) -> Self {
        Self { strides: Strides::rows_contiguous(step), row: 1, ..Self::rows::<I>(data, step) }
    }

    /// Creates a block of tiles of `step` rows, copied one after the other.
    fn tiles(data: &'a [f32], step: usize, depth: usize) -> Self {
        let strides = Strides::rows_contiguous(step);
        Self { data, strides, row: 0, tile: step * depth, rows: step, narrow_rows: step }
    }
}

/// Form in which tiles read a block of the left operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Where it lies, row by row.
    Rows,
    /// Where it lies, whose columns are contiguous.
    Columns,
    /// Copied, row by row.
    CopiedRows,
    /// Copied to tiles of so many rows.
    CopiedTiles(usize),
}

impl Piece<'_> {
    /// Multiplies a block of the depth.
    #[inline(always)]
    fn block<I: Isa>(&self, isa: I, block: Range<usize>) {
        let (rows, depth) = (self.rows.len(), block.len());
        let a = self.task.a.rows(self.rows.clone()).columns(block.clone());
        let far = a.row_stride > FAR_ROWS && self.panels.len() >= COPIED_PANELS;
        let (form, len) = match a.contiguous() {
            Contiguous::Rows if !far => (Form::Rows, 0),
            Contiguous::Rows => (Form::CopiedRows, rows * COPIED_STEP),
            Contiguous::Columns if self.panels.len() <= ACROSS_PANELS && cache::reads_across(depth, a.col_stride) => {
                (Form::Columns, 0)
            }
            Contiguous::Columns | Contiguous::Neither => {
                let step = rows.div_ceil(rows.div_ceil(tile_rows::<I>()));
                (Form::CopiedTiles(step), rows.next_multiple_of(step) * depth)
            }
        };
        // A kernel of its own: the instruction set does not reach into a closure.
        let multiply = |copy: &mut [f32]| isa.call(MultiplyBlock { piece: self, block, a, form, copy });
        if len == 0 { multiply(&mut []) } else { scratch::with(len, multiply) }
    }

    /// Multiplies a block of the left operand with its panels, and fetches the next block meanwhile.
    #[inline(always)]
    fn multiply<I: Isa>(&self, isa: I, block: Range<usize>, left: &LeftBlock<'_>) {
        let (task, right) = (self.task, self.right);
        let (rows, depth) = (self.rows.len(), block.len());
        // The first block starts from the destination, and the last one ends with the epilogue.
        let accumulate = if block.start == 0 { task.accumulate } else { Accumulate::Add };
        let finish = if block.end == task.a.column_count() { task.finish } else { Finish::NOTHING };
        let segments = [Segment { offset: 0, depth }];
        let c = task.c.rows(self.rows.clone());
        let once = accumulate == Accumulate::Set && block.end == task.a.column_count();
        let stores = if once {
            stores_for_product(task.c.first, task.c.rows * c.row_stride, c.row_stride)
        } else {
            Stores::Regular
        };
        let mut ahead = BlockPrefetcher::of(&self.next(&block));
        let (far, halved) = (right.packed.len() > FAR, right.packed.len() > IN_MEMORY);
        for index in self.panels.clone() {
            // The panel, and the next one to prefetch.
            let (panel, b) = right.chunk(index, &block);
            let next = far.then(|| right.chunk_after(index, &self.panels, &block));
            let most = if panel.vectors == 1 { left.narrow_rows } else { left.rows };
            // Two tiles at least, of which each fetches half of the next panel.
            let most = if halved && left.tile == 0 { most.min(rows.div_ceil(2)) } else { most };
            let column = task.column + panel.column;
            for (index, (first, count)) in even_tiles(rows, most).enumerate() {
                // Operand of the tile.
                let a = &left.data[first * left.row + index * left.tile..];
                let strides = left.strides;
                assert!(
                    (count - 1) * strides.row + (depth - 1) * strides.depth < a.len(),
                    "a tile lies in its operand"
                );
                // Destination of the tile.
                let place = (self.rows.start + first) * c.row_stride + column;
                // SAFETY: `c` lies in the matrix that is borrowed for the whole product and shared among tasks by disjoint
                // rows and panels; this row and column are inside the block.
                let start = unsafe { c.first.add(first * c.row_stride + panel.column) };
                let apart = Rows::Apart(c.row_stride);
                let to = finish.at(start, place, column, apart, panel.columns, accumulate);
                let to = Destination { stores, ..to };
                // Multiply and store.
                let streams = next.map(|next| Streams::part::<I>(next, (first, count, rows), depth));
                let streams = Streams::and(streams, ahead.take(depth));
                let product = Product { a: a.as_ptr(), strides, segments: &segments, b: b.as_ptr(), streams };
                // SAFETY: the assertion above covers the last element of the left operand; `b` holds `depth` rows of the
                // panel; the destination is explained above, and bias and residual fit it (`Epilogue::assert_fits`).
                unsafe { tile(isa, count, panel.vectors, &product, &to) };
            }
        }
    }

    /// Returns the block of the left operand that is read after this one: deeper in the same rows, or that of the next
    /// rows.
    fn next(&self, block: &Range<usize>) -> Matrix<'_> {
        let a = self.task.a;
        if block.end < self.depth.end {
            return a.rows(self.rows.clone()).columns(block.end..self.depth.end.min(block.end + block.len()));
        }
        let rows = self.rows.end..a.row_count().min(self.rows.end + self.rows.len());
        a.rows(rows).columns(self.depth.start..self.depth.end.min(self.depth.start + block.len()))
    }
}

/// Multiplies a block of the depth, copied first if its form says so.
struct MultiplyBlock<'a, 'p> {
    piece: &'a Piece<'p>,
    block: Range<usize>,
    /// The block of the left operand.
    a: Matrix<'a>,
    form: Form,
    /// Room for its copy.
    copy: &'a mut [f32],
}

impl Kernel for MultiplyBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { piece, block, a, form, copy } = self;
        let depth = block.len();
        let left = match form {
            Form::Rows => LeftBlock::rows::<I>(a.data, a.row_stride),
            Form::Columns => LeftBlock::columns::<I>(a.data, a.col_stride),
            Form::CopiedRows => {
                for (row, copy) in copy.chunks_exact_mut(COPIED_STEP).enumerate() {
                    copy[..depth].copy_from_slice(a.row(row, 0..depth));
                }
                LeftBlock::rows::<I>(copy, COPIED_STEP)
            }
            Form::CopiedTiles(step) => {
                CopyAcross { a, step, copy: &mut *copy }.run(isa);
                LeftBlock::tiles(copy, step, depth)
            }
        };
        piece.multiply(isa, block, &left);
    }
}

/// Copies a matrix whose columns are contiguous, or neither, to tiles of `step` rows, `[tile, depth, step]`.
struct CopyAcross<'a> {
    a: Matrix<'a>,
    step: usize,
    copy: &'a mut [f32],
}

/// Steps of the depth whose rows are copied to one tile after the other, so that they stay in the first-level cache
/// meanwhile: a tile takes only part of a cache line of each.
const ACROSS: usize = 16;

impl Kernel for CopyAcross<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { a, step, copy } = self;
        let depth = a.column_count();
        for block in (0..depth).step_by(ACROSS) {
            let tiles = even_tiles(a.row_count(), step).zip(copy.chunks_exact_mut(step * depth));
            for ((first, count), copy) in tiles {
                for d in block..depth.min(block + ACROSS) {
                    let (from, to) = (&a.data[first * a.row_stride + d * a.col_stride..], &mut copy[d * step..]);
                    if a.row_stride == 1 && from.len() >= I::LANES && to.len() >= I::LANES && step <= I::LANES {
                        // The excess of this step, inside the tile, is overwritten by the next.
                        isa.store(isa.load(from), to);
                    } else {
                        for (i, to) in to[..count].iter_mut().enumerate() {
                            *to = from[i * a.row_stride];
                        }
                    }
                }
            }
        }
    }
}
