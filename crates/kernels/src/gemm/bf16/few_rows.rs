//! Products of few rows, whose right operand is widened in registers.
//!
//! Each number of it serves a multiply-add or a few only, and reading it is what takes time. Several panels are read side
//! by side, so that there are enough sums to hide the latency of a multiply-add.

use std::array::from_fn;
use std::ops::Range;

use ocelli_simd::{Isa, Kernel};

use super::Bf16Matrix;
use crate::Accumulate;
use crate::cache::AHEAD;
use crate::gemm::finish::{Finish, Rows, store};
use crate::gemm::product::{DEPTH, Task, blocks};
use crate::gemm::tile::VECTORS;

/// Most rows: their sums and one panel fill the registers of AVX2.
pub(super) const FEW_ROWS: usize = 4;

/// Panels that a single row is multiplied with side by side: eight sums, and four sequential reads.
pub(super) const TOGETHER: usize = 4;

/// Some panels of a product of up to [`FEW_ROWS`] rows whose left operand is contiguous along the depth.
pub(super) struct FewRows<'a, 'b> {
    pub task: Task<'a>,
    pub b: &'b Bf16Matrix<'b>,
    pub panels: Range<usize>,
}

impl Kernel for FewRows<'_, '_> {
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
                    isa.call(Group::<$rows, $panels> { task, b, first });
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
struct Group<'a, 'b, const ROWS: usize, const PANELS: usize> {
    task: &'b Task<'a>,
    b: &'b Bf16Matrix<'b>,
    /// Index of the first panel.
    first: usize,
}

impl<const ROWS: usize, const PANELS: usize> Kernel for Group<'_, '_, ROWS, PANELS> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { task, b, first } = self;
        let whole = task.a.column_count();
        let c = task.c.rows(0..ROWS);
        for block in blocks(whole, DEPTH) {
            // The first block starts from the destination, and the last one ends with the epilogue.
            let accumulate = if block.start == 0 { task.accumulate } else { Accumulate::Add };
            let finish = if block.end == whole { task.finish } else { Finish::NOTHING };
            let rows: [&[f32]; ROWS] = from_fn(|row| task.a.row(row, block.clone()));
            let words: [&[f32]; PANELS] = from_fn(|panel| b.chunk::<I>(&b.panels.panel(first + panel), &block));
            for (panel, sums) in sums::<I, ROWS, PANELS>(isa, rows, words).into_iter().enumerate() {
                let panel = b.panels.panel(first + panel);
                let column = task.column + panel.column;
                // SAFETY: the panel begins inside the rows of the result.
                let start = unsafe { c.first.add(panel.column) };
                let to = finish.at(start, column, column, Rows::Apart(c.row_stride), panel.columns, accumulate);
                // SAFETY: `c` lies in the matrix that is borrowed for the whole product and shared among tasks by panels; the
                // columns of this one are inside it, and bias and residual fit it (`Epilogue::assert_fits`).
                unsafe { store::<I, ROWS, VECTORS>(isa, sums, &to) };
            }
        }
    }
}

/// Sums of some rows in some panels.
type Sums<I, const ROWS: usize, const PANELS: usize> = [[[<I as Isa>::Vector; VECTORS]; ROWS]; PANELS];

/// Multiplies as many steps of the depth as the rows have, and prefetches: with AVX2 each line twice, because the
/// compiler would load the vectors of two steps at once, for which there are not enough registers.
#[inline(always)]
fn sums<I: Isa, const ROWS: usize, const PANELS: usize>(
    isa: I,
    rows: [&[f32]; ROWS],
    words: [&[f32]; PANELS],
) -> Sums<I, ROWS, PANELS> {
    let depth = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == depth), "rows are equally long");
    assert!(words.iter().all(|words| words.len() == depth * I::LANES), "a panel has a vector of words for each step");
    let mut sums = [[[isa.zero(); VECTORS]; ROWS]; PANELS];
    let (rows, words) = (rows.map(<[f32]>::as_ptr), words.map(<[f32]>::as_ptr));
    for d in 0..depth {
        for words in words {
            isa.prefetch(words.wrapping_add(d * I::LANES + AHEAD / PANELS));
        }
        // SAFETY: `d` is below the depth, which all rows and panels have by the assertions above.
        unsafe { multiply_add(isa, &mut sums, &rows, &words, d) };
    }
    sums
}

/// Multiplies and adds step `d` of the depth.
///
/// # Safety
/// Element `d` of each row and vector `d` of the words of each panel can be read.
#[inline(always)]
unsafe fn multiply_add<I: Isa, const ROWS: usize, const PANELS: usize>(
    isa: I,
    sums: &mut Sums<I, ROWS, PANELS>,
    rows: &[*const f32; ROWS],
    words: &[*const f32; PANELS],
    d: usize,
) {
    let mut a = [isa.zero(); ROWS];
    for (a, row) in a.iter_mut().zip(rows) {
        // SAFETY: the caller's.
        *a = isa.splat(unsafe { *row.add(d) });
    }
    for (sums, words) in sums.iter_mut().zip(words) {
        // SAFETY: the caller's.
        let words = unsafe { isa.load_ptr(words.add(d * I::LANES)) };
        let b = [isa.upper_half(words), isa.lower_half(words)];
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = isa.mul_add(a, b, *sum);
            }
        }
    }
}
