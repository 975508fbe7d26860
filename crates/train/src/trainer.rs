//! The training loop with everything around it.

mod log;
mod monitor;
mod report;
mod run;
mod state;
#[cfg(test)]
mod tests;

use crate::{
    BatchSource, Error, Metric, Optimizer, Progress, Result, RunFolder, Schedule, StopFlag,
    evaluate::validation_objective, metric::MetricList, progress::Reporter, read_container,
};
use log::Log;
pub use monitor::{EarlyStopping, Monitor};
use ocelli_graph::{Model, Node, Objective, Trace};
pub use report::{EpochRecord, Outcome, Report};
use run::{Run, Validation};
use state::TrainingState;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The training loop with validation, metrics, schedule, progress, log, early stopping, checkpoints and resume.
///
/// The mean loss is always measured; other [metrics](Trainer::metric) are added, and only they may need an `output` or
/// `labels`. With a [`folder`](Trainer::folder), `checkpoint.ocelli` is written after every epoch and when the run is stopped,
/// and `log.jsonl` gets a line for every epoch. A run that was stopped anywhere and is [resumed](Trainer::resume) ends with the
/// same bits as one that never stopped.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let network = |x: &ocelli_graph::Node| x * x.trace().parameter("w", [2], Constant(1.0));
/// # let batch = Batch::new().with("input", Tensor::full([4, 2], 1.0)).with("labels", Tensor::from(vec![0u32, 1, 0, 1]));
/// # let (train, validation) = (vec![batch.clone()], vec![batch]);
/// # let loss = |t: &ocelli_graph::Trace| t.output().square().mean();
/// use ocelli_train::{Accuracy, Monitor, Progress, Schedule, Sgd, Trainer};
/// let mut model = Model::build(network, [2], 42)?;
/// let trainer = Trainer::new(3)
///     .schedule(Schedule::Cosine { last: 0.0 })
///     .metric(Accuracy::new())
///     .monitor(Monitor::highest("accuracy"))
///     .progress(Progress::Silent);
/// let report = trainer.run(&mut model, loss, &mut Sgd::new(0.1), &train, Some(&validation))?;
/// assert_eq!(report.history.len(), 3);
/// assert_eq!(report.validation("accuracy")[2], (3.0, 0.5));
/// # Ok::<(), ocelli_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer {
    epochs: u64,
    schedule: Schedule,
    accumulate: usize,
    early_stopping: Option<EarlyStopping>,
    /// Those beside the loss.
    metrics: Vec<Arc<dyn Metric>>,
    monitor: Monitor,
    restore_best: bool,
    folder: Option<PathBuf>,
    /// The folder, where the caller has it for longer than a run.
    held: Option<RunFolder>,
    checkpoint_every: Option<usize>,
    resume: bool,
    progress: Progress,
    stop_flag: StopFlag,
}

impl Trainer {
    /// Creates a loop of so many epochs at a constant learning rate that writes nothing.
    pub fn new(epochs: u64) -> Trainer {
        Trainer {
            epochs,
            schedule: Schedule::Constant,
            accumulate: 1,
            early_stopping: None,
            metrics: Vec::new(),
            monitor: Monitor::default(),
            restore_best: false,
            folder: None,
            held: None,
            checkpoint_every: None,
            resume: false,
            progress: Progress::default(),
            stop_flag: StopFlag::new(),
        }
    }

    /// Sets how the learning rate changes.
    pub fn schedule(self, schedule: Schedule) -> Trainer {
        Trainer { schedule, ..self }
    }

    /// Sets the number of batches for one step of the optimiser, which takes the mean of their gradients over all samples.
    pub fn accumulate(self, batches: usize) -> Trainer {
        Trainer { accumulate: batches.max(1), ..self }
    }

    /// Adds a metric to the loss and those that were added before. It is measured in training and in validation.
    pub fn metric(mut self, metric: impl Metric + 'static) -> Trainer {
        self.metrics.push(Arc::new(metric));
        self
    }

    /// Sets the metric that decides which epoch is the best; the lowest loss by default.
    pub fn monitor(self, monitor: Monitor) -> Trainer {
        Trainer { monitor, ..self }
    }

    /// Stops the run when the monitored metric no longer improves.
    pub fn early_stopping(self, early_stopping: EarlyStopping) -> Trainer {
        Trainer { early_stopping: Some(early_stopping), ..self }
    }

    /// Leaves the parameters of the best epoch in the model, not those of the last.
    pub fn restore_best(self) -> Trainer {
        Trainer { restore_best: true, ..self }
    }

    /// Sets the folder for checkpoint and log, which the run locks as a [`RunFolder`].
    pub fn folder(self, folder: impl Into<PathBuf>) -> Trainer {
        Trainer { folder: Some(folder.into()), held: None, ..self }
    }

    /// Sets the folder for checkpoint and log to one that the caller has locked, to write more into it after the run.
    pub fn run_folder(self, folder: &RunFolder) -> Trainer {
        Trainer { folder: Some(folder.path().into()), held: Some(folder.clone()), ..self }
    }

