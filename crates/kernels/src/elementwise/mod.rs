//! Functions of one number, applied to every element: activations and arithmetic, forward and backward.
//!
//! An operation's backward pass needs its input, its output or neither; [`Unary::keeps`] says which. Where both would
//! do it is the output, which the next layer keeps alive anyway.

mod activations;
mod arithmetic;
pub(crate) mod chunks;
mod gates;
mod reference;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use ocelli_simd::{BinaryFunction, InstructionSet, Isa, Kernel, UnaryFunction, dispatch_on, slices};

use activations::*;
use arithmetic::*;
use chunks::in_pieces;
use gates::*;
pub use reference::{derivative, value};

/// Where an element-wise kernel reads an operand.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Another slice.
    Slice(&'a [f32]),
    /// The destination itself, which is overwritten.
    InPlace,
}

impl<'a> Source<'a> {
    /// The `length` elements from `start` on.
    #[inline]
    pub(crate) fn part(self, start: usize, length: usize) -> Self {
        match self {
            Source::Slice(x) => Source::Slice(&x[start..][..length]),
            Source::InPlace => Source::InPlace,
        }
    }

    /// Asserts the invariant that callers check shapes: a slice has `length` elements.
    #[inline]
    pub(crate) fn expect_length(self, length: usize) {
        if let Source::Slice(x) = self {
            assert_eq!(x.len(), length, "the source of an element-wise kernel has its destination's length");
        }
    }
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `tanh x`
    Tanh,
    /// `1.7159 tanh(2x / 3)`, the squashing function of LeNet-5 (LeCun et al. 1998, appendix A).
    ScaledTanh,
    /// `x` above zero, else zero; NaN stays NaN.
    Relu,
    /// `x` above zero, else this slope times `x` (Maas et al. 2013).
    LeakyRelu(f32),
    /// `x` above zero, else this `α (eˣ - 1)` (Clevert et al. 2016).
    Elu(f32),
    /// `x / (1 + e⁻ˣ)` (Elfwing et al. 2018).
    Silu,
    /// `x Φ(x)` with the normal distribution function `Φ` by the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The approximation `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))` of [`Gelu`](Self::Gelu).
    GeluTanh,
    /// `x²`
    Square,
    /// `√x`
    Sqrt,
    /// `|x|`, with derivative zero at zero.
    Abs,
    /// `eˣ`
    Exp,
    /// `ln x`
    Ln,
    /// This factor times `x`.
    Scale(f32),
    /// `x` plus this.
    Shift(f32),
    /// `1 / x`
    Reciprocal,
}

/// What the backward pass of an operation reads besides the gradient of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The operation's input.
    Input,
    /// The operation's output.
    Output,
    /// Neither.
    Nothing,
}

impl Unary {
    /// What [`unary_backward`] must be given.
    pub fn keeps(self) -> Keeps {
        match self {
            Self::Sigmoid | Self::Tanh | Self::ScaledTanh | Self::Relu => Keeps::Output,
            // The sign of the output tells the branch only if the function does not change it.
            Self::LeakyRelu(slope) if slope >= 0.0 => Keeps::Output,
            Self::Elu(alpha) if alpha >= 0.0 => Keeps::Output,
            Self::Sqrt | Self::Exp | Self::Reciprocal => Keeps::Output,
            Self::LeakyRelu(_) | Self::Elu(_) => Keeps::Input,
            Self::Silu | Self::Gelu | Self::GeluTanh | Self::Square | Self::Abs | Self::Ln => Keeps::Input,
            Self::Scale(_) | Self::Shift(_) => Keeps::Nothing,
        }
    }
}

