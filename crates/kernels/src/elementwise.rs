//! Functions of one value, applied to every element: activations and arithmetic, forward and backward.
//!
//! An operation's backward pass needs its input, its output or neither; [`Unary::keeps`] says which. Where both would
//! do it is the output, which the next layer keeps alive anyway.

mod activations;
mod arithmetic;
pub(crate) mod chunks;
mod clamp;
mod gates;
mod reference;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use ocelli_simd::Source;
use ocelli_simd::{BinaryFunction, InstructionSet, Isa, Kernel, Stores, UnaryFunction, dispatch_on, slices};

use crate::stores::stores_beside;
use activations::*;
use arithmetic::*;
use chunks::{CHUNK, in_pieces};
pub use clamp::{Bounds, clamp, clamp_backward};
use gates::*;
pub use reference::{derivative, value};

/// A function of one value.
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
    /// `x min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, section 5.2), with derivative 0 below −3 and 1 above 3.
    HardSwish,
    /// `x Φ(x)` with the normal distribution function `Φ` by the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The approximation `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))` of [`Gelu`](Self::Gelu).
    GeluTanh,
    /// `x tanh(ln(1 + eˣ))` (Misra 2019).
    Mish,
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
    /// `x` plus this term.
    Shift(f32),
    /// `1 / x`
    Reciprocal,
}

/// Tensor that the backward pass of an operation reads besides the gradient of its output.
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
    /// Returns the tensor that [`unary_backward`] must be given.
    pub fn keeps(self) -> Keeps {
        match self {
            Self::Sigmoid | Self::Tanh | Self::ScaledTanh | Self::Relu => Keeps::Output,
            // The sign of the output tells the branch only if the function does not change it.
            Self::LeakyRelu(slope) if slope >= 0.0 => Keeps::Output,
            Self::Elu(alpha) if alpha >= 0.0 => Keeps::Output,
            Self::Sqrt | Self::Exp | Self::Reciprocal => Keeps::Output,
            Self::LeakyRelu(_) | Self::Elu(_) => Keeps::Input,
            Self::Silu | Self::HardSwish | Self::Gelu | Self::GeluTanh | Self::Mish => Keeps::Input,
            Self::Square | Self::Abs | Self::Ln => Keeps::Input,
            Self::Scale(_) | Self::Shift(_) => Keeps::Nothing,
        }
    }
}

/// Computes `y[i] = op(x[i])`.
pub fn unary(op: Unary, x: Source<'_>, y: &mut [f32]) {
    match op {
        Unary::Sigmoid => map(Sigmoid, x, y),
        Unary::Tanh => map(Tanh, x, y),
        Unary::ScaledTanh => map(ScaledTanh, x, y),
        Unary::Relu => map(Relu, x, y),
        Unary::LeakyRelu(slope) => map(LeakyRelu { slope }, x, y),
        Unary::Elu(alpha) => map(Elu { alpha }, x, y),
        Unary::Silu => map(Silu, x, y),
        Unary::HardSwish => map(HardSwish, x, y),
        Unary::Gelu => map(Gelu, x, y),
        Unary::GeluTanh => map(GeluTanh, x, y),
        Unary::Mish => map(Mish, x, y),
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

/// Computes `dx[i] = dy[i] · op′(…)`, where `kept` is the tensor that [`Unary::keeps`] names (and is not read if that
/// is nothing).
pub fn unary_backward(op: Unary, kept: &[f32], dy: Source<'_>, dx: &mut [f32]) {
    match op {
        Unary::Sigmoid => map2(Sigmoid, dy, kept, dx),
        Unary::Tanh => map2(Tanh, dy, kept, dx),
        Unary::ScaledTanh => map2(ScaledTanh, dy, kept, dx),
        Unary::Relu => map2(Relu, dy, kept, dx),
        Unary::LeakyRelu(slope) => map2(LeakyRelu { slope }, dy, kept, dx),
        Unary::Elu(alpha) if alpha >= 0.0 => map2(Elu { alpha }, dy, kept, dx),
        Unary::Elu(alpha) => map2(EluOfInput { alpha }, dy, kept, dx),
        Unary::Silu => map2(Silu, dy, kept, dx),
        Unary::HardSwish => map2(HardSwish, dy, kept, dx),
        Unary::Gelu => map2(Gelu, dy, kept, dx),
        Unary::GeluTanh => map2(GeluTanh, dy, kept, dx),
        Unary::Mish => map2(Mish, dy, kept, dx),
        Unary::Square => map2(Square, dy, kept, dx),
        Unary::Sqrt => map2(Sqrt, dy, kept, dx),
        Unary::Abs => map2(Abs, dy, kept, dx),
        Unary::Exp => map2(Exp, dy, kept, dx),
        Unary::Ln => map2(Ln, dy, kept, dx),
        Unary::Reciprocal => map2(Reciprocal, dy, kept, dx),
        Unary::Scale(factor) => map(Scale { factor }, dy, dx),
        Unary::Shift(_) => match dy {
            Source::Slice(dy) => dx.copy_from_slice(dy),
            Source::InPlace => {}
        },
    }
}

/// Computes `y = f(x)` over a piece of the work.
pub(crate) struct Map<'a, F> {
    pub f: F,
    pub x: Source<'a>,
    pub y: &'a mut [f32],
    pub stores: Stores,
}

impl<F: UnaryFunction> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        slices::map(isa, self.f, self.x, self.y, self.stores);
    }
}

/// Computes `y = f(a, b)` over a piece of the work.
pub(crate) struct Map2<'a, F> {
    pub f: F,
    pub operands: [Source<'a>; 2],
    pub y: &'a mut [f32],
    pub stores: Stores,
}

impl<F: BinaryFunction> Kernel for Map2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        slices::map2(isa, self.f, self.operands, self.y, self.stores);
    }
}

/// Computes `y = f(x)`.
fn map<F: UnaryFunction + Sync>(f: F, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    let (set, stores) = (InstructionSet::current(), stores_beside(&[x], y, CHUNK));
    in_pieces(y, CHUNK, |start, y| {
        dispatch_on(set, Map { f, x: x.part(start, y.len()), y, stores });
    });
}

/// Computes `y = f(a, b)`; a derivative is a function of the gradient and of the kept tensor, in this order.
fn map2<F: BinaryFunction + Sync>(f: F, a: Source<'_>, b: &[f32], y: &mut [f32]) {
    let set = InstructionSet::current();
    a.expect_length(y.len());
    assert_eq!(b.len(), y.len(), "the second source of an element-wise kernel has its destination's length");
    let stores = stores_beside(&[a], y, CHUNK);
    in_pieces(y, CHUNK, |start, y| {
        let operands = [a, Source::Slice(b)].map(|operand| operand.part(start, y.len()));
        dispatch_on(set, Map2 { f, operands, y, stores });
    });
}
