//! The metrics of one loop, and what they measure in one pass over batches.

use super::{Metric, MetricValues, Sums};
use crate::{Error, Result};
use ocelli_graph::{Batch, Step};
use serde::{Deserialize, Serialize};

/// The name of the metric that every list begins with.
pub(super) const LOSS: &str = "loss";

/// The mean loss.
#[derive(Debug)]
struct Loss;

impl Metric for Loss {
    fn name(&self) -> &str {
        LOSS
    }

    fn activations(&self) -> Vec<&str> {
        Vec::new()
    }

    fn update(&self, sums: &mut Sums, step: &Step<'_>, _batch: &Batch) -> Result<()> {
        sums.add_mean(f64::from(step.loss()), step.batch());
        Ok(())
    }

    fn value(&self, sums: &Sums) -> f64 {
        sums.mean()
    }
}

/// The loss and other metrics, each with a name of its own.
#[derive(Clone, Debug)]
pub(crate) struct MetricList<'m>(Vec<&'m dyn Metric>);

impl<'m> MetricList<'m> {
    /// Puts the loss before the other metrics.
    ///
    /// # Errors
    /// [`Error::Setting`] if two have one name, or one has none.
    pub(crate) fn new(others: impl IntoIterator<Item = &'m dyn Metric>) -> Result<MetricList<'m>> {
        let mut list: Vec<&dyn Metric> = vec![&Loss];
        for metric in others {
            let name = metric.name();
            if name.is_empty() {
                return Err(Error::Setting(format!("the metric {metric:?} has no name")));
            }
            if list.iter().any(|known| known.name() == name) {
                return Err(Error::Setting(format!("two metrics are called \"{name}\"")));
            }
            list.push(metric);
        }
        Ok(MetricList(list))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|metric| metric.name())
    }

    /// Returns the names of all activations that an objective has to watch, each once.
    pub(crate) fn activations(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.0.iter().flat_map(|metric| metric.activations()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Writes values as progress lines show them: `loss 0.1234, accuracy 97.50 %`.
    pub(crate) fn format(&self, values: &MetricValues) -> String {
        let format = |(metric, (name, value)): (&&dyn Metric, (&str, f64))| format!("{name} {}", metric.format(value));
        self.0.iter().zip(values.iter()).map(format).collect::<Vec<_>>().join(", ")
    }
}

/// The sums of every metric of a list over the batches of one pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    samples: u64,
    sums: Vec<Sums>,
}

impl Measurement {
    /// Adds a batch to the sums of every metric.
    pub(crate) fn update(&mut self, metrics: &MetricList<'_>, step: &Step<'_>, batch: &Batch) -> Result<()> {
        self.sums.resize(metrics.0.len(), Sums::default());
        for (metric, sums) in metrics.0.iter().zip(&mut self.sums) {
            metric.update(sums, step, batch)?;
        }
        self.samples += step.batch() as u64;
        Ok(())
    }

    /// Returns the number of samples that were added.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    pub(crate) fn values(&self, metrics: &MetricList<'_>) -> MetricValues {
        let nothing = Sums::default();
        let sums = self.sums.iter().chain(std::iter::repeat(&nothing));
        metrics.0.iter().zip(sums).map(|(metric, sums)| (metric.name(), metric.value(sums))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accuracy, MeanValue};

    fn error_of(metrics: &[&dyn Metric]) -> String {
        MetricList::new(metrics.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn metrics_have_names_of_their_own() {
        let (accuracy, top5, loss) = (Accuracy::new(), Accuracy::top(5), MeanValue::new("loss"));
        let list = MetricList::new([&accuracy as &dyn Metric, &top5]).unwrap();
        assert!(list.names().eq(["loss", "accuracy", "top5"]));
        assert_eq!(list.activations(), ["output"]);
        let values = [("loss", 0.5), ("accuracy", 0.975), ("top5", 1.0)].into_iter().collect();
        assert_eq!(list.format(&values), "loss 0.5000, accuracy 97.50 %, top5 100.00 %");
        assert_eq!(error_of(&[&accuracy, &top5.clone().named("accuracy")]), "two metrics are called \"accuracy\"");
        assert_eq!(error_of(&[&loss]), "two metrics are called \"loss\"");
        assert!(error_of(&[&accuracy.named("")]).ends_with(" has no name"));
    }
}
