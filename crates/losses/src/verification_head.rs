//! The binary head of a Siamese network.

use ocelli_graph::{Constant, Node};
use ocelli_layers::Dense;

/// How a [`VerificationHead`] compares each feature of two embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// `|f(a) − f(b)|`.
    Absolute,
    /// `(f(a) − f(b))² / (|f(a)| + |f(b)|)`: the χ² similarity (Taigman et al. 2014, equation 4), whose features are not
    /// negative; the magnitudes extend it to those that are. It is 0 where both are.
    ChiSquare,
}

/// The head of a Siamese network: the logit `Σ w[k]·δ[k] + b` that two embeddings are of one identity, where `δ` compares
/// each feature. Its sigmoid is the probability, and [`logistic_cross_entropy`](crate::logistic_cross_entropy) its loss.
///
/// # Parameters
/// `weight` `[D, 1]`, at first −1 each, so that equal embeddings have the highest logit, and `bias` `[1]`.
///
/// ```
/// use ocelli_graph::{Dim, Model, Shape};
/// use ocelli_losses::{Difference, VerificationHead, logistic_cross_entropy};
/// // 2N embeddings: N of them are compared with N others.
/// let model = Model::trace(0, |t| {
///     let pairs = t.input("embeddings", Shape::new([Dim::Batch(2), Dim::Fixed(128)]));
///     let head = VerificationHead { difference: Difference::Absolute };
///     head.apply("head", &pairs.split_batch(0, 2), &pairs.split_batch(1, 2))
/// })?;
/// assert_eq!(model.parameters().trained_count(), 129);
/// model.objective(|t| logistic_cross_entropy(&t.output(), &t.input("same", [1])))?;
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationHead {
    /// The comparison of a feature.
    pub difference: Difference,
}

/// Smallest divisor of [`Difference::ChiSquare`].
const EPSILON: f32 = 1e-12;

impl VerificationHead {
    /// Computes the logits of pairs; the parameters live at the path `name`.
    ///
    /// # Shapes
    /// Two times `[N, D]` → `[N, 1]`.
    #[track_caller]
    pub fn apply(&self, name: &str, a: &Node, b: &Node) -> Node {
        let difference = a - b;
        let compared = match self.difference {
            Difference::Absolute => difference.abs(),
            Difference::ChiSquare => difference.square() / (a.abs() + b.abs() + EPSILON),
        };
        compared.apply(name, Dense::new(1).weight_init(Constant(-1.0)))
    }
}
