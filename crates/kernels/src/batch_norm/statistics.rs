//! Mean and variance of each channel, in one pass.

use ocelli_simd::Isa;

use super::PerChannel;
use crate::reduce::table::{Terms, column_sums, load_at, prefetch, widened};
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
        let guess = PerChannel::filled(memory, channels, |guess| sample_mean(x, step, guess));
        column_sums(Deviations { x, guess }, x.len(), channels, |channel, [sum, squares]| {
            let shift = sum / rows as f64;
            mean[channel] = (f64::from(guess.rows[0][channel]) + shift) as f32;
            variance[channel] = (squares / rows as f64 - shift * shift).max(0.0) as f32;
        });
    });
}

/// The mean of every `step`th row of `x`. Row by row: the numbers of a channel are often a
/// power of two apart, and only few such lines have room in the caches.
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

/// `d` and `d²` with `d = x - guess`
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
