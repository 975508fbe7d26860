//! Products whose right operand is kept in bf16, the upper half of an `f32`: eight bits of precision and half of the
//! bytes, with sums in `f32`.
//!
//! A product of few rows takes as long as reading its right operand, which is then widened in registers (`few_rows`); for
//! more, a strip of panels is widened into a thread's scratch memory and multiplied by the tiles of every product. Both add
//! the same products in the same order, so that a row's bits do not depend on how many rows there are: they are those of
//! [`gemm_packed`](super::gemm_packed) with numbers that were rounded to bf16.
//!
//! Two halves lie in the bits of one `f32`, so that widening is one operation for each: in every row of a panel, a
//! column of the first vector (the upper half) and one of the second share a *word*.

mod pack;
#[cfg(test)]
mod tests;

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

#[cfg(test)]
pub(crate) use self::pack::rounded;

use super::few_rows::{Packed, has_few_rows, multiply_few_rows};
use super::matrix::{Matrix, MatrixMut, assert_sizes};
use super::memory::{Order, gemm_packed_scratch};
use super::panels::{Panel, Panels, lanes};
use super::product::{DEPTH, Piece, Right, Task, block_rows, blocks};
use super::tile::VECTORS;
use super::wanted_pieces;
use crate::cache::{AHEAD, LINE};
use crate::parallel::{each_or_one, each_piece};
use crate::sizes::length;
use crate::{Epilogue, Scratch, scratch};

/// Panels that are widened at a time: with [`DEPTH`] 64 KiB, or 128 with the vectors of AVX-512, which the second-level cache
/// holds beside the left operand.
const STRIP: usize = 4;

/// Fewest rows that a strip is widened for, if there are: it takes the time of some six.
const STRIP_ROWS: usize = 192;

/// Most blocks of rows that a widened strip is multiplied with: their sums stay in the second-level cache while the depth
/// runs by.
const STRIP_BLOCKS: usize = 4;

/// A matrix in bf16, packed for the right side of products, for the instruction set that was current when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Bf16Matrix<'a> {
    panels: Panels,
    set: InstructionSet,
    words: &'a [f32],
}

/// Returns the number of `f32`, of two bf16 numbers each, that a packed `[depth, columns]` matrix takes on the current
/// instruction set; `usize::MAX` if there are more.
#[must_use]
pub fn bf16_len(depth: usize, columns: usize) -> usize {
    let set = InstructionSet::current();
    words_of(set, &Panels::new(set, depth, columns))
}

/// Returns the number of words of all panels, of which the last one is as wide as the others.
fn words_of(set: InstructionSet, panels: &Panels) -> usize {
    length(&[panels.count(), panels.depth, lanes(set)])
}

/// Returns the scratch memory that [`gemm_bf16`] and [`Bf16Matrix::pack`] take on each thread, at most, for a
/// contiguous left operand of `rows × depth`.
#[must_use]
pub fn gemm_bf16_scratch(rows: usize, depth: usize, columns: usize, left: Order) -> Scratch {
    if depth == 0 || columns == 0 {
        return Scratch::NONE;
    }
    let strip = Scratch::of(strip(InstructionSet::current(), depth, columns).packed_len());
    strip.around(gemm_packed_scratch(rows, depth, left))
}

/// Returns the largest strip that is widened at a time.
fn strip(set: InstructionSet, depth: usize, columns: usize) -> Panels {
    Panels::new(set, depth.min(DEPTH), columns.min(STRIP * VECTORS * lanes(set)))
}

impl<'a> Bf16Matrix<'a> {
    /// Rounds `b` to bf16, to the nearest number and halves to the even one, and packs it into `words`.
    ///
    /// # Panics
    /// If `words` has not [`bf16_len`] elements.
    #[must_use]
    pub fn pack(b: Matrix<'_>, words: &'a mut [f32]) -> Self {
        let set = InstructionSet::current();
        let panels = Panels::new(set, b.row_count(), b.column_count());
        assert_eq!(words.len(), words_of(set, &panels), "a packed matrix has panels of whole vectors");
        if !words.is_empty() {
            let len = strip(set, panels.depth, panels.columns).packed_len();
            each_piece(words, STRIP * panels.depth * lanes(set), &|index, words| {
                let indices = index * STRIP..panels.count().min((index + 1) * STRIP);
                scratch::with(len, |block| dispatch_on(set, pack::Pack { panels, indices, b, words, block }));
            });
        }
        Self { panels, set, words }
    }

    /// Creates a packed matrix from the elements that [`Bf16Matrix::pack`] wrote, on the same instruction set.
    ///
    /// # Panics
    /// If `words` has not [`bf16_len`] elements.
    #[must_use]
    pub fn from_packed(words: &'a [f32], depth: usize, columns: usize) -> Self {
        let set = InstructionSet::current();
        let panels = Panels::new(set, depth, columns);
        assert_eq!(words.len(), words_of(set, &panels), "a packed matrix has panels of whole vectors");
        Self { panels, set, words }
    }
}

