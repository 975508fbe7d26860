//! Classifies images with a network in one file, as `train_lenet` and `train_cifar` write it: the file describes the
//! network, the preparation of images and the classes. A program with a custom network calls `load_own_network` in
//! place of `load_network`, with the function that makes it; the rest is the same.
//!
//! ```sh
//! cargo run --release --example predict -- --weights runs/lenet/weights.safetensors runs/lenet/digit.png
//! ```

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{data::Pipeline, models::load_network};
use std::{path::PathBuf, process::ExitCode};

/// Classifies images: prints the class, and a bar for the probability of each.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A network in one file, written by `train_lenet`, `train_cifar` or `classify --save`.
    #[arg(long)]
    weights: PathBuf,
    /// Images as PNG, JPEG, PNM or BMP files.
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let (model, description) = load_network(&arguments.weights)?;
    let pipeline: Pipeline = description.preprocessing_as()?;
    for path in &arguments.images {
        let scores = model.predict(&pipeline.load(path)?)?;
        let answers = description.top_k(scores.data(), description.classes);
        let best = answers.guesses.first().map_or("?".into(), |best| answers.name(best.class));
        say(format!("{}: {best}\n{answers}", path.display()))?;
    }
    Ok(())
}
