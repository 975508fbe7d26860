//! The exponential function.

use super::polynomial;
use crate::Isa;

/// Argument below which `eˣ` is less than half the smallest subnormal number.
const LOWEST: f32 = -104.0;
/// Argument above which `eˣ` is infinite.
const HIGHEST: f32 = 89.0;
/// `-127 ln 2`, at and below which [`exp_term`] is zero: a scale of `2⁻¹²⁷` is zero, as it is no normal number.
const VANISHING: f32 = -88.029_69;
/// High part of `ln 2`, with few enough bits for exact products with integers below 2⁸.
const LN_2_HIGH: f32 = 0.693_359_375;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Computes `eˣ`, within 2 ulp; underflows through the subnormal numbers to zero and overflows to infinity.
///
/// `x = n ln 2 + r` with an integer `n`, so `eˣ = 2ⁿ eʳ`; `reduced` has the polynomial for `eʳ`.
#[inline(always)]
pub fn exp<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    // The order of operands lets a NaN through.
    let x = isa.min(isa.splat(HIGHEST), isa.max(isa.splat(LOWEST), x));
    let (n, power) = reduced(isa, x);
    isa.mul_pow2(isa.add(power, isa.splat(1.0)), n)
}

/// Computes `eˣ` for `x <= 88`, within 2 ulp, and zero where it is less than 0.7 of the smallest normal number: for
/// terms of a sum with larger ones, at two thirds of the operations of [`exp`].
#[inline(always)]
pub fn exp_term<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let (n, power) = reduced(isa, isa.max(isa.splat(VANISHING), x));
    let scale = isa.pow2i(n);
    isa.mul_add(power, scale, scale)
}

/// Computes `eˣ - 1`, within 3 ulp, near zero too.
///
/// With `eʳ - 1 = p` it is `2ⁿ p + (2ⁿ - 1)`; half of it is computed and doubled, because `2¹²⁸` is no `f32`.
#[inline(always)]
pub fn exp_m1<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    // Below -25 the result is -1.
    let x = isa.min(isa.splat(HIGHEST), isa.max(isa.splat(-25.0), x));
    let (n, power) = reduced(isa, x);
    let scale = isa.pow2i(isa.sub(n, isa.splat(1.0)));
    let half = isa.mul_add(power, scale, isa.sub(scale, isa.splat(0.5)));
    isa.add(half, half)
}

/// Returns `(n, eʳ - 1)` with `x = n ln 2 + r`, for `x` within the limits above.
///
/// `eʳ - 1 = r + r² T(r)`, where `T` is the minimax polynomial for the relative error of the sum, 2 · 10⁻⁸.
#[inline(always)]
pub(super) fn reduced<I: Isa>(isa: I, x: I::Vector) -> (I::Vector, I::Vector) {
    let n = isa.round(isa.mul(x, isa.splat(std::f32::consts::LOG2_E)));
    let r = isa.neg_mul_add(n, isa.splat(LN_2_HIGH), x);
    let r = isa.neg_mul_add(n, isa.splat(LN_2_LOW), r);
    let tail = polynomial(isa, r, [1.394_649_6e-3, 8.366_611e-3, 4.166_628e-2, 1.666_654_3e-1, 5.0e-1]);
    (n, isa.mul_add(isa.mul(r, r), tail, r))
}
