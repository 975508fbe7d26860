//! Softmax over the last axis of `[rows, classes]`, its logarithm, and the cross-entropy of labels.
//!
//! The largest logit of a row is subtracted first, so that no finite input overflows. A NaN or an infinite logit makes
//! its row NaN.

mod cross_entropy;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

use ocelli_simd::{Isa, math};

pub use cross_entropy::{CrossEntropy, LabelError, cross_entropy_backward, cross_entropy_forward};

use crate::elementwise::Source;
use rows::{Row, RowFunction, each_row, load, prefetch};

/// Computes `y[r, c] = exp(x[r, c]) / Σ exp(x[r, ·])`.
pub fn softmax(x: Source<'_>, y: &mut [f32], classes: usize) {
    forward(Softmax, x, y, classes);
}

/// Computes `y[r, c] = x[r, c] - ln Σ exp(x[r, ·])`, as `(x[r, c] - max) - ln Σ exp(x[r, ·] - max)`: beside large
/// logits a logarithm added to their maximum would be lost.
pub fn log_softmax(x: Source<'_>, y: &mut [f32], classes: usize) {
    forward(LogSoftmax, x, y, classes);
}

/// Computes `dx = y (dy - Σ dy · y)` in each row, from the output of [`softmax`].
pub fn softmax_backward(y: &[f32], dy: Source<'_>, dx: &mut [f32], classes: usize) {
    backward(SoftmaxBackward, y, dy, dx, classes);
}

/// Computes `dx = dy - exp(y) Σ dy` in each row, from the output of [`log_softmax`].
pub fn log_softmax_backward(y: &[f32], dy: Source<'_>, dx: &mut [f32], classes: usize) {
    backward(LogSoftmaxBackward, y, dy, dx, classes);
}

fn forward(function: impl RowFunction, x: Source<'_>, y: &mut [f32], classes: usize) {
    x.expect_length(y.len());
    assert!(y.is_empty() || y.len().is_multiple_of(classes), "the destination is made of whole rows");
    each_row(function, x, &[], y, classes);
}

fn backward(function: impl RowFunction, y: &[f32], dy: Source<'_>, dx: &mut [f32], classes: usize) {
    dy.expect_length(dx.len());
    assert_eq!(y.len(), dx.len(), "output and gradient have one length");
    assert!(dx.is_empty() || dx.len().is_multiple_of(classes), "the destination is made of whole rows");
    each_row(function, dy, y, dx, classes);
}

/// Computes the row `exp(x) / Σ exp(x)`.
#[derive(Clone, Copy)]
struct Softmax;

impl RowFunction for Softmax {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, row: Row<I>, x: &[f32], _: &[f32], y: &mut [f32]) {
        softmax_row(isa, row, x, y);
    }
}

/// Writes the softmax of the row of `x` to the beginning of `y`, as a [`RowFunction`] does; returns its norm.
#[inline(always)]
fn softmax_row<I: Isa>(isa: I, row: Row<I>, x: &[f32], y: &mut [f32]) -> Norm {
    let largest = row.max(isa, x);
    let shift = isa.splat(largest);
    let mut sum = isa.zero();
    for c in row.whole() {
        prefetch(isa, &x[c..]);
        let power = math::exp_term(isa, isa.sub(isa.load(&x[c..]), shift));
        sum = isa.add(sum, power);
        isa.store(power, &mut y[c..]);
    }
    if let Some(c) = row.tail() {
        // The lanes beyond are `-inf`, whose exponential is zero, unless all logits are.
        let power = math::exp_term(isa, isa.sub(row.load_tail(isa, &x[c..], f32::NEG_INFINITY), shift));
        sum = isa.add(sum, power);
        isa.store(power, &mut y[c..]);
    }
    let norm = Norm { largest, sum: isa.sum(sum) };
    let factor = isa.splat(1.0 / norm.sum);
    for c in row.vectors() {
        let y = &mut y[c..];
        isa.store(isa.mul(isa.load(y), factor), y);
    }
    norm
}

