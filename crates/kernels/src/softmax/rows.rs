//! Functions of rows of any length, in whole vectors.
//!
//! A row is read a little beyond its end, into the next one, and written to a buffer in which the next one overwrites
//! the excess. From there it goes on in vectors that ignore rows: past the caches, where results are large.

use std::iter::StepBy;
use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, Stores, dispatch_on, slices};

use crate::cache::AHEAD;
use crate::elementwise::Source;
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::scratch;
use crate::stores::{ALIGNED, stores_beside};

/// Elements of rows that are buffered together (8 KiB), if they are no longer than that.
const BUFFER: usize = 2048;

/// A function of a row of `x` and one of `y`.
pub(crate) trait RowFunction: Copy + Sync {
    /// Writes the row to the beginning of `z`, which has room for a whole vector more; `x` and `y` begin with theirs.
    /// Implementations must be `#[inline(always)]`.
    fn apply<I: Isa>(self, isa: I, row: Row<I>, x: &[f32], y: &[f32], z: &mut [f32]);
}

/// The shape of a row.
#[derive(Clone, Copy)]
pub(crate) struct Row<I: Isa> {
    length: usize,
    /// Lanes of the last vector that belong to the row, if it is not whole.
    inside: I::Mask,
}

impl<I: Isa> Row<I> {
    /// Creates the shape of a row of `length` elements.
    #[inline(always)]
    pub(crate) fn new(isa: I, length: usize) -> Self {
        let outside = isa.load_partial_or(&[0.0; ALIGNED][..length % I::LANES], 1.0);
        Self { length, inside: isa.equal(outside, isa.zero()) }
    }

    /// Returns the offsets of whole vectors.
    #[inline(always)]
    pub(crate) fn whole(self) -> StepBy<Range<usize>> {
        (0..self.length - self.length % I::LANES).step_by(I::LANES)
    }

    /// Returns the offsets of all vectors.
    #[inline(always)]
    pub(crate) fn vectors(self) -> StepBy<Range<usize>> {
        (0..self.length).step_by(I::LANES)
    }

    /// Returns the offset of the last vector, if it is not whole.
    #[inline(always)]
    pub(crate) fn tail(self) -> Option<usize> {
        let tail = self.length % I::LANES;
        (tail > 0).then_some(self.length - tail)
    }

    /// Loads the last vector, which is not whole, with `fill` in the lanes beyond.
    #[inline(always)]
    pub(crate) fn load_tail(self, isa: I, x: &[f32], fill: f32) -> I::Vector {
        isa.select(self.inside, load(isa, x), isa.splat(fill))
    }

    /// Returns the largest element of the row; NaNs may be passed over.
    #[inline(always)]
    pub(crate) fn max(self, isa: I, x: &[f32]) -> f32 {
        let mut largest = isa.splat(f32::NEG_INFINITY);
        for c in self.whole() {
            // With the row's element first, a NaN in it leaves the largest as it was.
            largest = isa.max(isa.load(&x[c..]), largest);
        }
        if let Some(c) = self.tail() {
            largest = isa.max(self.load_tail(isa, &x[c..], f32::NEG_INFINITY), largest);
        }
        isa.max_lane(largest)
    }
}

/// Loads the first vector of `x`, or all of it where it is shorter.
#[inline(always)]
pub(crate) fn load<I: Isa>(isa: I, x: &[f32]) -> I::Vector {
    if x.len() >= I::LANES { isa.load(x) } else { isa.load_partial(x) }
}

/// Prefetches the elements some way behind the beginning of `x`; in the longest loop of a row, because the first loop
/// to read them would wait for memory, and memory then for the arithmetic of the others.
#[inline(always)]
pub(crate) fn prefetch<I: Isa>(isa: I, x: &[f32]) {
    isa.prefetch(x.as_ptr().wrapping_add(AHEAD));
}

/// Computes `z = f(x, y)` for each row of so many columns; `y` may be empty if the function does not read it.
pub(crate) fn each_row<F: RowFunction>(f: F, x: Source<'_>, y: &[f32], z: &mut [f32], columns: usize) {
    if z.is_empty() {
        return;
    }
    let set = InstructionSet::current();
    let group = group(columns);
    let piece = rows_piece(columns, columns).next_multiple_of(group.max(1));
    let stores = stores_beside(&[x], z, group);
    in_pieces(z, piece, |start, z| {
        let y = y.get(start..).unwrap_or(&[]);
        scratch::with(group + ALIGNED, |buffer| {
            let x = x.part(start, z.len());
            dispatch_on(set, Rows { f, x, y, z, stores, buffer, columns });
        });
    });
}

/// Returns the number of elements of rows that are buffered together: whole vectors, unless already these would be too
/// many.
fn group(columns: usize) -> usize {
    let vectors = (1..=ALIGNED).map(|rows| rows * columns).find(|numbers| numbers.is_multiple_of(ALIGNED));
    match vectors {
        Some(numbers) if (1..=BUFFER).contains(&numbers) => BUFFER / numbers * numbers,
        _ => columns,
    }
}

/// Some rows. The function is compiled once for each set: rows that are overwritten, and results that go past the caches,
/// take the same way.
struct Rows<'a, F> {
    f: F,
    x: Source<'a>,
    y: &'a [f32],
    z: &'a mut [f32],
    stores: Stores,
    buffer: &'a mut [f32],
    columns: usize,
}

impl<F: RowFunction> Kernel for Rows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { f, x, y, z, stores, buffer, columns } = self;
        let row = Row::new(isa, columns);
        let group = buffer.len() - ALIGNED;
        for start in (0..z.len()).step_by(group) {
            let numbers = group.min(z.len() - start);
            for place in (0..numbers).step_by(columns) {
                let from = start + place;
                let x = match x {
                    Source::Slice(x) => &x[from..],
                    Source::InPlace => &z[from..],
                };
                f.apply(isa, row, x, y.get(from..).unwrap_or(&[]), &mut buffer[place..]);
            }
            slices::copy(isa, &buffer[..numbers], &mut z[start..][..numbers], stores);
        }
    }
}