/// A step is a vector of words.
impl Packed for Bf16Matrix<'_> {
    /// For more, widening a strip once costs less than widening in registers for each group of rows; so measured with
    /// AVX2, and with AVX-512 from 48 rows on.
    const MOST_ROWS: usize = 32;

    const STEP: usize = 1;

    #[inline(always)]
    fn panels(&self) -> &Panels {
        &self.panels
    }

    #[inline(always)]
    fn chunk<I: Isa>(&self, panel: &Panel, rows: &Range<usize>) -> &[f32] {
        let first = panel.start / VECTORS;
        &self.words[first + rows.start * I::LANES..first + rows.end * I::LANES]
    }

    #[inline(always)]
    unsafe fn step<I: Isa>(isa: I, place: *const f32) -> [I::Vector; VECTORS] {
        // SAFETY: the caller's.
        let words = unsafe { isa.load_ptr(place) };
        [isa.upper_half(words), isa.lower_half(words)]
    }
}

/// Computes `c = activation(a·b + bias + residual)`, as the epilogue says, with sums in `f32`.
///
/// # Panics
/// Under the conditions of [`gemm`](super::gemm).
pub fn gemm_bf16(a: Matrix<'_>, b: &Bf16Matrix<'_>, c: MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    let (rows, count) = (c.row_count(), b.panels.count());
    assert_sizes(a.size(), [b.panels.depth, b.panels.columns], c.size());
    let Some(task) = Task::new(a, c, epilogue) else { return };
    if has_few_rows::<Bf16Matrix<'_>>(&a) {
        return multiply_few_rows(b.set, task, b, count);
    }
    let pieces = wanted_pieces(rows.saturating_mul(b.words.len()).saturating_mul(2 * VECTORS));
    // Columns are cut first: a panel is then widened once.
    let width = STRIP.min(count.div_ceil(pieces));
    let strips = count.div_ceil(width);
    let row_blocks = rows.div_ceil(block_rows());
    let groups = pieces.div_ceil(strips).min(rows / STRIP_ROWS).max(row_blocks.div_ceil(STRIP_BLOCKS));
    // An even number of pieces divides among two and four threads.
    let groups = if groups > 1 && strips % 2 == 1 { groups.next_multiple_of(2) } else { groups };
    let most = rows.div_ceil(groups);
    each_or_one(strips * groups, &|index| {
        let first = index % strips * width;
        let panels = first..count.min(first + width);
        let rows = (index / strips * most).min(rows)..(index / strips * most + most).min(rows);
        let (first, last) = (b.panels.panel(first), b.panels.panel(panels.end - 1));
        let columns = first.column..last.column + last.columns;
        let task = task.columns(columns.clone());
        // Outside of the kernel: the instruction set does not reach into a closure. The last strip takes as much as the
        // others, so that it takes it from the same buffer.
        scratch::with(strip(b.set, b.panels.depth, b.panels.columns).packed_len(), |widened| {
            dispatch_on(b.set, Strip { task, b, panels, columns: columns.len(), rows, widened });
        });
    });
}

/// Some rows of a product in a strip of panels.
struct Strip<'a, 'b> {
    /// The product in the columns of the strip.
    task: Task<'a>,
    b: &'b Bf16Matrix<'b>,
    panels: Range<usize>,
    columns: usize,
    rows: Range<usize>,
    /// Room for a block of the panels.
    widened: &'b mut [f32],
}

impl Kernel for Strip<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { task, b, panels: strip, columns, rows, widened } = self;
        for depth in blocks(b.panels.depth, DEPTH) {
            let panels = Panels::new(b.set, depth.len(), columns);
            let widened = &mut widened[..panels.packed_len()];
            for (index, to) in strip.clone().zip(0..) {
                let to = panels.panel(to);
                let words = b.chunk::<I>(&b.panels.panel(index), &depth);
                widen(isa, words, &mut widened[to.start..to.start + depth.len() * to.width], to.width);
            }
            let right = Right { panels: &panels, first: depth.start, packed: widened };
            for block in blocks(rows.len(), block_rows()) {
                let rows = rows.start + block.start..rows.start + block.end;
                let panels = 0..panels.count();
                Piece { task: &task, right: &right, rows, panels, depth: depth.clone() }.run(isa);
            }
        }
    }
}

/// Widens the words of a panel to rows of `width` numbers, one or two vectors.
#[inline(always)]
fn widen<I: Isa>(isa: I, words: &[f32], to: &mut [f32], width: usize) {
    for (words, to) in words.chunks_exact(I::LANES).zip(to.chunks_exact_mut(width)) {
        for line in (0..I::LANES).step_by(LINE) {
            // The same rows of the next block.
            isa.prefetch_second_level(words.as_ptr().wrapping_add(AHEAD + line));
        }
        let (first, second) = to.split_at_mut(I::LANES);
        let words = isa.load(words);
        isa.store(isa.upper_half(words), first);
        if !second.is_empty() {
            isa.store(isa.lower_half(words), second);
        }
    }
}
