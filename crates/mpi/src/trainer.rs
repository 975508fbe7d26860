//! The loop of training on a cluster.

use crate::{
    Cluster, Error, Measured, Result,
    measured::{Validation, values},
};
use ocelli::{
    graph::Step,
    prelude::*,
    train::{
        BatchShards, BatchSource, Metric, OptimizerState, RunFolder, ShardedObjective, Sums, read_container,
        write_container,
    },
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Instant};

/// The training loop of every process of a job: epochs over the same batches, of which each process computes its shards.
///
/// With a [`folder`](ClusterTrainer::folder), process 0 writes `cluster.ocelli` after every epoch. A run that was killed anywhere and
/// is [resumed](ClusterTrainer::resume), with as many processes or another number, ends with the same bits as one that never
/// stopped.
#[derive(Debug)]
pub struct ClusterTrainer {
    epochs: u64,
    shards: BatchShards,
    schedule: Schedule,
    metrics: Vec<Box<dyn Metric>>,
    folder: Option<PathBuf>,
    resume: bool,
}

/// The measurements of an epoch, over all processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterEpoch {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The measurements of training.
    pub train: Measured,
    /// The measurements of validation, if there was any.
    pub validation: Option<Measured>,
}

/// The content of a checkpoint.
#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    shards: usize,
    steps: u64,
    history: Vec<ClusterEpoch>,
    parameters: Vec<(String, Vec<f32>)>,
    optimizer: OptimizerState,
}

impl ClusterTrainer {
    /// Creates a loop of so many epochs, of batches in 8 shards, that writes nothing.
    pub fn new(epochs: u64) -> ClusterTrainer {
        ClusterTrainer {
            epochs,
            shards: BatchShards::default(),
            schedule: Schedule::Constant,
            metrics: Vec::new(),
            folder: None,
            resume: false,
        }
    }

    /// Sets the shards of a batch, which the number of processes must divide.
    pub fn shards(self, shards: BatchShards) -> ClusterTrainer {
        ClusterTrainer { shards, ..self }
    }

    /// Sets how the learning rate changes.
    pub fn schedule(self, schedule: Schedule) -> ClusterTrainer {
        ClusterTrainer { schedule, ..self }
    }

    /// Adds a metric to the loss. Its sums over processes are added in the order of their ranks.
    pub fn metric(mut self, metric: impl Metric + 'static) -> ClusterTrainer {
        self.metrics.push(Box::new(metric));
        self
    }

    /// Sets the folder of the checkpoint, which process 0 locks and writes to.
    pub fn folder(self, folder: impl Into<PathBuf>) -> ClusterTrainer {
        ClusterTrainer { folder: Some(folder.into()), ..self }
    }

    /// Continues from the folder's checkpoint, if there is one.
    pub fn resume(self) -> ClusterTrainer {
        ClusterTrainer { resume: true, ..self }
    }

