//! Softmax and the cross-entropy of labels in one operation, as `torch.nn.CrossEntropyLoss` with the mean defines it.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};
use rayon::prelude::*;

use super::rows::Row;
use super::softmax_row;
use crate::announce_work;
use crate::elementwise::chunks::{CHUNK, MOST_PARTS, in_pieces, part_length, rows_piece};
use crate::scratch;
use crate::sizes::length;
use crate::stores::ALIGNED;

/// The settings of the loss.
///
/// With class weights `w` (all 1 if there are none), smoothing `ε`, `C` classes, labels `t[r]` and
/// `l[r, c] = -ln softmax(x[r])[c]` the loss is
/// `Σ_r ((1 - ε) w[t[r]] l[r, t[r]] + ε / C Σ_c w[c] l[r, c]) / Σ_r w[t[r]]`.
/// It is NaN where the weights of all labels are zero, or there are no rows.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// Number of classes.
    pub classes: usize,
    /// Weight of each class.
    pub class_weights: Option<&'a [f32]>,
    /// Smoothing `ε`, in `0..=1`.
    pub smoothing: f32,
}

/// Error for a label that is none of the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label {label} of row {row} is none of the {classes} classes")]
pub struct LabelError {
    /// Row of the label.
    pub row: usize,
    /// Label itself.
    pub label: u32,
    /// Number of classes.
    pub classes: usize,
}

impl CrossEntropy<'_> {
    fn weight(&self, class: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| f64::from(weights[class]))
    }

    /// Returns `Σ w` over the classes, of which there may be any number where there are no rows.
    fn all_weights(&self) -> f64 {
        let sum = |weights: &[f32]| weights.iter().map(|&weight| f64::from(weight)).sum();
        self.class_weights.map_or(self.classes as f64, sum)
    }

    fn total_weight(&self, labels: &[u32]) -> f64 {
        labels.iter().map(|&label| self.weight(label as usize)).sum()
    }

    fn check(&self, labels: &[u32]) -> Result<(), LabelError> {
        if let Some(weights) = self.class_weights {
            assert_eq!(weights.len(), self.classes, "there is a weight for each class");
        }
        match labels.iter().position(|&label| label as usize >= self.classes) {
            Some(row) => Err(LabelError { row, label: labels[row], classes: self.classes }),
            None => Ok(()),
        }
    }
}

/// Computes the mean loss of the logits `x: [rows, classes]`; writes their softmax, which backward needs.
///
/// # Errors
/// If a label is none of the classes; nothing is written then.
pub fn cross_entropy_forward(
    loss: CrossEntropy<'_>,
    x: &[f32],
    labels: &[u32],
    probabilities: &mut [f32],
) -> Result<f32, LabelError> {
    let classes = loss.classes;
    assert_eq!(x.len(), probabilities.len(), "logits and probabilities have one length");
    assert_eq!(x.len(), length(&[labels.len(), classes]), "there is a row of logits for each label");
    loss.check(labels)?;
    let set = InstructionSet::current();
    let part = part_length(labels.len(), classes);
    let mut sums = [0.0; MOST_PARTS];
    let sums = &mut sums[..labels.len().div_ceil(part)];
    let sum_part = |x: &[f32], labels: &[u32], y: &mut [f32]| {
        scratch::with(classes + ALIGNED, |buffer| dispatch_on(set, Forward { loss, x, labels, buffer, y }))
    };
    // Rows of no elements cannot be: a label is a class.
    let numbers = length(&[part, classes]).max(1);
    if probabilities.len() <= CHUNK {
        let outputs = sums.iter_mut().zip(probabilities.chunks_mut(numbers));
        let inputs = x.chunks(numbers).zip(labels.chunks(part));
        outputs.zip(inputs).for_each(|((sum, y), (x, labels))| *sum = sum_part(x, labels, y));
    } else {
        announce_work();
        let outputs = sums.par_iter_mut().zip(probabilities.par_chunks_mut(numbers));
        let inputs = x.par_chunks(numbers).zip(labels.par_chunks(part));
        outputs.zip(inputs).for_each(|((sum, y), (x, labels))| *sum = sum_part(x, labels, y));
    }
    Ok((sums.iter().sum::<f64>() / loss.total_weight(labels)) as f32)
}

