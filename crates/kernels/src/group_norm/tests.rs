//! Group normalisation against its definition in `f64`.

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};

const EPSILON: f32 = 1e-3;

/// Channels and groups.
const CASES: [(usize, usize); 8] = [(1, 1), (6, 2), (6, 6), (6, 1), (15, 3), (16, 4), (64, 32), (130, 2)];

struct Case {
    x: Vec<f32>,
    dy: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    pixels: usize,
    groups: usize,
}

impl Case {
    fn new([samples, pixels, channels]: [usize; 3], groups: usize) -> Self {
        let mut x = numbers(samples * pixels * channels, 1);
        // Channels of a group differ in their means.
        x.iter_mut().enumerate().for_each(|(i, x)| *x += (i % channels) as f32 * 0.25);
        let (dy, gamma, beta) = (numbers(x.len(), 2), numbers(channels, 3), numbers(channels, 4));
        Self { x, dy, gamma, beta, pixels, groups }
    }

    fn norm(&self) -> GroupNorm<'_> {
        let Self { gamma, beta, pixels, groups, .. } = self;
        GroupNorm { groups: *groups, pixels: *pixels, gamma, beta, epsilon: EPSILON }
    }

    /// Mean and variance, products and gradients, output and gradient of the input.
    fn results(&self) -> [Vec<f32>; 6] {
        let (norm, length) = (self.norm(), self.x.len());
        let per_sample = length / self.pixels;
        let [mut mean, mut variance, mut products, mut gradients] = [0; 4].map(|_| vec![f32::NAN; per_sample]);
        let [mut y, mut dx] = [0; 2].map(|_| vec![f32::NAN; length]);
        group_norm_statistics(&norm, &self.x, &mut mean, &mut variance);
        let statistics = GroupStatistics { mean: &mean, variance: &variance };
        group_norm_forward(&norm, statistics, Source::Slice(&self.x), &mut y);
        let operands = (&self.x[..], &self.dy[..]);
        group_norm_backward_sums(&norm, statistics, operands, &mut products, &mut gradients);
        let sums = GroupSums { products: &products, gradients: &gradients };
        group_norm_backward_data(&norm, statistics, sums, operands, &mut dx);
        let mut in_place = self.x.clone();
        group_norm_forward(&norm, statistics, Source::InPlace, &mut in_place);
        assert_eq!(in_place, y);
        [mean, variance, products, gradients, y, dx]
    }
}

#[test]
fn every_pass_is_the_definition() {
    on_every_set(|set| {
        for (channels, groups) in CASES {
            let (samples, pixels) = (3, 35);
            let case = Case::new([samples, pixels, channels], groups);
            let [mean, variance, products, gradients, y, dx] = case.results();
            let width = channels / groups;
            for (sample, group) in (0..samples).flat_map(|sample| (0..groups).map(move |group| (sample, group))) {
                let places: Vec<usize> = (0..pixels)
                    .flat_map(|pixel| (0..width).map(move |c| (pixel, c)))
                    .map(|(pixel, c)| (sample * pixels + pixel) * channels + group * width + c)
                    .collect();
                let average =
                    |f: &dyn Fn(usize) -> f64| places.iter().map(|&i| f(i)).sum::<f64>() / places.len() as f64;
                let exact_mean = average(&|i| f64::from(case.x[i]));
                let exact_variance = average(&|i| (f64::from(case.x[i]) - exact_mean).powi(2));
                let inverse = 1.0 / (exact_variance + f64::from(EPSILON)).sqrt();
                let normal = |i: usize| (f64::from(case.x[i]) - exact_mean) * inverse;
                let gradient = |i: usize| f64::from(case.dy[i]) * f64::from(case.gamma[i % channels]);
                let (first, second) = (average(&gradient), average(&|i| gradient(i) * normal(i)));
                for &i in &places {
                    let exact = normal(i) * f64::from(case.gamma[i % channels]) + f64::from(case.beta[i % channels]);
                    assert_near(y[i], exact, 1e-5, (set, channels, groups, i));
                    let exact = inverse * (gradient(i) - first - normal(i) * second);
                    assert_near(dx[i], exact, 1e-5, (set, channels, groups, i));
                }
                for c in group * width..(group + 1) * width {
                    let at = sample * channels + c;
                    let of_channel = || places.iter().filter(|&i| i % channels == c);
                    let shift: f64 = of_channel().map(|&i| f64::from(case.dy[i])).sum();
                    let scale: f64 = of_channel().map(|&i| f64::from(case.dy[i]) * normal(i)).sum();
                    assert_near(mean[at], exact_mean, 1e-6 * (1.0 + exact_mean), (set, channels, groups, c));
                    assert_near(variance[at], exact_variance, 1e-5 * exact_variance, (set, channels, groups, c));
                    assert_near(gradients[at], shift, 2e-5, (set, channels, groups, c));
                    assert_near(products[at], scale, 5e-5, (set, channels, groups, c));
                }
            }
        }
    });
}

#[test]
fn threads_change_no_bit() {
    for (shape, groups) in [([3, 9_001, 7], 7), ([40, 300, 32], 8)] {
        let case = Case::new(shape, groups);
        let length = case.results().iter().map(Vec::len).sum();
        assert_same_bits_on_any_threads(length, &|y| y.copy_from_slice(&case.results().concat()));
    }
}