    /// Trains; every process of the job must call it with the same arguments. Returns what was measured in each epoch.
    ///
    /// # Errors
    /// The error of model, data, optimiser or file; [`Error::Apart`] if the processes no longer have the same parameters. A process
    /// that returns an error must end the job with [`Cluster::end`]: others wait for it.
    pub fn run<S: BatchSource + ?Sized>(
        &self,
        cluster: &Cluster,
        model: &mut Model,
        loss: impl Fn(&Trace) -> Node,
        optimizer: &mut dyn Optimizer,
        train: &S,
        validation: Option<&dyn BatchSource>,
    ) -> Result<Vec<ClusterEpoch>> {
        // Before anything is read or written.
        self.shards.of_rank(cluster.rank(), cluster.size())?;
        let _locked = match &self.folder {
            Some(folder) if cluster.is_first() => Some(RunFolder::open(folder)?),
            _ => None,
        };
        let watched: Vec<&str> = self.metrics.iter().flat_map(|metric| metric.activations()).collect();
        let objective = model.objective(&loss)?.watching(&watched)?;
        let mut sharded = ShardedObjective::new(model, objective, self.shards);
        let validation = validation.map(|source| Validation::new(model, &loss, source, &self.metrics));
        let mut validation = validation.transpose()?;
        let mut history = self.start(cluster, model, optimizer, &mut sharded)?;

        for epoch in history.len() as u64..self.epochs {
            let (started, mut sums) = (Instant::now(), vec![vec![Sums::default()]; self.metrics.len()]);
            let (mut total, mut samples) = (0.0, 0);
            let batches = train.batches();
            for (number, batch) in train.epoch_from(epoch, 0).enumerate() {
                let batch = batch?;
                let time = epoch as f64 + number as f64 / batches as f64;
                optimizer.set_rate_factor(self.schedule.factor(time, self.epochs as f64));
                let measure = |step: &Step<'_>, part: &Batch| {
                    self.metrics
                        .iter()
                        .zip(&mut sums)
                        .try_for_each(|(metric, sums)| metric.update(&mut sums[0], step, part))
                };
                let sum = cluster.sum(&mut sharded, model, &batch, measure)?;
                (total, samples) = (total + sum.loss, samples + sum.samples);
                let step = sharded.finish(model, sum)?;
                optimizer.step(model, &step)?;
            }
            cluster.check_equal(model, epoch + 1)?;
            let seconds = started.elapsed().as_secs_f64();
            let metrics = values(cluster, &self.metrics, &sums);
            let train = Measured { loss: total / samples.max(1) as f64, metrics };
            let measured = validation.as_mut().map(|validation| validation.measure(cluster, model, self.shards));
            history.push(ClusterEpoch { epoch: epoch + 1, train, validation: measured.transpose()? });
            self.save(cluster, model, optimizer, &sharded, &history)?;
            self.say(cluster, &history, samples as f64 / seconds);
        }
        Ok(history)
    }

    fn say(&self, cluster: &Cluster, history: &[ClusterEpoch], images_per_second: f64) {
        if let Some(last) = history.last().filter(|_| cluster.is_first()) {
            let values = |measured: &Measured| {
                let metrics = measured.metrics.iter().map(|(name, value)| format!(", {name} {value:.4}"));
                format!("loss {:.4}{}", measured.loss, metrics.collect::<String>())
            };
            let validation = last.validation.as_ref().map(|measured| format!("; validation {}", values(measured)));
            let (epoch, epochs, train) = (last.epoch, self.epochs, values(&last.train));
            println!(
                "epoch {epoch}/{epochs}: {train}{}, {images_per_second:.0} images/s",
                validation.unwrap_or_default()
            );
        }
    }

    fn path(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join("cluster.ocelli"))
    }

    /// Begins a run, or continues from the checkpoint that process 0 reads; all processes then have its parameters.
    fn start(
        &self,
        cluster: &Cluster,
        model: &mut Model,
        optimizer: &mut dyn Optimizer,
        sharded: &mut ShardedObjective,
    ) -> Result<Vec<ClusterEpoch>> {
        let path = self.path().filter(|path| self.resume && cluster.is_first() && path.exists());
        let mut bytes = match path {
            Some(path) => {
                let checkpoint: Checkpoint = read_container(path)?;
                encode(&checkpoint)?
            }
            None => Vec::new(),
        };
        cluster.broadcast_bytes(&mut bytes);
        if bytes.is_empty() {
            cluster.broadcast_parameters(model);
            return Ok(Vec::new());
        }
        let (checkpoint, _): (Checkpoint, usize) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).map_err(refused)?;
        if checkpoint.shards != self.shards.count() {
            let (was, is) = (checkpoint.shards, self.shards.count());
            return Err(Error::Checkpoint(format!("is of a run of {was} shards, not {is}")));
        }
        for (path, data) in checkpoint.parameters {
            match model.parameters_mut().value_mut(&path).filter(|value| value.len() == data.len()) {
                Some(value) => value.data_mut().copy_from_slice(&data),
                None => return Err(Error::Checkpoint(format!("{path} does not fit the model"))),
            }
        }
        optimizer.set_state(checkpoint.optimizer)?;
        sharded.set_steps(checkpoint.steps);
        if cluster.is_first() {
            println!("resumed after epoch {}", checkpoint.history.len());
        }
        Ok(checkpoint.history)
    }

    fn save(
        &self,
        cluster: &Cluster,
        model: &Model,
        optimizer: &dyn Optimizer,
        sharded: &ShardedObjective,
        history: &[ClusterEpoch],
    ) -> Result<()> {
        let Some(path) = self.path().filter(|_| cluster.is_first()) else { return Ok(()) };
        let parameters = model.parameters().iter();
        let checkpoint = Checkpoint {
            shards: self.shards.count(),
            steps: sharded.steps(),
            history: history.to_vec(),
            parameters: parameters.map(|(parameter, value)| (parameter.path.clone(), value.data().to_vec())).collect(),
            optimizer: optimizer.state().clone(),
        };
        Ok(write_container(path, &checkpoint)?)
    }
}

fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(checkpoint, bincode::config::standard()).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::Checkpoint(error.to_string())
}
