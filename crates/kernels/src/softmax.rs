//! Softmax over the last axis of `[rows, classes]`, its logarithm, and the cross-entropy of labels.
//!
//! The largest logit of a row is subtracted first, so that no finite input overflows. A NaN or an infinite logit makes
//! its row NaN.

mod cross_entropy;
#[cfg(test)]
mod tests;

use ocelli_simd::{InstructionSet, Isa, Kernel, UnaryFunction, dispatch_on, math, slices};

pub use cross_entropy::{CrossEntropy, LabelError, cross_entropy_backward, cross_entropy_forward};

use crate::elementwise::Source;
use crate::elementwise::chunks::{in_pieces, rows_piece};

/// `y[r, c] = exp(x[r, c]) / Σ exp(x[r, ·])`
pub fn softmax(x: Source<'_>, y: &mut [f32], classes: usize) {
    forward(Rule::Softmax, x, y, classes);
}

/// `y[r, c] = x[r, c] - ln Σ exp(x[r, ·])`
pub fn log_softmax(x: Source<'_>, y: &mut [f32], classes: usize) {
    forward(Rule::LogSoftmax, x, y, classes);
}

/// `dx = y (dy - Σ dy · y)` in each row, from the output of [`softmax`].
pub fn softmax_backward(y: &[f32], dy: Source<'_>, dx: &mut [f32], classes: usize) {
    backward(Rule::Softmax, y, dy, dx, classes);
}

/// `dx = dy - exp(y) Σ dy` in each row, from the output of [`log_softmax`].
pub fn log_softmax_backward(y: &[f32], dy: Source<'_>, dx: &mut [f32], classes: usize) {
    backward(Rule::LogSoftmax, y, dy, dx, classes);
}

#[derive(Clone, Copy)]
enum Rule {
    Softmax,
    LogSoftmax,
}

fn forward(rule: Rule, x: Source<'_>, y: &mut [f32], classes: usize) {
    x.expect_length(y.len());
    assert!(y.is_empty() || y.len().is_multiple_of(classes), "the destination is made of whole rows");
    let set = InstructionSet::current();
    in_pieces(y, rows_piece(classes, classes), |start, y| {
        dispatch_on(set, Forward { rule, x: x.part(start, y.len()), y, classes });
    });
}

fn backward(rule: Rule, y: &[f32], dy: Source<'_>, dx: &mut [f32], classes: usize) {
    dy.expect_length(dx.len());
    assert_eq!(y.len(), dx.len(), "output and gradient have one length");
    assert!(dx.is_empty() || dx.len().is_multiple_of(classes), "the destination is made of whole rows");
    let set = InstructionSet::current();
    in_pieces(dx, rows_piece(classes, classes), |start, dx| {
        let y = &y[start..][..dx.len()];
        dispatch_on(set, Backward { rule, y, dy: dy.part(start, dx.len()), dx, classes });
    });
}

struct Forward<'a> {
    rule: Rule,
    x: Source<'a>,
    y: &'a mut [f32],
    classes: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (row, y) in self.y.chunks_exact_mut(self.classes).enumerate() {
            if let Source::Slice(x) = self.x {
                y.copy_from_slice(&x[row * self.classes..][..self.classes]);
            }
            match self.rule {
                Rule::Softmax => {
                    exp_normalised(isa, y);
                }
                Rule::LogSoftmax => {
                    let norm = Norm::of(isa, y);
                    slices::map_in_place(isa, Minus { term: norm.log() as f32 }, y);
                }
            }
        }
    }
}

/// `ln Σ exp(x)` in two parts.
#[derive(Clone, Copy)]
struct Norm {
    largest: f32,
    /// `Σ exp(x - largest)`
    sum: f32,
}

impl Norm {
    #[inline(always)]
    fn of<I: Isa>(isa: I, x: &[f32]) -> Self {
        let largest = max(isa, x);
        let shift = isa.splat(largest);
        let mut sum = isa.zero();
        let mut blocks = x.chunks_exact(I::LANES);
        for block in &mut blocks {
            sum = isa.add(sum, math::exp(isa, isa.sub(isa.load(block), shift)));
        }
        let tail = isa.load_partial_or(blocks.remainder(), f32::NEG_INFINITY);
        // The lanes beyond are `-inf`, whose exponential is zero, unless all logits are.
        if !blocks.remainder().is_empty() {
            sum = isa.add(sum, math::exp(isa, isa.sub(tail, shift)));
        }
        Self { largest, sum: isa.sum(sum) }
    }

