//! Batch normalisation against its definition in `f64`, and its gradients against differences.

use super::*;
use crate::elementwise::Source;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};

const EPSILON: f32 = 1e-3;
const ACTIVATIONS: [Activation; 3] =
    [Activation::Identity, Activation::Relu, Activation::Clamp { low: -0.5, high: 0.75 }];
/// Around the widths of vectors, of rows that are taken together, and beyond those.
const CHANNELS: [usize; 14] = [1, 2, 3, 7, 8, 10, 15, 16, 17, 31, 64, 100, 257, 300];

fn exact_statistics(x: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / channels) as f64;
    let column = |c: usize| x[c..].iter().step_by(channels).map(|&x| f64::from(x));
    let mean: Vec<f64> = (0..channels).map(|c| column(c).sum::<f64>() / rows).collect();
    let variance = (0..channels).map(|c| column(c).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / rows).collect();
    (mean, variance)
}

#[test]
fn statistics_are_the_definition() {
    on_every_set(|set| {
        for channels in CHANNELS {
            for rows in [1, 2, 5, 131, 700] {
                // A mean of many deviations, another one in each channel.
                let mut x = numbers(rows * channels, 3);
                x.iter_mut().enumerate().for_each(|(i, x)| *x += 50.0 * (i % channels) as f32);
                let (mut mean, mut variance) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                batch_norm_statistics(&x, &mut mean, &mut variance);
                let (exact_mean, exact_variance) = exact_statistics(&x, channels);
                for c in 0..channels {
                    assert_near(mean[c], exact_mean[c], 1e-6 + 1e-7 * exact_mean[c].abs(), (set, channels, rows, c));
                    assert_near(variance[c], exact_variance[c], 2e-6, (set, channels, rows, c));
                }
            }
        }
    });
}

#[test]
fn statistics_of_no_rows_and_of_nan_are_nan() {
    let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
    batch_norm_statistics(&[], &mut mean, &mut variance);
    assert!(mean.iter().chain(&variance).all(|x| x.is_nan()));
    batch_norm_statistics(&[1.0, f32::NAN, 3.0, 4.0], &mut mean, &mut variance);
    assert_eq!((mean[0], variance[0]), (2.0, 1.0));
    assert!(mean[1].is_nan());
    batch_norm_statistics(&[], &mut [], &mut []);
}

/// `activation(γ (x - μ) / √(σ² + ε) + β)` in `f64`, with the statistics of the batch.
fn exact_forward(x: &[f64], gamma: &[f32], beta: &[f32], activation: Activation) -> Vec<f64> {
    let channels = gamma.len();
    let rows = (x.len() / channels) as f64;
    let mut y = vec![0.0; x.len()];
    for c in 0..channels {
        let column = || x[c..].iter().step_by(channels);
        let mean = column().sum::<f64>() / rows;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows;
        for i in (c..x.len()).step_by(channels) {
            let value =
                (x[i] - mean) / (variance + f64::from(EPSILON)).sqrt() * f64::from(gamma[c]) + f64::from(beta[c]);
            y[i] = match activation {
                Activation::Identity => value,
                Activation::Relu => value.max(0.0),
                Activation::Clamp { low, high } => value.clamp(f64::from(low), f64::from(high)),
            };
        }
    }
    y
}

/// An input with its statistics and parameters.
struct Case {
    x: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    activation: Activation,
}

impl Case {
    fn new(rows: usize, channels: usize, activation: Activation) -> Self {
        let x = numbers(rows * channels, 4);
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        batch_norm_statistics(&x, &mut mean, &mut variance);
        Self { x, mean, variance, gamma: numbers(channels, 5), beta: numbers(channels, 6), activation }
    }

    fn norm(&self) -> BatchNorm<'_> {
        BatchNorm {
            mean: &self.mean,
            variance: &self.variance,
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: EPSILON,
            activation: self.activation,
        }
    }
}

#[test]
fn forward_is_the_definition() {
    on_every_set(|set| {
        for channels in CHANNELS {
            for activation in ACTIVATIONS {
                let case = Case::new(37, channels, activation);
                let mut y = vec![f32::NAN; case.x.len()];
                batch_norm_forward(&case.norm(), Source::Slice(&case.x), &mut y);
                let x: Vec<f64> = case.x.iter().map(|&x| f64::from(x)).collect();
                for (i, exact) in exact_forward(&x, &case.gamma, &case.beta, activation).into_iter().enumerate() {
                    assert_near(y[i], exact, 3e-6, (set, channels, activation, i));
                }
                let mut in_place = case.x.clone();
                batch_norm_forward(&case.norm(), Source::InPlace, &mut in_place);
                assert_eq!(in_place, y, "{set} {channels} {activation:?}");
            }
        }
    });
}

