//! The metric that decides which epoch is the best, and when a run stops early.

use super::EpochRecord;
use crate::{Error, Result, metric::MetricList};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A metric by its name and the direction in which it improves.
///
/// The [`Trainer`](crate::Trainer) takes its value over the validation batches, or over the training batches of a run without
/// validation.
///
/// ```
/// use ocelli_train::Monitor;
/// assert_eq!(Monitor::default(), Monitor::lowest("loss"));
/// assert_eq!(Monitor::highest("accuracy").to_string(), "the highest accuracy");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monitor {
    /// Lower values are better, as of a loss.
    Lowest(String),
    /// Higher values are better, as of an accuracy.
    Highest(String),
}

impl Monitor {
    /// Monitors a metric whose lower values are better.
    pub fn lowest(metric: impl Into<String>) -> Monitor {
        Monitor::Lowest(metric.into())
    }

    /// Monitors a metric whose higher values are better.
    pub fn highest(metric: impl Into<String>) -> Monitor {
        Monitor::Highest(metric.into())
    }

    fn metric(&self) -> &str {
        match self {
            Monitor::Lowest(metric) | Monitor::Highest(metric) => metric,
        }
    }

    /// Refuses a name that no metric has.
    pub(super) fn check(&self, metrics: &MetricList<'_>) -> Result<()> {
        if metrics.names().any(|name| name == self.metric()) {
            return Ok(());
        }
        let known = metrics.names().collect::<Vec<_>>().join(", ");
        Err(Error::Setting(format!("no metric is called \"{}\"; there are: {known}", self.metric())))
    }

    /// Returns the score of an epoch, of which larger is better; NaN is worse than any number.
    pub(super) fn score(&self, record: &EpochRecord) -> f64 {
        let value = record.validation.as_ref().unwrap_or(&record.train).get(self.metric()).unwrap_or(f64::NAN);
        let score = match self {
            Monitor::Lowest(_) => -value,
            Monitor::Highest(_) => value,
        };
        if score.is_nan() { f64::NEG_INFINITY } else { score }
    }
}

/// Monitors the lowest loss.
impl Default for Monitor {
    fn default() -> Monitor {
        Monitor::lowest("loss")
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extreme = if matches!(self, Monitor::Lowest(_)) { "lowest" } else { "highest" };
        write!(f, "the {extreme} {}", self.metric())
    }
}

/// Ends a run when the monitored metric no longer improves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// The number of epochs without improvement after which the run continues.
    pub patience: usize,
    /// The smallest change of the metric that counts as an improvement. It is measured from the last improvement, so that many
    /// small steps count together.
    pub min_delta: f64,
}
