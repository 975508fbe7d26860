//! Optimisers, schedules, metrics, checkpoints and the `Trainer`.
//!
//! Training is a loop of eight lines, and everything here can be used in one:
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
//! [`Trainer`] is that loop with validation, schedules, progress, a log, early stopping, and checkpoints from which a run
//! resumes with the same bits.

#![forbid(unsafe_code)]

mod accumulate;
mod checkpoint;
mod error;
mod evaluate;
mod interrupt;
mod metrics;
mod optimizer;
mod pattern;
#[cfg(feature = "plot")]
pub mod plot;
mod progress;
mod run_folder;
mod schedule;
mod source;
mod trainer;

pub use accumulate::Accumulated;
pub use checkpoint::{read_container, write_container};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Prediction, evaluate};
pub use interrupt::Interrupt;
pub use metrics::{ConfusionMatrix, Scores};
pub use ocelli_kernels::optimizer::Momentum;
pub use optimizer::{
    AdaGrad, Adam, AdamW, Clip, Descent, Gradients, Group, Now, Optimizer, OptimizerState, RmsProp, Rule, Sgd,
    WeightDecay,
};
pub use progress::Progress;
pub use run_folder::RunFolder;
pub use schedule::Schedule;
pub use source::BatchSource;
pub use trainer::{EarlyStopping, EpochRecord, Monitor, Outcome, Report, Trainer};
