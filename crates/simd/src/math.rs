//! Elementary functions of vectors.
//!
//! Each function states an error bound that its test holds it to, in units in the last place (ulp) of the exact result,
//! over all instruction sets; a NaN yields a NaN.

#![allow(clippy::excessive_precision, reason = "published coefficients, and constants that are exact")]

mod erf;
mod exp;
mod ln;
mod sigmoid;
mod tanh;
#[cfg(test)]
mod tests;

pub use erf::erf;
pub use exp::{exp, exp_m1, exp_term};
pub use ln::ln;
pub use sigmoid::sigmoid;
pub use tanh::tanh;

use crate::Isa;

/// Evaluates `c[0] xⁿ⁻¹ + … + c[n-1]` by Horner's rule.
#[inline(always)]
fn polynomial<I: Isa, const N: usize>(isa: I, x: I::Vector, coefficients: [f32; N]) -> I::Vector {
    let mut value = isa.splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        value = isa.mul_add(value, x, isa.splat(coefficient));
    }
    value
}
