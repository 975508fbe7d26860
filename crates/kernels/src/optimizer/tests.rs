//! Steps against their formulas in `f64`.

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};

const DECAYS: [WeightDecay; 3] = [WeightDecay::None, WeightDecay::Coupled(0.1), WeightDecay::Decoupled(0.1)];
const TRANSFORMS: [GradientTransform; 2] =
    [GradientTransform { scale: 1.0, limit: f32::INFINITY }, GradientTransform { scale: 0.5, limit: 0.6 }];
const RATE: f32 = 0.05;

/// The parameter and the gradient that a step starts from.
fn start(w: f64, g: f64, decay: WeightDecay, transform: GradientTransform) -> (f64, f64) {
    let limit = f64::from(transform.limit);
    let g = (g * f64::from(transform.scale)).clamp(-limit, limit);
    match decay {
        WeightDecay::None => (w, g),
        WeightDecay::Coupled(decay) => (w, g + f64::from(decay) * w),
        WeightDecay::Decoupled(decay) => (w * (1.0 - f64::from(RATE * decay)), g),
    }
}

/// Runs three steps on slices of many lengths, on every set, and compares with `exact`, which changes
/// `[w, state 0, state 1]` given the gradient and the number of the step (from 1).
fn check(
    step: impl Fn(&mut [f32], &[f32], &mut [f32], &mut [f32], i32),
    exact: impl Fn(&mut [f64; 3], f64, i32),
    place: impl std::fmt::Debug,
) {
    on_every_set(|set| {
        for length in 0..50 {
            let (mut w, mut a, mut b) = (numbers(length, 1), vec![0.0; length], vec![0.0; length]);
            let mut expected: Vec<[f64; 3]> = w.iter().map(|&w| [f64::from(w), 0.0, 0.0]).collect();
            for t in 1..=3 {
                let g = numbers(length, 10 + t as u64);
                step(&mut w, &g, &mut a, &mut b, t);
                expected.iter_mut().zip(&g).for_each(|(expected, &g)| exact(expected, f64::from(g), t));
            }
            for i in 0..length {
                for (got, exact) in [w[i], a[i], b[i]].into_iter().zip(expected[i]) {
                    assert_near(got, exact, 1e-5, (set, &place, i));
                }
            }
        }
    });
}

#[test]
fn sgd_with_every_momentum() {
    let (rate, momentum) = (f64::from(RATE), f64::from(0.9_f32));
    for weight_decay in DECAYS {
        for gradient in TRANSFORMS {
            let plain =
                SgdStep { learning_rate: RATE, momentum: 0.9, rule: Momentum::Classical, weight_decay, gradient };
            check(
                |w, g, _, _, _| sgd(w, g, None, &plain),
                |state, g, _| {
                    let (w, g) = start(state[0], g, weight_decay, gradient);
                    state[0] = w - rate * g;
                },
                plain,
            );
            for rule in [Momentum::Classical, Momentum::Nesterov, Momentum::InsideVelocity] {
                let step = SgdStep { rule, ..plain };
                check(
                    |w, g, v, _, _| sgd(w, g, Some(v), &step),
                    |[w, v, _], g, _| {
                        let (start, g) = start(*w, g, weight_decay, gradient);
                        *v = match rule {
                            Momentum::InsideVelocity => momentum * *v - rate * g,
                            Momentum::Classical | Momentum::Nesterov => momentum * *v + g,
                        };
                        *w = match rule {
                            Momentum::Classical => start - rate * *v,
                            Momentum::Nesterov => start - rate * (g + momentum * *v),
                            Momentum::InsideVelocity => start + *v,
                        };
                    },
                    step,
                );
            }
        }
    }
}

#[test]
fn adam_and_adamw() {
    let (beta1, beta2) = (0.9_f32, 0.999_f32);
    for weight_decay in DECAYS {
        for gradient in TRANSFORMS {
            let corrections = |t: i32| (1.0 - f64::from(beta1).powi(t), 1.0 - f64::from(beta2).powi(t));
            let step = |t| AdamStep {
                learning_rate: RATE,
                beta1,
                beta2,
                bias_correction1: corrections(t).0 as f32,
                bias_correction2: corrections(t).1 as f32,
                epsilon: 1e-8,
                weight_decay,
                gradient,
            };
            check(
                |w, g, m, v, t| adam(w, g, m, v, &step(t)),
                |[w, m, v], g, t| {
                    let (start, g) = start(*w, g, weight_decay, gradient);
                    *m = f64::from(beta1) * *m + (1.0 - f64::from(beta1)) * g;
                    *v = f64::from(beta2) * *v + (1.0 - f64::from(beta2)) * g * g;
                    let (correction1, correction2) = corrections(t);
                    *w = start - f64::from(RATE) * (*m / correction1) / ((*v / correction2).sqrt() + 1e-8);
                },
                step(1),
            );
        }
    }
}

