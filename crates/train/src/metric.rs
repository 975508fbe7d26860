//! Metrics: numbers that say how good a model is, over many batches.

mod accuracy;
mod confusion;
mod list;
mod mean_value;

use crate::Result;
use ocelli_graph::{Batch, Step};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

pub use accuracy::{Accuracy, Prediction};
pub(crate) use accuracy::{LabelledScores, labelled_scores};
pub use confusion::ConfusionMatrix;
pub(crate) use list::{Measurement, MetricList};
pub use mean_value::MeanValue;

/// A number that says how good a model is, computed from sums over batches.
///
/// A metric is configuration and keeps no state: whoever runs the loop keeps the [`Sums`] for it. So one metric serves
/// training and validation at the same time, and a run that is resumed within an epoch continues its sums.
///
/// ```
/// use ocelli_graph::{Batch, Step};
/// use ocelli_train::{Metric, Result, Sums};
///
/// /// The mean absolute difference between `output` and `target`.
/// #[derive(Debug)]
/// struct MeanAbsoluteError;
///
/// impl Metric for MeanAbsoluteError {
///     fn name(&self) -> &str {
///         "mae"
///     }
///
///     fn update(&self, sums: &mut Sums, step: &Step<'_>, batch: &Batch) -> Result<()> {
///         let output = step.activation("output").unwrap_or(&[]);
///         for (y, target) in output.iter().zip(batch.tensor("target")?.data()) {
///             sums.add(0, f64::from((y - target).abs()));
///             sums.add(1, 1.0);
///         }
///         Ok(())
///     }
///
///     fn value(&self, sums: &Sums) -> f64 {
///         sums.get(0) / sums.get(1)
///     }
/// }
/// ```
///
/// If the network can compute the number itself, a named value and [`MeanValue`] do without a type.
pub trait Metric: Debug + Send + Sync {
    /// Returns the name by which progress lines, log, report and checkpoint show the value, such as `accuracy`.
    fn name(&self) -> &str;

    /// Returns the names of the activations that [`update`](Metric::update) reads with [`Step::activation`].
    fn activations(&self) -> Vec<&str> {
        vec!["output"]
    }

    /// Adds a batch to the sums, which are all zero before the first one.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) or another error if the batch lacks what the metric reads.
    fn update(&self, sums: &mut Sums, step: &Step<'_>, batch: &Batch) -> Result<()>;

    /// Computes the value over all batches that were added.
    fn value(&self, sums: &Sums) -> f64;

    /// Formats a value for progress lines.
    fn format(&self, value: f64) -> String {
        format!("{value:.4}")
    }
}

/// A list of numbers that a [`Metric`] adds to, as long as it has to be: a sum that nothing was added to is 0.
///
/// A mean needs two sums, a confusion matrix as many as it has cells. Checkpoints hold them, so a metric must take a list of
/// any length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums(Vec<f64>);

impl Sums {
    /// Adds to the sum number `index`.
    pub fn add(&mut self, index: usize, value: f64) {
        if index >= self.0.len() {
            self.0.resize(index + 1, 0.0);
        }
        self.0[index] += value;
    }

    /// Returns the sum number `index`; 0 if nothing was added to it.
    pub fn get(&self, index: usize) -> f64 {
        self.0.get(index).copied().unwrap_or(0.0)
    }

    /// Returns all sums up to the last one that was added to.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Adds the mean of a batch, weighted by its samples, to the sums 0 and 1.
    fn add_mean(&mut self, mean: f64, samples: usize) {
        self.add(0, mean * samples as f64);
        self.add(1, samples as f64);
    }

    /// Returns the mean of all that was added by [`Sums::add_mean`]; 0 of nothing.
    fn mean(&self) -> f64 {
        self.get(0) / self.get(1).max(1.0)
    }
}

/// The values of metrics by their names, the loss first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricValues(Vec<(String, f64)>);

impl MetricValues {
    /// Returns the value of a metric, or `None` if there is none of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns the mean loss.
    pub fn loss(&self) -> f64 {
        self.get(list::LOSS).unwrap_or(f64::NAN)
    }

    /// Iterates over names and values in the order of the metrics.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for MetricValues {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(pairs: I) -> MetricValues {
        MetricValues(pairs.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_grow_where_they_are_added_to() {
        let mut sums = Sums::default();
        assert_eq!((sums.get(7), sums.mean(), sums.as_slice()), (0.0, 0.0, &[][..]));
        sums.add(2, 1.5);
        sums.add(2, 1.0);
        assert_eq!(sums.as_slice(), [0.0, 0.0, 2.5]);
    }

    #[test]
    fn batches_weigh_as_much_as_they_have_samples() {
        let mut sums = Sums::default();
        sums.add_mean(1.0, 4);
        sums.add_mean(3.0, 1);
        assert_eq!(sums.mean(), 7.0 / 5.0);
    }
}
