//! Numbers so large that sums, squares and differences leave `f32`: the true value, or one that shows; never one that looks right.

use std::f64::consts::LN_2;

use crate::batch_norm::{
    BatchNorm, batch_norm_backward_parameters, batch_norm_forward, batch_norm_statistics, fold_filter,
};
use crate::elementwise::Source;
use crate::elementwise::chunks::CHUNK;
use crate::elementwise::testing::{assert_near, numbers, on_every_set};
use crate::group_norm::{GroupNorm, GroupStatistics, group_norm_forward, group_norm_statistics};
use crate::layer_norm::{LayerNorm, layer_norm_backward_data, layer_norm_backward_parameters, layer_norm_forward};
use crate::local_response::{LocalResponse, local_response_backward, local_response_forward};
use crate::optimizer::{
    AdagradStep, AdamStep, GradientTransform, RmsPropStep, WeightDecay, adagrad, adam, rmsprop, sum_of_squares,
};
use crate::reduce::{Reduction, sum};
use crate::softmax::{CrossEntropy, cross_entropy_backward, cross_entropy_forward, log_softmax};
use crate::{Accumulate, Activation};

/// Powers of ten that `f32` holds.
fn powers() -> impl Iterator<Item = f32> {
    (0..=38).map(|exponent| 10.0_f64.powi(exponent) as f32)
}

/// From 10¹² on the logarithm was lost beside the maximum that it was added to.
#[test]
fn two_equal_logits_of_any_size_cost_ln_2() {
    let plain = CrossEntropy { classes: 2, class_weights: None, smoothing: 0.0 };
    let weighted = CrossEntropy { class_weights: Some(&[0.2, 0.7]), smoothing: 0.1, ..plain };
    on_every_set(|set| {
        for logit in powers().flat_map(|power| [power, -power, 3.0 * power]) {
            for loss in [plain, weighted] {
                let (x, mut p, mut dx) = ([logit; 4], [f32::NAN; 4], [f32::NAN; 4]);
                let value = cross_entropy_forward(loss, &x, &[0, 1], &mut p).expect("labels are classes");
                assert_near(value, LN_2, 1e-6, (set, logit, loss));
                assert_eq!(p, [0.5; 4], "{set} {logit:e}");
                cross_entropy_backward(plain, &p, &[0, 1], 1.0, &mut dx);
                assert_eq!(dx, [-0.25, 0.25, 0.25, -0.25], "{set} {logit:e}");
            }
            let mut y = [logit; 2];
            log_softmax(Source::InPlace, &mut y, 2);
            y.iter().for_each(|&y| assert_near(y, -LN_2, 1e-6, (set, logit)));
        }
    });
}

#[test]
fn the_loss_of_a_large_difference_is_the_difference() {
    let loss = CrossEntropy { classes: 3, class_weights: None, smoothing: 0.0 };
    on_every_set(|set| {
        for size in powers() {
            let value = cross_entropy_forward(loss, &[size, -size, 0.0], &[1], &mut [0.0; 3]).expect("1 is a class");
            let exact = (1.0 + (-2.0 * f64::from(size)).exp() + (-f64::from(size)).exp()).ln() + 2.0 * f64::from(size);
            assert_near(value, exact.min(f64::from(f32::MAX)), 1e-6 * exact, (set, size));
        }
    });
}

/// `n = (x - μ) / σ` of each row.
fn normal(row: &[f32]) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    row.iter().map(|&x| (f64::from(x) - mean) / variance.sqrt()).collect()
}

#[test]
fn layers_of_any_size_are_normalised() {
    const COLUMNS: usize = 37;
    let (one, zero, dy) = ([1.0; COLUMNS], [0.0; COLUMNS], numbers(COLUMNS, 2));
    let norm = LayerNorm { gamma: &one, beta: &zero, epsilon: 1e-5 };
    let pattern = numbers(COLUMNS, 1);
    on_every_set(|set| {
        for size in powers().skip(3) {
            let x: Vec<f32> = pattern.iter().map(|x| 1.5 * x * size).collect();
            let exact = normal(&x);
            let mut y = [f32::NAN; COLUMNS];
            layer_norm_forward(&norm, Source::Slice(&x), &mut y);
            let (mut dgamma, mut dbeta, mut dx) = (y, y, y);
            layer_norm_backward_parameters(&norm, &x, &dy, &mut dgamma, &mut dbeta);
            layer_norm_backward_data(&norm, &x, &dy, &mut dx);
            for c in 0..COLUMNS {
                assert_near(y[c], exact[c], 1e-5, (set, size, c));
                assert_near(dgamma[c], exact[c] * f64::from(dy[c]), 1e-5, (set, size, c));
                assert!(f64::from(dx[c]).abs() <= 10.0 / f64::from(size), "{set} {size:e} {}", dx[c]);
            }
        }
    });
}

