//! The error function.

use super::{exp_term, polynomial};
use crate::Isa;

/// Largest `|x|` for the polynomial; beyond, `erf` is computed from the exponential of another one.
const POLYNOMIAL: f32 = 0.927_734_4;

/// Computes `erf x = 2/√π ∫₀ˣ exp(-t²) dt`, within 3 ulp, near zero too.
///
/// Near zero it is `x + x P(x²)`; elsewhere `1 - exp(Q(|x|))`, where `Q` fits `ln erfc`.
#[inline(always)]
pub fn erf<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let size = isa.abs(x);
    let exponent = polynomial(
        isa,
        size,
        [
            -1.728_534_7e-5,
            3.831_971_3e-4,
            -3.883_964_4e-3,
            2.425_462_2e-2,
            -1.067_778_8e-1,
            -6.348_466_9e-1,
            -1.287_175_1e-1,
        ],
    );
    let exponent = isa.mul_add(exponent, size, isa.neg(size));
    let far = isa.sub(isa.splat(1.0), exp_term(isa, exponent));
    let far = isa.with_sign(far, x);

    let near = polynomial(
        isa,
        isa.mul(x, x),
        [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_66e-1],
    );
    let near = isa.mul_add(near, x, x);
    isa.select(isa.less_than(size, isa.splat(POLYNOMIAL)), near, far)
}
