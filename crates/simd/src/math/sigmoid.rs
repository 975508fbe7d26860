//! The logistic function.

use super::exp_term;
use crate::Isa;

/// Below minus this the exponential would overflow.
const LARGEST: f32 = 88.0;

/// `1 / (1 + e⁻ˣ)`, within 2.5 ulp; from -88 down it stays at its value there, 6 · 10⁻³⁹.
#[inline(always)]
pub fn sigmoid<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    // The order of operands lets a NaN through.
    let power = exp_term(isa, isa.min(isa.splat(LARGEST), isa.neg(x)));
    isa.div(one, isa.add(one, power))
}
