//! Products of few rows with a large right operand that is used once: a dense layer's in training. Reading that operand
//! is their main cost, so it is packed in small blocks that are used at once, or read where it lies.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::matrix::{Matrix, MatrixMut};
use super::memory::{Order, gemm_packed_scratch, gemm_scratch};
use super::panels::{Contiguous, PackPanels, Panels};
use super::product::{Piece, Right, Task, blocks, gemm};
use crate::parallel::each;
use crate::sizes::length;
use crate::{Accumulate, Epilogue, Scratch, scratch};

/// Most rows of a thin product. For more, packing costs little beside the multiplications.
const ROWS: usize = 32;

/// Fewest elements of the right operand: fewer stay in the caches between packing and use.
const LARGE: usize = 1 << 18;

/// Columns of a strip, which one task multiplies: at least half a kilobyte of each row is read at once, and where there are
/// as many, two.
const COLUMNS: Range<usize> = 128..512;

/// Fewest strips of a product, if its columns allow.
const STRIPS: usize = 4;

/// Depth of a block: with 512 columns 256 KiB, half of the second-level cache or less. Half as deep, what a block adds to
/// the result takes as long again to read and to write.
const DEPTH: usize = 128;

/// Computes the product if it is thin; returns true if it did.
pub(super) fn gemm_thin(a: Matrix<'_>, b: Matrix<'_>, c: &mut MatrixMut<'_>, epilogue: &Epilogue<'_>) -> bool {
    let (rows, depth, columns) = (a.row_count(), b.row_count(), b.column_count());
    if !is_thin(rows, depth, columns) || !c.is_contiguous() {
        return false;
    }
    match b.contiguous() {
        Contiguous::Rows => in_strips(a, b, c, epilogue),
        Contiguous::Columns if columns > ROWS => transposed(a, b, c, epilogue),
        Contiguous::Columns | Contiguous::Neither => return false,
    }
    true
}

fn is_thin(rows: usize, depth: usize, columns: usize) -> bool {
    (1..=ROWS).contains(&rows) && depth.saturating_mul(columns) >= LARGE
}

/// Returns the scratch memory that a thin product takes on a thread; `None` for others.
pub(super) fn thin_scratch([rows, depth, columns]: [usize; 3], left: Order, right: Order) -> Option<Scratch> {
    if !is_thin(rows, depth, columns) {
        return None;
    }
    match right {
        Order::RowMajor => {
            let strip = Panels::new(InstructionSet::current(), DEPTH, most_columns(columns).min(columns));
            Some(Scratch::of(strip.packed_len()).around(gemm_packed_scratch(rows, depth, left)))
        }
        Order::ColumnMajor if columns > ROWS => {
            let product = gemm_scratch([columns, depth, rows], Order::RowMajor, left.transposed());
            Some(Scratch::of(length(&[rows, columns])).around(product))
        }
        Order::ColumnMajor => None,
    }
}

/// Returns the largest number of columns of a strip.
fn most_columns(columns: usize) -> usize {
    (columns / STRIPS).clamp(COLUMNS.start, COLUMNS.end).next_multiple_of(COLUMNS.start)
}

/// Computes `cᵀ = bᵀ·aᵀ`: the large operand is on the left, where it is read along its rows.
fn transposed(a: Matrix<'_>, b: Matrix<'_>, c: &mut MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    let (rows, columns) = (c.row_count(), c.column_count());
    scratch::with(rows * columns, |sums| {
        gemm(b.transposed(), a.transposed(), MatrixMut::new(sums, columns, rows), &Epilogue::of(Accumulate::Set));
        let c = &mut c.data[..rows * columns];
        for (row, c) in c.chunks_exact_mut(columns).enumerate() {
            let sums = sums[row..].iter().step_by(rows);
            match epilogue.accumulate {
                Accumulate::Set => c.iter_mut().zip(sums).for_each(|(c, sum)| *c = *sum),
                Accumulate::Add => c.iter_mut().zip(sums).for_each(|(c, sum)| *c += *sum),
            }
        }
        epilogue.apply(c, columns);
    });
}

/// Computes the product in strips of columns, each packed and multiplied a block of the depth at a time.
fn in_strips(a: Matrix<'_>, b: Matrix<'_>, c: &mut MatrixMut<'_>, epilogue: &Epilogue<'_>) {
    let (rows, columns) = (c.row_count(), c.column_count());
    let set = InstructionSet::current();
    let c = MatrixMut::new(&mut c.data[..rows * columns], rows, columns);
    let Some(task) = Task::new(a, c, epilogue) else { return };
    let most = most_columns(columns);
    each(columns.div_ceil(most), &|index| {
        let strip = index * most..columns.min((index + 1) * most);
        let task = task.columns(strip.clone());
        // Outside of the kernel: the instruction set does not reach into a closure.
        scratch::with(Panels::new(set, DEPTH, strip.len()).packed_len(), |packed| {
            dispatch_on(set, Strip { set, task, b: b.columns(strip.clone()), packed });
        });
    });
}

/// A strip: some columns of the product.
struct Strip<'a, 'p> {
    set: InstructionSet,
    task: Task<'a>,
    /// Columns of the right operand.
    b: Matrix<'a>,
    /// Room for a block of them.
    packed: &'p mut [f32],
}

impl Kernel for Strip<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { set, task, b, packed } = self;
        for depth in blocks(b.row_count(), DEPTH) {
            let panels = Panels::new(set, depth.len(), b.column_count());
            let packed = &mut packed[..panels.packed_len()];
            let indices = 0..panels.count();
            isa.call(PackPanels { panels, indices: indices.clone(), b, rows: depth.clone(), packed: &mut *packed });
            let right = Right { panels: &panels, first: depth.start, packed };
            Piece { task: &task, right: &right, rows: 0..task.row_count(), panels: indices, depth }.run(isa);
        }
    }
}
