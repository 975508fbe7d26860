//! Activations whose derivative is a function of their output: the sigmoids and the rectifiers.

use ocelli_simd::{BinaryFunction, Isa, UnaryFunction, math};

/// The logistic function `1 / (1 + e⁻ˣ)`.
#[derive(Clone, Copy)]
pub(super) struct Sigmoid;

impl UnaryFunction for Sigmoid {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        math::sigmoid(isa, x)
    }
}

/// `dy y (1 - y)`
impl BinaryFunction for Sigmoid {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, y: I::Vector) -> I::Vector {
        isa.mul(dy, isa.neg_mul_add(y, y, y))
    }
}

/// The hyperbolic tangent `tanh x`.
#[derive(Clone, Copy)]
pub(super) struct Tanh;

impl UnaryFunction for Tanh {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        math::tanh(isa, x)
    }
}

/// `dy (1 - y²)`
impl BinaryFunction for Tanh {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, y: I::Vector) -> I::Vector {
        isa.mul(dy, isa.neg_mul_add(y, y, isa.splat(1.0)))
    }
}

/// The scaled hyperbolic tangent `A tanh(S x)`.
#[derive(Clone, Copy)]
pub(super) struct ScaledTanh;

/// Amplitude `A` of [`ScaledTanh`].
pub(super) const AMPLITUDE: f32 = 1.7159;
/// Slope `S` of [`ScaledTanh`] at the origin, over the amplitude.
pub(super) const SLOPE: f32 = 2.0 / 3.0;

impl UnaryFunction for ScaledTanh {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(isa.splat(AMPLITUDE), math::tanh(isa, isa.mul(isa.splat(SLOPE), x)))
    }
}

/// `dy A S (1 - (y / A)²) = dy (A S - S / A y²)`
impl BinaryFunction for ScaledTanh {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, y: I::Vector) -> I::Vector {
        let slope = isa.neg_mul_add(isa.mul(y, y), isa.splat(SLOPE / AMPLITUDE), isa.splat(AMPLITUDE * SLOPE));
        isa.mul(dy, slope)
    }
}

/// The rectifier `max(0, x)`.
#[derive(Clone, Copy)]
pub(super) struct Relu;

impl UnaryFunction for Relu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        // The second operand is the one whose NaN stays.
        isa.max(isa.zero(), x)
    }
}

/// `dy` where `y > 0`, or is NaN
impl BinaryFunction for Relu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, y: I::Vector) -> I::Vector {
        isa.zero_where(isa.less_or_equal(y, isa.zero()), dy)
    }
}

/// The leaky rectifier: `x` above zero, else `slope x`.
#[derive(Clone, Copy)]
pub(super) struct LeakyRelu {
    pub slope: f32,
}

impl UnaryFunction for LeakyRelu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.select(isa.less_than(isa.zero(), x), x, isa.mul(isa.splat(self.slope), x))
    }
}

/// `dy` where what was kept is above zero, else `slope dy`; input and output have one sign if the slope is positive.
impl BinaryFunction for LeakyRelu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, kept: I::Vector) -> I::Vector {
        isa.select(isa.less_than(isa.zero(), kept), dy, isa.mul(isa.splat(self.slope), dy))
    }
}

/// The exponential linear unit: `x` above zero, else `alpha (eˣ - 1)`.
#[derive(Clone, Copy)]
pub(super) struct Elu {
    pub alpha: f32,
}

impl UnaryFunction for Elu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        let below = isa.mul(isa.splat(self.alpha), math::exp_m1(isa, x));
        isa.select(isa.less_than(isa.zero(), x), x, below)
    }
}

/// `dy` where `y > 0`, else `dy (y + alpha)`
impl BinaryFunction for Elu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, y: I::Vector) -> I::Vector {
        let below = isa.mul(dy, isa.add(y, isa.splat(self.alpha)));
        isa.select(isa.less_than(isa.zero(), y), dy, below)
    }
}

/// The derivative of [`Elu`] for a negative `alpha`, whose output does not tell the sign of the input.
#[derive(Clone, Copy)]
pub(super) struct EluOfInput {
    pub alpha: f32,
}

/// `dy` where `x > 0`, else `dy alpha eˣ`
impl BinaryFunction for EluOfInput {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        let below = isa.mul(dy, isa.mul(isa.splat(self.alpha), math::exp(isa, x)));
        isa.select(isa.less_than(isa.zero(), x), dy, below)
    }
}
