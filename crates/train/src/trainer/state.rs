//! Everything that a run needs to go on where it stopped. No clock is in it: two runs that did the same have the same bytes.

use super::{EpochRecord, Outcome, Report};
use crate::{Error, OptimizerState, Result, Scores, schedule::PlateauState};
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
pub(super) struct Best {
    pub(super) epoch: u64,
    pub(super) score: f32,
    pub(super) parameters: Vec<Saved>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainingState {
    /// What has to be the same when the run is resumed, and how it was: names and texts.
    pub(super) settings: Vec<(String, String)>,
    pub(super) parameters: Vec<Saved>,
    pub(super) optimizer: OptimizerState,
    /// Steps of the objective: what dropout draws depends on it.
    pub(super) steps: u64,
    /// The epoch to go on with.
    pub(super) epoch: u64,
    /// The batch of it to go on with.
    pub(super) batch: usize,
    /// Over the batches of this epoch so far.
    pub(super) running: Scores,
    pub(super) history: Vec<EpochRecord>,
    pub(super) best: Option<Best>,
    /// The score that the next progress is measured from.
    pub(super) mark: Option<f32>,
    /// Epochs without progress.
    pub(super) waited: usize,
    pub(super) stopped: bool,
    pub(super) plateau: PlateauState,
}

impl TrainingState {
    /// Moves on to the next epoch.
    pub(super) fn finish_epoch(&mut self, learning_rate: f32, validation: Option<Scores>) -> EpochRecord {
        let record = EpochRecord { epoch: self.epoch, learning_rate, train: self.running, validation };
        self.history.push(record.clone());
        self.epoch += 1;
        self.batch = 0;
        self.running = Scores::default();
        record
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.stopped.then_some(Outcome::StoppedEarly)
    }

    pub(super) fn report(self, outcome: Outcome) -> Report {
        Report { best_epoch: self.best.map(|best| best.epoch), history: self.history, outcome }
    }
}

/// Settings that differ between a checkpoint and the run that would resume from it, in words.
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

/// Every parameter of a model.
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
            return Err(Error::BrokenState { what, value: value.data()[at] });
        }
    }
    for (path, slot) in optimizer.slots.iter().flat_map(|(path, slots)| slots.iter().map(move |slot| (path, slot))) {
        if let Some(at) = first_non_finite(slot) {
            return Err(Error::BrokenState { what: format!("the optimiser's memory of {path}"), value: slot[at] });
        }
    }
    Ok(())
}

/// Whether parameters fit a model; every difference is named at once.
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
                differences.push(format!("{path} has {} numbers for the shape {}", data.len(), ShapeText(shape)));
            }
            // Nothing that is learnt from here on would be a number again.
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