    #[inline(always)]
    fn log(self) -> f64 {
        f64::from(self.largest) + f64::from(self.sum).ln()
    }
}

/// Replaces a row by its softmax; returns its norm.
#[inline(always)]
fn exp_normalised<I: Isa>(isa: I, y: &mut [f32]) -> Norm {
    let largest = max(isa, y);
    let shift = isa.splat(largest);
    let mut sum = isa.zero();
    let mut blocks = y.chunks_exact_mut(I::LANES);
    for block in &mut blocks {
        let power = math::exp(isa, isa.sub(isa.load(block), shift));
        sum = isa.add(sum, power);
        isa.store(power, block);
    }
    let tail = blocks.into_remainder();
    if !tail.is_empty() {
        let power = math::exp(isa, isa.sub(isa.load_partial_or(tail, f32::NEG_INFINITY), shift));
        sum = isa.add(sum, power);
        isa.store_partial(power, tail);
    }
    let norm = Norm { largest, sum: isa.sum(sum) };
    slices::map_in_place(isa, Times { factor: 1.0 / norm.sum }, y);
    norm
}

/// The largest number of a row; NaNs may be passed over.
#[inline(always)]
fn max<I: Isa>(isa: I, x: &[f32]) -> f32 {
    let mut largest = isa.splat(f32::NEG_INFINITY);
    for block in x.chunks(I::LANES) {
        // With the row's element first, a NaN in it leaves the largest as it was.
        largest = isa.max(isa.load_partial_or(block, f32::NEG_INFINITY), largest);
    }
    isa.max_lane(largest)
}

struct Backward<'a> {
    rule: Rule,
    y: &'a [f32],
    dy: Source<'a>,
    dx: &'a mut [f32],
    classes: usize,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let rows = self.dx.chunks_exact_mut(self.classes).zip(self.y.chunks_exact(self.classes));
        for (row, (dx, y)) in rows.enumerate() {
            if let Source::Slice(dy) = self.dy {
                dx.copy_from_slice(&dy[row * self.classes..][..self.classes]);
            }
            match self.rule {
                Rule::Softmax => softmax_row_backward(isa, y, dx),
                Rule::LogSoftmax => log_softmax_row_backward(isa, y, dx),
            }
        }
    }
}

/// `g = y (g - Σ g y)`
#[inline(always)]
fn softmax_row_backward<I: Isa>(isa: I, y: &[f32], g: &mut [f32]) {
    let mut sum = isa.zero();
    for (y, g) in y.chunks(I::LANES).zip(g.chunks(I::LANES)) {
        sum = isa.mul_add(isa.load_partial(y), isa.load_partial(g), sum);
    }
    let sum = isa.splat(isa.sum(sum));
    for (y, g) in y.chunks(I::LANES).zip(g.chunks_mut(I::LANES)) {
        let dx = isa.mul(isa.load_partial(y), isa.sub(isa.load_partial(g), sum));
        isa.store_partial(dx, g);
    }
}

/// `g = g - exp(y) Σ g`
#[inline(always)]
fn log_softmax_row_backward<I: Isa>(isa: I, y: &[f32], g: &mut [f32]) {
    let mut sum = isa.zero();
    for g in g.chunks(I::LANES) {
        sum = isa.add(sum, isa.load_partial(g));
    }
    let sum = isa.splat(isa.sum(sum));
    for (y, g) in y.chunks(I::LANES).zip(g.chunks_mut(I::LANES)) {
        let dx = isa.neg_mul_add(math::exp(isa, isa.load_partial(y)), sum, isa.load_partial(g));
        isa.store_partial(dx, g);
    }
}

/// `factor x`
#[derive(Clone, Copy)]
struct Times {
    factor: f32,
}

impl UnaryFunction for Times {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.mul(x, isa.splat(self.factor))
    }
}

/// `x - term`
#[derive(Clone, Copy)]
struct Minus {
    term: f32,
}

impl UnaryFunction for Minus {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.sub(x, isa.splat(self.term))
    }
}
