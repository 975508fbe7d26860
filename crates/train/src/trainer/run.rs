//! A run under way: one epoch after the other, batch by batch.

use super::{
    Trainer,
    state::{self, TrainingState},
};
use crate::{Accumulated, BatchSource, Optimizer, Result, evaluate::labels_of, progress::Reporter, write_container};
use ocelli_graph::{Batch, Model, Objective};

/// What a run works on, and how far it is.
pub(super) struct Run<'r> {
    pub(super) trainer: &'r Trainer,
    pub(super) model: &'r mut Model,
    pub(super) objective: Objective,
    pub(super) optimizer: &'r mut dyn Optimizer,
    pub(super) state: TrainingState,
}

impl Run<'_> {
    /// The rest of an epoch; `false` if it was interrupted. Errors name the batch.
    pub(super) fn epoch<S: BatchSource + ?Sized>(&mut self, train: &S, reporter: &mut Reporter) -> Result<bool> {
        let batches = train.batches();
        let mut sum = Accumulated::new();
        let mut updates = 0;
        for batch in train.epoch_from(self.state.epoch, self.state.batch) {
            let (epoch, number) = (self.state.epoch + 1, self.state.batch + 1);
            let step = batch.and_then(|batch| self.batch(&batch, batches, &mut sum));
            let is_updated = step.map_err(|error| error.at(|| format!("epoch {epoch}, batch {number}")))?;
            if !is_updated {
                continue;
            }
            reporter.step(&self.state.running);
            updates += 1;
            if self.state.batch == batches {
                break;
            }
            if self.trainer.interrupt.is_triggered() {
                return Ok(false);
            }
            if self.trainer.checkpoint_every.is_some_and(|every| updates % every == 0) {
                self.save()?;
            }
        }
        Ok(true)
    }

    /// Learns from one of the epoch's `batches`; `false` if its gradients wait in `sum` for those of later ones.
    fn batch(&mut self, batch: &Batch, batches: usize, sum: &mut Accumulated) -> Result<bool> {
        let Run { trainer, model, objective, optimizer, state } = self;
        let time = state.epoch as f64 + state.batch as f64 / batches as f64;
        let factor = trainer.schedule.factor(time, trainer.epochs as f64) * state.plateau.factor();
        optimizer.set_rate_factor(factor);
        let step = objective.step(model, batch)?;
        let labels = labels_of(batch, &step)?;
        let output = trainer.prediction.oriented(step.activation("output").unwrap_or(&[]));
        state.running.add(step.loss(), &output, labels);
        state.batch += 1;
        if trainer.accumulate == 1 {
            optimizer.step(model, &step)?;
            return Ok(true);
        }
        sum.add(&step);
        if sum.steps() < trainer.accumulate && state.batch < batches {
            return Ok(false);
        }
        optimizer.step(model, sum)?;
        sum.clear();
        Ok(true)
    }

    /// Refuses to go on with a model or an optimiser that an update left without finite numbers.
    pub(super) fn check(&self) -> Result<()> {
        state::check_finite(self.model, self.optimizer.state())
    }

    /// Writes the checkpoint, if the run has a folder.
    pub(super) fn save(&self) -> Result<()> {
        let Some(folder) = &self.trainer.folder else { return Ok(()) };
        self.check()?;
        let whole = TrainingState {
            parameters: state::snapshot(self.model),
            optimizer: self.optimizer.state().clone(),
            steps: self.objective.steps(),
            ..self.state.clone()
        };
        write_container(Trainer::checkpoint_path(folder), &whole)
    }
}
