//! Optimisers, schedules, metrics, checkpoints and the `Trainer`.
//!
//! Training is a loop of eight lines, in which every type of this crate can be used:
//!
//! ```
//! # use ocelli_graph::{Batch, Model, Tensor};
//! # let network = |x: &ocelli_graph::Node| x * x.trace().parameter("w", [3], ocelli_graph::Constant(1.0));
//! # let batches = [Batch::new().with("input", Tensor::full([2, 3], 1.0))];
//! use ocelli_train::{Optimizer, Sgd};
//!
//! let mut model = Model::build(network, [3], 42)?;
//! let mut objective = model.objective(|t| t.output().square().mean())?;
//! let mut sgd = Sgd::new(0.1).momentum(0.9);
//! for epoch in 0..10 {
//!     for batch in &batches {
//!         let step = objective.step(&mut model, batch)?;
//!         sgd.step(&mut model, &step)?;
//!     }
//! }
//! # assert!(model.parameters().value("w").unwrap().data()[0].abs() < 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Trainer`] is that loop with validation, [metrics](Metric), schedules, progress, a log, early stopping, and checkpoints from
//! which a run resumes with the same bits.

#![forbid(unsafe_code)]

mod accumulate;
mod checkpoint;
mod error;
mod evaluate;
mod features;
mod finetune;
mod lbfgs;
mod metric;
mod optimizer;
mod pattern;
mod progress;
mod rate_finder;
mod run_folder;
mod schedule;
mod shards;
mod source;
mod stop_flag;
mod tensorboard;
mod trainer;

pub use accumulate::AccumulatedGradients;
pub use checkpoint::{read_container, write_container};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate, evaluate_classifier};
pub use features::Features;
pub use finetune::{Finetune, TrunkStatistics, Unfreezing};
pub use lbfgs::{Lbfgs, LbfgsOutcome, LbfgsStep};
pub use metric::{Accuracy, ConfusionMatrix, MeanIou, MeanValue, Metric, MetricValues, Sums};
pub use ocelli_kernels::optimizer::Momentum;
pub use optimizer::{
    AdaGrad, Adam, AdamW, Clip, Descent, Gradients, Group, Optimizer, OptimizerState, RmsProp, Rule, Sgd,
    UpdateSettings, WeightDecay,
};
pub use progress::Progress;
pub use rate_finder::{RateCurve, RateFinder};
pub use run_folder::RunFolder;
pub use schedule::Schedule;
pub use shards::{BatchShards, NumberPlace, ShardSum, ShardedObjective, ShardedStep, add_all};
pub use source::{BatchSource, Repeating};
pub use stop_flag::StopFlag;
pub use trainer::{EarlyStopping, EpochRecord, Monitor, Outcome, Report, Trainer};
