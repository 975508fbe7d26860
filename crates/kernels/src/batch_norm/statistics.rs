//! Mean and variance of each channel, in one pass.

use ocelli_simd::Isa;

use super::PerChannel;
use crate::reduce::table::{Terms, column_sums, load, widened};
use crate::scratch;

/// Rows whose mean is the first guess at the mean of all.
const SAMPLE: usize = 64;

/// `mean[c] = Σ x[r, c] / rows` and `variance[c] = Σ (x[r, c] - mean[c])² / rows` (the biased one, by which a batch is
/// normalised), over the rows of `x: [rows, C]`; NaN if there are none.
///
/// Sums are taken of the deviations from a guess, the mean of rows spread over the whole tensor. With the guess within
/// a few deviations of the mean, nothing cancels, whatever the mean: the relative error of the variance is some 10⁻⁶.
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
    let width = widened(channels);
    let step = rows.div_ceil(SAMPLE);
    scratch::with(width, |memory| {
        let guess = PerChannel::compute(memory, width, channels, |channel| {
            let sample = x[channel..].iter().step_by(step * channels);
            let count = sample.len() as f64;
            [(sample.map(|&x| f64::from(x)).sum::<f64>() / count) as f32]
        });
        column_sums(Deviations { x, guess }, x.len(), channels, |channel, [sum, squares]| {
            let shift = sum / rows as f64;
            mean[channel] = (f64::from(guess.rows[0][channel]) + shift) as f32;
            variance[channel] = (squares / rows as f64 - shift * shift).max(0.0) as f32;
        });
    });
}

/// `d` and `d²` with `d = x - guess`
#[derive(Clone, Copy)]
struct Deviations<'a> {
    x: &'a [f32],
    guess: PerChannel<'a, 1>,
}

impl Terms<2> for Deviations<'_> {
    #[inline(always)]
    fn at<I: Isa>(self, isa: I, place: usize, column: usize, count: usize) -> [I::Vector; 2] {
        let [guess] = self.guess.at(isa, column, count);
        let deviation = isa.sub(load(isa, &self.x[place..], count), guess);
        [deviation, isa.mul(deviation, deviation)]
    }
}
