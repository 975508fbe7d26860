//! Arguments and output shared by the examples.

use clap::Args;
use ocelli::{
    graph::Model,
    train::{BatchShards, Error},
};
use ocelli_mpi::{Cluster, ClusterTrainer, Result, parameter_hash};
use std::path::PathBuf;

/// Arguments of every example.
#[derive(Args)]
pub struct Common {
    /// Number of epochs.
    #[arg(long, default_value_t = 2)]
    pub epochs: u64,
    /// Seed of the parameters, the order of samples and the data that are drawn.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Number of shards of a batch, which the number of processes must divide.
    #[arg(long, default_value_t = 8)]
    shards: usize,
    /// Threads of each process; all cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Folder for the checkpoint.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Continues the run in --out.
    #[arg(long)]
    resume: bool,
}

impl Common {
    /// Sets the number of threads; before anything uses them.
    pub fn start(&self) -> Result<()> {
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            pool.map_err(|error| Error::Setting(error.to_string()))?;
        }
        Ok(())
    }

    /// Sets what the arguments say of a run.
    pub fn apply(&self, trainer: ClusterTrainer) -> Result<ClusterTrainer> {
        let trainer = trainer.shards(BatchShards::new(self.shards)?);
        let trainer = match &self.out {
            Some(folder) => trainer.folder(folder),
            None => trainer,
        };
        Ok(if self.resume { trainer.resume() } else { trainer })
    }
}

/// Prints the hash of all parameters, by which runs are compared.
pub fn say_hash(cluster: &Cluster, model: &Model) {
    if cluster.is_first() {
        println!("parameters {:016x}", parameter_hash(model));
    }
}
