//! Arithmetic of two operands whose shapes follow NumPy's broadcasting rules.
//!
//! Neighbouring axes that both operands step through alike are merged when the geometry is made, so that few loops are
//! left: equal shapes are one row, a bias `[C]` on `[N, H, W, C]` is `NHW` rows. The kernel walks rows of the merged
//! output; in each, an operand is a row of its own or a scalar.

pub mod compare;
#[cfg(test)]
mod tests;
mod walk;

use ocelli_simd::{BinaryFunction, InstructionSet, Isa, Kernel, Stores, UnaryFunction, dispatch_on, slices};

use crate::elementwise::chunks::{CHUNK, in_pieces, rows_piece};
use crate::elementwise::{Map, Source};
use crate::sizes::is_addressable;
use crate::stores::stores_beside;
pub(crate) use walk::Walk;

/// Largest number of axes.
pub const MAX_RANK: usize = 6;

/// An operation of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
}

/// The geometry of two shapes that are broadcast together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    rank: usize,
    dims: [usize; MAX_RANK],
    a_length: usize,
    b_length: usize,
    walk: Walk<2>,
}

impl Broadcast {
    /// Combines two shapes, aligned at their last axes: sizes on an axis are equal, or one of them is 1. Returns `None`
    /// if the shapes do not combine, have more than [`MAX_RANK`] axes, or more elements than can be addressed.
    pub fn new(a: &[usize], b: &[usize]) -> Option<Self> {
        let rank = a.len().max(b.len());
        if rank > MAX_RANK {
            return None;
        }
        // Sizes of the result.
        let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
        let mut dims = [1; MAX_RANK];
        for (axis, dim) in dims.iter_mut().enumerate().take(rank) {
            *dim = match [size(a, axis), size(b, axis)] {
                [a, b] if a == b => a,
                [1, b] => b,
                [a, 1] => a,
                _ => return None,
            };
        }
        // With its empty axes counted as one, the result has at least as many elements as each operand.
        if !is_addressable(dims) {
            return None;
        }
        // Strides of the operands, zero where they repeat.
        let mut strides = [[0; MAX_RANK]; 2];
        let mut lengths = [1; 2];
        for axis in (0..rank).rev() {
            let sizes = [size(a, axis), size(b, axis)];
            for operand in 0..2 {
                if sizes[operand] != 1 {
                    strides[operand][axis] = lengths[operand];
                }
                lengths[operand] *= sizes[operand];
            }
        }
        let walk = Walk::new(&dims[..rank], strides);
        Some(Self { rank, dims, a_length: lengths[0], b_length: lengths[1], walk })
    }

    /// Returns the shape of the result.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Returns the number of elements of the result.
    pub fn length(&self) -> usize {
        self.dims().iter().product()
    }

    /// Asserts that operands and result have the lengths of their shapes, which are equal where an operand is in place.
    fn assert_fits(&self, a: Source<'_>, b: Source<'_>, y: &[f32]) {
        assert_eq!(y.len(), self.length(), "the destination has the broadcast shape");
        for (operand, length) in [(a, self.a_length), (b, self.b_length)] {
            match operand {
                Source::Slice(x) => assert_eq!(x.len(), length, "an operand has the length of its shape"),
                Source::InPlace => assert_eq!(y.len(), length, "an operand in place has the result's shape"),
            }
        }
    }
}

/// Computes `y = op(a, b)`, broadcast.
///
/// An operand may be in place only if it has the result's shape; if both are, `y = op(y, y)`.
pub fn binary(op: Binary, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    g.assert_fits(a, b, y);
    match op {
        Binary::Add => broadcast(Add, g, a, b, y),
        Binary::Sub => broadcast(Sub, g, a, b, y),
        Binary::Mul => broadcast(Mul, g, a, b, y),
        Binary::Div => broadcast(Div, g, a, b, y),
    }
}

macro_rules! operations {
    ($($name:ident: $method:ident;)+) => {
        $(
            #[derive(Clone, Copy)]
            struct $name;

            impl BinaryFunction for $name {
                #[inline(always)]
                fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector {
                    isa.$method(a, b)
                }
            }
        )+
    };
}

operations! {
    Add: add;
    Sub: sub;
    Mul: mul;
    Div: div;
}

/// Operand for a run of elements.
#[derive(Clone, Copy)]
enum Operand<'a> {
    /// An element for each. Those of a second operand that has fewer are taken over and over.
    Elements(Source<'a>),
    /// One number for all.
    Number(f32),
}

/// A function of two operands, computed for a run of elements.
type Run<'a> = dyn Fn([Operand<'_>; 2], &mut [f32], Stores) + Sync + 'a;

/// Computes `y = f(a, b)`, broadcast.
fn broadcast<F: BinaryFunction + Sync>(f: F, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    let set = InstructionSet::current();
    each_run(g, [a, b], y, &|operands, y, stores| run(set, f, operands, y, stores));
}

/// Computes a run of elements.
fn run<F: BinaryFunction>(set: InstructionSet, f: F, operands: [Operand<'_>; 2], y: &mut [f32], stores: Stores) {
    let (number, x, number_first) = match operands {
        [Operand::Elements(a), Operand::Elements(b)] => {
            return dispatch_on(set, MapRepeated { f, operands: [a, b], y, stores });
        }
        [Operand::Number(a), Operand::Elements(b)] => (a, b, true),
        [Operand::Elements(a), Operand::Number(b)] => (b, a, false),
        [Operand::Number(a), Operand::Number(b)] => {
            y.fill(b);
            (a, Source::InPlace, true)
        }
    };
    dispatch_on(set, Map { f: Bound { f, number, number_first }, x, y, stores });
}

/// Computes `y = f(a, b)`, with `b` over and over if it is shorter.
struct MapRepeated<'a, F> {
    f: F,
    operands: [Source<'a>; 2],
    y: &'a mut [f32],
    stores: Stores,
}

impl<F: BinaryFunction> Kernel for MapRepeated<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        slices::map2_repeated(isa, self.f, self.operands, self.y, self.stores);
    }
}

