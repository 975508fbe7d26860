//! The results of a run.

use crate::MetricValues;
use serde::{Deserialize, Serialize};

/// The results of an epoch. They do not depend on how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The number of the epoch, from 0.
    pub epoch: u64,
    /// The learning rate of its last step.
    pub learning_rate: f32,
    /// The metrics over the training batches, each taken before the step that learns from it.
    pub train: MetricValues,
    /// The metrics over the validation batches after the epoch, if the run has any.
    pub validation: Option<MetricValues>,
}

/// The reason why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The monitored metric did not improve for too long.
    StoppedEarly,
    /// The stop flag was set. A run with a folder has saved everything in it.
    Interrupted,
}

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The record of every epoch, including those before a resume.
    pub history: Vec<EpochRecord>,
    /// The number of the best epoch by the [`Monitor`](crate::Monitor), if there was one.
    pub best_epoch: Option<u64>,
    /// The reason why the run ended.
    pub outcome: Outcome,
}

impl Report {
    /// Returns the training values of a metric as points of a curve: epochs counted from 1, and values.
    pub fn train(&self, metric: &str) -> Vec<(f64, f64)> {
        self.points(|record| record.train.get(metric))
    }

    /// Returns the validation values of a metric as points of a curve: epochs counted from 1, and values.
    pub fn validation(&self, metric: &str) -> Vec<(f64, f64)> {
        self.points(|record| record.validation.as_ref()?.get(metric))
    }

    fn points(&self, value: impl Fn(&EpochRecord) -> Option<f64>) -> Vec<(f64, f64)> {
        self.history.iter().filter_map(|record| Some((record.epoch as f64 + 1.0, value(record)?))).collect()
    }
}
