//! Batch normalisation (Ioffe and Szegedy 2015) of `[rows, C]`, which is `[N, H, W, C]` as it lies.
//!
//! Training is four passes over memory: [`batch_norm_statistics`] reads the input; [`batch_norm_forward`] reads it
//! again and writes the output, activation included; [`batch_norm_backward_parameters`] reads the input and the
//! gradient; [`batch_norm_backward_data`] reads both again and writes the input's gradient. Nothing is kept but the
//! input and two values for each channel: backward computes the activation's argument again to find where it was passed
//! through, without another tensor to read. [`batch_norm_add_forward`] also adds a residual before the activation.
//!
//! A variance that overflows `f32`, of deviations beyond 10¹⁹, is infinite, and elements normalised by it are NaN.
//!
//! In inference a normalisation that follows a product is part of it: [`fold_filter`] and [`fold_bias`] make the weights.

mod backward;
mod fold;
mod forward;
mod residual;
mod statistics;
#[cfg(test)]
mod tests;

pub use backward::{Through, batch_norm_backward_data, batch_norm_backward_parameters};
pub use fold::{fold_bias, fold_filter};
pub use forward::batch_norm_forward;
pub use residual::{batch_norm_add_backward_parameters, batch_norm_add_forward};
pub use statistics::batch_norm_statistics;

use ocelli_simd::Isa;

use crate::reduce::table::{column_sums_scratch, load, load_at, widened};
use crate::sizes::length as length_of;
use crate::{Activation, Scratch};

/// The normalisation `y = activation(γ (x - μ) / √(σ² + ε) + β)`, with one value of each parameter for every channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Mean `μ` of each channel: of the batch in training, the running one in inference.
    pub mean: &'a [f32],
    /// Variance `σ²` of each channel: of the batch in training, the running one in inference.
    pub variance: &'a [f32],
    /// Scale `γ` of each channel.
    pub gamma: &'a [f32],
    /// Shift `β` of each channel.
    pub beta: &'a [f32],
    /// Constant `ε` that is added to the variance.
    pub epsilon: f32,
    /// Activation applied to the normalised values in the same pass.
    pub activation: Activation,
}

/// Returns the scratch memory that each of these kernels takes of a thread, at most, for an input of `length` elements.
pub fn scratch(length: usize, channels: usize) -> Scratch {
    if length == 0 || channels == 0 {
        return Scratch::NONE;
    }
    let per_channel = |numbers: usize| Scratch::of(length_of(&[numbers, widened(channels)]));
    per_channel(5).or(per_channel(3).around(column_sums_scratch::<2>(length, channels)))
}

impl BatchNorm<'_> {
    /// Asserts the invariant that callers check shapes; returns the number of channels.
    fn channels(&self, length: usize) -> usize {
        let channels = self.mean.len();
        for parameters in [self.variance, self.gamma, self.beta] {
            assert_eq!(parameters.len(), channels, "each channel has a mean, a variance, a scale and a shift");
        }
        assert!(length == 0 || length.is_multiple_of(channels), "the tensor is made of whole rows of channels");
        channels
    }

    /// Returns `1 / √(σ² + ε)`.
    fn inverse_deviation(&self, channel: usize) -> f64 {
        inverse_deviation(self.variance[channel], self.epsilon)
    }

    /// Returns `γ / √(σ² + ε)`.
    fn scale(&self, channel: usize) -> f64 {
        f64::from(self.gamma[channel]) * self.inverse_deviation(channel)
    }
}

/// Returns `1 / √(σ² + ε)`, and NaN for an infinite variance: that is one beyond `f32`, and a scale of zero would make
/// results that look normalised.
pub(crate) fn inverse_deviation(variance: f32, epsilon: f32) -> f64 {
    if variance.is_infinite() { f64::NAN } else { 1.0 / (f64::from(variance) + f64::from(epsilon)).sqrt() }
}

/// An activation as bounds, which covers every case.
#[derive(Clone, Copy)]
struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    fn of(activation: Activation) -> Self {
        match activation {
            Activation::Identity => Self { low: f32::NEG_INFINITY, high: f32::INFINITY },
            Activation::Relu => Self { low: 0.0, high: f32::INFINITY },
            Activation::Clamp { low, high } => Self { low, high },
        }
    }

    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        // The order of operands lets a NaN through.
        isa.min(isa.splat(self.high), isa.max(isa.splat(self.low), x))
    }

    /// Returns `dy` where `x` lies between the bounds (or is NaN), else zero.
    #[inline(always)]
    fn gradient<I: Isa>(self, isa: I, x: I::Vector, dy: I::Vector) -> I::Vector {
        let below = isa.less_or_equal(x, isa.splat(self.low));
        let above = isa.less_or_equal(isa.splat(self.high), x);
        isa.select(isa.mask_or(below, above), isa.zero(), dy)
    }
}

/// Values computed from the parameters of a channel before any element: `K` rows, one value for each channel, repeated
/// to the width in which tables are processed.
#[derive(Clone, Copy)]
struct PerChannel<'a, const K: usize> {
    rows: [&'a [f32]; K],
}

impl<'a, const K: usize> PerChannel<'a, K> {
    /// Computes the values into `memory` of `K · width`.
    fn compute(memory: &'a mut [f32], width: usize, channels: usize, of_channel: impl Fn(usize) -> [f32; K]) -> Self {
        for channel in 0..channels {
            for (k, number) in of_channel(channel).into_iter().enumerate() {
                memory[k * width..][..width][channel..].iter_mut().step_by(channels).for_each(|x| *x = number);
            }
        }
        let memory: &'a [f32] = memory;
        Self { rows: std::array::from_fn(|k| &memory[k * width..][..width]) }
    }

    /// Returns the length of a row.
    #[inline(always)]
    fn width(&self) -> usize {
        self.rows[0].len()
    }

    /// Loads the values of `count` columns from `column` on.
    #[inline(always)]
    fn at<I: Isa>(&self, isa: I, column: usize, count: usize) -> [I::Vector; K] {
        let mut numbers = [isa.zero(); K];
        for (numbers, row) in numbers.iter_mut().zip(self.rows) {
            *numbers = load(isa, &row[column..], count);
        }
        numbers
    }

    /// Asserts the length of a row.
    fn assert_width(&self, width: usize) {
        for row in self.rows {
            assert_eq!(row.len(), width, "numbers of channels are repeated to the width");
        }
    }

    /// Loads the values of `count` columns from `column` on, without a bounds check.
    ///
    /// # Safety
    /// So many columns are within the width, which [`assert_width`](Self::assert_width) was told.
    #[inline(always)]
    unsafe fn at_column<I: Isa>(&self, isa: I, column: usize, count: usize) -> [I::Vector; K] {
        let mut numbers = [isa.zero(); K];
        for (numbers, row) in numbers.iter_mut().zip(self.rows) {
            // SAFETY: the caller's.
            *numbers = unsafe { load_at(isa, row, column, count) };
        }
        numbers
    }
}

impl<'a> PerChannel<'a, 1> {
    /// Lets `fill` write the values, and repeats them to the width of `memory`.
    fn filled(memory: &'a mut [f32], channels: usize, fill: impl FnOnce(&mut [f32])) -> Self {
        let (first, others) = memory.split_at_mut(channels);
        fill(first);
        others.chunks_exact_mut(channels.max(1)).for_each(|other| other.copy_from_slice(first));
        Self { rows: [memory] }
    }
}
