//! Arithmetic of two operands whose shapes follow NumPy's broadcasting rules.
//!
//! Neighbouring axes that both operands step through alike are merged when the geometry is made, so that few loops are
//! left: the same shape is one row, a bias `[C]` on `[N, H, W, C]` is `NHW` rows. The kernel walks rows of the merged
//! output; in each, an operand is a row of its own or one number.

#[cfg(test)]
mod tests;
mod walk;

use ocelli_simd::{BinaryFunction, InstructionSet, Isa, Kernel, UnaryFunction, dispatch_on, slices};

use crate::elementwise::Source;
use crate::elementwise::chunks::{CHUNK, in_pieces};
pub(crate) use walk::Walk;

/// The largest number of axes.
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

/// How two shapes combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    rank: usize,
    dims: [usize; MAX_RANK],
    a_length: usize,
    b_length: usize,
    walk: Walk<2>,
}

impl Broadcast {
    /// The combination of two shapes, aligned at their last axes: sizes on an axis are equal, or one of them is 1.
    /// `None` if the shapes do not combine or have more than [`MAX_RANK`] axes.
    pub fn new(a: &[usize], b: &[usize]) -> Option<Self> {
        let rank = a.len().max(b.len());
        if rank > MAX_RANK {
            return None;
        }
        let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
        let mut dims = [1; MAX_RANK];
        let mut strides = [[0; MAX_RANK]; 2];
        let mut lengths = [1; 2];
        for axis in (0..rank).rev() {
            let sizes = [size(a, axis), size(b, axis)];
            dims[axis] = match sizes {
                [a, b] if a == b => a,
                [1, b] => b,
                [a, 1] => a,
                _ => return None,
            };
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

    /// The shape of the result.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of elements of the result.
    pub fn length(&self) -> usize {
        self.dims().iter().product()
    }
}

/// `y = op(a, b)`, broadcast.
///
/// An operand may be in place only if it has the result's shape; if both are, `y = op(y, y)`.
pub fn binary(op: Binary, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    assert_eq!(y.len(), g.length(), "the destination has the broadcast shape");
    for (operand, length) in [(a, g.a_length), (b, g.b_length)] {
        match operand {
            Source::Slice(x) => assert_eq!(x.len(), length, "an operand has the length of its shape"),
            Source::InPlace => assert_eq!(y.len(), length, "an operand in place has the result's shape"),
        }
    }
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

/// A short row of the second operand is repeated on the stack up to this many elements: a row of three would fill a
/// fifth of a vector, and cost a loop of its own.
const REPEATED: usize = 256;

fn broadcast<F: BinaryFunction + Sync>(f: F, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    let set = InstructionSet::current();
    let row = g.walk.row();
    if let (Some(_), Source::Slice(short)) = (g.walk.repeats(1), b)
        && row <= REPEATED / 4
    {
        let mut wide = [0.0; REPEATED];
        let width = REPEATED / row * row;
        wide[..width].chunks_exact_mut(row).for_each(|wide| wide.copy_from_slice(short));
        in_pieces(y, CHUNK / width * width, |start, y| {
            dispatch_on(set, Repeated { f, a: a.part(start, y.len()), b: &wide[..width], y });
        });
        return;
    }
    let piece = if row < CHUNK { CHUNK / row.max(1) * row.max(1) } else { CHUNK };
    in_pieces(y, piece, |start, y| {
        dispatch_on(set, Rows { f, walk: &g.walk, a, b, start, y });
    });
}

/// `y = f(a, b b b …)`
struct Repeated<'a, F> {
    f: F,
    a: Source<'a>,
    b: &'a [f32],
    y: &'a mut [f32],
}

impl<F: BinaryFunction> Kernel for Repeated<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let width = self.b.len();
        for (i, y) in self.y.chunks_mut(width).enumerate() {
            let b = &self.b[..y.len()];
            match self.a {
                Source::Slice(a) => slices::map2(isa, self.f, &a[i * width..][..y.len()], b, y),
                Source::InPlace => slices::map2_in_place(isa, self.f, y, b),
            }
        }
    }
}

/// The elements of the output from `start` on, by rows.
struct Rows<'a, F> {
    f: F,
    walk: &'a Walk<2>,
    a: Source<'a>,
    b: Source<'a>,
    start: usize,
    y: &'a mut [f32],
}

/// What an operand is in one row.
enum Operand<'a> {
    Row(&'a [f32]),
    Number(f32),
    InPlace,
}

impl<'a> Operand<'a> {
    #[inline(always)]
    fn new(source: Source<'a>, stride: usize, offset: usize, length: usize) -> Self {
        match source {
            Source::InPlace => Self::InPlace,
            Source::Slice(x) if stride == 0 => Self::Number(x[offset]),
            Source::Slice(x) => Self::Row(&x[offset..][..length]),
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
        let mut rest = y;
        while !rest.is_empty() {
            let length = position.left().min(rest.len());
            let (y, after) = rest.split_at_mut(length);
            let [a_offset, b_offset] = position.offsets();
            let a = Operand::new(a, a_stride, a_offset, length);
            let b = Operand::new(b, b_stride, b_offset, length);
            match (a, b) {
                (Operand::Row(a), Operand::Row(b)) => slices::map2(isa, f, a, b, y),
                (Operand::Row(a), Operand::Number(b)) => slices::map(isa, WithSecond { f, b }, a, y),
                (Operand::Row(a), Operand::InPlace) => slices::map2_in_place(isa, Swapped { f }, y, a),
                (Operand::Number(a), Operand::Row(b)) => slices::map(isa, WithFirst { f, a }, b, y),
                (Operand::Number(a), Operand::Number(b)) => {
                    y.fill(b);
                    slices::map_in_place(isa, WithFirst { f, a }, y);
                }
                (Operand::Number(a), Operand::InPlace) => slices::map_in_place(isa, WithFirst { f, a }, y),
                (Operand::InPlace, Operand::Row(b)) => slices::map2_in_place(isa, f, y, b),
                (Operand::InPlace, Operand::Number(b)) => slices::map_in_place(isa, WithSecond { f, b }, y),
                (Operand::InPlace, Operand::InPlace) => slices::map_in_place(isa, Twice { f }, y),
            }
            position.next_row();
            rest = after;
        }
    }
}

/// `f(a, x)`
#[derive(Clone, Copy)]
struct WithFirst<F> {
    f: F,
    a: f32,
}

impl<F: BinaryFunction> UnaryFunction for WithFirst<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        self.f.apply(isa, isa.splat(self.a), x)
    }
}

/// `f(x, b)`
#[derive(Clone, Copy)]
struct WithSecond<F> {
    f: F,
    b: f32,
}

impl<F: BinaryFunction> UnaryFunction for WithSecond<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        self.f.apply(isa, x, isa.splat(self.b))
    }
}

/// `f(x, x)`
#[derive(Clone, Copy)]
struct Twice<F> {
    f: F,
}

impl<F: BinaryFunction> UnaryFunction for Twice<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        self.f.apply(isa, x, x)
    }
}

/// `f(b, a)`
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
