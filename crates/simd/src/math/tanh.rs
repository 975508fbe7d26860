//! The hyperbolic tangent.

use super::exp::reduced;
use crate::Isa;

/// Least `x` whose `tanh` is taken as 1; the double of it is far from where its exponential overflows.
const SATURATED: f32 = 10.0;

/// Computes `tanh x`, within 2.6 ulp, near zero too.
///
/// With `t = e²ˣ - 1`, which near zero has a small relative error, it is `t / (t + 2)`, taken at `|x|` so that `t` is
/// large where the result is near 1, and its error vanishes in the quotient.
#[inline(always)]
pub fn tanh<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    // The order of operands lets a NaN through.
    let size = isa.min(isa.splat(SATURATED), isa.abs(x));
    let (n, power) = reduced(isa, isa.add(size, size));
    let scale = isa.pow2i(n);
    let t = isa.mul_add(power, scale, isa.sub(scale, isa.splat(1.0)));
    isa.with_sign(isa.div(t, isa.add(t, isa.splat(2.0))), x)
}
