//! Trains LeNet-5 on drawn digits with several processes.
//!
//! ```sh
//! mpirun -n 2 target/release/examples/train_lenet --epochs 2
//! ```

#[path = "common/mod.rs"]
mod common;

use clap::Parser;
use common::Common;
use ocelli::{data::synthetic, prelude::*};
use ocelli_mpi::{Cluster, ClusterTrainer, Result};
use std::process::ExitCode;

/// Trains LeNet-5 on drawn digits with several processes.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Number of digits to draw.
    #[arg(long, default_value_t = 8000)]
    samples: usize,
    /// Batch size.
    #[arg(long, default_value_t = 64)]
    batch: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    Cluster::run(|cluster| run(&arguments, cluster))
}

fn run(arguments: &Arguments, cluster: &Cluster) -> Result<()> {
    arguments.common.start()?;
    let seed = arguments.common.seed;
    let pipeline = Pipeline::mnist([32, 32]);
    let train = synthetic::digits(arguments.samples, seed);
    let train = Loader::new(train, pipeline.clone(), arguments.batch)?.shuffle(seed);
    let test = Loader::new(synthetic::digits(arguments.samples / 8, seed + 1), pipeline, arguments.batch)?;
    let mut model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], seed)?;
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    let trainer =
        ClusterTrainer::new(arguments.common.epochs).schedule(Schedule::Cosine { last: 0.0 }).metric(Accuracy::new());
    let trainer = arguments.common.apply(trainer)?;
    trainer.run(
        cluster,
        &mut model,
        loss,
        &mut Sgd::new(0.05).momentum(0.9).weight_decay(5e-4),
        &train,
        Some(&test),
    )?;
    common::say_hash(cluster, &model);
    Ok(())
}