    /// Writes a checkpoint after every so many steps of the optimiser, beside those after every epoch.
    pub fn checkpoint_every(self, steps: usize) -> Trainer {
        Trainer { checkpoint_every: Some(steps.max(1)), ..self }
    }

    /// Continues from the folder's checkpoint, if there is one.
    pub fn resume(self) -> Trainer {
        Trainer { resume: true, ..self }
    }

    /// Sets how progress is shown.
    pub fn progress(self, progress: Progress) -> Trainer {
        Trainer { progress, ..self }
    }

    /// Sets the flag that stops the run.
    pub fn stop_flag(self, stop_flag: StopFlag) -> Trainer {
        Trainer { stop_flag, ..self }
    }

    /// Returns the path of the checkpoint in a folder.
    pub fn checkpoint_path(folder: impl AsRef<Path>) -> PathBuf {
        folder.as_ref().join("checkpoint.ocelli")
    }

    /// Trains. `loss` is traced twice, for training and for validation: `Some(&loader)`, or `None` for none.
    ///
    /// # Errors
    /// The error of model, data, metric, optimiser or file, with the batch where it is about one. [`Error::NonFiniteState`] if
    /// an update left the model or the optimiser with NaN or infinity, [`Error::FolderInUse`] if another run writes into the
    /// folder, [`Error::Setting`] if there are no batches to train on or to validate with, every parameter is frozen, two
    /// metrics have one name, or none has that of the monitor. What was written until then stays.
    pub fn run<S: BatchSource + ?Sized>(
        &self,
        model: &mut Model,
        loss: impl Fn(&Trace) -> Node,
        optimizer: &mut dyn Optimizer,
        train: &S,
        validation: Option<&dyn BatchSource>,
    ) -> Result<Report> {
        // refuse what cannot work before anything is written
        if train.batches() == 0 {
            return Err(Error::Setting("there are no batches to train on".into()));
        }
        if validation.is_some_and(|source| source.batches() == 0) {
            return Err(Error::Setting(
                "there are no batches to validate with; a run without validation says None".into(),
            ));
        }
        let metrics = MetricList::new(self.metrics.iter().map(|metric| &**metric as &dyn Metric))?;
        self.monitor.check(&metrics)?;
        let _own = match (&self.held, &self.folder) {
            (None, Some(path)) => Some(RunFolder::open(path)?),
            _ => None,
        };

        // describe what is trained and what is validated
        let mut objective = model.objective(&loss)?.watching(&metrics.activations())?;
        if objective.gradient_names().next().is_none() {
            return Err(Error::nothing_to_train());
        }
        let validation = match validation {
            Some(source) => {
                let objective = validation_objective(model, &loss, &metrics.activations())?;
                Some(Validation { objective, source })
            }
            None => None,
        };

        // begin, or continue from the checkpoint
        let mut reporter = Reporter::new(self.progress, self.epochs, train.samples());
        let settings = self.settings(model, optimizer, train, &metrics);
        let state = self.start(model, &mut objective, optimizer, settings, &mut reporter)?;
        let log = match &self.folder {
            Some(folder) => Some(Log::open(folder, &state.records(&metrics))?),
            None => None,
        };

        // epoch after epoch
        let run = Run { trainer: self, metrics, model, objective, validation, optimizer, state };
        run.finish(train, log.as_ref(), &mut reporter)
    }

    /// Returns what has to be the same when this run is resumed, so that it ends with the same bits. The number of epochs may
    /// grow.
    fn settings(
        &self,
        model: &Model,
        optimizer: &dyn Optimizer,
        train: &(impl BatchSource + ?Sized),
        metrics: &MetricList<'_>,
    ) -> Vec<(String, String)> {
        let data = format!("{} samples in {} batches", train.samples(), train.batches());
        let list = [
            ("seed", model.seed().to_string()),
            ("optimizer", optimizer.describe()),
            ("schedule", format!("{:?}", self.schedule)),
            ("accumulated batches", self.accumulate.to_string()),
            ("training data", data),
            ("metrics", metrics.names().collect::<Vec<_>>().join(", ")),
            ("monitor", self.monitor.to_string()),
        ];
        list.map(|(name, text)| (name.to_string(), text)).to_vec()
    }

    /// Restores the state of the checkpoint, or begins a new one.
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
        // refuse the checkpoint of another model or another run
        let state: TrainingState = read_container(&path)?;
        state::check(model, &state.parameters, &path.display().to_string())?;
        let differences = state::differences(&state.settings, &settings);
        if !differences.is_empty() {
            let reason = format!("is of a run with other settings: {}", differences.join("; "));
            return Err(Error::Checkpoint { path: path.display().to_string(), reason });
        }
        // put everything back
        state::restore(model, &state.parameters, &path.display().to_string())?;
        optimizer.set_state(state.optimizer.clone())?;
        objective.set_steps(state.steps);
        reporter.say(&format!("resumed at epoch {}, batch {}", state.epoch + 1, state.batch));
        Ok(state)
    }
}