/// The variance of values beyond 10¹⁹ is beyond `f32`; an overflow of its sums was taken for no variance at all, and numbers
/// that should have become ±1.5 became 10³².
#[test]
fn batches_and_groups_of_any_size_are_normalised_or_nan() {
    const CHANNELS: usize = 6;
    let (one, zero) = ([1.0; CHANNELS], [0.0; CHANNELS]);
    let pattern = numbers(70 * CHANNELS, 1);
    on_every_set(|set| {
        // At 10¹⁹ variances are at the end of `f32`.
        for size in powers().skip(3).filter(|size| !(9e18..2e19).contains(size)) {
            let x: Vec<f32> = pattern.iter().map(|x| 1.5 * x * size).collect();
            let column = |c: usize| x[c..].iter().step_by(CHANNELS).copied().collect::<Vec<_>>();
            let exact: Vec<Vec<f64>> = (0..CHANNELS).map(|c| normal(&column(c))).collect();
            let variance_fits = size < 1e19;

            let (mut mean, mut variance, mut y) = ([0.0; CHANNELS], [0.0; CHANNELS], vec![0.0; x.len()]);
            batch_norm_statistics(&x, &mut mean, &mut variance);
            assert!(variance.iter().all(|v| if variance_fits { v.is_finite() } else { *v == f32::INFINITY }));
            let norm = BatchNorm {
                mean: &mean,
                variance: &variance,
                gamma: &one,
                beta: &zero,
                epsilon: 1e-5,
                activation: Activation::Identity,
            };
            batch_norm_forward(&norm, Source::Slice(&x), &mut y);
            let (mut dgamma, mut dbeta) = ([0.0; CHANNELS], [0.0; CHANNELS]);
            batch_norm_backward_parameters(&norm, &x, &y, &mut dgamma, &mut dbeta);
            let mut folded = [0.0; CHANNELS];
            fold_filter(&norm, &one, &mut folded);
            for (i, &y) in y.iter().enumerate() {
                let exact = if variance_fits { exact[i % CHANNELS][i / CHANNELS] } else { f64::NAN };
                assert_near(y, exact, 1e-5, (set, size, i));
            }
            for c in 0..CHANNELS {
                assert_near(dgamma[c], if variance_fits { 70.0 } else { f64::NAN }, 1e-3, (set, size, c));
                assert_eq!(folded[c].is_nan(), !variance_fits, "{set} {size:e}");
            }

            // One group of one sample.
            let group = GroupNorm { groups: 1, pixels: 70, gamma: &one, beta: &zero, epsilon: 1e-5 };
            group_norm_statistics(&group, &x, &mut mean, &mut variance);
            let statistics = GroupStatistics { mean: &mean, variance: &variance };
            group_norm_forward(&group, statistics, Source::Slice(&x), &mut y);
            for (&y, exact) in y.iter().zip(normal(&x)) {
                assert_near(y, if variance_fits { exact } else { f64::NAN }, 1e-5, (set, size));
            }
        }
    });
}

/// A maximum of a NaN and zero is zero, and a variance of zero makes numbers three hundred times larger.
#[test]
fn a_nan_variance_is_not_zero() {
    on_every_set(|set| {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = numbers(300, 1);
            x[100] = bad;
            let (mut mean, mut variance) = ([0.0; 3], [0.0; 3]);
            batch_norm_statistics(&x, &mut mean, &mut variance);
            // Number 100 is in channel 1.
            assert_eq!(variance.map(|v| v.is_finite()), [true, false, true], "{set} {bad}");
            assert!(variance[1].is_nan(), "{set} {bad}: {}", variance[1]);
        }
    });
}

/// Rows that are looked at first may all differ from the others: what is subtracted for them then cancels.
#[test]
fn a_first_guess_that_misleads_costs_no_digits() {
    const ROWS: usize = 64 * 1000;
    on_every_set(|set| {
        let mut x: Vec<f32> = numbers(2 * ROWS, 1);
        // Every thousandth row, which are those of the sample.
        x.chunks_exact_mut(2).step_by(1000).for_each(|row| row.fill(30_000.0));
        let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
        batch_norm_statistics(&x, &mut mean, &mut variance);
        for c in 0..2 {
            let column = || x[c..].iter().step_by(2).map(|&x| f64::from(x));
            let exact = column().sum::<f64>() / ROWS as f64;
            let squares = column().map(|x| (x - exact).powi(2)).sum::<f64>() / ROWS as f64;
            assert_near(mean[c], exact, 1e-6 * exact.abs(), (set, c));
            assert_near(variance[c], squares, 2e-6 * squares, (set, c));
        }
    });
}

