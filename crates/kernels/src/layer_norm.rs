//! Layer normalisation (Ba, Kiros and Hinton 2016) of the rows of `[rows, C]`: of the features of a sample, or of the channels
//! of a pixel.
//!
//! A row is read once from memory and several times from the nearest cache, so that its mean is known before its deviations
//! are squared. Backward computes mean and deviation again; only the input is kept.

mod parameters;
#[cfg(test)]
mod tests;

pub use parameters::{layer_norm_backward_parameters, layer_norm_scratch};

use ocelli_simd::Isa;

use crate::elementwise::Source;
use crate::softmax::rows::{Row, RowFunction, each_row, load};

/// The normalisation `y = γ (x - μ) / √(σ² + ε) + β` with the mean and the biased variance of each row, and one `γ` and
/// `β` for each column.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// Scale `γ` of each column.
    pub gamma: &'a [f32],
    /// Shift `β` of each column.
    pub beta: &'a [f32],
    /// Constant `ε` that is added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    /// Asserts the invariant that callers check shapes; returns the number of columns.
    fn columns(&self, length: usize) -> usize {
        let columns = self.gamma.len();
        assert_eq!(self.beta.len(), columns, "each column has a scale and a shift");
        assert!(length == 0 || length.is_multiple_of(columns), "the tensor is made of whole rows");
        columns
    }
}

/// Computes `y = γ (x - μ) / √(σ² + ε) + β` in each row.
pub fn layer_norm_forward(norm: &LayerNorm<'_>, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    let columns = norm.columns(y.len());
    each_row(Forward(*norm), x, &[], y, columns);
}

/// Computes `dx = (g - mean(g) - n mean(g n)) / √(σ² + ε)` in each row, with `n = (x - μ) / √(σ² + ε)` and `g = γ dy`.
pub fn layer_norm_backward_data(norm: &LayerNorm<'_>, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let columns = norm.columns(dx.len());
    assert_eq!([x.len(), dy.len()], [dx.len(); 2], "input and gradients have one length");
    each_row(BackwardData(*norm), Source::Slice(x), dy, dx, columns);
}

/// Mean `μ` and `1 / √(σ² + ε)` of a row.
#[derive(Clone, Copy)]
struct Statistics {
    mean: f32,
    inverse_deviation: f32,
}

impl Statistics {
    #[inline(always)]
    fn of<I: Isa>(isa: I, row: Row<I>, x: &[f32], columns: usize, epsilon: f32) -> Self {
        let share = 1.0 / columns as f32;
        let mut sum = isa.zero();
        for c in row.whole() {
            sum = isa.add(sum, isa.load(&x[c..]));
        }
        if let Some(c) = row.tail() {
            sum = isa.add(sum, row.load_tail(isa, &x[c..], 0.0));
        }
        let mean = isa.sum(sum) * share;
        let centre = isa.splat(mean);
        let mut squares = isa.zero();
        for c in row.whole() {
            let deviation = isa.sub(isa.load(&x[c..]), centre);
            squares = isa.mul_add(deviation, deviation, squares);
        }
        if let Some(c) = row.tail() {
            let deviation = isa.sub(row.load_tail(isa, &x[c..], mean), centre);
            squares = isa.mul_add(deviation, deviation, squares);
        }
        let variance = isa.sum(squares) * share;
        if !variance.is_finite() {
            return Self::large(&x[..columns], epsilon);
        }
        Self { mean, inverse_deviation: 1.0 / (variance + epsilon).sqrt() }
    }

    /// Computes the statistics in `f64`: for rows whose sums or squared deviations are beyond `f32`, or which hold a
    /// NaN or an infinity.
    #[cold]
    fn large(x: &[f32], epsilon: f32) -> Self {
        let numbers = || x.iter().map(|&x| f64::from(x));
        let mean = numbers().sum::<f64>() / x.len() as f64;
        let variance = numbers().map(|x| (x - mean) * (x - mean)).sum::<f64>() / x.len() as f64;
        Self { mean: mean as f32, inverse_deviation: (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32 }
    }

    /// Returns `(x - μ) / √(σ² + ε)`.
    #[inline(always)]
    fn normal<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(isa.sub(x, isa.splat(self.mean)), isa.splat(self.inverse_deviation))
    }
}

#[derive(Clone, Copy)]
struct Forward<'a>(LayerNorm<'a>);

impl RowFunction for Forward<'_> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, row: Row<I>, x: &[f32], _: &[f32], y: &mut [f32]) {
        let LayerNorm { gamma, beta, epsilon } = self.0;
        let statistics = Statistics::of(isa, row, x, gamma.len(), epsilon);
        for c in row.vectors() {
            let normal = statistics.normal(isa, load(isa, &x[c..]));
            let value = isa.mul_add(normal, load(isa, &gamma[c..]), load(isa, &beta[c..]));
            isa.store(value, &mut y[c..]);
        }
    }
}

#[derive(Clone, Copy)]
struct BackwardData<'a>(LayerNorm<'a>);

impl RowFunction for BackwardData<'_> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, row: Row<I>, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        let LayerNorm { gamma, epsilon, .. } = self.0;
        let statistics = Statistics::of(isa, row, x, gamma.len(), epsilon);
        let (mut sum, mut product) = (isa.zero(), isa.zero());
        for c in row.whole() {
            let gradient = isa.mul(isa.load(&dy[c..]), isa.load(&gamma[c..]));
            sum = isa.add(sum, gradient);
            product = isa.mul_add(gradient, statistics.normal(isa, isa.load(&x[c..])), product);
        }
        if let Some(c) = row.tail() {
            let gradient = isa.mul(row.load_tail(isa, &dy[c..], 0.0), load(isa, &gamma[c..]));
            sum = isa.add(sum, gradient);
            let normal = statistics.normal(isa, row.load_tail(isa, &x[c..], statistics.mean));
            product = isa.mul_add(gradient, normal, product);
        }
        let share = 1.0 / gamma.len() as f32;
        let (mean, slope) = (isa.splat(isa.sum(sum) * share), isa.splat(isa.sum(product) * share));
        let factor = isa.splat(statistics.inverse_deviation);
        for c in row.vectors() {
            let gradient = isa.mul(load(isa, &dy[c..]), load(isa, &gamma[c..]));
            let normal = statistics.normal(isa, load(isa, &x[c..]));
            let through = isa.neg_mul_add(normal, slope, isa.sub(gradient, mean));
            isa.store(isa.mul(factor, through), &mut dx[c..]);
        }
    }
}
