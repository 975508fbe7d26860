//! Losses for regression.

use crate::elementwise::{ElementwiseLoss, MeanLoss};
use ocelli_graph::Node;

/// Computes the mean of `(x − t)²` over all elements.
///
/// # Shapes
/// Two nodes of the same shape → `[]`. Either may need a gradient.
#[track_caller]
pub fn mse(x: &Node, target: &Node) -> Node {
    if x.id().is_some() && target.id().is_some() && x.shape() != target.shape() {
        let reason = format!("shapes differ: {} and {}", x.description(), target.description());
        return x.trace().fail("MeanSquaredError", reason);
    }
    (x - target).square().mean()
}

/// Computes the mean of `(x − t)²/2` where `|x − t| ≤ delta` and `delta·(|x − t| − delta/2)` elsewhere (Huber 1964):
/// square near zero, linear for outliers.
///
/// # Shapes
/// Prediction and target of the same shape → `[]`. The target has no gradient.
#[track_caller]
pub fn huber(x: &Node, target: &Node, delta: f32) -> Node {
    Node::call(MeanLoss(Huber { delta }), &[x, target])
}

/// The loss of Huber; see [`huber`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Huber {
    /// Distance from which the loss is linear.
    pub delta: f32,
}

impl ElementwiseLoss for Huber {
    const NAME: &'static str = "Huber";

    fn value(&self, x: f32, target: f32) -> f32 {
        let distance = (x - target).abs();
        if distance <= self.delta { 0.5 * distance * distance } else { self.delta * (distance - 0.5 * self.delta) }
    }

    fn derivative(&self, x: f32, target: f32) -> f32 {
        (x - target).clamp(-self.delta, self.delta)
    }

    fn mistake(&self) -> Option<String> {
        (!(self.delta > 0.0 && self.delta.is_finite())).then(|| format!("delta = {} is not positive", self.delta))
    }
}