/// Means of values whose sum is beyond `f32`.
#[test]
fn means_of_huge_numbers_are_finite() {
    on_every_set(|set| {
        for (dims, axes) in [
            (vec![1500], vec![0]),
            (vec![CHUNK + 900], vec![0]),
            (vec![3, 700, 5], vec![1]),
            (vec![3, 700, 100], vec![1]),
            (vec![2, 9, 4000], vec![0, 2]),
            (vec![1100, 64], vec![0]),
            (vec![1100, 130], vec![0]),
            (vec![30, 20, 130], vec![0, 2]),
        ] {
            let g = Reduction::new(&dims, &axes).expect("axes are the shape's");
            let x: Vec<f32> = numbers(g.length(), 1).iter().map(|x| 2.5e38 + 1e37 * x).collect();
            let mut y = vec![f32::NAN; g.reduced_length()];
            let scale = g.reduced_length() as f32 / g.length() as f32;
            sum(&g, &x, &mut y, scale, Accumulate::Set);
            y.iter().for_each(|&y| assert_near(y, 2.5e38, 1e37, (set, &dims)));
            // What cancels is not infinite either.
            let signed: Vec<f32> = x.iter().enumerate().map(|(i, x)| if i % 2 == 0 { *x } else { -x }).collect();
            sum(&g, &signed, &mut y, scale, Accumulate::Set);
            assert!(y.iter().all(|y| y.is_finite()), "{set} {dims:?}");
        }
    });
}

#[test]
fn the_norm_of_a_huge_gradient_is_finite() {
    on_every_set(|set| {
        for length in [1, 50, CHUNK + 5] {
            let squares = sum_of_squares(&vec![1e30; length]);
            assert!((squares / (length as f64 * 1e60) - 1.0).abs() < 1e-6, "{set} {length}: {squares:e}");
        }
        assert!(sum_of_squares(&[1.0, f32::NAN]).is_nan());
        assert_eq!(sum_of_squares(&[1.0, f32::INFINITY]), f64::INFINITY);
    });
}

/// Checks that a value divided by an infinite sum of squares is not zero.
#[test]
fn squares_beyond_the_numbers_show() {
    on_every_set(|set| {
        for beta in [0.5, 0.75, 1.0, 0.4] {
            let norm = LocalResponse { size: 3, alpha: 1.0, beta, k: 1.0 };
            let (mut y, x) = ([0.0; 5], [1.0, 2.0, 1e30, 1.0, 3.0]);
            local_response_forward(&norm, &x, &mut y, 5);
            assert_eq!(y.map(f32::is_nan), [false, true, true, true, false], "{set} {beta}: {y:?}");
            local_response_backward(&norm, &x, &[1.0; 5], &mut y, 5);
            assert!(y[1..4].iter().all(|dx| dx.is_nan()), "{set} {beta}: {y:?}");
        }
        let (gradient, weight_decay, learning_rate, epsilon) =
            (GradientTransform::default(), WeightDecay::None, 0.1, 1e-8);
        let g = [1.0, 1e30, -1e30];
        let shows = |w: [f32; 3]| assert_eq!(w.map(f32::is_nan), [false, true, true], "{set}: {w:?}");
        let (mut w, mut m, mut v) = ([1.0; 3], [0.0; 3], [0.0; 3]);
        let (beta1, beta2, bias_correction1, bias_correction2) = (0.9, 0.999, 0.1, 0.001);
        let step = AdamStep {
            learning_rate,
            beta1,
            beta2,
            bias_correction1,
            bias_correction2,
            epsilon,
            weight_decay,
            gradient,
        };
        adam(&mut w, &g, &mut m, &mut v, &step);
        shows(w);
        let step = RmsPropStep { learning_rate, smoothing: 0.9, epsilon, momentum: 0.5, weight_decay, gradient };
        for velocity in [None, Some(&mut [0.0; 3][..])] {
            let mut w = [1.0; 3];
            rmsprop(&mut w, &g, &mut [0.0; 3], velocity, &step);
            shows(w);
        }
        let mut w = [1.0; 3];
        adagrad(&mut w, &g, &mut [0.0; 3], &AdagradStep { learning_rate, epsilon, weight_decay, gradient });
        shows(w);
    });
}
