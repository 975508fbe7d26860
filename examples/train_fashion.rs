//! Trains two convolutions to classify garments: a network and its training in forty lines, with the `Trainer`.

mod common;
#[path = "common/training.rs"]
mod training;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    data::{Part, fashion_mnist, find},
    prelude::*,
    train::{RunFolder, StopFlag},
};
use std::{path::PathBuf, process::ExitCode, time::Instant};
use training::say_accuracy;

/// Trains two convolutions on Fashion-MNIST.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Folder with the files of Fashion-MNIST; then $OCELLI_DATA and ./data are searched.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Number of epochs.
    #[arg(long, default_value_t = 8)]
    epochs: u64,
    /// Folder to write checkpoint, log and weights to.
    #[arg(long, default_value = "runs/fashion")]
    out: PathBuf,
    /// Continues the run in --out.
    #[arg(long)]
    resume: bool,
}

/// Maps images `[N, 28, 28, 1]` to logits `[N, 10]`.
fn network(x: &Node) -> Node {
    let he = Init::He(Distribution::Normal);
    let conv = |channels| Conv2d::new(channels, 3).same().weight_init(he);
    let x = x.apply("conv1", conv(32)).relu().apply("pool1", MaxPool2d::new(2));
    let x = x.apply("conv2", conv(64)).relu().apply("pool2", MaxPool2d::new(2));
    let x = x.flatten().apply("dropout", Dropout(0.4)).apply("fc1", Dense::new(128).weight_init(he)).relu();
    x.apply("fc2", Dense::new(10))
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let (started, seed) = (Instant::now(), arguments.common.seed);
    let out = RunFolder::open(&arguments.out)?;
    let folder = find("fashion-mnist", arguments.data.as_deref())?;
    let load = |part| fashion_mnist::load(&folder, part);
    let pipeline = Pipeline::new().grey().normalised_by(Statistics::for_range(1, -0.5, 0.5)?);
    let train = Loader::new(load(Part::Train)?, pipeline.clone(), 64)?.shuffle(seed);
    let test = Loader::new(load(Part::Test)?, pipeline, 250)?;

    let mut model = Model::build(network, [28, 28, 1], seed)?;
    say(model.summary_for(64)?)?;
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    let mut trainer = Trainer::new(arguments.epochs)
        .schedule(Schedule::Cosine { last: 0.0 })
        .metric(Accuracy::new())
        .monitor(Monitor::highest("accuracy"))
        .run_folder(&out)
        .checkpoint_every(200)
        .stop_flag(StopFlag::on_ctrl_c()?);
    if arguments.resume {
        trainer = trainer.resume();
    }
    let mut sgd = Sgd::new(0.02).momentum(0.9).weight_decay(5e-4);
    let report = trainer.run(&mut model, loss, &mut sgd, &train, None)?;
    save_weights(&model, out.join("weights.safetensors"), &Default::default())?;

    let evaluation = evaluate_classifier(&model, loss, &test, Prediction::Largest)?;
    say(&evaluation.confusion)?;
    Ok(say_accuracy(&evaluation, &report, started)?)
}
