//! The training loop with everything around it.

mod log;
mod run;
mod state;
#[cfg(test)]
mod tests;

use crate::{
    BatchSource, Error, Interrupt, Optimizer, Prediction, Progress, Result, RunFolder, Schedule, Scores,
    evaluate::{evaluate_with, validation_objective},
    progress::Reporter,
    read_container,
};
use log::Log;
use ocelli_graph::{Model, Node, Objective, Trace};
use run::Run;
use serde::{Deserialize, Serialize};
use state::{Best, TrainingState};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// What decides which epoch was the best, for early stopping and for [`Trainer::restore_best`]: of the validation, or of
/// the training where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monitor {
    /// The smallest loss.
    Loss,
    /// The highest accuracy.
    #[default]
    Accuracy,
}

impl Monitor {
    /// Larger is better.
    fn score(self, record: &EpochRecord) -> f32 {
        let scores = record.validation.as_ref().unwrap_or(&record.train);
        match self {
            Monitor::Loss => -scores.loss(),
            Monitor::Accuracy => scores.top1(),
        }
    }
}

/// When to stop before the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Epochs without progress that are borne.
    pub patience: usize,
    /// How much better than the best counts as progress.
    pub least_progress: f32,
}

/// What came out of an epoch. Nothing in it depends on how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The number of the epoch, from 0.
    pub epoch: u64,
    /// The learning rate of its last step.
    pub learning_rate: f32,
    /// Over the training batches, while they were learnt from.
    pub train: Scores,
    /// Over the validation batches after the epoch.
    pub validation: Option<Scores>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every epoch was done.
    Finished,
    /// There was no progress for too long.
    StoppedEarly,
    /// Somebody asked to stop; with a folder, everything is saved in it.
    Interrupted,
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Every epoch, those before a resume too.
    pub history: Vec<EpochRecord>,
    /// The best of them by the [`Monitor`].
    pub best_epoch: Option<u64>,
    /// Why it ended.
    pub outcome: Outcome,
}

/// The training loop with validation, schedule, progress, log, early stopping, checkpoints and resume.
///
/// The model's `output` is `[N, classes]`; batches have `labels`. With a [`folder`](Trainer::folder), `checkpoint.ocelli`
/// is written after every epoch and when interrupted, and `log.jsonl` gets a line for every epoch. A run that was stopped
/// anywhere and is [resumed](Trainer::resume) ends with the same bits as one that never stopped.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let network = |x: &ocelli_graph::Node| x * x.trace().parameter("w", [2], Constant(1.0));
/// # let batch = Batch::new().with("input", Tensor::full([4, 2], 1.0)).with("labels", Tensor::from(vec![0u32, 1, 0, 1]));
/// # let (train, validation) = (vec![batch.clone()], vec![batch]);
/// # let loss = |t: &ocelli_graph::Trace| t.output().square().mean();
/// use ocelli_train::{Progress, Schedule, Sgd, Trainer};
/// let mut model = Model::build(network, [2], 42)?;
/// let trainer = Trainer::new(3).schedule(Schedule::Cosine { last: 0.0 }).progress(Progress::Silent);
/// let report = trainer.run(&mut model, loss, &mut Sgd::new(0.1), &train, Some(&validation))?;
/// assert_eq!(report.history.len(), 3);
/// # Ok::<(), ocelli_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer {
    epochs: u64,
    schedule: Schedule,
    accumulate: usize,
    early_stopping: Option<EarlyStopping>,
    monitor: Monitor,
    prediction: Prediction,
    restore_best: bool,
    folder: Option<PathBuf>,
    /// The folder, where the caller has it for longer than a run.
    held: Option<RunFolder>,
    checkpoint_every: Option<usize>,
    resume: bool,
    progress: Progress,
    interrupt: Interrupt,
}

impl Trainer {
    /// So many epochs at a constant learning rate, and nothing written.
    pub fn new(epochs: u64) -> Trainer {
        Trainer {
            epochs,
            schedule: Schedule::Constant,
            accumulate: 1,
            early_stopping: None,
            monitor: Monitor::default(),
            prediction: Prediction::default(),
            restore_best: false,
            folder: None,
            held: None,
            checkpoint_every: None,
            resume: false,
            progress: Progress::default(),
            interrupt: Interrupt::new(),
        }
    }

