//! Products of few rows, whose time is that of reading the packed right operand.
//!
//! Each number of it serves a multiply-add or a few only. Several panels are read side by side: there are enough sums to
//! hide the latency of a multiply-add, and enough sequential reads to keep the memory busy.

use std::array::from_fn;
use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::finish::{Finish, Rows, store};
use super::matrix::Matrix;
use super::panels::{Contiguous, Panel, Panels};
use super::product::{DEPTH, Task, blocks};
use super::tile::VECTORS;
use super::wanted_pieces;
use crate::Accumulate;
use crate::cache::{AHEAD, LINE};
use crate::parallel::each_or_one;

/// Most rows: their sums and one panel fill the registers of AVX2.
const ROWS: usize = 4;

/// Panels that a single row is multiplied with side by side: eight sums, and four sequential reads.
const TOGETHER: usize = 4;

/// Floating-point operations in whose time a number of the right operand is read from memory.
const READ: usize = 8;

/// A packed right operand.
pub(super) trait Packed: Sync {
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
pub(super) fn has_few_rows(a: &Matrix<'_>) -> bool {
    a.row_count() <= ROWS && a.contiguous() == Contiguous::Rows
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
        let mut first = panels.start;
        while first < panels.end {
            let (task, left) = (&task, panels.end - first);
            // `ROWS` rows on `PANELS` panels.
            macro_rules! group {
                ($rows:literal, $panels:literal) => {{
                    isa.call(Group::<P, $rows, $panels> { task, b, first });
                    first += $panels;
                }};
            }
            match task.row_count() {
                1 if left >= TOGETHER => group!(1, 4),
                1 => group!(1, 1),
                2 if left >= 2 => group!(2, 2),
                2 => group!(2, 1),
                3 => group!(3, 1),
                4 => group!(4, 1),
                rows => unreachable!("{rows} rows are not few"),
            }
        }
    }
}

/// Neighbouring panels that are read side by side.
struct Group<'a, 'b, P, const ROWS: usize, const PANELS: usize> {
    task: &'b Task<'a>,
    b: &'b P,
    /// Index of the first panel.
    first: usize,
}

impl<P: Packed, const ROWS: usize, const PANELS: usize> Kernel for Group<'_, '_, P, ROWS, PANELS> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { task, b, first } = self;
        let whole = task.a.column_count();
        let c = task.c.rows(0..ROWS);
        let panels: [Panel; PANELS] = from_fn(|index| b.panels().panel(first + index));
        for block in blocks(whole, DEPTH) {
            // The first block starts from the destination, and the last one ends with the epilogue.
            let accumulate = if block.start == 0 { task.accumulate } else { Accumulate::Add };
            let finish = if block.end == whole { task.finish } else { Finish::NOTHING };
            let rows: [&[f32]; ROWS] = from_fn(|row| task.a.row(row, block.clone()));
            let chunks = panels.each_ref().map(|panel| b.chunk::<I>(panel, &block));
            let sums = sums::<I, P, ROWS, PANELS>(isa, rows, chunks);
            for (panel, sums) in panels.iter().zip(sums) {
                let column = task.column + panel.column;
                // SAFETY: the panel begins inside the rows of the result.
                let start = unsafe { c.first.add(panel.column) };
                let to = finish.at(start, column, column, Rows::Apart(c.row_stride), panel.columns, accumulate);
                // SAFETY: `c` lies in the matrix that is borrowed for the whole product and shared among tasks by panels;
                // the columns of this one are inside it, and bias and residual fit it (`Epilogue::assert_fits`).
                unsafe { store::<I, ROWS, VECTORS>(isa, sums, &to) };
            }
        }
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
) -> Sums<I, ROWS, PANELS> {
    let (depth, step) = (rows[0].len(), P::STEP * I::LANES);
    assert!(rows.iter().all(|row| row.len() == depth), "rows are equally long");
    assert!(chunks.iter().all(|chunk| chunk.len() == depth * step), "a panel has as many steps");
    let mut sums = [[[isa.zero(); VECTORS]; ROWS]; PANELS];
    let (rows, chunks) = (rows.map(<[f32]>::as_ptr), chunks.map(<[f32]>::as_ptr));
    for d in 0..depth {
        for chunk in chunks {
            for line in (0..step).step_by(LINE) {
                isa.prefetch(chunk.wrapping_add(d * step + AHEAD / PANELS + line));
            }
        }
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
