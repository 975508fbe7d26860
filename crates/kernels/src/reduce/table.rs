//! Sums of columns in the order in which a table lies in memory.
//!
//! Strips of columns, one after the other, would read a wide table in short pieces far apart. Here elements are read
//! one after the other, and the sums of all columns lie in the nearest cache. Blocks of rows are added in `f32`; blocks
//! and parts in pairs of `f32`, of which the second holds what the first rounds off (Knuth's two-sum).

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use crate::cache::LINE;
use crate::elementwise::chunks::CHUNK;
use crate::parallel::{each_pair_of_pieces, each_piece};
use crate::sizes::length as length_of;
use crate::{Scratch, scratch};

/// Rows that are added in `f32`.
const BLOCK: usize = 64;
/// Prefetch distance in elements: 16 KiB, some 1 µs at the speed of memory on a core. The stores of the sums leave too
/// little room in a core's queues for the reads that hide the latency.
const AHEAD: usize = 4096;
/// Most parts with sums of their own: at 2048 columns those of 64 MB are 2 % of what is read.
const MOST_PARTS: usize = 32;
/// Most columns of a narrow table, of which several rows are taken as one that is made of whole vectors, and of enough
/// of them for a sum to be back in memory before it is needed again.
const NARROW: usize = 128;

/// A rule that yields `K` values for each element of a table, which are summed over the rows.
pub(crate) trait Terms<const K: usize> {
    /// Asserts that a table of `length` elements, `width` in a [widened](widened) row, can be read.
    fn assert_fit(&self, length: usize, width: usize);

    /// Returns the terms of `count` elements of the table from `place` on, of which the first is in `column` of the
    /// [widened](widened) table. Implementations must be `#[inline(always)]`.
    ///
    /// # Safety
    /// [`assert_fit`](Self::assert_fit) passed for a table that has `count` places from `place` on and as many columns
    /// from `column` on; `count` is at most [`I::LANES`](Isa::LANES).
    unsafe fn at<I: Isa>(&mut self, isa: I, place: usize, column: usize, count: usize) -> [I::Vector; K];

    /// Prefetches the cache line that is read for `place`, which may be beyond the table.
    fn prefetch<I: Isa>(&self, isa: I, place: usize);
}

/// A rule that replaces the elements of a table, and yields `K` values for each of them, which are summed over the
/// rows.
pub(crate) trait Rewrite<const K: usize>: Copy + Sync {
    /// Asserts, like [`Terms::assert_fit`], that the other tensors can be read.
    fn assert_fit(&self, length: usize, width: usize);

    /// Returns the elements that replace `old`, and the terms. Implementations must be `#[inline(always)]`.
    ///
    /// # Safety
    /// The conditions of [`Terms::at`] hold.
    unsafe fn at<I: Isa>(
        &self,
        isa: I,
        old: I::Vector,
        place: usize,
        column: usize,
        count: usize,
    ) -> (I::Vector, [I::Vector; K]);

    /// Prefetches, like [`Terms::prefetch`], from the other tensors.
    fn prefetch<I: Isa>(&self, isa: I, place: usize);
}

/// The terms of a part of a table that is rewritten.
struct Rewritten<'a, R> {
    rewrite: R,
    /// Index of the part's first element.
    first: usize,
    y: &'a mut [f32],
}

impl<R: Rewrite<K>, const K: usize> Terms<K> for Rewritten<'_, R> {
    fn assert_fit(&self, length: usize, width: usize) {
        self.rewrite.assert_fit(length, width);
    }

    #[inline(always)]
    unsafe fn at<I: Isa>(&mut self, isa: I, place: usize, column: usize, count: usize) -> [I::Vector; K] {
        let y = &mut self.y[place - self.first..][..count];
        // SAFETY: the caller's.
        let (new, terms) = unsafe { self.rewrite.at(isa, load(isa, y, count), place, column, count) };
        if count == I::LANES {
            isa.store(new, y)
        } else {
            isa.store_partial(new, y)
        }
        terms
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, place: usize) {
        prefetch(isa, self.y, place - self.first);
        self.rewrite.prefetch(isa, place);
    }
}

