//! The vector functions against `f64`, over all magnitudes, on every instruction set.

use crate::{InstructionSet, Isa, Kernel, Source, Stores, UnaryFunction, dispatch_on, slices};

/// Every 1009th bit pattern: all exponents, both signs, subnormal numbers, infinities and NaNs.
fn arguments() -> Vec<f32> {
    let special = [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN];
    let drawn = (0..=u32::MAX).step_by(1009).map(f32::from_bits);
    // The range in which functions that saturate do their work, evenly.
    let middle = (-2_000_000..=2_000_000).map(|i| i as f32 * 6.0e-5);
    special.into_iter().chain(drawn).chain(middle).collect()
}

/// Distance in units in the last place of the exact value, where subnormal numbers have the smallest unit.
fn distance(got: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if got == rounded || (got.is_nan() && exact.is_nan()) {
        return 0.0;
    }
    if got.is_nan() || exact.is_nan() || rounded.is_infinite() {
        return f64::INFINITY;
    }
    let unit = 2.0_f64.powi((exact.abs().log2().floor() as i32).max(-126) - 23);
    (f64::from(got) - exact).abs() / unit
}

struct Values<'a, F>(F, &'a [f32], &'a mut [f32]);

impl<F: UnaryFunction> Kernel for Values<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        slices::map(isa, self.0, Source::Slice(self.1), self.2, Stores::Regular);
    }
}

fn check<F: UnaryFunction>(function: F, exact: impl Fn(f64) -> f64, bound: f64) {
    check_on(&arguments(), function, exact, bound);
}

fn check_on<F: UnaryFunction>(x: &[f32], function: F, exact: impl Fn(f64) -> f64, bound: f64) {
    let mut y = vec![0.0; x.len()];
    for set in InstructionSet::available() {
        dispatch_on(set, Values(function, x, &mut y));
        let (worst, at) = x
            .iter()
            .zip(&y)
            .map(|(&x, &y)| (distance(y, exact(f64::from(x))), x))
            .fold((0.0, 0.0), |worst, here| if here.0 > worst.0 { here } else { worst });
        assert!(worst <= bound, "{set}: {worst} ulp at {at:e}");
    }
}

macro_rules! against_f64 {
    ($($name:ident, $exact:expr, $bound:expr;)+) => {
        $(
            #[test]
            fn $name() {
                #[derive(Clone, Copy)]
                struct Function;
                impl UnaryFunction for Function {
                    #[inline(always)]
                    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
                        super::$name(isa, x)
                    }
                }
                check(Function, $exact, $bound);
            }
        )+
    };
}

against_f64! {
    exp, f64::exp, 2.0;
    exp_m1, f64::exp_m1, 3.0;
    ln, f64::ln, 2.0;
    tanh, f64::tanh, 2.6;
    sigmoid, |x| if x < -88.0 { 0.0 } else { 1.0 / (1.0 + (-x).exp()) }, 2.5;
    erf, exact_erf, 3.0;
}

/// Up to 88, with zero where the scale is no normal number.
#[test]
fn exp_term() {
    #[derive(Clone, Copy)]
    struct Function;
    impl UnaryFunction for Function {
        #[inline(always)]
        fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
            super::exp_term(isa, isa.min(isa.splat(88.0), x))
        }
    }
    let smallest = 2.0_f64.powf(-126.5);
    check(
        Function,
        |x| {
            if x.exp() < smallest {
                0.0
            } else if x > 88.0 {
                88.0_f64.exp()
            } else {
                x.exp()
            }
        },
        2.0,
    );
}

/// Every number of two binades where the errors of quotients add up, and most where results are just below a power of 2.
#[test]
fn tanh_of_every_number_where_it_is_worst() {
    #[derive(Clone, Copy)]
    struct Function;
    impl UnaryFunction for Function {
        #[inline(always)]
        fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
            super::tanh(isa, x)
        }
    }
    let x: Vec<f32> = (0.05_f32.to_bits()..0.2_f32.to_bits()).map(f32::from_bits).collect();
    check_on(&x, Function, f64::tanh, 2.6);
}

/// `2/√π exp(-x²) Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!`: all terms have one sign.
fn exact_erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > sum.abs() * 1e-17 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
