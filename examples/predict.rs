//! Reads pictures with weights that `train_lenet` wrote: the class, and a bar for the probability of each.

mod common;

use clap::Parser;
use common::{Common, exit_on_error};
use ocelli::{
    data::images,
    kernels::{elementwise::Source, softmax::softmax},
    models::{Metadata, read_metadata},
    prelude::*,
};
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Says what is on pictures: the class, and a bar for the probability of each.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// What `train_lenet` wrote: weights.safetensors.
    #[arg(long)]
    weights: PathBuf,
    /// Pictures as PNG or JPEG files.
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

/// What `train_lenet` teaches.
const CLASSES: usize = 10;

/// Characters of a bar of 100 %.
const BAR: f32 = 40.0;

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    arguments.common.start()?;
    let metadata = read_metadata(&arguments.weights)?;
    let known = |key: &str| {
        let missing =
            || format!("{} does not say its {key}; was it written by train_lenet?", arguments.weights.display());
        metadata.get(key).ok_or_else(missing)
    };
    let seed = arguments.common.seed;
    let sample = [32, 32, 1];
    // The network of 1998 answers distances to codes: the probability falls with the distance.
    let (mut model, sign) = match known("architecture")?.as_str() {
        "lenet5-1998" => (Model::of(LeNet5::of_1998(), sample, seed)?, -1.0),
        "lenet5-modern" => (Model::of(LeNet5::modern(CLASSES), sample, seed)?, 1.0),
        other => return Err(format!("the architecture \"{other}\" is not known here").into()),
    };
    load_weights(&mut model, &arguments.weights)?;
    let names: Vec<&str> = known("classes")?.split(',').collect();
    for path in &arguments.images {
        let probabilities = probabilities_of(model.predict(&picture(path, &metadata)?)?, sign, CLASSES);
        let best = probabilities.argmax_rows()[0];
        println!("{}: {}", path.display(), names.get(best).unwrap_or(&"?"));
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(1);
        for (name, probability) in names.iter().zip(probabilities.data()) {
            let bar = "█".repeat((probability * BAR).round() as usize);
            println!("  {name:>width$} {:5.1} % {bar}", 100.0 * probability);
        }
    }
    Ok(())
}

/// Probabilities over the classes, from scores of which the largest (sign 1) or the smallest (−1) is the answer.
fn probabilities_of(mut scores: Tensor, sign: f32, classes: usize) -> Tensor {
    scores.data_mut().iter_mut().for_each(|score| *score *= sign);
    softmax(Source::InPlace, scores.data_mut(), classes);
    scores
}

/// A picture as the network was taught: 28 × 28 in the middle of 32 × 32, light on dark.
fn picture(path: &Path, metadata: &Metadata) -> Result<Tensor, Box<dyn Error>> {
    let number = |key: &str, default: f32| metadata.get(key).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (paper, ink) = (number("paper", -0.1), number("ink", 1.175));
    let brightness: Vec<f32> = if metadata.get("pictures").is_some_and(|pictures| pictures == "digits") {
        images::digit(path)?.iter().map(|pixel| f32::from(*pixel) / 255.0).collect()
    } else {
        images::load_grey(path, [28, 28])?.into_vec()
    };
    Ok(Tensor::from_fn([1, 32, 32, 1], |i| {
        let inside = |i: usize| i.checked_sub(2).filter(|i| *i < 28);
        let pixel = inside(i[1]).zip(inside(i[2])).map_or(0.0, |(row, column)| brightness[row * 28 + column]);
        paper + (ink - paper) * pixel
    }))
}