#[test]
fn rmsprop_with_and_without_momentum() {
    for weight_decay in DECAYS {
        let gradient = TRANSFORMS[1];
        let step =
            RmsPropStep { learning_rate: RATE, smoothing: 0.99, epsilon: 1e-8, momentum: 0.5, weight_decay, gradient };
        let normalised = |s: &mut f64, g: f64| {
            *s = f64::from(0.99_f32) * *s + (1.0 - f64::from(0.99_f32)) * g * g;
            g / (s.sqrt() + 1e-8)
        };
        check(
            |w, g, s, _, _| rmsprop(w, g, s, None, &step),
            |[w, s, _], g, _| {
                let (start, g) = start(*w, g, weight_decay, gradient);
                *w = start - f64::from(RATE) * normalised(s, g);
            },
            step,
        );
        check(
            |w, g, s, v, _| rmsprop(w, g, s, Some(v), &step),
            |[w, s, v], g, _| {
                let (start, g) = start(*w, g, weight_decay, gradient);
                *v = 0.5 * *v + normalised(s, g);
                *w = start - f64::from(RATE) * *v;
            },
            step,
        );
    }
}

#[test]
fn adagrad_step() {
    for weight_decay in DECAYS {
        let step = AdagradStep { learning_rate: RATE, epsilon: 1e-10, weight_decay, gradient: TRANSFORMS[0] };
        check(
            |w, g, s, _, _| adagrad(w, g, s, &step),
            |[w, s, _], g, _| {
                let (start, g) = start(*w, g, weight_decay, step.gradient);
                *s += g * g;
                *w = start - f64::from(RATE) * g / (s.sqrt() + 1e-10);
            },
            step,
        );
    }
}

#[test]
fn a_nan_gradient_is_not_clipped_away() {
    let gradient = GradientTransform { scale: 1.0, limit: 1.0 };
    let step = SgdStep {
        learning_rate: 0.1,
        momentum: 0.0,
        rule: Momentum::Classical,
        weight_decay: WeightDecay::None,
        gradient,
    };
    let mut w = [1.0];
    sgd(&mut w, &[f32::NAN], None, &step);
    assert!(w[0].is_nan());
}

#[test]
fn squares_of_any_length() {
    on_every_set(|set| {
        for length in (0..200).chain([1023, 1024, 1025, 300_000]) {
            let g = numbers(length, 4);
            let exact: f64 = g.iter().map(|&g| f64::from(g).powi(2)).sum();
            let got = sum_of_squares(&g);
            assert!((got - exact).abs() <= 3e-7 * exact, "{set} {length}: {got} and {exact}");
        }
    });
}

#[test]
fn threads_change_no_bit() {
    let length = 5 * CHUNK + 33;
    let g = numbers(length, 4);
    assert_same_bits_on_any_threads(2, &|y| {
        let bits = sum_of_squares(&g).to_bits();
        y[0] = f32::from_bits(bits as u32);
        y[1] = f32::from_bits((bits >> 32) as u32);
    });
    let step = SgdStep {
        learning_rate: RATE,
        momentum: 0.9,
        rule: Momentum::Nesterov,
        weight_decay: WeightDecay::Coupled(0.1),
        gradient: TRANSFORMS[1],
    };
    assert_same_bits_on_any_threads(2 * length, &|y| {
        let (w, v) = y.split_at_mut(length);
        sgd(w, &g, Some(v), &step);
    });
    // One piece or many: an element's step is the same.
    let (mut w, mut v) = (vec![0.25; length], vec![0.25; length]);
    sgd(&mut w, &g, Some(&mut v), &step);
    let (mut last, mut last_v) = ([0.25; 7], [0.25; 7]);
    sgd(&mut last, &g[length - 7..], Some(&mut last_v), &step);
    assert_eq!(w[length - 7..], last);
}
