//! Group normalisation (Wu and He 2018) of `[samples, pixels, C]`, which is `[N, H, W, C]` as it lies: statistics are
//! those of one sample and of a group of neighbouring channels. With one channel a group it is instance normalisation
//! (Ulyanov, Vedaldi and Lempitsky 2016), with one group the layer normalisation of images.
//!
//! On one sample, each pass is that of batch normalisation with one mean and variance for each channel; this module
//! combines those of a group.

#[cfg(test)]
mod tests;

use ocelli_simd::InstructionSet;

use crate::batch_norm::{
    BatchNorm, Through, batch_norm_backward_data, batch_norm_backward_parameters, batch_norm_forward,
    batch_norm_statistics, inverse_deviation,
};
use crate::elementwise::Source;
use crate::elementwise::chunks::{CHUNK, in_paired_pieces, in_pieces};
use crate::scratch;
use crate::sizes::length as length_of;
use crate::{Accumulate, Activation};

/// The normalisation `y = γ (x - μ) / √(σ² + ε) + β`, with one `γ` and `β` for each channel.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a> {
    /// Number of groups, which divides the channels.
    pub groups: usize,
    /// Number of pixels of a sample.
    pub pixels: usize,
    /// Scale `γ` of each channel.
    pub gamma: &'a [f32],
    /// Shift `β` of each channel.
    pub beta: &'a [f32],
    /// Constant `ε` that is added to the variance.
    pub epsilon: f32,
}

/// Mean and biased variance of the group of each channel, `[samples, C]`, as [`group_norm_statistics`] writes them.
#[derive(Clone, Copy, Debug)]
pub struct GroupStatistics<'a> {
    /// Means `μ`.
    pub mean: &'a [f32],
    /// Variances `σ²`.
    pub variance: &'a [f32],
}

/// Sums over the pixels of each sample, `[samples, C]`, as [`group_norm_backward_sums`] writes them.
#[derive(Clone, Copy, Debug)]
pub struct GroupSums<'a> {
    /// Sums `Σ dy (x - μ) / √(σ² + ε)`.
    pub products: &'a [f32],
    /// Sums `Σ dy`.
    pub gradients: &'a [f32],
}

impl<'a> GroupNorm<'a> {
    fn channels(&self) -> usize {
        self.gamma.len()
    }

    /// Returns the number of elements of a sample.
    fn sample(&self) -> usize {
        length_of(&[self.pixels, self.channels()])
    }

    /// Asserts the invariants that callers check shapes.
    fn assert_fit(&self, length: usize, per_sample: [&[f32]; 2]) {
        let channels = self.channels();
        assert_eq!(self.beta.len(), channels, "each channel has a scale and a shift");
        assert!(self.groups > 0 && channels.is_multiple_of(self.groups), "the groups divide the channels");
        for numbers in per_sample {
            assert_eq!(length_of(&[numbers.len(), self.pixels]), length, "each sample has a number for each channel");
        }
    }

    /// Returns the number of samples that one task handles.
    fn samples(&self) -> usize {
        (CHUNK / self.sample().max(1)).max(1)
    }