    /// How the learning rate changes.
    pub fn schedule(self, schedule: Schedule) -> Trainer {
        Trainer { schedule, ..self }
    }

    /// So many batches for one step of the optimiser, with the mean of their gradients over all samples.
    pub fn accumulate(self, batches: usize) -> Trainer {
        Trainer { accumulate: batches.max(1), ..self }
    }

    /// Stops when there is no progress.
    pub fn early_stopping(self, early_stopping: EarlyStopping) -> Trainer {
        Trainer { early_stopping: Some(early_stopping), ..self }
    }

    /// What decides which epoch was the best.
    pub fn monitor(self, monitor: Monitor) -> Trainer {
        Trainer { monitor, ..self }
    }

    /// Which score is the answer.
    pub fn prediction(self, prediction: Prediction) -> Trainer {
        Trainer { prediction, ..self }
    }

    /// Leaves the parameters of the best epoch in the model, not those of the last.
    pub fn restore_best(self) -> Trainer {
        Trainer { restore_best: true, ..self }
    }

    /// Where checkpoint and log are written. A run has the folder for itself, as a [`RunFolder`].
    pub fn folder(self, folder: impl Into<PathBuf>) -> Trainer {
        Trainer { folder: Some(folder.into()), held: None, ..self }
    }

    /// As [`Trainer::folder`] with a folder that the caller has already, and keeps when the run is over, to write more into it.
    pub fn run_folder(self, folder: &RunFolder) -> Trainer {
        Trainer { folder: Some(folder.path().into()), held: Some(folder.clone()), ..self }
    }

    /// A checkpoint after every so many steps of the optimiser too, not only after every epoch.
    pub fn checkpoint_every(self, steps: usize) -> Trainer {
        Trainer { checkpoint_every: Some(steps.max(1)), ..self }
    }

    /// Continues from the folder's checkpoint, if there is one.
    pub fn resume(self) -> Trainer {
        Trainer { resume: true, ..self }
    }

    /// How progress is shown.
    pub fn progress(self, progress: Progress) -> Trainer {
        Trainer { progress, ..self }
    }

    /// Who may ask to stop.
    pub fn interrupt(self, interrupt: Interrupt) -> Trainer {
        Trainer { interrupt, ..self }
    }

    /// The checkpoint in a folder.
    pub fn checkpoint_path(folder: impl AsRef<Path>) -> PathBuf {
        folder.as_ref().join("checkpoint.ocelli")
    }

    /// Trains. `loss` is described twice, for training and for validation: `Some(&loader)`, or `None` for none.
    ///
    /// # Errors
    /// Whatever model, data, optimiser or files refuse, with the batch where it is about one. [`Error::BrokenState`] if an
    /// update left the model or the optimiser with NaN or infinity, [`Error::FolderInUse`] if another run writes into the
    /// folder, [`Error::Setting`] if there are no batches to train on or to validate with, or every parameter is frozen. What
    /// was written until then stays.
    pub fn run<S: BatchSource + ?Sized>(
        &self,
        model: &mut Model,
        loss: impl Fn(&Trace) -> Node,
        optimizer: &mut dyn Optimizer,
        train: &S,
        validation: Option<&dyn BatchSource>,
    ) -> Result<Report> {
        if train.batches() == 0 {
            return Err(Error::Setting("there are no batches to train on".into()));
        }
        if validation.is_some_and(|source| source.batches() == 0) {
            return Err(Error::Setting(
                "there are no batches to validate with; a run without validation says None".into(),
            ));
        }
        let _own = match (&self.held, &self.folder) {
            (None, Some(path)) => Some(RunFolder::open(path)?),
            _ => None,
        };
        let mut objective = model.objective(&loss)?.watching(&["output"])?;
        if objective.gradient_names().next().is_none() {
            return Err(Error::nothing_to_train());
        }
        let mut validator = validation.map(|_| validation_objective(model, &loss)).transpose()?;
        let mut reporter = Reporter::new(self.progress, self.epochs, train.samples());
        let settings = self.settings(model, optimizer, train);
        let state = self.start(model, &mut objective, optimizer, settings, &mut reporter)?;
        let log = self.folder.as_deref().map(|folder| Log::open(folder, &state.history)).transpose()?;
        let mut run = Run { trainer: self, model, objective, optimizer, state };

        let mut outcome = run.state.outcome();
        while outcome.is_none() && run.state.epoch < self.epochs {
            let started = Instant::now();
            let before = run.state.running.samples();
            reporter.begin(run.state.epoch, before);
            if !run.epoch(train, &mut reporter)? {
                run.save()?;
                reporter.say("interrupted; everything is saved");
                return Ok(run.state.report(Outcome::Interrupted));
            }
            run.check()?;
            let images_per_second = (run.state.running.samples() - before) as f64 / started.elapsed().as_secs_f64();
            let scores = match (&mut validator, validation) {
                (Some(objective), Some(source)) => {
                    Some(evaluate_with(run.model, objective, source, self.prediction, |_, _| {})?)
                }
                _ => None,
            };
            let record = run.state.finish_epoch(run.optimizer.learning_rate(), scores);
            self.schedule.observe(scores.unwrap_or(record.train).loss(), &mut run.state.plateau);
            self.keep_best(&mut run.state, &record, run.model);
            // The log first: what it has beyond the checkpoint is cut off when the run is resumed.
            if let Some(log) = &log {
                log.append(&record, images_per_second, started.elapsed().as_secs_f64())?;
            }
            run.save()?;
            reporter.end(&record, images_per_second);
            outcome = run.state.outcome();
        }
        if let (true, Some(best)) = (self.restore_best, &run.state.best) {
            state::restore(run.model, &best.parameters, "the best epoch")?;
        }
        Ok(run.state.report(outcome.unwrap_or(Outcome::Finished)))
    }

