//! Products of few rows, whose time is that of reading the packed right operand.
//!
//! Each number of it serves a multiply-add or a few only. Several panels are read side by side: there are enough sums to
//! hide the latency of a multiply-add, and enough sequential reads to keep the memory busy. For more rows than registers
//! have room for, a block of a panel is read again from the caches, and the next one is prefetched meanwhile.

use std::array::from_fn;
use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::finish::{Finish, Rows, store};
use super::matrix::Matrix;
use super::panels::{Contiguous, Panel, Panels};
use super::product::{DEPTH, Task, blocks};
use super::tile::{VECTORS, even_tiles};
use super::wanted_pieces;
use crate::Accumulate;
use crate::cache::{AHEAD, LINE};
use crate::parallel::each_or_one;

/// Returns the most rows that are multiplied with a panel at once: with their sums and one step they fill the registers
/// of AVX2.
const fn group_rows<I: Isa>() -> usize {
    I::REGISTERS / 4
}

/// Panels that a single row is multiplied with side by side: eight sums, and four sequential reads.
const TOGETHER: usize = 4;

/// Floating-point operations in whose time a number of the right operand is read from memory.
const READ: usize = 8;

/// A packed right operand.
pub(super) trait Packed: Sync {
    /// Most rows of a left operand for which this order of work is faster than tiles.
    const MOST_ROWS: usize;

    /// Vectors of memory in a step of the depth.
    const STEP: usize;

    /// Returns the division into panels.
    fn panels(&self) -> &Panels;

    /// Returns some rows of a panel, as they lie in memory.
    fn chunk<I: Isa>(&self, panel: &Panel, rows: &Range<usize>) -> &[f32];

    /// Reads a step of a panel of two vectors.
    ///
    /// # Safety
    /// [`Packed::STEP`] vectors can be read at this place.
    unsafe fn step<I: Isa>(isa: I, place: *const f32) -> [I::Vector; VECTORS];
}

/// Returns true for a left operand of few rows that are contiguous along the depth.
pub(super) fn has_few_rows<P: Packed>(a: &Matrix<'_>) -> bool {
    a.row_count() <= P::MOST_ROWS && a.contiguous() == Contiguous::Rows
}

/// Computes the columns of a product in panels of two vectors, of which there are `count`, for a left operand that
/// [`has_few_rows`].
pub(super) fn multiply_few_rows<P: Packed>(set: InstructionSet, task: Task<'_>, b: &P, count: usize) {
    let (rows, numbers) = (task.row_count(), b.panels().depth.saturating_mul(b.panels().columns));
    let pieces = wanted_pieces(numbers.saturating_mul(READ.max(2 * rows)));
    // There may be no panel of two vectors at all.
    let most = count.div_ceil(pieces).max(1).next_multiple_of(TOGETHER);
    each_or_one(count.div_ceil(most), &|index| {
        let panels = index * most..count.min((index + 1) * most);
        dispatch_on(set, FewRows { task, b, panels });
    });
}

/// Some panels of the product.
struct FewRows<'a, 'b, P> {
    task: Task<'a>,
    b: &'b P,
    panels: Range<usize>,
}

impl<P: Packed> Kernel for FewRows<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { task, b, panels } = self;
        let (rows, most) = (task.row_count(), group_rows::<I>());
        let groups = rows.div_ceil(most);
        let mut first = panels.start;
        while first < panels.end {
            let count = match rows {
                1 if panels.end - first >= TOGETHER => TOGETHER,
                2 if panels.end - first >= 2 => 2,
                _ => 1,
            };
            for block in blocks(task.a.column_count(), DEPTH) {
                for (index, (row, rows)) in even_tiles(rows, most).enumerate() {
                    let (task, block, part) = (&task, block.clone(), Part { index, count: groups });
                    macro_rules! call {
                        // A constant condition: no group is compiled of which the set or the operand has none.
                        ($(($rows:literal, $count:pat, $panels:literal))*) => {
                            match (rows, count) {
                                $(($rows, $count) if const { $rows <= group_rows::<I>() && $rows <= P::MOST_ROWS } => {
                                    isa.call(Group::<P, $rows, $panels> { task, b, row, panel: first, block, part })
                                })*
                                (rows, _) => unreachable!("{rows} rows are more than a group"),
                            }
                        };
                    }
                    call! {
                        (1, TOGETHER, 4) (1, _, 1) (2, 2, 2) (2, _, 1) (3, _, 1)
                        (4, _, 1) (5, _, 1) (6, _, 1) (7, _, 1) (8, _, 1)
                    }
                }
            }
            first += count;
        }
    }
}

/// The place of a group among those of the other rows, which are multiplied with the same panels one after the other.
#[derive(Clone, Copy)]
struct Part {
    index: usize,
    count: usize,
}

/// Some rows, and neighbouring panels that are read side by side, in a block of the depth.
struct Group<'a, 'b, P, const ROWS: usize, const PANELS: usize> {
    task: &'b Task<'a>,
    b: &'b P,
    /// First row.
    row: usize,
    /// Index of the first panel.
    panel: usize,
    block: Range<usize>,
    part: Part,
}

