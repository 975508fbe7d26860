//! Every operation against its definition, and its derivative against differences.

use super::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};
use super::*;

const ALL: [Unary; 23] = [
    Unary::Sigmoid,
    Unary::Tanh,
    Unary::ScaledTanh,
    Unary::Relu,
    Unary::LeakyRelu(0.01),
    Unary::LeakyRelu(0.0),
    Unary::LeakyRelu(-0.5),
    Unary::Elu(1.0),
    Unary::Elu(0.3),
    Unary::Elu(-0.7),
    Unary::Silu,
    Unary::HardSwish,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Mish,
    Unary::Square,
    Unary::Sqrt,
    Unary::Abs,
    Unary::Exp,
    Unary::Ln,
    Unary::Scale(-1.5),
    Unary::Shift(0.75),
    Unary::Reciprocal,
];

/// Arguments where the operation is defined and has no kink nearby.
fn arguments(op: Unary, length: usize) -> Vec<f32> {
    let positive = matches!(op, Unary::Sqrt | Unary::Ln);
    let away = |x: f32| if x.abs() < 0.05 { x + 0.1_f32.copysign(x) } else { x };
    numbers(length, 3).into_iter().map(|x| away(if positive { x.abs() } else { 3.0 * x })).collect()
}

fn kept(op: Unary, x: &[f32], y: &[f32]) -> Vec<f32> {
    match op.keeps() {
        Keeps::Input => x.to_vec(),
        Keeps::Output => y.to_vec(),
        Keeps::Nothing => Vec::new(),
    }
}

#[test]
fn forward_is_the_definition() {
    on_every_set(|set| {
        for op in ALL {
            for length in 0..=50 {
                let x = arguments(op, length);
                let mut y = vec![f32::NAN; length];
                unary(op, Source::Slice(&x), &mut y);
                for (&x, &y) in x.iter().zip(&y) {
                    let exact = value(op, f64::from(x));
                    // GELU's tail is a difference of close values, times `x`.
                    assert_near(y, exact, 1e-6 * exact.abs() + 2e-7 * f64::from(x.abs()), (set, op, x));
                }
                let mut in_place = x.clone();
                unary(op, Source::InPlace, &mut in_place);
                assert_eq!(in_place, y, "{set} {op:?}");
            }
        }
    });
}

#[test]
fn backward_is_the_derivative() {
    on_every_set(|set| {
        for op in ALL {
            for length in 0..=50 {
                let x = arguments(op, length);
                let mut y = x.clone();
                unary(op, Source::InPlace, &mut y);
                let kept = kept(op, &x, &y);
                let dy = numbers(length, 9);
                let mut dx = vec![f32::NAN; length];
                unary_backward(op, &kept, Source::Slice(&dy), &mut dx);
                for i in 0..length {
                    let exact = f64::from(dy[i]) * derivative(op, f64::from(x[i]));
                    assert_near(dx[i], exact, 3e-6 * (1.0 + exact.abs()), (set, op, x[i]));
                }
                let mut in_place = dy.clone();
                unary_backward(op, &kept, Source::InPlace, &mut in_place);
                assert_eq!(in_place, dx, "{set} {op:?}");
            }
        }
    });
}

#[test]
fn nan_stays_nan() {
    on_every_set(|set| {
        for op in ALL {
            let mut y = [f32::NAN; 19];
            unary(op, Source::InPlace, &mut y);
            assert!(y.iter().all(|y| y.is_nan()), "{set} {op:?}");
        }
    });
}

#[test]
fn gradients_of_large_arguments_are_finite() {
    on_every_set(|set| {
        for op in ALL {
            for x in [-3e38_f32, -1e20, -1e4, 1e4, 1e20, 3e38] {
                if matches!(op, Unary::Exp | Unary::Square | Unary::Sqrt | Unary::Ln) {
                    continue;
                }
                let mut y = [x; 3];
                unary(op, Source::InPlace, &mut y);
                let kept = kept(op, &[x; 3], &y);
                let mut dx = [1.0; 3];
                unary_backward(op, &kept, Source::InPlace, &mut dx);
                assert!(dx.iter().all(|dx| dx.is_finite()), "{set} {op:?} {x:e}: {dx:?}");
            }
        }
    });
}

/// From −100 to 100, where the exponential leaves the range of the numbers on either side.
#[test]
fn mish_is_its_definition_everywhere() {
    let x: Vec<f32> = (0..5000).map(|i| (i as f32 - 2500.0) / 25.0).collect();
    on_every_set(|set| {
        let mut y = vec![f32::NAN; x.len()];
        unary(Unary::Mish, Source::Slice(&x), &mut y);
        let mut dx = vec![1.0; x.len()];
        unary_backward(Unary::Mish, &x, Source::InPlace, &mut dx);
        for ((&x, &y), &dx) in x.iter().zip(&y).zip(&dx) {
            let exact = value(Unary::Mish, f64::from(x));
            assert_near(y, exact, 1e-6 * exact.abs() + 1e-37, (set, x));
            assert_near(dx, derivative(Unary::Mish, f64::from(x)), 2e-6, (set, x));
        }
        assert_eq!((y[4999], dx[4999]), (x[4999], 1.0), "{set}");
        let mut flat = [1.0];
        unary_backward(Unary::Mish, &[-200.0], Source::InPlace, &mut flat);
        assert_eq!(flat, [0.0], "{set}");
    });
}

#[test]
fn kinks_have_the_derivative_of_their_left_side() {
    let at_zero = |op| {
        let mut dx = [1.0];
        unary_backward(op, &[0.0], Source::InPlace, &mut dx);
        dx[0]
    };
    assert_eq!(at_zero(Unary::Relu), 0.0);
    assert_eq!(at_zero(Unary::LeakyRelu(0.25)), 0.25);
    assert_eq!(at_zero(Unary::Elu(0.5)), 0.5);
    assert_eq!(at_zero(Unary::Abs), 0.0);
}

#[test]
fn pieces_are_put_together_right() {
    let x = numbers(3 * chunks::CHUNK + 77, 1);
    let mut y = vec![0.0; x.len()];
    unary(Unary::Shift(1.0), Source::Slice(&x), &mut y);
    assert!(x.iter().zip(&y).all(|(&x, &y)| x + 1.0 == y));
    let mut dx = vec![0.0; x.len()];
    unary_backward(Unary::Square, &x, Source::Slice(&y), &mut dx);
    assert!(x.iter().zip(&y).zip(&dx).all(|((&x, &y), &dx)| y * (x + x) == dx));
    assert_same_bits_on_any_threads(x.len(), &|y| unary(Unary::Gelu, Source::Slice(&x), y));
}
