//! The hyperbolic tangent.

use super::{exp, polynomial};
use crate::Isa;

/// Up to here a polynomial serves; beyond, the exponential.
const POLYNOMIAL: f32 = 0.625;

/// `tanh x`, within 3 ulp, near zero too.
///
/// As in Cephes' `tanhf`: `x + x³ P(x²)` near zero, `1 - 2 / (e²ˣ + 1)` elsewhere.
#[inline(always)]
pub fn tanh<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    let size = isa.abs(x);
    let power = exp(isa, isa.add(size, size));
    let far = isa.sub(one, isa.div(isa.splat(2.0), isa.add(power, one)));
    let far = isa.with_sign(far, x);

    let square = isa.mul(x, x);
    let near =
        polynomial(isa, square, [-5.704_988_7e-3, 2.063_908_9e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328_2e-1]);
    let near = isa.mul_add(isa.mul(near, square), x, x);
    isa.select(isa.less_than(size, isa.splat(POLYNOMIAL)), near, far)
}
