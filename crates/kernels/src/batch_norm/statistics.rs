//! Mean and variance of each channel, in one pass.

use ocelli_simd::Isa;

use super::PerChannel;
use crate::reduce::table::{Terms, column_sums, load_at, prefetch, widened};
use crate::scratch;

/// Number of sampled rows, whose mean is the first guess at the mean of all.
const SAMPLE: usize = 64;

/// Largest squared shift of the guess, in squared deviations, that leaves enough digits when it is subtracted from the
/// mean square.
const NEAR: f64 = 64.0;

/// Shift, relative to the guess, below which it is rounding, as in channels whose values are all equal.
const ROUNDING: f64 = 1e-5;

/// Computes `mean[c] = Σ x[r, c] / rows` and `variance[c] = Σ (x[r, c] - mean[c])² / rows` (the biased one, by which a
/// batch is normalised), over the rows of `x: [rows, C]`; NaN if there are none. A variance beyond `f32` is infinite.
///
/// Sums are taken of the deviations from a guess, the mean of rows spread over the whole tensor. With the guess within
/// a few deviations of the mean, nothing cancels, whatever the mean: the relative error of the variance is some 10⁻⁶. Where
/// the rows misled, they are summed again with the mean for a guess.
pub fn batch_norm_statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let channels = mean.len();
    assert_eq!(variance.len(), channels, "each channel has a mean and a variance");
    assert!(x.is_empty() || x.len().is_multiple_of(channels), "the tensor is made of whole rows of channels");
    let rows = x.len() / channels.max(1);
    if rows == 0 {
        mean.fill(f32::NAN);
        variance.fill(f32::NAN);
        return;
    }
    let step = rows.div_ceil(SAMPLE);
    scratch::with(widened(channels), |memory| {
        let guess = PerChannel::filled(memory, channels, |guess| sample_mean(x, step, guess));
        if sums_about(guess, x, mean, variance) == Guess::Far {
            let guess = PerChannel::filled(memory, channels, |guess| guess.copy_from_slice(mean));
            sums_about(guess, x, mean, variance);
        }
    });
    for (channel, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
        if !(mean.is_finite() && variance.is_finite()) {
            (*mean, *variance) = large_statistics(&x[channel..], channels);
        }
    }
}

/// Quality of a guess at the mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    Near,
    /// In some channel, most of the digits of the variance cancelled.
    Far,
}

/// Computes mean and variance from the deviations from a guess.
fn sums_about(guess: PerChannel<'_, 1>, x: &[f32], mean: &mut [f32], variance: &mut [f32]) -> Guess {
    let channels = mean.len();
    let rows = (x.len() / channels) as f64;
    let mut served = Guess::Near;
    column_sums(Deviations { x, guess }, x.len(), channels, |channel, [sum, squares]| {
        let (guess, shift) = (f64::from(guess.rows[0][channel]), sum / rows);
        let spread = squares / rows - shift * shift;
        if shift * shift > NEAR * spread && shift.abs() > ROUNDING * guess.abs() {
            served = Guess::Far;
        }
        mean[channel] = (guess + shift) as f32;
        // A comparison, which lets a NaN through.
        variance[channel] = if spread < 0.0 { 0.0 } else { spread as f32 };
    });
    served
}

/// Returns mean and variance of every `channels`th element, in `f64`: for channels whose squared deviations are beyond
/// `f32`, or which hold a NaN or an infinity.
#[cold]
fn large_statistics(x: &[f32], channels: usize) -> (f32, f32) {
    let numbers = || x.iter().step_by(channels).map(|&x| f64::from(x));
    let rows = numbers().len() as f64;
    let mean = numbers().sum::<f64>() / rows;
    if mean.is_nan() {
        return (f32::NAN, f32::NAN);
    }
    let squares = numbers().map(|x| (x - mean) * (x - mean)).sum::<f64>();
    (mean as f32, (squares / rows) as f32)
}

/// Computes the mean of every `step`th row of `x`. Row by row: the elements of a channel are often a power of two
/// apart, and only few such lines have room in the caches.
fn sample_mean(x: &[f32], step: usize, mean: &mut [f32]) {
    let sample = x.chunks_exact(mean.len()).step_by(step);
    let share = 1.0 / sample.len() as f32;
    mean.fill(0.0);
    for row in sample {
        for (mean, &x) in mean.iter_mut().zip(row) {
            *mean += share * x;
        }
    }
}

/// Computes `d` and `d²` with `d = x - guess`.
#[derive(Clone, Copy)]
struct Deviations<'a> {
    x: &'a [f32],
    guess: PerChannel<'a, 1>,
}

impl Terms<2> for Deviations<'_> {
    fn assert_fit(&self, length: usize, width: usize) {
        assert_eq!(self.x.len(), length, "the table has so many numbers");
        self.guess.assert_width(width);
    }

    #[inline(always)]
    unsafe fn at<I: Isa>(&mut self, isa: I, place: usize, column: usize, count: usize) -> [I::Vector; 2] {
        // SAFETY: the caller, and `assert_fit`.
        let (x, [guess]) = unsafe { (load_at(isa, self.x, place, count), self.guess.at_column(isa, column, count)) };
        let deviation = isa.sub(x, guess);
        [deviation, isa.mul(deviation, deviation)]
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, place: usize) {
        prefetch(isa, self.x, place);
    }
}
