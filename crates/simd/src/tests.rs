//! Every method, on every available instruction set, with every tail length.

use crate::slices::{copy, map, map2, map2_repeated};
use crate::{BinaryFunction, InstructionSet, Isa, Kernel, MOST_LANES, Source, Stores, UnaryFunction, dispatch_on};

/// Numbers that tell lanes, signs and roundings apart.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let special = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 8_388_607.5, -3.0e9, 1.0e-3];
    (0..count)
        .map(|i| match (i + seed) % 3 {
            0 => special[(i / 3 + seed) % special.len()],
            _ => ((i * 37 + seed * 101) % 199) as f32 * 0.173 - 17.0,
        })
        .collect()
}

/// Compares a method of a set with one of numbers, in every lane.
fn check_method<F: BinaryFunction>(method: F, expected: &dyn Fn(f32, f32) -> f32) {
    /// Whole vectors: what slices add to them is checked once, for all methods.
    struct Apply<'a, F>(F, &'a [f32], &'a [f32], &'a mut [f32]);
    impl<F: BinaryFunction> Kernel for Apply<'_, F> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Self(method, a, b, y) = self;
            for ((a, b), y) in a.chunks(I::LANES).zip(b.chunks(I::LANES)).zip(y.chunks_mut(I::LANES)) {
                isa.store(method.apply(isa, isa.load(a), isa.load(b)), y);
            }
        }
    }
    let (a, b) = (numbers(40 * MOST_LANES, 1), numbers(40 * MOST_LANES, 2));
    let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| expected(a, b)).collect();
    for set in InstructionSet::available() {
        let mut y = vec![f32::NAN; a.len()];
        dispatch_on(set, Apply(method, &a, &b, &mut y));
        assert_same(&y, &expected, &set.to_string());
    }
}

/// Runs a vector function over slices of every length up to three vectors, in place and not, past the caches and through
/// them, against one of numbers.
fn check_slices<F: BinaryFunction>(f: F, expected: fn(f32, f32) -> f32) {
    struct All<F>(F, fn(f32, f32) -> f32);
    #[derive(Clone, Copy)]
    struct WithFive<F>(F);
    impl<F: BinaryFunction> UnaryFunction for WithFive<F> {
        #[inline(always)]
        fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
            self.0.apply(isa, x, isa.splat(5.0))
        }
    }
    impl<F: BinaryFunction> Kernel for All<F> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Self(f, expected) = self;
            for length in 0..=3 * I::LANES {
                let (a, b) = (numbers(length, 1), numbers(length, 2));
                let with_b: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| expected(a, b)).collect();
                let with_five: Vec<f32> = a.iter().map(|&a| expected(a, 5.0)).collect();
                let with_itself: Vec<f32> = a.iter().map(|&a| expected(a, a)).collect();
                // Aligned to a vector, and not.
                let mut room = vec![f32::NAN; length + 2 * I::LANES + 1];
                let aligned = room.as_ptr().align_offset(I::LANES * size_of::<f32>());
                for (start, stores) in [(0, Stores::Regular), (0, Stores::NonTemporal), (1, Stores::NonTemporal)] {
                    let y = &mut room[aligned + start..][..length];
                    map2(isa, f, [Source::Slice(&a), Source::Slice(&b)], y, stores);
                    assert_same(y, &with_b, I::NAME);
                    copy(isa, &a, y, stores);
                    map2(isa, f, [Source::InPlace, Source::Slice(&b)], y, stores);
                    assert_same(y, &with_b, I::NAME);
                    copy(isa, &b, y, stores);
                    map2(isa, f, [Source::Slice(&a), Source::InPlace], y, stores);
                    assert_same(y, &with_b, I::NAME);
                    copy(isa, &a, y, stores);
                    map2(isa, f, [Source::InPlace; 2], y, stores);
                    assert_same(y, &with_itself, I::NAME);
                    map2_repeated(isa, f, [Source::Slice(&a), Source::Slice(&b)], y, stores);
                    assert_same(y, &with_b, I::NAME);
                    for row in [1, I::LANES, length / 2].into_iter().filter(|row| (1..=length).contains(row)) {
                        let over_and_over = a.iter().zip(b[..row].iter().cycle());
                        let expected: Vec<f32> = over_and_over.map(|(&a, &b)| expected(a, b)).collect();
                        map2_repeated(isa, f, [Source::Slice(&a), Source::Slice(&b[..row])], y, stores);
                        assert_same(y, &expected, I::NAME);
                        copy(isa, &a, y, stores);
                        map2_repeated(isa, f, [Source::InPlace, Source::Slice(&b[..row])], y, stores);
                        assert_same(y, &expected, I::NAME);
                    }
                    map(isa, WithFive(f), Source::Slice(&a), y, stores);
                    assert_same(y, &with_five, I::NAME);
                    copy(isa, &a, y, stores);
                    map(isa, WithFive(f), Source::InPlace, y, stores);
                    assert_same(y, &with_five, I::NAME);
                }
            }
        }
    }
    for set in InstructionSet::available() {
        dispatch_on(set, All(f, expected));
    }
}