/// Loads the `count` elements of `x` from `place` on, no more than a vector.
///
/// # Safety
/// That many elements are there.
#[inline(always)]
pub(crate) unsafe fn load_at<I: Isa>(isa: I, x: &[f32], place: usize, count: usize) -> I::Vector {
    debug_assert!(count <= I::LANES && place + count <= x.len());
    // SAFETY: the caller: `x` has the elements.
    unsafe {
        if count == I::LANES {
            isa.load_ptr(x.as_ptr().add(place))
        } else {
            isa.load_partial(x.get_unchecked(place..place + count))
        }
    }
}

/// Prefetches the cache line of `x[place]`.
#[inline(always)]
pub(crate) fn prefetch<I: Isa>(isa: I, x: &[f32], place: usize) {
    isa.prefetch(x.as_ptr().wrapping_add(place));
}

/// Loads the first `count` elements of `x`, no more than a vector.
#[inline(always)]
pub(crate) fn load<I: Isa>(isa: I, x: &[f32], count: usize) -> I::Vector {
    if count == I::LANES { isa.load(x) } else { isa.load_partial(&x[..count]) }
}

/// Returns the width to which the columns of a narrow table are repeated, so that its rows, taken together, are made of
/// whole vectors: a multiple of `columns`. Values that depend on the column are repeated to it.
pub(crate) fn widened(columns: usize) -> usize {
    let mut width = columns;
    while (1..=NARROW).contains(&columns) && (width < NARROW || !width.is_multiple_of(LINE)) {
        width += columns;
    }
    width
}

/// Calls `store(column, sums)` for every column of a table of `length` elements; sums of no rows are zero. Sums that
/// leave the range of `f32` are finite all the same, if their terms are.
pub(crate) fn column_sums<T: Terms<K> + Copy + Sync, const K: usize>(
    terms: T,
    length: usize,
    columns: usize,
    mut store: impl FnMut(usize, [f64; K]),
) {
    if length == 0 || columns == 0 {
        return (0..columns).for_each(|column| store(column, [0.0; K]));
    }
    let (set, cut) = (InstructionSet::current(), Cut::<K>::new(length, columns));
    terms.assert_fit(length, cut.width);
    scratch::with(cut.parts() * cut.sums_of_part(), |sums| {
        // Sum each part of the rows.
        let sum_part = |i: usize, sums: &mut [f32]| {
            dispatch_on(set, Part::<_, K> { terms, places: cut.places(i), width: cut.width, sums });
        };
        if length <= CHUNK {
            sums.chunks_exact_mut(cut.sums_of_part()).enumerate().for_each(|(i, sums)| sum_part(i, sums));
        } else {
            each_piece(sums, cut.sums_of_part(), &sum_part);
        }
        // Add the sums of the parts.
        cut.add_up(set, sums, |column, sums| {
            let finite = sums.iter().all(|sum| sum.is_finite());
            store(column, if finite { sums } else { dispatch_on(set, LargeSums { terms, cut, column }) });
        });
    });
}

/// Computes the sums of a column that are beyond `f32`, in `f64`.
struct LargeSums<T, const K: usize> {
    terms: T,
    cut: Cut<K>,
    column: usize,
}

impl<T: Terms<K>, const K: usize> Kernel for LargeSums<T, K> {
    type Output = [f64; K];

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) -> [f64; K] {
        let Cut { length, columns, width, .. } = self.cut;
        let mut sums = [0.0; K];
        for place in (self.column..length).step_by(columns) {
            // SAFETY: the table has the place, which is in this column of the widened one, and `assert_fit` passed.
            let terms = unsafe { self.terms.at(isa, place, place % width, 1) };
            for (sum, terms) in sums.iter_mut().zip(terms) {
                let mut term = [0.0];
                isa.store_partial(terms, &mut term);
                *sum += f64::from(term[0]);
            }
            // Whatever follows, it stays so: tensors of NaN are not gone through element by element.
            if sums.iter().any(|sum| sum.is_nan()) {
                break;
            }
        }
        sums
    }
}

