//! The logistic function.

use super::exp;
use crate::Isa;

/// `1 / (1 + e⁻ˣ)`, within 4 ulp, down to the denormal numbers.
///
/// With `e = e⁻|ˣ|`, which cannot overflow, it is `1 / (1 + e)` above zero and `e / (1 + e)` below.
#[inline(always)]
pub fn sigmoid<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    let power = exp(isa, isa.neg(isa.abs(x)));
    let above = isa.select(isa.less_than(x, isa.zero()), power, one);
    isa.div(above, isa.add(one, power))
}
