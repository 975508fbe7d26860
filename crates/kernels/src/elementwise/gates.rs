//! Activations that weight their input by a sigmoid of it or by something like one, and whose derivative therefore needs the input.

use std::f32::consts::FRAC_1_SQRT_2;

use ocelli_simd::{BinaryFunction, Isa, UnaryFunction, math};

/// The SiLU `x s` with `s = 1 / (1 + e⁻ˣ)`.
#[derive(Clone, Copy)]
pub(super) struct Silu;

impl UnaryFunction for Silu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(x, math::sigmoid(isa, x))
    }
}

/// `dy s (1 + x (1 - s))`
impl BinaryFunction for Silu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        let one = isa.splat(1.0);
        let s = math::sigmoid(isa, x);
        let slope = isa.mul(s, isa.mul_add(x, isa.sub(one, s), one));
        isa.mul(dy, slope)
    }
}

/// The hard swish `x g / 6` with `g = min(max(x + 3, 0), 6)`.
#[derive(Clone, Copy)]
pub(super) struct HardSwish;

impl UnaryFunction for HardSwish {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        let gate = isa.min(isa.splat(6.0), isa.max(isa.zero(), isa.add(x, isa.splat(3.0))));
        isa.mul(isa.mul(x, gate), isa.splat(1.0 / 6.0))
    }
}

/// `dy (2x + 3) / 6`, but `dy` above 3 and zero below −3
impl BinaryFunction for HardSwish {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        let within = isa.mul(dy, isa.mul_add(x, isa.splat(1.0 / 3.0), isa.splat(0.5)));
        let within_or_above = isa.select(isa.less_than(isa.splat(3.0), x), dy, within);
        isa.zero_where(isa.less_than(x, isa.splat(-3.0)), within_or_above)
    }
}

/// The GELU `x Φ(x)` with `Φ(x) = (1 + erf(x / √2)) / 2`.
#[derive(Clone, Copy)]
pub(super) struct Gelu;

/// `1 / √(2π)`, the normal density at zero.
const DENSITY: f32 = 0.398_942_3;

#[inline(always)]
fn distribution<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let half = isa.splat(0.5);
    isa.mul_add(half, math::erf(isa, isa.mul(x, isa.splat(FRAC_1_SQRT_2))), half)
}

impl UnaryFunction for Gelu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(x, distribution(isa, x))
    }
}

/// `dy (Φ(x) + x φ(x))` with the normal density `φ`
impl BinaryFunction for Gelu {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        let exponent = isa.mul(isa.mul(x, x), isa.splat(-0.5));
        let density = isa.mul(isa.splat(DENSITY), math::exp(isa, exponent));
        isa.mul(dy, isa.mul_add(x, density, distribution(isa, x)))
    }
}

/// The GELU by `tanh`: `x/2 (1 + t)` with `t = tanh(C (x + K x³))`.
#[derive(Clone, Copy)]
pub(super) struct GeluTanh;

/// Factor `C = √(2/π)` of [`GeluTanh`].
const OUTER: f32 = 0.797_884_6;
/// Factor `K` of [`GeluTanh`].
const CUBIC: f32 = 0.044715;

#[inline(always)]
fn inner_tanh<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let factor = isa.mul_add(isa.mul(x, x), isa.splat(CUBIC * OUTER), isa.splat(OUTER));
    math::tanh(isa, isa.mul(x, factor))
}

impl UnaryFunction for GeluTanh {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        let half = isa.splat(0.5);
        isa.mul(x, isa.mul_add(half, inner_tanh(isa, x), half))
    }
}

/// `dy ((1 + t)/2 + x/2 (1 - t²) C (1 + 3 K x²))`
impl BinaryFunction for GeluTanh {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        let (half, one) = (isa.splat(0.5), isa.splat(1.0));
        // Beyond ten, `1 - t²` is zero; the bound keeps its factor finite, and a NaN is let through.
        let x = isa.max(isa.splat(-10.0), isa.min(isa.splat(10.0), x));
        let t = inner_tanh(isa, x);
        let rise = isa.mul_add(isa.mul(x, x), isa.splat(3.0 * CUBIC * OUTER), isa.splat(OUTER));
        let curve = isa.mul(isa.mul(half, x), isa.mul(isa.neg_mul_add(t, t, one), rise));
        isa.mul(dy, isa.add(isa.mul_add(half, t, half), curve))
    }
}

/// Mish, `x t` with `t = tanh(ln(1 + e))` and `e = eˣ`. This is `n / (n + 2)` with `n = e (e + 2)`, which needs one exponential
/// and cancels nowhere; above 20 it rounds to 1.
#[derive(Clone, Copy)]
pub(super) struct Mish;

/// Returns `e` and `n`.
#[inline(always)]
fn exponentials<I: Isa>(isa: I, x: I::Vector) -> [I::Vector; 2] {
    let e = math::exp(isa, x);
    [e, isa.mul(e, isa.add(e, isa.splat(2.0)))]
}

impl UnaryFunction for Mish {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        let [_, n] = exponentials(isa, isa.min(isa.splat(20.0), x));
        isa.mul(x, isa.div(n, isa.add(n, isa.splat(2.0))))
    }
}

/// `dy (t + x d)` with `d = 4 e (e + 1) / (n + 2)²`
impl BinaryFunction for Mish {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        // The bound keeps the second term near zero, and a NaN is let through.
        let x = isa.min(isa.splat(20.0), x);
        let [e, n] = exponentials(isa, x);
        let sum = isa.add(n, isa.splat(2.0));
        let two_parts = isa.div(isa.splat(2.0), sum);
        let d = isa.mul(isa.mul(e, two_parts), isa.mul(isa.add(e, isa.splat(1.0)), two_parts));
        isa.mul(dy, isa.mul_add(x, d, isa.div(n, sum)))
    }
}
