//! Softmax, its logarithm, and cross-entropy on integer labels, over the last axis of `[rows, classes]`.

use ocelli_simd::{InstructionSet, Isa, Kernel, UnaryFunction, dispatch_on, math, slices};

use crate::elementwise::{
    Source,
    chunks::{in_pieces, rows_piece},
};

/// The time of an element in those of a copy: an exponential and three passes over a row in the first cache.
const WORK: usize = 8;

/// A label that is no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label {label} of sample {row} is not below the {classes} classes")]
pub struct LabelError {
    /// Which sample.
    pub row: usize,
    /// Its label.
    pub label: u32,
    /// How many classes there are.
    pub classes: usize,
}

/// `e^(x − top)`
#[derive(Clone, Copy)]
struct ExpFrom {
    top: f32,
}

impl UnaryFunction for ExpFrom {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        math::exp(isa, isa.sub(x, isa.splat(self.top)))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Log,
}

/// Rows of `y`, which hold `x` beforehand.
struct Rows<'a> {
    y: &'a mut [f32],
    classes: usize,
    form: Form,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for row in self.y.chunks_exact_mut(self.classes) {
            let top = row.iter().fold(f32::NEG_INFINITY, |top, x| top.max(*x));
            if self.form == Form::Plain {
                slices::map_in_place(isa, ExpFrom { top }, row);
                let scale = 1.0 / row.iter().sum::<f32>();
                row.iter_mut().for_each(|y| *y *= scale);
            } else {
                let shift = top + sum_of_exponentials(isa, row, top).ln();
                row.iter_mut().for_each(|y| *y -= shift);
            }
        }
    }
}

/// `Σ e^(x − top)`
#[inline(always)]
fn sum_of_exponentials<I: Isa>(isa: I, x: &[f32], top: f32) -> f32 {
    let f = ExpFrom { top };
    let blocks = x.chunks_exact(I::LANES);
    let tail = blocks.remainder();
    let mut sum = isa.zero();
    for block in blocks {
        sum = isa.add(sum, f.apply(isa, isa.load(block)));
    }
    // Lanes beyond the tail become e^−∞ = 0.
    let last = isa.load_partial_or(tail, f32::NEG_INFINITY);
    isa.sum(isa.add(sum, f.apply(isa, last)))
}

fn rows(form: Form, x: Source<'_>, y: &mut [f32], classes: usize) {
    x.expect_length(y.len());
    if classes == 0 {
        return;
    }
    let set = InstructionSet::current();
    in_pieces(y, rows_piece(classes, WORK), |start, y| {
        if let Source::Slice(x) = x.part(start, y.len()) {
            y.copy_from_slice(x);
        }
        dispatch_on(set, Rows { y, classes, form });
    });
}

/// `y[r, c] = e^x[r, c] / Σ e^x[r, k]`
pub fn softmax(x: Source<'_>, y: &mut [f32], classes: usize) {
    rows(Form::Plain, x, y, classes);
}

/// `y[r, c] = x[r, c] − log Σ e^x[r, k]`
pub fn log_softmax(x: Source<'_>, y: &mut [f32], classes: usize) {
    rows(Form::Log, x, y, classes);
}

/// `dx = y·(dy − Σ dy·y)`, row by row, from the result `y` of [`softmax`].
pub fn softmax_backward(y: &[f32], dy: &[f32], dx: &mut [f32], classes: usize) {
    by_rows(y, dy, dx, classes, |y, dy, dx| {
        let along: f32 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
        dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = y * (dy - along));
    });
}

/// `dx = dy − e^y·Σ dy`, row by row, from the result `y` of [`log_softmax`].
pub fn log_softmax_backward(y: &[f32], dy: &[f32], dx: &mut [f32], classes: usize) {
    by_rows(y, dy, dx, classes, |y, dy, dx| {
        let sum: f32 = dy.iter().sum();
        dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = dy - y.exp() * sum);
    });
}

fn by_rows(y: &[f32], dy: &[f32], dx: &mut [f32], classes: usize, f: impl Fn(&[f32], &[f32], &mut [f32]) + Sync) {
    assert!(y.len() == dx.len() && dy.len() == dx.len(), "the operands of a softmax gradient have one length");
    if classes == 0 {
        return;
    }
    in_pieces(dx, rows_piece(classes, WORK), |start, dx| {
        let (y, dy) = (&y[start..][..dx.len()], &dy[start..][..dx.len()]);
        let rows = dx.chunks_exact_mut(classes).zip(y.chunks_exact(classes)).zip(dy.chunks_exact(classes));
        rows.for_each(|((dx, y), dy)| f(y, dy, dx));
    });
}