impl<P: Packed, const ROWS: usize, const PANELS: usize> Kernel for Group<'_, '_, P, ROWS, PANELS> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { task, b, row: first, panel, block, part } = self;
        let whole = task.a.column_count();
        let c = task.c.rows(first..first + ROWS);
        let panels: [Panel; PANELS] = from_fn(|index| b.panels().panel(panel + index));
        // The first block starts from the destination, and the last one ends with the epilogue.
        let accumulate = if block.start == 0 { task.accumulate } else { Accumulate::Add };
        let finish = if block.end == whole { task.finish } else { Finish::NOTHING };
        let rows: [&[f32]; ROWS] = from_fn(|row| task.a.row(first + row, block.clone()));
        let chunks = panels.each_ref().map(|panel| b.chunk::<I>(panel, &block));
        let ahead = Ahead::new(part, chunks[0].len(), P::STEP * I::LANES, AHEAD / PANELS);
        let sums = sums::<I, P, ROWS, PANELS>(isa, rows, chunks, ahead);
        for (panel, sums) in panels.iter().zip(sums) {
            let column = task.column + panel.column;
            // SAFETY: the panel begins inside the rows of the result.
            let start = unsafe { c.first.add(panel.column) };
            let place = first * c.row_stride + column;
            let to = finish.at(start, place, column, Rows::Apart(c.row_stride), panel.columns, accumulate);
            // SAFETY: `c` lies in the matrix that is borrowed for the whole product and shared among tasks by panels;
            // the columns of this one are inside it, and bias and residual fit it (`Epilogue::assert_fits`).
            unsafe { store::<I, ROWS, VECTORS>(isa, sums, &to) };
        }
    }
}

/// The elements that a group prefetches in each step of the depth.
struct Ahead {
    /// Distance of the first from the panel.
    first: usize,
    /// Distance from those of one step to those of the next.
    step: usize,
}

impl Ahead {
    /// Chooses the elements for a group of which each step reads `step` of the `length` elements of a panel: those
    /// `distance` further on or, where the groups of other rows read the same ones, its part of as many as all groups
    /// read, after them.
    #[inline(always)]
    fn new(part: Part, length: usize, step: usize, distance: usize) -> Self {
        if part.count == 1 {
            return Self { first: distance, step };
        }
        Self { first: length + length * part.index / part.count, step: step / part.count }
    }
}

/// Sums of some rows in some panels.
type Sums<I, const ROWS: usize, const PANELS: usize> = [[[<I as Isa>::Vector; VECTORS]; ROWS]; PANELS];

/// Multiplies as many steps of the depth as the rows have, and prefetches. Words of bf16 with AVX2 take half a line for
/// a step, so that each line is prefetched twice: the compiler would load the vectors of two steps at once, for which
/// there are not enough registers.
#[inline(always)]
fn sums<I: Isa, P: Packed, const ROWS: usize, const PANELS: usize>(
    isa: I,
    rows: [&[f32]; ROWS],
    chunks: [&[f32]; PANELS],
    ahead: Ahead,
) -> Sums<I, ROWS, PANELS> {
    let (depth, step) = (rows[0].len(), P::STEP * I::LANES);
    assert!(rows.iter().all(|row| row.len() == depth), "rows are equally long");
    assert!(chunks.iter().all(|chunk| chunk.len() == depth * step), "a panel has as many steps");
    let mut sums = [[[isa.zero(); VECTORS]; ROWS]; PANELS];
    let (rows, chunks) = (rows.map(<[f32]>::as_ptr), chunks.map(<[f32]>::as_ptr));
    let mut next = ahead.first;
    for d in 0..depth {
        for chunk in chunks {
            for line in (0..step).step_by(LINE) {
                isa.prefetch(chunk.wrapping_add(next + line));
            }
        }
        next += ahead.step;
        // SAFETY: `d` is below the depth, which all rows and panels have by the assertions above.
        unsafe { multiply_add::<I, P, ROWS, PANELS>(isa, &mut sums, &rows, &chunks, d) };
    }
    sums
}

/// Multiplies and adds step `d` of the depth.
///
/// # Safety
/// Element `d` of each row and step `d` of each panel can be read.
#[inline(always)]
unsafe fn multiply_add<I: Isa, P: Packed, const ROWS: usize, const PANELS: usize>(
    isa: I,
    sums: &mut Sums<I, ROWS, PANELS>,
    rows: &[*const f32; ROWS],
    chunks: &[*const f32; PANELS],
    d: usize,
) {
    let mut a = [isa.zero(); ROWS];
    for (a, row) in a.iter_mut().zip(rows) {
        // SAFETY: the caller's.
        *a = isa.splat(unsafe { *row.add(d) });
    }
    for (sums, chunk) in sums.iter_mut().zip(chunks) {
        // SAFETY: the caller's.
        let b = unsafe { P::step(isa, chunk.add(d * P::STEP * I::LANES)) };
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = isa.mul_add(a, b, *sum);
            }
        }
    }
}
