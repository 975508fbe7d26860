//! Sums of metrics over processes.

use crate::{Cluster, Result};
use ocelli::{
    graph::{Mode, Objective},
    prelude::*,
    train::{BatchShards, BatchSource, Metric, Sums},
};
use serde::{Deserialize, Serialize};

/// The loss and the metrics over all samples of all processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The mean loss.
    pub loss: f64,
    /// Names and values of the other metrics.
    pub metrics: Vec<(String, f64)>,
}

/// Returns names and values of metrics, whose sums of all processes are added in the order of their ranks.
pub(crate) fn values(cluster: &Cluster, metrics: &[Box<dyn Metric>], sums: &[Vec<Sums>]) -> Vec<(String, f64)> {
    let values = metrics.iter().zip(sums);
    values.map(|(metric, own)| (metric.name().to_string(), metric.value(&added(cluster, own)))).collect()
}

/// Adds sums of all processes in the order of their ranks. Each process gives as many.
fn added(cluster: &Cluster, own: &[Sums]) -> Sums {
    let longest = own.iter().map(|sums| sums.as_slice().len()).max().unwrap_or(0) as u64;
    let length = cluster.gather(&[longest]).into_iter().max().unwrap_or(0) as usize;
    let own: Vec<f64> = own.iter().flat_map(|sums| (0..length).map(|index| sums.get(index))).collect();
    let mut all = Sums::default();
    for sums in cluster.gather(&own).chunks(length.max(1)) {
        sums.iter().enumerate().for_each(|(index, value)| all.add(index, *value));
    }
    all
}

/// Validation, of which each process computes a part.
pub(crate) struct Validation<'v> {
    objective: Objective,
    source: &'v dyn BatchSource,
    metrics: &'v [Box<dyn Metric>],
}

impl<'v> Validation<'v> {
    pub(crate) fn new(
        model: &Model,
        loss: impl Fn(&Trace) -> Node,
        source: &'v dyn BatchSource,
        metrics: &'v [Box<dyn Metric>],
    ) -> Result<Validation<'v>> {
        let watched: Vec<&str> = metrics.iter().flat_map(|metric| metric.activations()).collect();
        let objective = model.objective_of(Mode::Infer, Wrt::Values(&[]), loss)?.watching(&watched)?;
        Ok(Validation { objective, source, metrics })
    }

    /// Measures the loss and the metrics. The batches are cut into as many parts as a batch of training, and the parts are
    /// added in their order, so that the bits are the same for any number of processes.
    pub(crate) fn measure(&mut self, cluster: &Cluster, model: &Model, parts: BatchShards) -> Result<Measured> {
        let own = parts.of_rank(cluster.rank(), cluster.size())?;
        let mut losses = vec![Sums::default(); own.len()];
        let mut sums = vec![vec![Sums::default(); own.len()]; self.metrics.len()];
        for (number, part) in own.enumerate() {
            let batches = parts.samples(self.source.batches(), part);
            for batch in self.source.epoch_from(0, batches.start).take(batches.len()) {
                let batch = batch?;
                let step = self.objective.evaluate(model, &batch)?;
                losses[number].add(0, f64::from(step.loss()) * step.batch() as f64);
                losses[number].add(1, step.batch() as f64);
                for (metric, sums) in self.metrics.iter().zip(&mut sums) {
                    metric.update(&mut sums[number], &step, &batch)?;
                }
            }
        }
        let losses = added(cluster, &losses);
        let metrics = values(cluster, self.metrics, &sums);
        Ok(Measured { loss: losses.get(0) / losses.get(1).max(1.0), metrics })
    }
}