/// Computes the row `x - ln Σ exp(x)`.
#[derive(Clone, Copy)]
struct LogSoftmax;

impl RowFunction for LogSoftmax {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, row: Row<I>, x: &[f32], _: &[f32], y: &mut [f32]) {
        let largest = row.max(isa, x);
        let shift = isa.splat(largest);
        let mut sum = isa.zero();
        for c in row.whole() {
            prefetch(isa, &x[c..]);
            sum = isa.add(sum, math::exp_term(isa, isa.sub(isa.load(&x[c..]), shift)));
        }
        if let Some(c) = row.tail() {
            let x = row.load_tail(isa, &x[c..], f32::NEG_INFINITY);
            sum = isa.add(sum, math::exp_term(isa, isa.sub(x, shift)));
        }
        let log = isa.splat(Norm { largest, sum: isa.sum(sum) }.log_of_sum() as f32);
        for c in row.vectors() {
            isa.store(isa.sub(isa.sub(load(isa, &x[c..]), shift), log), &mut y[c..]);
        }
    }
}

/// Computes the row `y (dy - Σ dy y)`.
#[derive(Clone, Copy)]
struct SoftmaxBackward;

impl RowFunction for SoftmaxBackward {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, row: Row<I>, dy: &[f32], y: &[f32], dx: &mut [f32]) {
        let mut sum = isa.zero();
        for c in row.whole() {
            sum = isa.mul_add(isa.load(&y[c..]), isa.load(&dy[c..]), sum);
        }
        if let Some(c) = row.tail() {
            sum = isa.mul_add(row.load_tail(isa, &y[c..], 0.0), row.load_tail(isa, &dy[c..], 0.0), sum);
        }
        let sum = isa.splat(isa.sum(sum));
        for c in row.vectors() {
            prefetch(isa, &y[c..]);
            prefetch(isa, &dy[c..]);
            let gradient = isa.mul(load(isa, &y[c..]), isa.sub(load(isa, &dy[c..]), sum));
            isa.store(gradient, &mut dx[c..]);
        }
    }
}

/// Computes the row `dy - exp(y) Σ dy`.
#[derive(Clone, Copy)]
struct LogSoftmaxBackward;

impl RowFunction for LogSoftmaxBackward {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, row: Row<I>, dy: &[f32], y: &[f32], dx: &mut [f32]) {
        let mut sum = isa.zero();
        for c in row.whole() {
            sum = isa.add(sum, isa.load(&dy[c..]));
        }
        if let Some(c) = row.tail() {
            sum = isa.add(sum, row.load_tail(isa, &dy[c..], 0.0));
        }
        let sum = isa.splat(isa.sum(sum));
        for c in row.vectors() {
            prefetch(isa, &y[c..]);
            prefetch(isa, &dy[c..]);
            let gradient = isa.neg_mul_add(math::exp_term(isa, load(isa, &y[c..])), sum, load(isa, &dy[c..]));
            isa.store(gradient, &mut dx[c..]);
        }
    }
}

/// The logarithm `ln Σ exp(x)` in two parts, which are never added: of two logits of 10¹⁶ that would leave nothing of
/// the second.
#[derive(Clone, Copy)]
struct Norm {
    largest: f32,
    /// `Σ exp(x - largest)`
    sum: f32,
}

impl Norm {
    /// Returns `ln Σ exp(x - largest)`.
    #[inline(always)]
    fn log_of_sum(self) -> f64 {
        f64::from(self.sum).ln()
    }

    /// Returns `-ln softmax(x)` of one of the logits: the difference is taken first, in the 53 bits of an `f64`.
    #[inline(always)]
    fn loss(self, logit: f32) -> f64 {
        (f64::from(self.largest) - f64::from(logit)) + self.log_of_sum()
    }
}
