//! The natural logarithm.

use super::polynomial;
use crate::Isa;

/// Computes `ln x`, within 2 ulp, subnormal numbers included; `-inf` at zero and NaN below.
///
/// `x = m 2ⁿ` with `√½ <= m < √2`; `ln m` is the polynomial of Cephes' `logf` in `m - 1`.
#[inline(always)]
pub fn ln<I: Isa>(isa: I, x: I::Vector) -> I::Vector {
    let one = isa.splat(1.0);
    let denormal = isa.less_than(x, isa.splat(f32::MIN_POSITIVE));
    let normal = isa.select(denormal, isa.mul(x, isa.splat(8_388_608.0)), x);
    let (n, m) = isa.split_exponent(normal);
    let n = isa.sub(n, isa.select(denormal, isa.splat(23.0), isa.zero()));

    let large = isa.less_than(isa.splat(std::f32::consts::SQRT_2), m);
    let m = isa.select(large, isa.mul(m, isa.splat(0.5)), m);
    let n = isa.select(large, isa.add(n, one), n);

    let t = isa.sub(m, one);
    let square = isa.mul(t, t);
    let cubic = polynomial(
        isa,
        t,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_7e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let tail = isa.mul(isa.mul(cubic, t), square);
    // ln 2 in two parts, the small one first.
    let tail = isa.mul_add(n, isa.splat(-2.121_944_4e-4), tail);
    let tail = isa.neg_mul_add(isa.splat(0.5), square, tail);
    let value = isa.mul_add(n, isa.splat(0.693_359_375), isa.add(t, tail));

    let value = isa.select(isa.equal(x, isa.splat(f32::INFINITY)), x, value);
    let value = isa.select(isa.equal(x, isa.zero()), isa.splat(f32::NEG_INFINITY), value);
    // Neither below zero nor NaN: the logarithm exists.
    isa.select(isa.less_or_equal(isa.zero(), x), value, isa.splat(f32::NAN))
}