/// Returns the scratch memory that [`column_sums`] takes of the calling thread.
pub(crate) fn column_sums_scratch<const K: usize>(length: usize, columns: usize) -> Scratch {
    if length == 0 || columns == 0 {
        return Scratch::NONE;
    }
    let cut = Cut::<K>::new(length, columns);
    Scratch::of(length_of(&[cut.parts(), cut.sums_of_part()]))
}

/// Computes [`column_sums`] of a table whose elements are replaced in the same pass.
pub(crate) fn column_sums_rewriting<R: Rewrite<K>, const K: usize>(
    rewrite: R,
    y: &mut [f32],
    columns: usize,
    mut store: impl FnMut(usize, [f64; K]),
) {
    if y.is_empty() || columns == 0 {
        return (0..columns).for_each(|column| store(column, [0.0; K]));
    }
    let (set, length) = (InstructionSet::current(), y.len());
    let cut = Cut::<K>::new(length, columns);
    rewrite.assert_fit(length, cut.width);
    scratch::with(cut.parts() * cut.sums_of_part(), |sums| {
        let sum_part = |i: usize, sums: &mut [f32], y: &mut [f32]| {
            let places = cut.places(i);
            let terms = Rewritten { rewrite, first: places.start, y };
            dispatch_on(set, Part::<_, K> { terms, places, width: cut.width, sums });
        };
        if length <= CHUNK {
            let parts = sums.chunks_exact_mut(cut.sums_of_part()).zip(y.chunks_mut(cut.part));
            parts.enumerate().for_each(|(i, (sums, y))| sum_part(i, sums, y));
        } else {
            each_pair_of_pieces((sums, cut.sums_of_part()), (y, cut.part), &sum_part);
        }
        cut.add_up(set, sums, store);
    });
}

/// The division of a table into parts with sums of their own, and their combination.
#[derive(Clone, Copy)]
struct Cut<const K: usize> {
    length: usize,
    columns: usize,
    width: usize,
    /// Number of elements of a part.
    part: usize,
}

impl<const K: usize> Cut<K> {
    /// Divides a table which has rows and columns.
    fn new(length: usize, columns: usize) -> Self {
        let width = widened(columns);
        let rows = length.div_ceil(width);
        let part_rows = (CHUNK / width).max(rows.div_ceil(MOST_PARTS)).next_multiple_of(BLOCK);
        Self { length, columns, width, part: length_of(&[part_rows, width]) }
    }

    fn parts(self) -> usize {
        self.length.div_ceil(self.part).max(1)
    }

    fn sums_of_part(self) -> usize {
        length_of(&[3 * K, self.width])
    }

    fn places(self, i: usize) -> Range<usize> {
        i * self.part..self.length.min((i + 1) * self.part)
    }

    /// Adds the sums of the parts, in their order.
    fn add_up(self, set: InstructionSet, sums: &mut [f32], mut store: impl FnMut(usize, [f64; K])) {
        let width = self.width;
        let (sums, others) = sums.split_at_mut(self.sums_of_part());
        let (high, rest) = sums.split_at_mut(K * width);
        let low = &mut rest[..K * width];
        for other in others.chunks_exact(self.sums_of_part()) {
            for x in other.chunks_exact(K * width).take(2) {
                dispatch_on(set, AddToPairs { x, high, low });
            }
        }
        for column in 0..self.columns {
            let mut totals = [0.0; K];
            for (k, total) in totals.iter_mut().enumerate() {
                for place in (k * width + column..(k + 1) * width).step_by(self.columns) {
                    *total += f64::from(high[place]) + f64::from(low[place]);
                }
            }
            store(column, totals);
        }
    }
}

