//! Sums of the columns of a table: over an axis that is not the last, such as the gradient of a bias.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::table::{Terms, column_sums, load_at, prefetch};
use super::{Finish, Outer};
use crate::elementwise::chunks::{CHUNK, MOST_PARTS, part_length};
use crate::parallel::{each_piece, fill};

/// Columns that are summed together: sixteen vectors of the narrowest set's registers at most, and few enough for the
/// sums of all parts to lie on the stack (32 KiB).
const COLUMNS: usize = 64;
/// Rows that are added in `f32`.
const BLOCK: usize = 128;

/// A contiguous table.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub rows: usize,
    pub columns: usize,
}

/// Computes `y[i, c] (+)= scale · Σ` of column `c` in the tables that make result `i`.
pub(super) fn sum(outer: &Outer, table: Table, x: &[f32], y: &mut [f32], finish: Finish) {
    let set = InstructionSet::current();
    let work = table.rows * table.columns * outer.terms();
    if x.len() > CHUNK && work == x.len() && y.len() == table.columns {
        // One large table: a bias gradient.
        return column_sums(Elements(x), x.len(), table.columns, |column, [sum]| finish.store(sum, &mut y[column]));
    }
    let result = |i: usize, y: &mut [f32]| {
        let x = &x[outer.result_offset(i)..];
        let block = |number: usize, y: &mut [f32]| column_block(set, outer, table, x, (number, y), finish);
        if work <= CHUNK {
            y.chunks_mut(COLUMNS).enumerate().for_each(|(number, y)| block(number, y));
        } else {
            each_piece(y, COLUMNS, &block);
        }
    };
    if x.len() <= CHUNK {
        y.chunks_mut(table.columns).enumerate().for_each(|(i, y)| result(i, y));
    } else {
        let results = (CHUNK / work).max(1);
        each_piece(y, results * table.columns, &|piece, y| {
            y.chunks_mut(table.columns).enumerate().for_each(|(i, y)| result(piece * results + i, y));
        });
    }
}

/// Yields `x` itself.
#[derive(Clone, Copy)]
struct Elements<'a>(&'a [f32]);

impl Terms<1> for Elements<'_> {
    fn assert_fit(&self, length: usize, _: usize) {
        assert_eq!(self.0.len(), length, "the table has so many numbers");
    }

    #[inline(always)]
    unsafe fn at<I: Isa>(&mut self, isa: I, place: usize, _: usize, count: usize) -> [I::Vector; 1] {
        // SAFETY: the caller, and `assert_fit`.
        [unsafe { load_at(isa, self.0, place, count) }]
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, place: usize) {
        prefetch(isa, self.0, place);
    }
}

/// Sums up to [`COLUMNS`] neighbouring columns.
fn column_block(
    set: InstructionSet,
    outer: &Outer,
    table: Table,
    x: &[f32],
    (block, y): (usize, &mut [f32]),
    finish: Finish,
) {
    let width = y.len();
    let first = block * COLUMNS;
    // The tables one after the other are one with `terms` times the rows.
    let rows = table.rows * outer.terms();
    let part = part_length(rows, width).next_multiple_of(BLOCK);
    let parts = rows.div_ceil(part);
    let sum_part = |i: usize| {
        let rows = i * part..rows.min((i + 1) * part);
        dispatch_on(set, Part { outer, table, x, rows, first, width })
    };
    if parts == 1 {
        let sums = sum_part(0);
        y.iter_mut().zip(&sums).for_each(|(y, &sum)| finish.store(sum, y));
        return;
    }
    let mut sums = [[0.0; COLUMNS]; MOST_PARTS];
    fill(&mut sums[..parts], &sum_part);
    for (c, y) in y.iter_mut().enumerate() {
        finish.store(sums[..parts].iter().map(|sums| sums[c]).sum(), y);
    }
}

/// Sums `width` columns from `first` on, over some of the rows of all tables.
struct Part<'a> {
    outer: &'a Outer,
    table: Table,
    x: &'a [f32],
    rows: std::ops::Range<usize>,
    first: usize,
    width: usize,
}

impl Kernel for Part<'_> {
    type Output = [f64; COLUMNS];

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> [f64; COLUMNS] {
        let Table { rows, columns } = self.table;
        let mut totals = [0.0; COLUMNS];
        let mut row = self.rows.start;
        while row < self.rows.end {
            // To the end of this part or of this table.
            let here = row % rows;
            let count = (rows - here).min(self.rows.end - row);
            let begin = self.outer.term_offset(row / rows) + here * columns;
            let x = &self.x[begin..][..count * columns];
            if columns <= COLUMNS / 2 {
                narrow(isa, x, columns, &mut totals);
            } else {
                wide(isa, x, columns, self.first, self.width, &mut totals);
            }
            row += count;
        }
        totals
    }
}

/// Adds `width` columns from `first` on of a table.
#[inline(always)]
fn wide<I: Isa>(isa: I, x: &[f32], columns: usize, first: usize, width: usize, totals: &mut [f64; COLUMNS]) {
    for block in x.chunks(BLOCK * columns) {
        let mut sums = [0.0; COLUMNS];
        let mut column = 0;
        while width - column >= 4 * I::LANES {
            strip::<I, 4>(isa, block, columns, first + column, &mut sums[column..]);
            column += 4 * I::LANES;
        }
        while column < width {
            let lanes = I::LANES.min(width - column);
            let mut sum = isa.zero();
            for row in block.chunks_exact(columns) {
                sum = isa.add(sum, isa.load_partial(&row[first + column..][..lanes]));
            }
            isa.store_partial(sum, &mut sums[column..][..lanes]);
            column += lanes;
        }
        for (column, (total, &sum)) in totals.iter_mut().zip(&sums).enumerate() {
            *total += if sum.is_finite() { f64::from(sum) } else { large_sum(&block[first + column..], columns) };
        }
    }
}

/// Returns the sum of a column, from its first element on, that is beyond `f32`: the mean that it is for may be within.
#[cold]
fn large_sum(x: &[f32], columns: usize) -> f64 {
    x.iter().step_by(columns).map(|&x| f64::from(x)).sum()
}

/// Sums `V` vectors of columns.
#[inline(always)]
fn strip<I: Isa, const V: usize>(isa: I, block: &[f32], columns: usize, first: usize, sums: &mut [f32]) {
    let mut vectors = [isa.zero(); V];
    for row in block.chunks_exact(columns) {
        let row = &row[first..][..V * I::LANES];
        for v in 0..V {
            vectors[v] = isa.add(vectors[v], isa.load(&row[v * I::LANES..]));
        }
    }
    for v in 0..V {
        isa.store(vectors[v], &mut sums[v * I::LANES..]);
    }
}

/// Adds all columns of a table that is too narrow to fill vectors: several rows are taken as one, and its columns are
/// added up in the end.
#[inline(always)]
fn narrow<I: Isa>(isa: I, x: &[f32], columns: usize, totals: &mut [f64; COLUMNS]) {
    let width = COLUMNS / columns * columns;
    let whole = x.len() / width * width;
    let mut folded = [0.0; COLUMNS];
    wide(isa, &x[..whole], width, 0, width, &mut folded);
    for row in folded[..width].chunks_exact(columns) {
        for (total, &sum) in totals.iter_mut().zip(row) {
            *total += sum;
        }
    }
    for row in x[whole..].chunks_exact(columns) {
        for (total, &x) in totals.iter_mut().zip(row) {
            *total += f64::from(x);
        }
    }
}
