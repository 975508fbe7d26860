//! The inner kernel for results of few columns: dot products, with lanes along the depth.
//!
//! A [`tile`](super::tile) has its lanes along the columns, of which three leave most of a vector empty. Here both operands
//! are contiguous along the depth, every lane sums a part of it, and the lanes of a sum are added in the end. A tile of `R`
//! rows and `N` columns loads `R + N` vectors for `R · N` multiply-adds, and needs as many sums in registers.

use ocelli_simd::{Isa, Kernel, MOST_LANES};

use super::finish::{Destination, read, store_parts};
use super::tile::{self, Segment};

/// Returns the largest number of columns of a tile: of three or four, two or four rows fit the 16 registers of AVX2. Of
/// the 8 of the portable set, three and one row take seven, and with four columns not one row would fit.
const fn most_columns<I: Isa>() -> usize {
    const MOST: usize = 4;
    // A row of `N` columns needs `N` sums, `N` vectors of the right operand and one of the left.
    let fit = (I::REGISTERS - 1) / 2;
    if fit < MOST { fit } else { MOST }
}

/// Most columns for which dot products may be worth it: two tiles of three.
pub(crate) const DOT_COLUMNS: usize = 6;

/// Most rows of a tile: with one column, as many sums as hide the latency of a multiply-add.
const MOST_ROWS: usize = 8;

/// Returns the largest number of rows of tiles of so many columns, at most [`DOT_COLUMNS`].
pub(crate) const fn dot_rows<I: Isa>(columns: usize) -> usize {
    let columns = columns_of_tile::<I>(columns);
    let fit = (I::REGISTERS - columns - 1) / columns;
    if fit < MOST_ROWS { fit } else { MOST_ROWS }
}

/// Returns the number of columns of a tile, where columns are cut into tiles of nearly equal size.
const fn columns_of_tile<I: Isa>(columns: usize) -> usize {
    columns.div_ceil(columns.div_ceil(most_columns::<I>()))
}

/// Asserts at compile time, for a set, that dot products of any number of columns have tiles with a row at least, and
/// no more than callers have room for; and that a narrower last tile has room for the rows of the others.
const fn assert_tiles<I: Isa>() {
    let mut columns = 1;
    while columns <= DOT_COLUMNS {
        let rows = dot_rows::<I>(columns);
        assert!(1 <= rows && rows <= tile::MOST_ROWS, "a tile of dot products has some rows");
        let last = columns % columns_of_tile::<I>(columns);
        assert!(last == 0 || dot_rows::<I>(last) >= rows, "the last tile is as high as the others");
        columns += 1;
    }
}

/// Operands of dot products: addresses, whose bounds the caller of [`dots`] vouches for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DotProducts<'a> {
    /// Address of the left operand's first element.
    pub a: *const f32,
    /// Distance from one of its rows to the next.
    pub row: usize,
    /// Runs of the depth, for the left operand.
    pub segments: &'a [Segment],
    /// Address of the right operand's first element; its depth is contiguous.
    pub b: *const f32,
    /// Distance from one of its columns to the next.
    pub column: usize,
}

/// Computes `rows` rows of all columns of the destination.
///
/// # Safety
/// - `1 <= to.columns <= DOT_COLUMNS` and `1 <= rows <= dot_rows(to.columns)`;
/// - `product.a` plus every segment's offset, row and depth can be read, and each column of `product.b` for the depth of
///   all segments together;
/// - the destination is as [`super::tile::tile`] asks.
#[inline(always)]
pub(crate) unsafe fn dots<I: Isa>(isa: I, rows: usize, product: DotProducts<'_>, to: Destination<'_>) {
    macro_rules! call {
        ($columns:literal, $product:ident, $to:ident, $($rows:literal)*) => {
            match rows {
                // A constant condition, as that of a tile.
                $($rows if const { $rows <= dot_rows::<I>($columns) } => {
                    isa.call(Dots::<$rows, $columns> { product: $product, to: $to })
                })*
                _ => unreachable!("dot products of {rows} rows and {} columns", $columns),
            }
        };
    }
    const { assert_tiles::<I>() };
    let step = columns_of_tile::<I>(to.columns);
    for first in (0..to.columns).step_by(step) {
        let columns = step.min(to.columns - first);
        let to = Destination { columns, ..to.after_column(first) };
        let product = DotProducts { b: product.b.wrapping_add(first * product.column), ..product };
        match columns {
            1 => call!(1, product, to, 1 2 3 4 5 6 7 8),
            2 => call!(2, product, to, 1 2 3 4 5 6 7 8),
            3 => call!(3, product, to, 1 2 3 4 5 6 7 8),
            _ => call!(4, product, to, 1 2 3 4 5 6 7 8),
        }
    }
}

/// The kernel of [`dots`] with its size fixed; made there only, under the same conditions.
struct Dots<'a, const ROWS: usize, const N: usize> {
    product: DotProducts<'a>,
    to: Destination<'a>,
}

impl<const ROWS: usize, const N: usize> Kernel for Dots<'_, ROWS, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        // SAFETY: made in `dots` only, whose caller vouches for all addresses.
        unsafe {
            let sums = sums::<I, ROWS, N>(isa, &self.product);
            // No closure: the instruction set does not reach into one.
            let mut rows = [[isa.zero()]; ROWS];
            for (row, sums) in rows.iter_mut().zip(sums) {
                let mut numbers = [0.0; MOST_LANES];
                for (number, sum) in numbers.iter_mut().zip(sums) {
                    *number = isa.sum(sum);
                }
                *row = [isa.load(&numbers)];
            }
            store_parts(isa, &rows, &self.to);
        }
    }
}

/// Computes the sums of a tile, a vector of partial sums for each.
///
/// # Safety
/// The product meets the conditions of [`dots`].
#[inline(always)]
unsafe fn sums<I: Isa, const ROWS: usize, const N: usize>(isa: I, product: &DotProducts<'_>) -> [[I::Vector; N]; ROWS] {
    let mut sums = [[isa.zero(); N]; ROWS];
    let mut b = product.b;
    for segment in product.segments {
        let a = product.a.wrapping_add(segment.offset);
        let whole = segment.depth - segment.depth % I::LANES;
        // SAFETY: `dots`' caller: offset, rows and depth of each segment can be read, and as much of each column.
        unsafe {
            for d in (0..whole).step_by(I::LANES) {
                multiply_add(isa, &mut sums, product, a.add(d), b.add(d), I::LANES);
            }
            if whole < segment.depth {
                multiply_add(isa, &mut sums, product, a.add(whole), b.add(whole), segment.depth - whole);
            }
        }
        b = b.wrapping_add(segment.depth);
    }
    sums
}

/// Multiplies and adds one vector of the depth, or the first `width` elements of one.
///
/// # Safety
/// That many elements can be read at each row of `a` and each column of `b`.
#[inline(always)]
unsafe fn multiply_add<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: &mut [[I::Vector; N]; ROWS],
    product: &DotProducts<'_>,
    a: *const f32,
    b: *const f32,
    width: usize,
) {
    let mut columns = [isa.zero(); N];
    for (j, column) in columns.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *column = unsafe { read(isa, b.wrapping_add(j * product.column), width) };
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's.
        let a = unsafe { read(isa, a.wrapping_add(i * product.row), width) };
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum = isa.mul_add(a, column, *sum);
        }
    }
}