#[track_caller]
fn assert_same(got: &[f32], expected: &[f32], name: &str) {
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let same = got == expected || (got.is_nan() && expected.is_nan());
        assert!(same, "{name}: lane {i} of {}: {got:e}, not {expected:e}", expected);
    }
}

macro_rules! methods {
    ($($name:ident: |$isa:ident, $a:ident, $b:ident| $vector:expr, $number:expr;)+) => {
        $(
            #[test]
            fn $name() {
                #[derive(Clone, Copy)]
                struct Method;
                impl BinaryFunction for Method {
                    #[inline(always)]
                    fn apply<I: Isa>(self, $isa: I, $a: I::Vector, $b: I::Vector) -> I::Vector {
                        $vector
                    }
                }
                check_method(Method, &|$a: f32, $b: f32| $number);
            }
        )+
    };
}

methods! {
    zero: |isa, _a, _b| isa.zero(), 0.0;
    splat: |isa, _a, _b| isa.splat(2.5), 2.5;
    add: |isa, a, b| isa.add(a, b), a + b;
    sub: |isa, a, b| isa.sub(a, b), a - b;
    mul: |isa, a, b| isa.mul(a, b), a * b;
    div: |isa, a, b| isa.div(a, b), a / b;
    // Products of these are exact, so that one rounding and two agree.
    mul_add: |isa, a, b| isa.mul_add(isa.splat(0.5), a, b), 0.5 * a + b;
    neg_mul_add: |isa, a, b| isa.neg_mul_add(isa.splat(0.5), a, b), b - 0.5 * a;
    min: |isa, a, b| isa.min(a, b), if a < b { a } else { b };
    max: |isa, a, b| isa.max(a, b), if a > b { a } else { b };
    min_keeps_nan: |isa, a, b| isa.min(a, isa.mul(b, isa.splat(f32::NAN))), f32::NAN + 0.0 * (a + b);
    max_keeps_nan: |isa, a, b| isa.max(a, isa.mul(b, isa.splat(f32::NAN))), f32::NAN + 0.0 * (a + b);
    abs: |isa, a, _b| isa.abs(a), a.abs();
    neg: |isa, a, _b| isa.neg(a), -a;
    upper_half: |isa, a, _b| isa.upper_half(a), f32::from_bits(a.to_bits() & 0xFFFF_0000);
    // The lower half of a constant: that of any number may be a NaN.
    lower_half: |isa, a, _b| {
        isa.mul(a, isa.lower_half(isa.splat(f32::from_bits(0x3F80_4020))))
    }, a * f32::from_bits(0x4020_0000);
    with_sign: |isa, a, b| isa.with_sign(isa.abs(a), b), a.abs().copysign(b);
    sqrt: |isa, a, _b| isa.sqrt(a), a.sqrt();
    round: |isa, a, _b| isa.round(a), a.round_ties_even();
    floor: |isa, a, _b| isa.floor(a), a.floor();
    less_than: |isa, a, b| isa.select(isa.less_than(a, b), a, isa.zero()), if a < b { a } else { 0.0 };
    less_or_equal: |isa, a, b| isa.select(isa.less_or_equal(a, b), a, isa.zero()), if a <= b { a } else { 0.0 };
    zero_where: |isa, a, b| isa.zero_where(isa.less_than(b, a), a), if b < a { 0.0 } else { a };
    equal: |isa, a, b| isa.select(isa.equal(a, isa.round(a)), a, b), if a == a.round() { a } else { b };
    mask_and: |isa, a, b| isa.select(
        isa.mask_and(isa.less_than(a, b), isa.less_than(isa.zero(), a)), a, b
    ), if a < b && 0.0 < a { a } else { b };
    mask_or: |isa, a, b| isa.select(
        isa.mask_or(isa.less_than(a, b), isa.less_than(isa.zero(), a)), a, b
    ), if a < b || 0.0 < a { a } else { b };
    mask_not: |isa, a, b| isa.select(isa.mask_not(isa.less_than(a, b)), a, b), if a < b { b } else { a };
    any: |isa, a, b| if isa.any(isa.less_than(isa.abs(a), isa.zero())) { b } else { a }, a + 0.0 * b;
    pow2i: |isa, a, b| {
        let _ = b;
        isa.pow2i(isa.round(isa.max(isa.splat(-126.0), isa.min(isa.splat(127.0), a))))
    }, { let _ = b; 2.0_f32.powi(a.round_ties_even().clamp(-126.0, 127.0) as i32) };
    mul_pow2: |isa, a, b| {
        let n = isa.max(isa.splat(-20.0), isa.min(isa.splat(20.0), isa.floor(b)));
        isa.mul_pow2(a, isa.mul(n, isa.splat(10.0)))
    }, (f64::from(a) * 2.0_f64.powi(10 * b.floor().clamp(-20.0, 20.0) as i32)) as f32;
    exponent: |isa, a, _b| isa.split_exponent(isa.add(isa.abs(a), isa.splat(1e-6))).0, f64::from(a.abs() + 1e-6).log2().floor() as f32;
    mantissa: |isa, a, b| {
        let _ = b;
        let x = isa.add(isa.abs(a), isa.splat(1e-6));
        let (exponent, mantissa) = isa.split_exponent(x);
        isa.sub(isa.mul_pow2(mantissa, exponent), x)
    }, 0.0 * (a + b);
}

