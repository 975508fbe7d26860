//! Arithmetic of two operands whose shapes follow NumPy's broadcasting rules.
//!
//! Neighbouring axes that both operands step through alike are merged when the geometry is made, so that few loops are
//! left: equal shapes are one row, a bias `[C]` on `[N, H, W, C]` is `NHW` rows. The kernel walks rows of the merged
//! output; in each, an operand is a row of its own or a scalar.

pub mod compare;
#[cfg(test)]
mod tests;
mod walk;

use ocelli_simd::{
    BinaryFunction, Destination, InstructionSet, Isa, Kernel, Store, Write, Writer, dispatch_on, slices,
};

use crate::elementwise::chunks::{CHUNK, in_pieces, rows_piece};
use crate::elementwise::stores::stores_for;
use crate::elementwise::{Source, map2};
use crate::sizes::is_addressable;
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

/// Elements up to which a short row of the second operand is repeated on the stack: a row of three would fill a fifth
/// of a vector, and cost a loop of its own.
const REPEATED: usize = 256;

fn broadcast<F: BinaryFunction + Sync>(f: F, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    if let Source::Slice(b) = b {
        if [g.a_length, g.b_length] == [y.len(); 2] {
            return map2(f, a, b, y);
        }
        if g.walk.repeats(1).is_some() {
            let row = b.len();
            if row > REPEATED / 4 {
                return repeated(f, a, b, y);
            }
            let mut wide = [0.0; REPEATED];
            let wide = &mut wide[..REPEATED / row * row];
            wide.chunks_exact_mut(row).for_each(|wide| wide.copy_from_slice(b));
            return repeated(f, a, wide, y);
        }
    }
    let set = InstructionSet::current();
    let row = g.walk.row();
    let piece = if row < CHUNK { CHUNK / row.max(1) * row.max(1) } else { CHUNK };
    in_pieces(y, piece, |start, y| {
        dispatch_on(set, Rows { f, walk: &g.walk, a, b, start, y });
    });
}

/// Computes `y = f(a, b b b …)`, as a bias is added.
fn repeated<F: BinaryFunction + Sync>(f: F, a: Source<'_>, b: &[f32], y: &mut [f32]) {
    let set = InstructionSet::current();
    let piece = rows_piece(b.len(), b.len());
    match a {
        Source::Slice(a) => {
            let stores = stores_for(y, b.len());
            in_pieces(y, piece, |start, y| {
                let work = Repeated { f, a: &a[start..][..y.len()], b };
                dispatch_on(set, Write { work, stores, y: [y] });
            });
        }
        Source::InPlace => in_pieces(y, piece, |_, y| dispatch_on(set, RepeatedInPlace { f, b, y })),
    }
}

struct Repeated<'a, F> {
    f: F,
    a: &'a [f32],
    b: &'a [f32],
}

impl<F: BinaryFunction> Writer<1> for Repeated<'_, F> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
        for a in self.a.chunks(self.b.len()) {
            let a_blocks = a.chunks_exact(I::LANES);
            let tail = a_blocks.remainder();
            for (a, b) in a_blocks.zip(self.b.chunks_exact(I::LANES)) {
                y.put_vector(isa, self.f.apply(isa, isa.load(a), isa.load(b)));
            }
            let b_tail = &self.b[a.len() - tail.len()..];
            y.put(isa, self.f.apply(isa, isa.load_partial(tail), isa.load_partial(b_tail)), tail.len());
        }
    }
}

struct RepeatedInPlace<'a, F> {
    f: F,
    b: &'a [f32],
    y: &'a mut [f32],
}

impl<F: BinaryFunction> Kernel for RepeatedInPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for y in self.y.chunks_mut(self.b.len()) {
            slices::map2_in_place(isa, self.f, y, &self.b[..y.len()]);
        }
    }
}

/// Computes the elements of the output from `start` on, by rows.
struct Rows<'a, F> {
    f: F,
    walk: &'a Walk<2>,
    a: Source<'a>,
    b: Source<'a>,
    start: usize,
    y: &'a mut [f32],
}

/// Elements of a row that are computed at once: an operand that is a scalar in a row is repeated to this length, so
/// that there is one loop for rows and scalars. (With one for each combination, the kernels of this file were a tenth
/// of the crate's code.)
const BLOCK: usize = 256;

/// One operand in a row.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Row(&'a [f32]),
    /// A scalar, repeated to the length of a block.
    Number(&'a [f32]),
    InPlace,
}

impl<'a> Operand<'a> {
    #[inline(always)]
    fn new(source: Source<'a>, stride: usize, offset: usize, length: usize, block: &'a mut [f32; BLOCK]) -> Self {
        match source {
            Source::InPlace => Self::InPlace,
            Source::Slice(x) if stride == 0 => {
                let block = &mut block[..length.min(BLOCK)];
                block.fill(x[offset]);
                Self::Number(block)
            }
            Source::Slice(x) => Self::Row(&x[offset..][..length]),
        }
    }

    /// Returns the elements of a block; none for an operand in place.
    #[inline(always)]
    fn block(self, start: usize, length: usize) -> Option<&'a [f32]> {
        match self {
            Self::Row(x) => Some(&x[start..][..length]),
            Self::Number(x) => Some(&x[..length]),
            Self::InPlace => None,
        }
    }
}

impl<F: BinaryFunction> Kernel for Rows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { f, walk, a, b, start, y } = self;
        let [a_stride, b_stride] = walk.row_strides();
        let mut position = walk.at(start);
        let [mut a_block, mut b_block] = [[0.0; BLOCK]; 2];
        let mut rest = y;
        while !rest.is_empty() {
            let length = position.left().min(rest.len());
            let (row, after) = rest.split_at_mut(length);
            let [a_offset, b_offset] = position.offsets();
            let a = Operand::new(a, a_stride, a_offset, length, &mut a_block);
            let b = Operand::new(b, b_stride, b_offset, length, &mut b_block);
            for (i, y) in row.chunks_mut(BLOCK).enumerate() {
                let (start, length) = (i * BLOCK, y.len());
                match (a.block(start, length), b.block(start, length)) {
                    (Some(a), Some(b)) => slices::map2(isa, f, a, b, y),
                    (Some(a), None) => slices::map2_in_place(isa, Swapped { f }, y, a),
                    (None, Some(b)) => slices::map2_in_place(isa, f, y, b),
                    (None, None) => {
                        let mut copy = [0.0; BLOCK];
                        copy[..length].copy_from_slice(y);
                        slices::map2(isa, f, &copy[..length], &copy[..length], y);
                    }
                }
            }
            position.next_row();
            rest = after;
        }
    }
}

/// Swaps the operands: `f(b, a)`.
#[derive(Clone, Copy)]
struct Swapped<F> {
    f: F,
}

impl<F: BinaryFunction> BinaryFunction for Swapped<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector {
        self.f.apply(isa, b, a)
    }
}