struct Forward<'a> {
    loss: CrossEntropy<'a>,
    x: &'a [f32],
    labels: &'a [u32],
    /// Room for a row and a vector more.
    buffer: &'a mut [f32],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = f64;

    /// Returns the sum of the losses of these rows, not yet divided by the weights of their labels.
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f64 {
        let Self { loss, x, labels, buffer, y } = self;
        let classes = loss.classes;
        let epsilon = f64::from(loss.smoothing);
        let mut total = 0.0;
        let row = Row::new(isa, classes);
        for (index, (y, &label)) in y.chunks_exact_mut(classes).zip(labels).enumerate() {
            let x = &x[index * classes..];
            let norm = softmax_row(isa, row, x, buffer);
            y.copy_from_slice(&buffer[..classes]);
            let x = &x[..classes];
            let target = label as usize;
            total += (1.0 - epsilon) * loss.weight(target) * norm.loss(x[target]);
            if epsilon != 0.0 {
                let mut uniform = 0.0;
                for (class, &x) in x.iter().enumerate() {
                    uniform += loss.weight(class) * norm.loss(x);
                }
                total += epsilon / classes as f64 * uniform;
            }
        }
        total
    }
}

/// Computes the gradient of [`cross_entropy_forward`] times `upstream`, from the probabilities `p` that it wrote:
/// `dx[r, c] = upstream / Σ w[t] · ((1 - ε) w[t] (p[c] - [c = t]) + ε / C (p[c] Σ_k w[k] - w[c]))`.
///
/// The labels are those that forward accepted.
pub fn cross_entropy_backward(
    loss: CrossEntropy<'_>,
    probabilities: &[f32],
    labels: &[u32],
    upstream: f32,
    dx: &mut [f32],
) {
    let classes = loss.classes;
    assert_eq!(dx.len(), probabilities.len(), "probabilities and gradient have one length");
    assert_eq!(dx.len(), length(&[labels.len(), classes]), "there is a row of probabilities for each label");
    assert_eq!(loss.check(labels), Ok(()), "forward accepted the labels");
    let epsilon = f64::from(loss.smoothing);
    let scale = f64::from(upstream) / loss.total_weight(labels);
    let all_weights = loss.all_weights();
    let smooth = scale * epsilon / classes as f64;
    let set = InstructionSet::current();
    in_pieces(dx, rows_piece(classes, classes), |start, dx| {
        let rows = dx.chunks_exact_mut(classes).zip(probabilities[start..].chunks_exact(classes));
        for ((dx, p), &label) in rows.zip(&labels[start / classes..]) {
            let target = label as usize;
            let hard = scale * (1.0 - epsilon) * loss.weight(target);
            let factor = (hard + smooth * all_weights) as f32;
            dispatch_on(set, Gradient { p, factor, weights: loss.class_weights, smooth: smooth as f32, dx });
            // In one rounding: for a sure prediction this is a difference of close values.
            let at_target = f64::from(p[target]) * (hard + smooth * all_weights) - smooth * loss.weight(target) - hard;
            dx[target] = at_target as f32;
        }
    });
}

/// Computes `dx = factor p - smooth w`.
struct Gradient<'a> {
    p: &'a [f32],
    factor: f32,
    weights: Option<&'a [f32]>,
    smooth: f32,
    dx: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (factor, smooth) = (isa.splat(self.factor), isa.splat(self.smooth));
        let blocks = self.dx.chunks_mut(I::LANES).zip(self.p.chunks(I::LANES));
        for (block, (dx, p)) in blocks.enumerate() {
            let weights = match self.weights {
                Some(weights) => isa.load_partial(&weights[block * I::LANES..]),
                None => isa.splat(1.0),
            };
            let gradient = isa.neg_mul_add(smooth, weights, isa.mul(factor, isa.load_partial(p)));
            isa.store_partial(gradient, dx);
        }
    }
}
