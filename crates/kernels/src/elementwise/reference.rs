//! The definition of the operations in `f64`, for tests.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::Unary;
use super::activations::{AMPLITUDE, SLOPE};

/// Returns the value of an operation at `x`.
pub fn value(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Tanh => x.tanh(),
        Unary::ScaledTanh => f64::from(AMPLITUDE) * (f64::from(SLOPE) * x).tanh(),
        Unary::Relu if x <= 0.0 => 0.0,
        Unary::Relu => x,
        Unary::LeakyRelu(_) | Unary::Elu(_) if x > 0.0 => x,
        Unary::LeakyRelu(slope) => f64::from(slope) * x,
        Unary::Elu(alpha) => f64::from(alpha) * x.exp_m1(),
        Unary::Silu => x / (1.0 + (-x).exp()),
        Unary::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Unary::Gelu => x * normal_distribution(x),
        Unary::GeluTanh => 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        Unary::Mish => x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh(),
        Unary::Square => x * x,
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Ln => x.ln(),
        Unary::Scale(factor) => f64::from(factor) * x,
        Unary::Shift(term) => f64::from(term) + x,
        Unary::Reciprocal => 1.0 / x,
    }
}

/// Returns the derivative of an operation at `x`, by a central difference of fourth order; wrong near kinks.
pub fn derivative(op: Unary, x: f64) -> f64 {
    let step = 1e-3 * x.abs().clamp(0.01, 1.0);
    let difference = |h: f64| (value(op, x + h) - value(op, x - h)) / (2.0 * h);
    (4.0 * difference(step / 2.0) - difference(step)) / 3.0
}

/// Returns `Φ(x) = 1/2 + 1/2 erf(x / √2)`, with `erf` by its series whose terms have one sign.
fn normal_distribution(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if z.abs() > 6.0 {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut n) = (z, z, 0.0);
    while term.abs() > sum.abs() * 1e-17 {
        n += 1.0;
        term *= 2.0 * z * z / (2.0 * n + 1.0);
        sum += term;
    }
    0.5 + 0.5 * FRAC_2_SQRT_PI * (-z * z).exp() * sum
}
