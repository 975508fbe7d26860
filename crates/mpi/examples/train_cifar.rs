//! Trains residual networks on CIFAR-10 with several processes.
//!
//! ```sh
//! mpirun -n 2 target/release/examples/train_cifar --data DIR --depth 20
//! ```

#[path = "common/mod.rs"]
mod common;

use clap::Parser;
use common::Common;
use ocelli::{
    data::{Part, cifar10, find},
    models::by_name,
    prelude::*,
    tensor::Key,
    train::Error,
};
use ocelli_mpi::{Cluster, ClusterTrainer, Result};
use std::{path::PathBuf, process::ExitCode};

/// Trains residual networks on CIFAR-10 with several processes.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Folder with the files of CIFAR-10; then $OCELLI_DATA and ./data are searched.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Number of layers: 20, 32, 44, 56 or 110.
    #[arg(long, default_value_t = 20)]
    depth: usize,
    /// Batch size.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Number of images to train on; default: all.
    #[arg(long)]
    samples: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    Cluster::run(|cluster| run(&arguments, cluster))
}

fn run(arguments: &Arguments, cluster: &Cluster) -> Result<()> {
    arguments.common.start()?;
    let key = Key::new(arguments.common.seed);
    let folder = find("cifar-10", arguments.data.as_deref())?;
    let images = cifar10::load(&folder, Part::Train)?;
    let samples = arguments.samples.unwrap_or(images.len()).min(images.len());
    let (_, images) = images.split(samples, key.with("samples"))?;
    let test = cifar10::load(&folder, Part::Test)?;
    let pipeline = Pipeline::stretch([32, 32]).normalised_by(Statistics::measure(&images)?);
    let test = Loader::new(test, pipeline.clone(), arguments.batch)?;
    let mean = &pipeline.normalisation.mean;
    let border = Border::Colour(std::array::from_fn(|channel| (255.0 * mean[channel]).round() as u8));
    let pipeline = pipeline
        .clone()
        .then(Transform::RandomCrop { margin: 4, border })
        .then(Transform::RandomMirror(Mirror::LeftRight));
    let train = Loader::new(images, pipeline, arguments.batch)?.shuffle(arguments.common.seed);

    let name = format!("cifar_resnet{}", arguments.depth);
    let network = by_name(&name, 10).map_err(|error| Error::Setting(error.to_string()))?;
    let mut model = Model::from_layer(network.layer, network.sample, arguments.common.seed)?;
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    let epochs = arguments.common.epochs;
    let at = [0.5, 0.75].map(|share| share * epochs as f32).into();
    let trainer = ClusterTrainer::new(epochs).schedule(Schedule::MultiStep { at, factor: 0.1 }).metric(Accuracy::new());
    let trainer = arguments.common.apply(trainer)?;
    let mut sgd = Sgd::new(0.1).momentum(0.9).weight_decay(1e-4);
    trainer.run(cluster, &mut model, loss, &mut sgd, &train, Some(&test))?;
    common::say_hash(cluster, &model);
    Ok(())
}