    /// What has to be the same when this run is resumed, so that it ends with the same bits. The number of epochs may grow.
    fn settings(
        &self,
        model: &Model,
        optimizer: &dyn Optimizer,
        train: &(impl BatchSource + ?Sized),
    ) -> Vec<(String, String)> {
        let data = format!("{} samples in {} batches", train.samples(), train.batches());
        let list = [
            ("seed", model.seed().to_string()),
            ("optimizer", optimizer.describe()),
            ("schedule", format!("{:?}", self.schedule)),
            ("accumulated batches", self.accumulate.to_string()),
            ("training data", data),
        ];
        list.map(|(name, text)| (name.to_string(), text)).to_vec()
    }

    /// From the checkpoint, or from the beginning.
    fn start(
        &self,
        model: &mut Model,
        objective: &mut Objective,
        optimizer: &mut dyn Optimizer,
        settings: Vec<(String, String)>,
        reporter: &mut Reporter,
    ) -> Result<TrainingState> {
        let path = self.folder.as_deref().map(Trainer::checkpoint_path);
        let Some(path) = path.filter(|path| self.resume && path.exists()) else {
            return Ok(TrainingState { settings, ..TrainingState::default() });
        };
        let state: TrainingState = read_container(&path)?;
        state::check(model, &state.parameters, &path.display().to_string())?;
        let differences = state::differences(&state.settings, &settings);
        if !differences.is_empty() {
            let reason = format!("is of a run with other settings: {}", differences.join("; "));
            return Err(Error::Checkpoint { path: path.display().to_string(), reason });
        }
        state::restore(model, &state.parameters, &path.display().to_string())?;
        optimizer.set_state(state.optimizer.clone())?;
        objective.set_steps(state.steps);
        reporter.say(&format!("resumed at epoch {}, batch {}", state.epoch + 1, state.batch));
        Ok(state)
    }

    fn keep_best(&self, state: &mut TrainingState, record: &EpochRecord, model: &Model) {
        let score = self.monitor.score(record);
        let margin = self.early_stopping.map_or(0.0, |early| early.least_progress);
        // Many small steps make progress too: it is measured from the last progress, not from the best.
        if state.mark.is_none_or(|mark| score > mark + margin) {
            (state.mark, state.waited) = (Some(score), 0);
        } else {
            state.waited += 1;
        }
        if state.best.as_ref().is_none_or(|best| score > best.score) {
            // With a folder always: who resumes may ask for them.
            let kept = self.restore_best || self.folder.is_some();
            let parameters = if kept { state::snapshot(model) } else { Vec::new() };
            state.best = Some(Best { epoch: record.epoch, score, parameters });
        }
        state.stopped = self.early_stopping.is_some_and(|early| state.waited > early.patience);
    }
}
