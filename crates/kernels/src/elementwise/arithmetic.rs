//! Arithmetic on one value.

use ocelli_simd::{BinaryFunction, Isa, UnaryFunction, math};

/// Defines operations by their value at `x` and their derivative from `dy` and the kept tensor.
macro_rules! operations {
    ($($name:ident: |$isa:ident, $x:ident| $value:expr, |$dy:ident, $kept:ident| $gradient:expr;)+) => {
        $(
            #[derive(Clone, Copy)]
            pub(super) struct $name;

            impl UnaryFunction for $name {
                #[inline(always)]
                fn apply<I: Isa>(self, $isa: I, $x: I::Vector) -> I::Vector {
                    $value
                }
            }

            impl BinaryFunction for $name {
                #[inline(always)]
                fn apply<I: Isa>(self, $isa: I, $dy: I::Vector, $kept: I::Vector) -> I::Vector {
                    $gradient
                }
            }
        )+
    };
}

operations! {
    Square: |isa, x| isa.mul(x, x), |dy, x| isa.mul(dy, isa.add(x, x));
    Sqrt: |isa, x| isa.sqrt(x), |dy, y| isa.div(dy, isa.add(y, y));
    Abs: |isa, x| isa.abs(x), |dy, x| {
        let signed = isa.select(isa.less_than(x, isa.zero()), isa.neg(dy), dy);
        isa.select(isa.equal(x, isa.zero()), isa.zero(), signed)
    };
    Exp: |isa, x| math::exp(isa, x), |dy, y| isa.mul(dy, y);
    Ln: |isa, x| math::ln(isa, x), |dy, x| isa.div(dy, x);
    Reciprocal: |isa, x| isa.div(isa.splat(1.0), x), |dy, y| isa.neg(isa.mul(dy, isa.mul(y, y)));
}

/// The product `factor x`, which is its own derivative.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub factor: f32,
}

impl UnaryFunction for Scale {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(isa.splat(self.factor), x)
    }
}

/// The sum `x + term`.
#[derive(Clone, Copy)]
pub(super) struct Shift {
    pub term: f32,
}

impl UnaryFunction for Shift {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.add(x, isa.splat(self.term))
    }
}
