//! A run under way: one epoch after the other, batch by batch.

use super::{
    EpochRecord, Log, Outcome, Report, Trainer,
    state::{self, BestEpoch, TrainingState},
};
use crate::{
    AccumulatedGradients, BatchSource, Optimizer, Result, evaluate::evaluate_with, metric::MetricList,
    progress::Reporter, write_container,
};
use ocelli_graph::{Batch, Model, Objective};
use std::time::Instant;

/// The batches that a run is validated with, and the objective that measures them.
pub(super) struct Validation<'r> {
    pub(super) objective: Objective,
    pub(super) source: &'r dyn BatchSource,
}

/// Everything that a run works on, and how far it is.
pub(super) struct Run<'r> {
    pub(super) trainer: &'r Trainer,
    pub(super) metrics: MetricList<'r>,
    pub(super) model: &'r mut Model,
    pub(super) objective: Objective,
    pub(super) validation: Option<Validation<'r>>,
    pub(super) optimizer: &'r mut dyn Optimizer,
    pub(super) state: TrainingState,
}

impl Run<'_> {
    /// Runs the epochs that are left.
    pub(super) fn finish<S: BatchSource + ?Sized>(
        mut self,
        train: &S,
        log: Option<&Log>,
        reporter: &mut Reporter,
    ) -> Result<Report> {
        let mut outcome = self.state.outcome();
        while outcome.is_none() && self.state.epoch < self.trainer.epochs {
            // learn from every batch
            let started = Instant::now();
            let before = self.state.running.samples();
            reporter.begin(self.state.epoch, before);
            if !self.epoch(train, reporter)? {
                self.save()?;
                reporter.say("interrupted; everything is saved");
                return Ok(self.state.report(&self.metrics, Outcome::Interrupted));
            }
            self.check()?;
            let images_per_second = (self.state.running.samples() - before) as f64 / started.elapsed().as_secs_f64();

            // measure, and look whether it was the best epoch
            let record = self.finish_epoch()?;

            // write the log first: what it has beyond the checkpoint is cut off when the run is resumed
            if let Some(log) = log {
                log.append(&record, images_per_second, started.elapsed().as_secs_f64())?;
            }
            self.save()?;
            reporter.end(&record, &self.metrics, images_per_second);
            outcome = self.state.outcome();
        }
        if let (true, Some(best)) = (self.trainer.restore_best, &self.state.best) {
            state::restore(self.model, &best.parameters, "the best epoch")?;
        }
        Ok(self.state.report(&self.metrics, outcome.unwrap_or(Outcome::Finished)))
    }

    /// Learns from the rest of an epoch; `false` if it was interrupted. Errors name the batch.
    fn epoch<S: BatchSource + ?Sized>(&mut self, train: &S, reporter: &mut Reporter) -> Result<bool> {
        let batches = train.batches();
        let mut sum = AccumulatedGradients::new();
        let mut updates = 0;
        for batch in train.epoch_from(self.state.epoch, self.state.batch) {
            let (epoch, number) = (self.state.epoch + 1, self.state.batch + 1);
            let step = batch.and_then(|batch| self.batch(&batch, batches, &mut sum));
            let is_updated = step.map_err(|error| error.at(|| format!("epoch {epoch}, batch {number}")))?;
            if !is_updated {
                continue;
            }
            reporter.step(&self.state.running, &self.metrics);
            updates += 1;
            if self.state.batch == batches {
                break;
            }
            if self.trainer.stop_flag.is_set() {
                return Ok(false);
            }
            if self.trainer.checkpoint_every.is_some_and(|every| updates % every == 0) {
                self.save()?;
            }
        }
        Ok(true)
    }

    /// Learns from one of the epoch's `batches`; `false` if its gradients wait in `sum` for those of later ones.
    fn batch(&mut self, batch: &Batch, batches: usize, sum: &mut AccumulatedGradients) -> Result<bool> {
        let Run { trainer, metrics, model, objective, optimizer, state, .. } = self;
        let time = state.epoch as f64 + state.batch as f64 / batches as f64;
        let factor = trainer.schedule.factor(time, trainer.epochs as f64) * state.plateau.factor();
        optimizer.set_rate_factor(factor);
        let step = objective.step(model, batch)?;
        state.running.update(metrics, &step, batch)?;
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

    /// Validates, and moves on to the next epoch.
    fn finish_epoch(&mut self) -> Result<EpochRecord> {
        let Run { trainer, metrics, model, validation, optimizer, state, .. } = self;
        let validated = match validation {
            Some(Validation { objective, source }) => {
                Some(evaluate_with(model, objective, *source, metrics, |_, _| Ok(()))?)
            }
            None => None,
        };
        let train = state.running.values(metrics);
        let loss = validated.as_ref().unwrap_or(&train).loss();
        let learning_rate = optimizer.learning_rate();
        let record = EpochRecord { epoch: state.epoch, learning_rate, train, validation: validated };
        trainer.schedule.observe(loss as f32, &mut state.plateau);
        state.finish_epoch(&record);
        trainer.keep_best(state, &record, model);
        Ok(record)
    }

    /// Refuses to go on with a model or an optimiser that an update left with values that are not finite.
    fn check(&self) -> Result<()> {
        state::check_finite(self.model, self.optimizer.state())
    }

    /// Writes the checkpoint, if the run has a folder.
    fn save(&self) -> Result<()> {
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

impl Trainer {
    /// Compares an epoch with the best before it, and decides whether to stop early.
    pub(super) fn keep_best(&self, state: &mut TrainingState, record: &EpochRecord, model: &Model) {
        let score = self.monitor.score(record);
        let min_delta = self.early_stopping.map_or(0.0, |early| early.min_delta);
        // Many small steps make progress too: it is measured from the last improvement, not from the best.
        if state.improved.is_none_or(|improved| score > improved + min_delta) {
            (state.improved, state.waited) = (Some(score), 0);
        } else {
            state.waited += 1;
        }
        if state.best.as_ref().is_none_or(|best| score > best.score) {
            // With a folder always: a resumed run may ask for them.
            let kept = self.restore_best || self.folder.is_some();
            let parameters = if kept { state::snapshot(model) } else { Vec::new() };
            state.best = Some(BestEpoch { epoch: record.epoch, score, parameters });
        }
        state.stopped = self.early_stopping.is_some_and(|early| state.waited > early.patience);
    }
}