/// `y[i] = op(x[i])`
pub fn unary(op: Unary, x: Source<'_>, y: &mut [f32]) {
    match op {
        Unary::Sigmoid => map(Sigmoid, x, y),
        Unary::Tanh => map(Tanh, x, y),
        Unary::ScaledTanh => map(ScaledTanh, x, y),
        Unary::Relu => map(Relu, x, y),
        Unary::LeakyRelu(slope) => map(LeakyRelu { slope }, x, y),
        Unary::Elu(alpha) => map(Elu { alpha }, x, y),
        Unary::Silu => map(Silu, x, y),
        Unary::Gelu => map(Gelu, x, y),
        Unary::GeluTanh => map(GeluTanh, x, y),
        Unary::Square => map(Square, x, y),
        Unary::Sqrt => map(Sqrt, x, y),
        Unary::Abs => map(Abs, x, y),
        Unary::Exp => map(Exp, x, y),
        Unary::Ln => map(Ln, x, y),
        Unary::Scale(factor) => map(Scale { factor }, x, y),
        Unary::Shift(term) => map(Shift { term }, x, y),
        Unary::Reciprocal => map(Reciprocal, x, y),
    }
}

/// `dx[i] = dy[i] · op′(…)`, where `kept` holds what [`Unary::keeps`] names (and is not read if that is nothing).
pub fn unary_backward(op: Unary, kept: &[f32], dy: Source<'_>, dx: &mut [f32]) {
    match op {
        Unary::Sigmoid => map_backward(Sigmoid, kept, dy, dx),
        Unary::Tanh => map_backward(Tanh, kept, dy, dx),
        Unary::ScaledTanh => map_backward(ScaledTanh, kept, dy, dx),
        Unary::Relu => map_backward(Relu, kept, dy, dx),
        Unary::LeakyRelu(slope) => map_backward(LeakyRelu { slope }, kept, dy, dx),
        Unary::Elu(alpha) if alpha >= 0.0 => map_backward(Elu { alpha }, kept, dy, dx),
        Unary::Elu(alpha) => map_backward(EluOfInput { alpha }, kept, dy, dx),
        Unary::Silu => map_backward(Silu, kept, dy, dx),
        Unary::Gelu => map_backward(Gelu, kept, dy, dx),
        Unary::GeluTanh => map_backward(GeluTanh, kept, dy, dx),
        Unary::Square => map_backward(Square, kept, dy, dx),
        Unary::Sqrt => map_backward(Sqrt, kept, dy, dx),
        Unary::Abs => map_backward(Abs, kept, dy, dx),
        Unary::Exp => map_backward(Exp, kept, dy, dx),
        Unary::Ln => map_backward(Ln, kept, dy, dx),
        Unary::Reciprocal => map_backward(Reciprocal, kept, dy, dx),
        Unary::Scale(factor) => map(Scale { factor }, dy, dx),
        Unary::Shift(_) => match dy {
            Source::Slice(dy) => dx.copy_from_slice(dy),
            Source::InPlace => {}
        },
    }
}

/// `y = f(x)` over a piece of the work.
struct Map<'a, F> {
    f: F,
    x: Source<'a>,
    y: &'a mut [f32],
}

impl<F: UnaryFunction> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        match self.x {
            Source::Slice(x) => slices::map(isa, self.f, x, self.y),
            Source::InPlace => slices::map_in_place(isa, self.f, self.y),
        }
    }
}

/// `y = f(a, b)` over a piece of the work.
struct Map2<'a, F> {
    f: F,
    a: Source<'a>,
    b: &'a [f32],
    y: &'a mut [f32],
}

impl<F: BinaryFunction> Kernel for Map2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        match self.a {
            Source::Slice(a) => slices::map2(isa, self.f, a, self.b, self.y),
            Source::InPlace => slices::map2_in_place(isa, self.f, self.y, self.b),
        }
    }
}

fn map<F: UnaryFunction + Sync>(f: F, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    let set = InstructionSet::current();
    in_pieces(y, chunks::CHUNK, |start, y| {
        dispatch_on(set, Map { f, x: x.part(start, y.len()), y });
    });
}

/// A derivative is a function of the gradient and of what was kept, in this order.
fn map_backward<F: BinaryFunction + Sync>(f: F, kept: &[f32], dy: Source<'_>, dx: &mut [f32]) {
    dy.expect_length(dx.len());
    assert_eq!(kept.len(), dx.len(), "what was kept for backward has the gradient's length");
    let set = InstructionSet::current();
    in_pieces(dx, chunks::CHUNK, |start, dx| {
        let kept = &kept[start..][..dx.len()];
        dispatch_on(set, Map2 { f, a: dy.part(start, dx.len()), b: kept, y: dx });
    });
}