    /// Returns the batch normalisation of sample `number`.
    fn of_sample(&self, statistics: GroupStatistics<'a>, number: usize) -> BatchNorm<'a> {
        let channels = self.channels();
        let part = |numbers: &'a [f32]| &numbers[number * channels..][..channels];
        BatchNorm {
            mean: part(statistics.mean),
            variance: part(statistics.variance),
            gamma: self.gamma,
            beta: self.beta,
            epsilon: self.epsilon,
            activation: Activation::Identity,
        }
    }

    /// Calls `f(number, y, z)` with the `[C]` of each sample of two slices.
    fn each_sample(&self, y: &mut [f32], z: &mut [f32], f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) {
        let (set, channels) = (InstructionSet::current(), self.channels());
        in_paired_pieces(y, z, length_of(&[self.samples(), channels]), |start, y, z| {
            set.scoped(|| {
                for (i, (y, z)) in y.chunks_exact_mut(channels).zip(z.chunks_exact_mut(channels)).enumerate() {
                    f(start / channels + i, y, z);
                }
            });
        });
    }

    /// Calls `f(number, y)` with each sample of a tensor.
    fn each_image(&self, y: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
        let (set, sample) = (InstructionSet::current(), self.sample());
        in_pieces(y, length_of(&[self.samples(), sample]), |start, y| {
            set.scoped(|| {
                y.chunks_exact_mut(sample).enumerate().for_each(|(i, y)| f(start / sample + i, y));
            });
        });
    }
}

/// Computes mean and biased variance of each group, written for each of its channels: `[samples, C]`.
pub fn group_norm_statistics(norm: &GroupNorm<'_>, x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    norm.assert_fit(x.len(), [mean, variance]);
    let (sample, width) = (norm.sample(), norm.channels() / norm.groups);
    norm.each_sample(mean, variance, |number, mean, variance| {
        batch_norm_statistics(&x[number * sample..][..sample], mean, variance);
        for (mean, variance) in mean.chunks_exact_mut(width).zip(variance.chunks_exact_mut(width)) {
            let of_group = mean.iter().map(|&mean| f64::from(mean)).sum::<f64>() / width as f64;
            let channels = mean.iter().zip(&*variance);
            let about_it =
                channels.map(|(&mean, &variance)| f64::from(variance) + (f64::from(mean) - of_group).powi(2));
            let squares = about_it.sum::<f64>() / width as f64;
            mean.fill(of_group as f32);
            variance.fill(squares as f32);
        }
    });
}

/// Computes `y = γ (x - μ) / √(σ² + ε) + β`.
pub fn group_norm_forward(norm: &GroupNorm<'_>, statistics: GroupStatistics<'_>, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    norm.assert_fit(y.len(), [statistics.mean, statistics.variance]);
    norm.each_image(y, |number, y| {
        let x = match x {
            Source::Slice(x) => Source::Slice(&x[number * y.len()..][..y.len()]),
            Source::InPlace => Source::InPlace,
        };
        batch_norm_forward(&norm.of_sample(statistics, number), x, y);
    });
}

/// Computes the sums over the pixels of each sample, whose sums over samples are the gradients of scale and shift, and
/// through which the gradient of the input goes.
pub fn group_norm_backward_sums(
    norm: &GroupNorm<'_>,
    statistics: GroupStatistics<'_>,
    (x, dy): (&[f32], &[f32]),
    products: &mut [f32],
    gradients: &mut [f32],
) {
    assert_eq!(x.len(), dy.len(), "input and gradient have one length");
    norm.assert_fit(x.len(), [statistics.mean, statistics.variance]);
    norm.assert_fit(x.len(), [products, gradients]);
    let sample = norm.sample();
    norm.each_sample(products, gradients, |number, products, gradients| {
        let part = number * sample..(number + 1) * sample;
        let of_sample = norm.of_sample(statistics, number);
        batch_norm_backward_parameters(&of_sample, &x[part.clone()], &dy[part], products, gradients);
    });
}

/// Computes `dx = (g - mean(g) - n mean(g n)) / √(σ² + ε)` with `n = (x - μ) / √(σ² + ε)` and `g = γ dy`, where means
/// are over the group.
pub fn group_norm_backward_data(
    norm: &GroupNorm<'_>,
    statistics: GroupStatistics<'_>,
    sums: GroupSums<'_>,
    (x, dy): (&[f32], &[f32]),
    dx: &mut [f32],
) {
    assert_eq!([x.len(), dy.len()], [dx.len(); 2], "input and gradients have one length");
    norm.assert_fit(dx.len(), [statistics.mean, statistics.variance]);
    norm.assert_fit(dx.len(), [sums.products, sums.gradients]);
    let (channels, width) = (norm.channels(), norm.channels() / norm.groups);
    let share = 1.0 / (norm.pixels as f64 * width as f64);
    norm.each_image(dx, |number, dx| {
        scratch::with(2 * channels, |memory| {
            let (slope, constant) = memory.split_at_mut(channels);
            for group in (0..channels).step_by(width) {
                let first = number * channels + group;
                let total = |sums: &[f32]| -> f64 {
                    let terms = norm.gamma[group..][..width].iter().zip(&sums[first..][..width]);
                    terms.map(|(&gamma, &sum)| f64::from(gamma) * f64::from(sum)).sum()
                };
                let inverse = inverse_deviation(statistics.variance[first], norm.epsilon);
                slope[group..][..width].fill((-inverse * inverse * share * total(sums.products)) as f32);
                constant[group..][..width].fill((-inverse * share * total(sums.gradients)) as f32);
            }
            let through = Through::Statistics { slope, constant };
            let part = number * dx.len()..(number + 1) * dx.len();
            let of_sample = norm.of_sample(statistics, number);
            let dy = Source::Slice(&dy[part.clone()]);
            batch_norm_backward_data(&of_sample, &x[part], dy, through, dx, Accumulate::Set);
        });
    });
}