/// The sums over some rows: high and low halves of the totals, and sums of a block, each `[K, width]`.
struct Part<'a, T, const K: usize> {
    terms: T,
    places: Range<usize>,
    width: usize,
    sums: &'a mut [f32],
}

impl<T: Terms<K>, const K: usize> Kernel for Part<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { mut terms, places, width, sums } = self;
        let (high, rest) = sums.split_at_mut(K * width);
        let (low, block) = rest.split_at_mut(K * width);
        high.fill(0.0);
        low.fill(0.0);
        for start in places.clone().step_by(BLOCK * width) {
            let end = places.end.min(start + BLOCK * width);
            block.fill(0.0);
            for place in (start..end).step_by(width) {
                // The last row of a widened table may be short.
                let length = width.min(end - place);
                // SAFETY: the table has `length` places from `place` on, in the first columns; `block` is `[K, width]`.
                unsafe { add_row(isa, &mut terms, place, length, width, block) };
            }
            add_to_pairs(isa, block, high, low);
        }
    }
}

/// Adds the first `length` columns of the row from `place` on. One row at a time, so that the table is read in the order in
/// which it lies: several rows together spare loads and stores of sums, but were slower by a tenth to a third.
///
/// # Safety
/// The table that `terms` are of has so many places; `length <= width`, and `sums` are `[K, width]`.
#[inline(always)]
unsafe fn add_row<I: Isa, T: Terms<K>, const K: usize>(
    isa: I,
    terms: &mut T,
    place: usize,
    length: usize,
    width: usize,
    sums: &mut [f32],
) {
    debug_assert!(length <= width && sums.len() == K * width);
    // Whole cache lines.
    let whole = length - length % LINE;
    for line in (0..whole).step_by(LINE) {
        terms.prefetch(isa, place + line + AHEAD);
        for column in (line..line + LINE).step_by(I::LANES) {
            // SAFETY: `column + LANES <= whole <= length`, and the caller's.
            let added = unsafe { terms.at(isa, place + column, column, I::LANES) };
            for (k, added) in added.into_iter().enumerate() {
                // SAFETY: `k · width + column + LANES <= K · width`.
                unsafe {
                    let sum = sums.as_mut_ptr().add(k * width + column);
                    isa.store_ptr(isa.add(isa.load_ptr(sum), added), sum);
                }
            }
        }
    }
    // The rest.
    for column in (whole..length).step_by(I::LANES) {
        let count = I::LANES.min(length - column);
        // SAFETY: `column + count <= length`, and the caller's.
        let added = unsafe { terms.at(isa, place + column, column, count) };
        for k in 0..K {
            let sum = &mut sums[k * width + column..][..count];
            isa.store_partial(isa.add(isa.load_partial(sum), added[k]), sum);
        }
    }
}

/// Computes `high + low += x`, with nothing rounded off but from the low halves.
#[inline(always)]
pub(crate) fn add_to_pairs<I: Isa>(isa: I, x: &[f32], high: &mut [f32], low: &mut [f32]) {
    let pairs = high.chunks_mut(I::LANES).zip(low.chunks_mut(I::LANES));
    for (x, (high, low)) in x.chunks(I::LANES).zip(pairs) {
        let (value, old) = (isa.load_partial(x), isa.load_partial(high));
        let sum = isa.add(old, value);
        let part = isa.sub(sum, old);
        let lost = isa.add(isa.sub(old, isa.sub(sum, part)), isa.sub(value, part));
        isa.store_partial(sum, high);
        isa.store_partial(isa.add(isa.load_partial(low), lost), low);
    }
}

struct AddToPairs<'a> {
    x: &'a [f32],
    high: &'a mut [f32],
    low: &'a mut [f32],
}

impl Kernel for AddToPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        add_to_pairs(isa, self.x, self.high, self.low);
    }
}
