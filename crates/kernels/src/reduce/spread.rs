//! The adjoint of a sum: every element gets the value that it contributed to.

use ocelli_simd::{InstructionSet, Isa, Kernel, Source, Stores, UnaryFunction, dispatch_on, slices};

use super::Reduction;
use crate::Accumulate;
use crate::broadcast::{MAX_RANK, Walk};
use crate::elementwise::chunks::{CHUNK, in_pieces};

/// Computes `y[i] (+)= scale · x[j]`, where `j` is the element that [`sum`](super::sum) adds element `i` to.
pub fn spread(g: &Reduction, x: &[f32], y: &mut [f32], scale: f32, accumulate: Accumulate) {
    assert_eq!(x.len(), g.reduced_length, "the source has the reduced length");
    assert_eq!(y.len(), g.length, "the destination has the full length");
    let mut dims = [1; MAX_RANK];
    let mut strides = [0; MAX_RANK];
    for (i, axis) in g.axes().iter().enumerate() {
        dims[i] = axis.size;
        strides[i] = axis.kept.unwrap_or(0);
    }
    let walk = Walk::new(&dims[..g.rank], [strides]);
    let set = InstructionSet::current();
    let row = walk.row().max(1);
    let piece = if row < CHUNK { CHUNK / row * row } else { CHUNK };
    in_pieces(y, piece, |start, y| dispatch_on(set, Spread { walk: &walk, x, start, y, scale, accumulate }));
}

struct Spread<'a> {
    walk: &'a Walk<1>,
    x: &'a [f32],
    start: usize,
    y: &'a mut [f32],
    scale: f32,
    accumulate: Accumulate,
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let [stride] = self.walk.row_strides();
        let mut position = self.walk.at(self.start);
        let mut rest = self.y;
        while !rest.is_empty() {
            let length = position.left().min(rest.len());
            let (y, after) = rest.split_at_mut(length);
            let [offset] = position.offsets();
            if stride == 0 {
                let value = self.scale * self.x[offset];
                match self.accumulate {
                    Accumulate::Set => y.fill(value),
                    Accumulate::Add => slices::map(isa, Plus { value }, Source::InPlace, y, Stores::Regular),
                }
            } else {
                let (x, scale) = (Source::Slice(&self.x[offset..][..length]), self.scale);
                match self.accumulate {
                    Accumulate::Set => slices::map(isa, Times { scale }, x, y, Stores::Regular),
                    Accumulate::Add => {
                        let operands = [Source::InPlace, x];
                        slices::map2(isa, PlusTimes { scale }, operands, y, Stores::Regular);
                    }
                }
            }
            position.next_row();
            rest = after;
        }
    }
}

/// Computes `y + value`.
#[derive(Clone, Copy)]
struct Plus {
    value: f32,
}

impl UnaryFunction for Plus {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, y: I::Vector) -> I::Vector {
        isa.add(y, isa.splat(self.value))
    }
}

/// Computes `scale x`.
#[derive(Clone, Copy)]
struct Times {
    scale: f32,
}

impl UnaryFunction for Times {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(x, isa.splat(self.scale))
    }
}

/// Computes `y + scale x`.
#[derive(Clone, Copy)]
struct PlusTimes {
    scale: f32,
}

impl ocelli_simd::BinaryFunction for PlusTimes {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, y: I::Vector, x: I::Vector) -> I::Vector {
        isa.mul_add(x, isa.splat(self.scale), y)
    }
}