/// A function whose operands cannot be exchanged.
#[test]
fn functions_of_slices() {
    #[derive(Clone, Copy)]
    struct Difference;
    impl BinaryFunction for Difference {
        #[inline(always)]
        fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector {
            isa.sub(a, b)
        }
    }
    check_slices(Difference, |a, b| a - b);
}

/// The reductions of every available set.
#[test]
fn reductions() {
    struct Reduce;
    impl Kernel for Reduce {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            for seed in 0..20 {
                let x = &numbers(I::LANES, seed)[..I::LANES];
                let mut halves = x.to_vec();
                while halves.len() > 1 {
                    let upper = halves.split_off(halves.len() / 2);
                    halves.iter_mut().zip(upper).for_each(|(low, high)| *low += high);
                }
                let v = isa.load(x);
                assert_eq!(isa.sum(v), halves[0], "{}", I::NAME);
                assert_eq!(isa.max_lane(v), x.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{}", I::NAME);
                assert_eq!(isa.min_lane(v), x.iter().copied().fold(f32::INFINITY, f32::min), "{}", I::NAME);
                assert!(isa.any(isa.equal(v, isa.splat(x[I::LANES - 1]))), "{}", I::NAME);
            }
        }
    }
    for set in InstructionSet::available() {
        dispatch_on(set, Reduce);
    }
}

/// Partial loads fill with zero; partial stores leave what lies beyond alone.
#[test]
fn partial_loads_and_stores() {
    struct Partial;
    impl Kernel for Partial {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            for count in 0..=3 * I::LANES {
                let x: Vec<f32> = (1..=count).map(|i| i as f32).collect();
                let mut all = [f32::NAN; 16];
                isa.store(isa.load_partial(&x), &mut all);
                for (i, &lane) in all[..I::LANES].iter().enumerate() {
                    assert_eq!(lane, if i < count { (i + 1) as f32 } else { 0.0 }, "{} {count}", I::NAME);
                }
                isa.store(isa.load_partial_or(&x, -1.0), &mut all);
                for (i, &lane) in all[..I::LANES].iter().enumerate() {
                    assert_eq!(lane, if i < count { (i + 1) as f32 } else { -1.0 }, "{} {count}", I::NAME);
                }
                let mut y = vec![0.0; count];
                isa.store_partial(isa.splat(7.0), &mut y);
                for (i, &lane) in y.iter().enumerate() {
                    assert_eq!(lane, if i < I::LANES { 7.0 } else { 0.0 }, "{} {count}", I::NAME);
                }
                let mut guarded = vec![1.0; count + 1];
                isa.store_partial(isa.splat(7.0), &mut guarded[..count]);
                assert_eq!(guarded[count], 1.0, "{} {count}", I::NAME);
            }
        }
    }
    for set in InstructionSet::available() {
        dispatch_on(set, Partial);
    }
}

/// Four neighbours at addresses any distance apart, and nothing behind the last of them.
#[test]
fn transposed_loads() {
    struct Transposed;
    impl Kernel for Transposed {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            for distance in [0, 1, 3, 4, 5, 16, 33, 1024] {
                let x: Vec<f32> = (0..(I::LANES - 1) * distance + 4).map(|i| i as f32).collect();
                // SAFETY: the last address is four elements before the end of `x`.
                let rows = unsafe { isa.load_transposed(x.as_ptr(), distance) };
                for (j, row) in rows.into_iter().enumerate() {
                    let mut lanes = [f32::NAN; 16];
                    isa.store(row, &mut lanes);
                    for (lane, &element) in lanes[..I::LANES].iter().enumerate() {
                        assert_eq!(element, (lane * distance + j) as f32, "{} {distance}", I::NAME);
                    }
                }
            }
        }
    }
    for set in InstructionSet::available() {
        dispatch_on(set, Transposed);
    }
}
