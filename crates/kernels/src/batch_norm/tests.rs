//! Batch normalisation against its definition in `f64`, and its gradients against differences.

use super::*;
use crate::Accumulate;
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

/// `activation(γ (x - μ) / √(σ² + ε) + β + residual)` in `f64`, with the statistics of the batch.
fn exact_forward(
    x: &[f64],
    gamma: &[f32],
    beta: &[f32],
    residual: impl Fn(usize) -> f32,
    activation: Activation,
) -> Vec<f64> {
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
            let value = value + f64::from(residual(i));
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

    fn exact(&self, x: &[f64], residual: impl Fn(usize) -> f32) -> Vec<f64> {
        exact_forward(x, &self.gamma, &self.beta, residual, self.activation)
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
                for (i, exact) in case.exact(&x, |_| 0.0).into_iter().enumerate() {
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
                batch_norm_backward_data(&case.norm(), &case.x, Source::Slice(&dy), through, &mut dx, Accumulate::Set);

                // One row of differences is enough: each moves the statistics of its own channel only.
                let row = 3;
                let moved = |by: f64| {
                    let mut x: Vec<f64> = case.x.iter().map(|&x| f64::from(x)).collect();
                    x[row * channels..][..channels].iter_mut().for_each(|x| *x += by);
                    case.exact(&x, |_| 0.0)
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
        let (x, through) = (&case.x, Through::Elements);
        batch_norm_backward_data(&case.norm(), x, Source::Slice(&dy), through, &mut dx, Accumulate::Set);
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
        assert_same_bits_on_any_threads(2 * channels, &|y| {
            let (mean, variance) = y.split_at_mut(channels);
            batch_norm_statistics(&case.x, mean, variance);
        });
        assert_same_bits_on_any_threads(2 * channels, &|y| {
            let (dgamma, dbeta) = y.split_at_mut(channels);
            batch_norm_backward_parameters(&norm, &case.x, &dy, dgamma, dbeta);
        });
        assert_same_bits_on_any_threads(case.x.len(), &|y| batch_norm_forward(&norm, Source::Slice(&case.x), y));
        assert_same_bits_on_any_threads(case.x.len(), &|dx| {
            let through = Through::Batch { dgamma: &dgamma, dbeta: &dbeta };
            batch_norm_backward_data(&norm, &case.x, Source::Slice(&dy), through, dx, Accumulate::Set);
        });
    }
}

/// `dx` into another tensor, added to it, and in the place of `dy`.
#[test]
fn the_input_gradient_goes_anywhere() {
    on_every_set(|set| {
        for channels in CHANNELS {
            let case = Case::new(23, channels, Activation::Relu);
            let (dy, before) = (numbers(case.x.len(), 7), numbers(case.x.len(), 8));
            let (dgamma, dbeta) = (numbers(channels, 9), numbers(channels, 10));
            let gradient = |dy: Source<'_>, dx: &mut [f32], accumulate: Accumulate| {
                let through = Through::Batch { dgamma: &dgamma, dbeta: &dbeta };
                batch_norm_backward_data(&case.norm(), &case.x, dy, through, dx, accumulate);
            };
            let (mut dx, mut added, mut in_place) = (vec![f32::NAN; dy.len()], before.clone(), dy.clone());
            gradient(Source::Slice(&dy), &mut dx, Accumulate::Set);
            gradient(Source::Slice(&dy), &mut added, Accumulate::Add);
            gradient(Source::InPlace, &mut in_place, Accumulate::Set);
            assert_eq!(in_place, dx, "{set} {channels}");
            let sum: Vec<f32> = before.iter().zip(&dx).map(|(before, dx)| before + dx).collect();
            assert_eq!(added, sum, "{set} {channels}");
        }
    });
}

#[test]
fn a_residual_is_added_before_the_activation() {
    on_every_set(|set| {
        for channels in CHANNELS {
            for activation in ACTIVATIONS {
                let case = Case::new(37, channels, activation);
                let residual = numbers(case.x.len(), 11);
                let mut y = vec![f32::NAN; case.x.len()];
                batch_norm_add_forward(&case.norm(), &case.x, Source::Slice(&residual), &mut y);
                let x: Vec<f64> = case.x.iter().map(|&x| f64::from(x)).collect();
                for (i, exact) in case.exact(&x, |i| residual[i]).into_iter().enumerate() {
                    assert_near(y[i], exact, 4e-6, (set, channels, activation, i));
                }
                let mut in_place = residual.clone();
                batch_norm_add_forward(&case.norm(), &case.x, Source::InPlace, &mut in_place);
                assert_eq!(in_place, y, "{set} {channels} {activation:?}");
            }
        }
    });
}

/// The gradients of a sum with a residual are those without, of `dy` where the activation passed the sum through.
#[test]
fn a_residual_takes_the_masked_gradient() {
    on_every_set(|set| {
        for (rows, channels) in CHANNELS.into_iter().flat_map(|channels| [(1, channels), (150, channels)]) {
            for activation in ACTIVATIONS {
                let case = Case::new(rows, channels, activation);
                let (residual, dy) = (numbers(case.x.len(), 11), numbers(case.x.len(), 7));
                let mut y = vec![f32::NAN; case.x.len()];
                batch_norm_add_forward(&case.norm(), &case.x, Source::Slice(&residual), &mut y);
                let Bounds { low, high } = Bounds::of(activation);
                let pass = |(&dy, &y): (&f32, &f32)| if low < y && y < high { dy } else { 0.0 };
                let masked: Vec<f32> = dy.iter().zip(&y).map(pass).collect();

                let (mut g, mut dgamma, mut dbeta) = (dy, vec![f32::NAN; channels], vec![f32::NAN; channels]);
                batch_norm_add_backward_parameters(&case.norm(), &case.x, &y, &mut g, &mut dgamma, &mut dbeta);
                assert_eq!(g, masked, "{set} {rows} {channels} {activation:?}");
                let linear = BatchNorm { activation: Activation::Identity, ..case.norm() };
                let (mut expected_dgamma, mut expected_dbeta) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                batch_norm_backward_parameters(&linear, &case.x, &g, &mut expected_dgamma, &mut expected_dbeta);
                assert_eq!((dgamma, dbeta), (expected_dgamma, expected_dbeta), "{set} {rows} {channels}");
            }
        }
    });
}

#[test]
fn sums_of_no_rows_are_zero() {
    let norm = Case::new(1, 2, Activation::Relu);
    let (mut dgamma, mut dbeta) = ([f32::NAN; 2], [f32::NAN; 2]);
    batch_norm_add_backward_parameters(&norm.norm(), &[], &[], &mut [], &mut dgamma, &mut dbeta);
    assert_eq!((dgamma, dbeta), ([0.0; 2], [0.0; 2]));
}

#[test]
fn threads_change_no_bit_of_a_residual() {
    for (rows, channels) in [(30_011, 7), (5_003, 64), (701, 300)] {
        let case = Case::new(rows, channels, Activation::Relu);
        let (residual, y) = (numbers(case.x.len(), 11), numbers(case.x.len(), 12));
        let norm = case.norm();
        assert_same_bits_on_any_threads(case.x.len(), &|out| {
            batch_norm_add_forward(&norm, &case.x, Source::Slice(&residual), out);
        });
        assert_same_bits_on_any_threads(case.x.len(), &|y| {
            batch_norm_add_forward(&norm, &case.x, Source::InPlace, y);
        });
        assert_same_bits_on_any_threads(case.x.len() + 2 * channels, &|out| {
            let (g, sums) = out.split_at_mut(case.x.len());
            let (dgamma, dbeta) = sums.split_at_mut(channels);
            batch_norm_add_backward_parameters(&norm, &case.x, &y, g, dgamma, dbeta);
        });
        assert_same_bits_on_any_threads(case.x.len(), &|dx| {
            batch_norm_backward_data(&norm, &case.x, Source::InPlace, Through::Elements, dx, Accumulate::Set);
        });
    }
}

#[test]
fn scratch_memory_is_what_was_promised() {
    for (rows, channels) in [(3, 5), (700, 3), (5000, 64), (900, 300), (3000, 2048)] {
        let (x, dy) = (numbers(rows * channels, 1), numbers(rows * channels, 2));
        let [mut mean, mut variance, mut dgamma, mut dbeta] = [(); 4].map(|()| vec![0.5; channels]);
        let mut y = x.clone();
        let taken = crate::scratch::recorder::taken(|| {
            batch_norm_statistics(&x, &mut mean, &mut variance);
            let (gamma, beta) = (&vec![1.0; channels], &vec![0.0; channels]);
            let (mean, variance) = (&mean, &variance);
            let norm = BatchNorm { mean, variance, gamma, beta, epsilon: EPSILON, activation: Activation::Relu };
            batch_norm_forward(&norm, Source::Slice(&x), &mut y);
            batch_norm_backward_parameters(&norm, &x, &dy, &mut dgamma, &mut dbeta);
            let mut gradient = dy.clone();
            batch_norm_add_backward_parameters(&norm, &x, &y, &mut gradient, &mut dgamma, &mut dbeta);
            let through = Through::Batch { dgamma: &dgamma, dbeta: &dbeta };
            batch_norm_backward_data(&norm, &x, Source::Slice(&dy), through, &mut y, Accumulate::Set);
        });
        assert_eq!(taken, scratch(rows * channels, channels), "{rows} rows of {channels}");
    }
}
