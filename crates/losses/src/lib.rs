//! Losses as graph operations.
//!
//! A loss is a function of nodes that returns a scalar, so user-defined losses are composed like networks:
//! `mse(a, b) + 0.1 * w.square().sum()`. The losses here have a dedicated operation where one kernel is faster or more
//! accurate than a composition: softmax with cross-entropy never forms the logarithm of a small probability.
//!
//! Embeddings are trained by [`TripletLoss`] and [`ContrastiveLoss`], whose triplets and pairs are given or found within
//! a batch, by [`ArcFace`] behind a [`CosineHead`], or by a [`VerificationHead`] with [`logistic_cross_entropy`].
//!
//! ```
//! use ocelli_graph::{Batch, Model, Tensor};
//! use ocelli_losses::softmax_cross_entropy;
//!
//! let mut model = Model::build(|x| x * 1.0, [3], 0)?;
//! let loss = |t: &ocelli_graph::Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
//! let mut objective = model.objective(loss)?;
//! let batch = Batch::new().with("input", Tensor::zeros([2, 3])).with("labels", Tensor::from(vec![0u32, 2]));
//! assert!((objective.step(&mut model, &batch)?.loss() - 3f32.ln()).abs() < 1e-6);
//! # Ok::<(), ocelli_graph::Error>(())
//! ```

#![forbid(unsafe_code)]

mod angular_margin;
mod contrastive;
mod cross_entropy;
mod elementwise;
mod in_batch;
mod logistic;
mod maximum_a_posteriori;
mod regression;
mod style;
mod total_variation;
mod triplet;
mod verification_head;

pub use angular_margin::{ArcFace, CosineHead};
pub use contrastive::ContrastiveLoss;
pub use cross_entropy::{CrossEntropy, soft_cross_entropy, softmax_cross_entropy};
pub use in_batch::DistanceStatistics;
pub use logistic::logistic_cross_entropy;
pub use maximum_a_posteriori::maximum_a_posteriori;
pub use regression::{huber, mse};
pub use style::{ContentNormalisation, StyleNormalisation, content_cost, gram_cost, style_cost, style_gram};
pub use total_variation::{Variation, total_variation};
pub use triplet::{MinedTriplets, Mining, TripletLoss, warm_up};
pub use verification_head::{Difference, VerificationHead};

/// The operations of the losses, with their settings, for code that reads a graph.
pub mod ops {
    pub use crate::{
        cross_entropy::{CrossEntropyBackward, CrossEntropyOp},
        elementwise::{ElementwiseLoss, MeanLoss, MeanLossBackward},
        logistic::Logistic,
        maximum_a_posteriori::{MaximumAPosteriori, MaximumAPosterioriBackward},
        regression::Huber,
    };
}

#[cfg(test)]
mod style_tests;
#[cfg(test)]
mod tests;