/// The mean over rows of `−Σ q[c]·log softmax(x)[c]` with `q = (1 − ε)·[c = label] + ε / classes`; every term is weighted
/// with the weight of its class `c`, and the mean divides by the sum of the weights of the labels, as PyTorch has it.
/// Leaves the softmax in `probabilities`, which is all that [`cross_entropy_backward`] needs.
///
/// # Errors
/// [`LabelError`] for a label that is no class; nothing is written then.
pub fn cross_entropy_forward(
    x: &[f32],
    labels: &[u32],
    class_weights: Option<&[f32]>,
    smoothing: f32,
    probabilities: &mut [f32],
) -> Result<f32, LabelError> {
    let classes = x.len().checked_div(labels.len()).unwrap_or(0);
    let wrong = labels.iter().enumerate().find(|(_, label)| **label as usize >= classes);
    if let Some((row, &label)) = wrong {
        return Err(LabelError { row, label, classes });
    }
    softmax(Source::Slice(x), probabilities, classes);
    let weight = |class: usize| class_weights.map_or(1.0, |weights| f64::from(weights[class]));
    let (mut total, mut weights) = (0.0f64, 0.0f64);
    for (x, &label) in x.chunks_exact(classes.max(1)).zip(labels) {
        // In f64 from the logits: the probability of a sure answer rounds to 1, its logarithm would be 0.
        let top = f64::from(x.iter().fold(f32::NEG_INFINITY, |top, x| top.max(*x)));
        let log_sum = x.iter().map(|x| (f64::from(*x) - top).exp()).sum::<f64>().ln() + top;
        let label = label as usize;
        let loss = |class: usize| weight(class) * (log_sum - f64::from(x[class]));
        total += (1.0 - f64::from(smoothing)) * loss(label);
        if smoothing > 0.0 {
            total += f64::from(smoothing) / classes as f64 * (0..classes).map(loss).sum::<f64>();
        }
        weights += weight(label);
    }
    Ok((total / weights) as f32)
}

/// The gradient of [`cross_entropy_forward`] with respect to `x`, times `upstream`. Labels were checked by the forward
/// pass.
pub fn cross_entropy_backward(
    probabilities: &[f32],
    labels: &[u32],
    class_weights: Option<&[f32]>,
    smoothing: f32,
    upstream: f32,
    dx: &mut [f32],
) {
    let classes = probabilities.len().checked_div(labels.len()).unwrap_or(0).max(1);
    let weight = |class: usize| class_weights.map_or(1.0, |weights| weights[class]);
    let sum: f64 = labels.iter().map(|label| f64::from(weight(*label as usize))).sum();
    let scale = (f64::from(upstream) / sum) as f32;
    let all: f32 = (0..classes).map(weight).sum::<f32>() * smoothing / classes as f32;
    let rows = dx.chunks_exact_mut(classes).zip(probabilities.chunks_exact(classes)).zip(labels);
    for ((dx, p), &label) in rows {
        let label = label as usize;
        let own = (1.0 - smoothing) * weight(label);
        // Σ over classes of q·w·(p − [c]): all the weight times p, less each class's own.
        for (class, (dx, p)) in dx.iter_mut().zip(p).enumerate() {
            *dx = scale * ((own + all) * p - smoothing / classes as f32 * weight(class));
        }
        dx[label] -= scale * own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) as f32 * 0.013).sin() * 4.0).collect()
    }

    #[test]
    fn rows_are_probabilities() {
        for classes in [1, 3, 10, 16, 17, 1000] {
            let x = numbers(7 * classes);
            for set in InstructionSet::available() {
                set.scoped(|| {
                    let (mut y, mut log) = (vec![0.0; x.len()], x.clone());
                    softmax(Source::Slice(&x), &mut y, classes);
                    log_softmax(Source::InPlace, &mut log, classes);
                    for (r, x) in x.chunks(classes).enumerate() {
                        let sum: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
                        for (c, x) in x.iter().enumerate() {
                            let expected = f64::from(*x).exp() / sum;
                            let (y, log) = (f64::from(y[r * classes + c]), f64::from(log[r * classes + c]));
                            assert!((y - expected).abs() <= 2e-6 * expected, "{y} {expected}");
                            assert!((log - expected.ln()).abs() < 2e-6 * (1.0 + expected.ln().abs()));
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let mut y = [1000.0, 0.0, -1000.0];
        softmax(Source::InPlace, &mut y, 3);
        assert_eq!(y, [1.0, 0.0, 0.0]);
        let mut p = [0.0; 2];
        let loss = cross_entropy_forward(&[200.0, -200.0], &[1], None, 0.0, &mut p).unwrap();
        assert_eq!(loss, 400.0);
    }

    #[test]
    fn a_wrong_label_is_found_before_anything_is_written() {
        let mut p = [7.0; 4];
        let error = cross_entropy_forward(&[0.0; 4], &[1, 2], None, 0.0, &mut p).unwrap_err();
        assert_eq!(error.to_string(), "label 2 of sample 1 is not below the 2 classes");
        assert_eq!(p, [7.0; 4]);
    }
}