/// A function of two values, one of which is a number.
#[derive(Clone, Copy)]
struct Bound<F> {
    f: F,
    number: f32,
    number_first: bool,
}

impl<F: BinaryFunction> UnaryFunction for Bound<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        let number = isa.splat(self.number);
        if self.number_first { self.f.apply(isa, number, x) } else { self.f.apply(isa, x, number) }
    }
}

/// Calls a function for runs of elements in which each operand is contiguous or a number. All that depends on the geometry
/// is here, compiled once for all functions and instruction sets.
fn each_run(g: &Broadcast, [a, b]: [Source<'_>; 2], y: &mut [f32], f: &Run<'_>) {
    if y.is_empty() {
        return;
    }
    if [g.a_length, g.b_length] == [y.len(); 2] {
        let stores = stores_beside(&[a, b], y, CHUNK);
        return in_pieces(y, CHUNK, |start, y| {
            f([a, b].map(|operand| Operand::Elements(operand.part(start, y.len()))), y, stores);
        });
    }
    if let (Source::Slice(b), Some(_)) = (b, g.walk.repeats(1)) {
        let mut wide = [0.0; REPEATED];
        return repeated(a, repeat(b, y.len(), &mut wide), y, f);
    }
    let row = g.walk.row();
    let piece = if row < CHUNK { CHUNK / row.max(1) * row.max(1) } else { CHUNK };
    in_pieces(y, piece, |start, y| Rows { walk: &g.walk, operands: [a, b], start, y }.run(f));
}

/// Elements up to which a short row of the second operand is repeated on the stack: a row of three would fill a fifth
/// of a vector, and cost a call of its own.
const REPEATED: usize = 512;

/// Returns a row, repeated a few times if it is short, but not so often that it takes as long as the result of `length`.
fn repeat<'a>(row: &'a [f32], length: usize, wide: &'a mut [f32; REPEATED]) -> &'a [f32] {
    let count = REPEATED.min(length / 4) / row.len();
    if count < 2 {
        return row;
    }
    wide[..row.len()].copy_from_slice(row);
    let (mut filled, end) = (row.len(), count * row.len());
    while filled < end {
        let more = filled.min(end - filled);
        wide.copy_within(..more, filled);
        filled += more;
    }
    &wide[..end]
}

/// Computes `y = f(a, b b b …)`, as a bias is added.
fn repeated(a: Source<'_>, b: &[f32], y: &mut [f32], f: &Run<'_>) {
    let stores = stores_beside(&[a], y, b.len());
    in_pieces(y, rows_piece(b.len(), b.len()), |start, y| {
        f([a.part(start, y.len()), Source::Slice(b)].map(Operand::Elements), y, stores);
    });
}

/// The elements of the output from `start` on, by rows.
struct Rows<'a> {
    walk: &'a Walk<2>,
    operands: [Source<'a>; 2],
    start: usize,
    y: &'a mut [f32],
}

/// Elements of rows that are computed together, if rows are short: what is not contiguous is copied first.
const BLOCK: usize = 256;

/// Longest row that is short: to copy it takes less time than to call a function for it.
const SHORT: usize = 96;

impl Rows<'_> {
    fn run(self, f: &Run<'_>) {
        if self.walk.row() <= SHORT { self.together(f) } else { self.one_by_one(f) }
    }

    /// Computes long rows: in each, an operand is a row of its own or a number.
    fn one_by_one(self, f: &Run<'_>) {
        let Self { walk, operands, start, y } = self;
        let strides = walk.row_strides();
        let mut position = walk.at(start);
        let mut rest = y;
        while !rest.is_empty() {
            let (row, after) = rest.split_at_mut(position.left().min(rest.len()));
            let offsets = position.offsets();
            let operand = |k: usize| match operands[k] {
                Source::Slice(x) if strides[k] == 0 => Operand::Number(x[offsets[k]]),
                x => Operand::Elements(x.part(offsets[k], row.len())),
            };
            f([operand(0), operand(1)], row, Stores::Regular);
            position.next_row();
            rest = after;
        }
    }

    /// Computes short rows in blocks.
    fn together(self, f: &Run<'_>) {
        let Self { walk, operands, start, y } = self;
        let strides = walk.row_strides();
        let contiguous = [0, 1].map(|k| matches!(operands[k], Source::InPlace) || walk.is_contiguous(k));
        let mut copies = [[0.0; BLOCK]; 2];
        let mut position = walk.at(start);
        for (index, y) in y.chunks_mut(BLOCK).enumerate() {
            let first = start + index * BLOCK;
            let mut filled = 0;
            while filled < y.len() {
                let length = position.left().min(y.len() - filled);
                let offsets = position.offsets();
                for (k, copy) in copies.iter_mut().enumerate() {
                    let (Source::Slice(x), false) = (operands[k], contiguous[k]) else { continue };
                    let copy = &mut copy[filled..filled + length];
                    if strides[k] == 0 {
                        copy.fill(x[offsets[k]])
                    } else {
                        copy.copy_from_slice(&x[offsets[k]..][..length])
                    }
                }
                filled += length;
                position.advance(length);
            }
            let operand = |k: usize| {
                let copy = Source::Slice(&copies[k][..y.len()]);
                Operand::Elements(if contiguous[k] { operands[k].part(first, y.len()) } else { copy })
            };
            f([operand(0), operand(1)], y, Stores::Regular);
        }
    }
}
