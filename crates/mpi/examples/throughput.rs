//! Measures the images per second of training steps, by one process or several.
//!
//! ```sh
//! target/release/examples/throughput --net resnet18 --batch 16 --shards 1 --threads 2
//! mpirun -n 2 target/release/examples/throughput --net resnet18 --batch 16 --threads 1
//! ```

use clap::Parser;
use ocelli::{
    models::by_name,
    prelude::*,
    tensor::Key,
    train::{BatchShards, Error, ShardedObjective},
};
use ocelli_mpi::{Cluster, Result};
use std::{process::ExitCode, time::Instant};

/// Measures the images per second of training steps on drawn images, by one process or several.
#[derive(Parser)]
struct Arguments {
    /// The network, by its name in the registry.
    #[arg(long, default_value = "cifar_resnet20")]
    net: String,
    /// Batch size.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Number of shards of a batch, which the number of processes must divide.
    #[arg(long, default_value_t = 8)]
    shards: usize,
    /// Threads of each process.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Number of steps that are measured; one more comes before them.
    #[arg(long, default_value_t = 10)]
    steps: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    Cluster::run(|cluster| run(&arguments, cluster))
}

fn run(arguments: &Arguments, cluster: &Cluster) -> Result<()> {
    let setting = |error: &dyn std::fmt::Display| Error::Setting(error.to_string());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global();
    pool.map_err(|error| setting(&error))?;
    let network = by_name(&arguments.net, 10).map_err(|error| setting(&error))?;
    let [height, width, channels] = network.sample;
    let mut model = Model::from_layer(network.layer, network.sample, 1)?;
    let images = Tensor::uniform([arguments.batch, height, width, channels], Key::new(1));
    let labels: Vec<u32> = (0..arguments.batch as u32).map(|i| i % 10).collect();
    let batch = Batch::new().with("input", images).with("labels", Tensor::from(labels));
    let objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels")))?;
    let mut sharded = ShardedObjective::new(&model, objective, BatchShards::new(arguments.shards)?);
    let mut sgd = Sgd::new(1e-4).momentum(0.9);

    let mut times = Vec::new();
    for _ in 0..=arguments.steps {
        let started = Instant::now();
        let sum = cluster.sum(&mut sharded, &model, &batch, |_, _| Ok(()))?;
        let step = sharded.finish(&mut model, sum)?;
        sgd.step(&mut model, &step)?;
        times.push(started.elapsed().as_secs_f64());
    }
    let measured = &mut times[1..];
    measured.sort_by(f64::total_cmp);
    if let (true, Some(median)) = (cluster.is_first(), measured.get(measured.len() / 2)) {
        println!(
            "{}: {:.1} images/s, median of {} steps",
            arguments.net,
            arguments.batch as f64 / median,
            measured.len()
        );
    }
    Ok(())
}