/// Every gradient against the central difference of `⟨dy, y⟩`, through the statistics.
#[test]
fn backward_is_the_derivative() {
    let (rows, step) = (11, 1e-5);
    on_every_set(|set| {
        for channels in CHANNELS {
            for activation in ACTIVATIONS {
                let case = Case::new(rows, channels, activation);
                let dy = numbers(case.x.len(), 7);
                let (mut dgamma, mut dbeta) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                batch_norm_backward_parameters(&case.norm(), &case.x, &dy, &mut dgamma, &mut dbeta);
                let mut dx = vec![f32::NAN; case.x.len()];
                let through = Through::Batch { dgamma: &dgamma, dbeta: &dbeta };
                batch_norm_backward_data(&case.norm(), &case.x, &dy, through, &mut dx);

                // One row of differences is enough: each moves the statistics of its own channel only.
                let row = 3;
                let moved = |by: f64| {
                    let mut x: Vec<f64> = case.x.iter().map(|&x| f64::from(x)).collect();
                    x[row * channels..][..channels].iter_mut().for_each(|x| *x += by);
                    exact_forward(&x, &case.gamma, &case.beta, activation)
                };
                let (up, down, here) = (moved(step), moved(-step), moved(0.0));
                for c in 0..channels {
                    let column = || (c..case.x.len()).step_by(channels);
                    let kink = |y: f64| match activation {
                        Activation::Identity => false,
                        Activation::Relu => y.abs() < 1e-3,
                        Activation::Clamp { low, high } => {
                            (y - f64::from(low)).abs() < 1e-3 || (y - f64::from(high)).abs() < 1e-3
                        }
                    };
                    let exact: f64 = column().map(|i| f64::from(dy[i]) * (up[i] - down[i]) / (2.0 * step)).sum();
                    let near_kink = column().any(|i| kink(here[i]) && up[i] != down[i]);
                    if !near_kink {
                        assert_near(dx[row * channels + c], exact, 2e-5, (set, channels, activation, c));
                    }
                    let bounds = Bounds::of(activation);
                    let inside = |y: f64| f64::from(bounds.low) < y && y < f64::from(bounds.high);
                    let passed = |i: usize| if inside(here[i]) { 1.0 } else { 0.0 };
                    let deviation = (f64::from(case.variance[c]) + f64::from(EPSILON)).sqrt();
                    let normal = |i: usize| (f64::from(case.x[i]) - f64::from(case.mean[c])) / deviation;
                    let sum: f64 = column().map(|i| f64::from(dy[i]) * passed(i)).sum();
                    let product: f64 = column().map(|i| f64::from(dy[i]) * passed(i) * normal(i)).sum();
                    assert_near(dbeta[c], sum, 1e-5, (set, channels, activation, c));
                    assert_near(dgamma[c], product, 2e-5, (set, channels, activation, c));
                }
            }
        }
    });
}

#[test]
fn constant_statistics_pass_elements_only() {
    on_every_set(|set| {
        let case = Case::new(5, 20, Activation::Relu);
        let dy = numbers(100, 7);
        let (mut y, mut dx) = (vec![0.0; 100], vec![f32::NAN; 100]);
        batch_norm_forward(&case.norm(), Source::Slice(&case.x), &mut y);
        batch_norm_backward_data(&case.norm(), &case.x, &dy, Through::Elements, &mut dx);
        for i in 0..100 {
            let exact = if y[i] > 0.0 { f64::from(dy[i]) * case.norm().scale(i % 20) } else { 0.0 };
            assert_near(dx[i], exact, 1e-6 * exact.abs(), (set, i));
        }
    });
}

#[test]
fn threads_change_no_bit() {
    for (rows, channels) in [(30_011, 7), (5_003, 64), (701, 300)] {
        let case = Case::new(rows, channels, Activation::Relu);
        let dy = numbers(case.x.len(), 7);
        let norm = case.norm();
        let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
        batch_norm_backward_parameters(&norm, &case.x, &dy, &mut dgamma, &mut dbeta);
        assert_same_bits_on_any_threads(2 * channels, |y| {
            let (mean, variance) = y.split_at_mut(channels);
            batch_norm_statistics(&case.x, mean, variance);
        });
        assert_same_bits_on_any_threads(2 * channels, |y| {
            let (dgamma, dbeta) = y.split_at_mut(channels);
            batch_norm_backward_parameters(&norm, &case.x, &dy, dgamma, dbeta);
        });
        assert_same_bits_on_any_threads(case.x.len(), |y| batch_norm_forward(&norm, Source::Slice(&case.x), y));
        assert_same_bits_on_any_threads(case.x.len(), |dx| {
            let through = Through::Batch { dgamma: &dgamma, dbeta: &dbeta };
            batch_norm_backward_data(&norm, &case.x, &dy, through, dx);
        });
    }
}
