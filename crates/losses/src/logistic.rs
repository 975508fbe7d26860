//! Cross-entropy of binary targets.

use crate::elementwise::{ElementwiseLoss, MeanLoss};
use ocelli_graph::Node;

/// Computes the mean of `−t·log σ(x) − (1 − t)·log(1 − σ(x))` over all elements, from the logit `x`, computed as
/// `max(x, 0) − t·x + log(1 + e^−|x|)`, which neither overflows nor cancels.
///
/// # Shapes
/// Logits and targets in `[0, 1]` of the same shape → `[]`.
#[track_caller]
pub fn logistic_cross_entropy(logits: &Node, targets: &Node) -> Node {
    Node::call(MeanLoss(Logistic), &[logits, targets])
}

/// The cross-entropy of a logit with a binary target; see [`logistic_cross_entropy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logistic;

impl ElementwiseLoss for Logistic {
    const NAME: &'static str = "LogisticCrossEntropy";

    fn value(&self, x: f32, target: f32) -> f32 {
        x.max(0.0) - target * x + (-x.abs()).exp().ln_1p()
    }

    fn derivative(&self, x: f32, target: f32) -> f32 {
        let e = (-x.abs()).exp();
        let sigmoid = if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
        sigmoid - target
    }
}
