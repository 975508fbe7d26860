//! The logistic function.

use super::exp_term;
use crate::Isa;

/// Argument below which the exponential would overflow, and the result is no normal number.
const LOWEST: f32 = -88.0;

/// Computes `1 / (1 + e⁻ˣ)`, within 2.5 ulp; zero below -88, where it is less than 6.1 · 10⁻³⁹.
#[inline(always)]
pub fn sigmoid<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    // The order of operands lets a NaN through.
    let power = exp_term(isa, isa.neg(isa.max(isa.splat(LOWEST), x)));
    let y = isa.div(one, isa.add(one, power));
    isa.zero_where(isa.less_than(x, isa.splat(LOWEST)), y)
}
