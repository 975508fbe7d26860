//! Everything that a run needs to continue where it stopped. No clock is in it: two runs that did the same have the same
//! bytes.

use super::{EpochRecord, Outcome, Report};
use crate::{
    Error, MetricValues, OptimizerState, Result,
    metric::{Measurement, MetricList},
    schedule::PlateauState,
};
use ocelli_graph::Model;
use ocelli_kernels::finite::first_non_finite;
use ocelli_tensor::{ShapeText, Tensor, element_count};
use serde::{Deserialize, Serialize};

/// A parameter with its path and shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    path: String,
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// The best epoch so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BestEpoch {
    pub(super) epoch: u64,
    pub(super) score: f64,
    pub(super) parameters: Vec<Saved>,
}

/// An [`EpochRecord`] without the names of its metrics, which are the same in every epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedEpoch {
    epoch: u64,
    learning_rate: f32,
    train: Vec<f64>,
    validation: Option<Vec<f64>>,
}

/// The content of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainingState {
    /// Names and values of what has to be the same when the run is resumed.
    pub(super) settings: Vec<(String, String)>,
    pub(super) parameters: Vec<Saved>,
    pub(super) optimizer: OptimizerState,
    /// Steps of the objective, which determine what dropout draws.
    pub(super) steps: u64,
    /// The epoch to continue with.
    pub(super) epoch: u64,
    /// The batch of it to continue with.
    pub(super) batch: usize,
    /// The metrics over the batches of this epoch so far.
    pub(super) running: Measurement,
    pub(super) history: Vec<SavedEpoch>,
    pub(super) best: Option<BestEpoch>,
    /// The score of the last improvement.
    pub(super) improved: Option<f64>,
    /// Epochs since then.
    pub(super) waited: usize,
    pub(super) stopped: bool,
    pub(super) plateau: PlateauState,
}

impl TrainingState {
    /// Adds a record to the history, and moves on to the next epoch.
    pub(super) fn finish_epoch(&mut self, record: &EpochRecord) {
        let values = |values: &MetricValues| values.iter().map(|(_, value)| value).collect();
        let &EpochRecord { epoch, learning_rate, ref train, ref validation } = record;
        let validation = validation.as_ref().map(values);
        self.history.push(SavedEpoch { epoch, learning_rate, train: values(train), validation });
        self.epoch += 1;
        self.batch = 0;
        self.running = Measurement::default();
    }

    /// Returns the history with the names of its metrics.
    pub(super) fn records(&self, metrics: &MetricList<'_>) -> Vec<EpochRecord> {
        let named = |values: &Vec<f64>| metrics.names().zip(values.iter().copied()).collect();
        let record = |saved: &SavedEpoch| EpochRecord {
            epoch: saved.epoch,
            learning_rate: saved.learning_rate,
            train: named(&saved.train),
            validation: saved.validation.as_ref().map(named),
        };
        self.history.iter().map(record).collect()
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.stopped.then_some(Outcome::StoppedEarly)
    }

    pub(super) fn report(&self, metrics: &MetricList<'_>, outcome: Outcome) -> Report {
        Report { history: self.records(metrics), best_epoch: self.best.as_ref().map(|best| best.epoch), outcome }
    }
}

/// Describes the settings that differ between a checkpoint and the run that would resume from it.
pub(super) fn differences(was: &[(String, String)], is: &[(String, String)]) -> Vec<String> {
    let text = |list: &[(String, String)], name: &str| {
        list.iter().find(|(known, _)| known == name).map_or("nothing".to_string(), |(_, text)| text.clone())
    };
    let differs = |(name, now): &(String, String)| {
        let before = text(was, name);
        (before != *now).then(|| format!("{name} was {before}, is {now}"))
    };
    is.iter().filter_map(differs).collect()
}

/// Copies every parameter of a model.
pub(super) fn snapshot(model: &Model) -> Vec<Saved> {
    let save = |(parameter, value): (&ocelli_graph::Parameter, &Tensor)| Saved {
        path: parameter.path.clone(),
        shape: value.shape().to_vec(),
        data: value.data().to_vec(),
    };
    model.parameters().iter().map(save).collect()
}

/// Refuses NaN and infinity in what a checkpoint would hold: a run that is resumed from them learns nothing any more.
pub(super) fn check_finite(model: &Model, optimizer: &OptimizerState) -> Result<()> {
    for (parameter, value) in model.parameters().iter() {
        if let Some(at) = first_non_finite(value.data()) {
            let what = format!("parameter {}", parameter.path);
            return Err(Error::NonFiniteState { what, value: value.data()[at] });
        }
    }
    for (path, slot) in optimizer.slots.iter().flat_map(|(path, slots)| slots.iter().map(move |slot| (path, slot))) {
        if let Some(at) = first_non_finite(slot) {
            return Err(Error::NonFiniteState { what: format!("the optimiser's memory of {path}"), value: slot[at] });
        }
    }
    Ok(())
}

/// Refuses parameters that do not fit a model; the error names every difference.
pub(super) fn check(model: &Model, saved: &[Saved], from: &str) -> Result<()> {
    let mut differences = Vec::new();
    for Saved { path, shape, data } in saved {
        let count = element_count(shape);
        match model.parameters().value(path) {
            None => differences.push(format!("{path} is unexpected")),
            Some(value) if value.shape() != shape => {
                let (got, expected) = (ShapeText(shape), ShapeText(value.shape()));
                differences.push(format!("{path} is {got}, expected {expected}"));
            }
            Some(_) if count != Some(data.len()) => {
                differences.push(format!("{path} has {} elements for the shape {}", data.len(), ShapeText(shape)));
            }
            // Nothing that is learnt from here on would be finite again.
            Some(_) => differences.extend(first_non_finite(data).map(|at| format!("{path} holds {}", data[at]))),
        }
    }
    let missing =
        model.parameters().iter().filter(|(parameter, _)| saved.iter().all(|saved| saved.path != parameter.path));
    differences.extend(missing.map(|(parameter, _)| format!("{} is missing", parameter.path)));
    if differences.is_empty() {
        return Ok(());
    }
    let reason = format!("does not fit the model: {}", differences.join("; "));
    Err(Error::Checkpoint { path: from.into(), reason })
}

/// Puts parameters into a model. Nothing is changed unless everything fits.
pub(super) fn restore(model: &mut Model, saved: &[Saved], from: &str) -> Result<()> {
    check(model, saved, from)?;
    for Saved { path, shape, data } in saved {
        model.parameters_mut().set(path, Tensor::from_vec(shape.clone(), data.clone())?)?;
    }
    Ok(())
}
