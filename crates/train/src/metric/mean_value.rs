//! The mean of a value that the network computes.

use super::{Metric, Sums};
use crate::Result;
use ocelli_graph::{Batch, Step};

/// The mean over all samples of a named value of the network or of its loss.
///
/// The value is a scalar, which is taken for the mean of its batch, or has any shape, and then the mean of its elements is
/// taken. It need not be a part of the loss:
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Node, Tensor, Trace};
/// # let network = |x: &Node| x * x.trace().parameter("w", [2], Constant(1.0));
/// # let target = Tensor::full([4, 2], 3.0);
/// # let batches = vec![Batch::new().with("input", Tensor::full([4, 2], 1.0)).with("target", target)];
/// use ocelli_train::{MeanValue, Monitor, Progress, Sgd, Trainer};
/// let loss = |t: &Trace| {
///     let error = t.output() - t.input("target", [2]);
///     error.abs().mean().named("mae");
///     error.square().mean()
/// };
/// let mut model = Model::build(network, [2], 42)?;
/// let trainer = Trainer::new(1).metric(MeanValue::new("mae")).monitor(Monitor::lowest("mae")).progress(Progress::Silent);
/// let report = trainer.run(&mut model, loss, &mut Sgd::new(0.1), &batches, None)?;
/// assert_eq!(report.history[0].train.get("mae"), Some(2.0));
/// # Ok::<(), ocelli_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeanValue {
    value: String,
    name: String,
}

impl MeanValue {
    /// Creates the metric that averages the value called `name`, and has that name itself.
    pub fn new(name: impl Into<String>) -> MeanValue {
        let value = name.into();
        MeanValue { name: value.clone(), value }
    }

    /// Sets the name of the metric.
    pub fn named(self, name: impl Into<String>) -> MeanValue {
        MeanValue { name: name.into(), ..self }
    }
}

impl Metric for MeanValue {
    fn name(&self) -> &str {
        &self.name
    }

    fn activations(&self) -> Vec<&str> {
        vec![&self.value]
    }

    fn update(&self, sums: &mut Sums, step: &Step<'_>, _batch: &Batch) -> Result<()> {
        let elements = step.activation(&self.value).unwrap_or(&[]);
        let sum: f64 = elements.iter().copied().map(f64::from).sum();
        sums.add_mean(sum / elements.len().max(1) as f64, step.batch());
        Ok(())
    }

    fn value(&self, sums: &Sums) -> f64 {
        sums.mean()
    }
}
