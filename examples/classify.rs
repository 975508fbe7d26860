//! Classifies images with a trained network: prints the five best classes, with a bar for the probability of each.
//!
//! ```sh
//! cargo run --release --example classify -- --net resnet18 --weights resnet18-f37072fd.pth --classes imagenet_classes.txt cat.jpg
//! cargo run --release --example classify -- --net squeezenet1_1 --weights squeezenet_v1.1.safetensors --pixels caffe --size 227 cat.jpg
//! cargo run --release --example classify -- --weights runs/lenet/weights.safetensors runs/lenet/digit.png
//! cargo run --release --features onnx --example classify -- --onnx model.onnx --pixels imagenet --classes imagenet_classes.txt cat.jpg
//! ```
//!
//! Weights alone need the name of their network, and a file with a name on each line to show class names instead of
//! indices. `--save` writes all of that into one file, which needs nothing else.

mod common;
#[path = "common/network.rs"]
mod network;
#[path = "common/onnx.rs"]
mod onnx;
#[path = "common/pixels.rs"]
mod pixels;
#[path = "common/precision.rs"]
mod precision;

use clap::Parser;
use common::{Common, exit_on_error, say};
use network::NetworkArguments;
use ocelli::{
    models::{NetworkDescription, save_network},
    prelude::*,
};
use pixels::{Pixels, stored_pipeline};
use precision::PrecisionArgument;
use std::{fs, path::PathBuf, process::ExitCode};

/// Classifies images: prints the best classes of a trained network, with a bar for the probability of each.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    network: NetworkArguments,
    /// File with the names of the classes, one on each line.
    #[arg(long)]
    classes: Option<PathBuf>,
    /// Preparation of images; default: as described in the file of weights or, if it has no description, as published
    /// weights of the network expect.
    #[arg(long, value_enum)]
    pixels: Option<Pixels>,
    /// Height and width of the images that the network sees; default: those that it was published for.
    #[arg(long)]
    size: Option<usize>,
    #[command(flatten)]
    precision: PrecisionArgument,
    /// Number of classes to show.
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Writes the network with its weights, the names of its classes and how images are prepared into one file.
    #[arg(long, conflicts_with = "onnx")]
    save: Option<PathBuf>,
    /// Images as PNG, JPEG, PNM or BMP files.
    #[arg(required = true)]
    images: Vec<PathBuf>,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    // the network, as its file or the arguments describe it
    let names = arguments.classes.as_ref().map(class_names).transpose()?;
    let mut description = arguments.network.description(|net| match &names {
        Some(names) => NetworkDescription::new(net, names),
        None => NetworkDescription::unnamed(net, None),
    })?;
    if let (Some(names), Some(path)) = (names, &arguments.classes) {
        let (given, classes) = (names.len(), description.classes);
        if given != classes {
            let reason = format!("{given} names, but the network tells {classes} classes apart");
            return Err(format!("{}: {reason}", path.display()).into());
        }
        description.class_names = names;
    }
    if let Some(size) = arguments.size {
        let channels = description.sample.last().copied().unwrap_or(0);
        description = description.sample([size, size, channels]);
    }
    let Ok(sample) = <[usize; 3]>::try_from(&description.sample[..]) else {
        return Err(format!("{}: a network of something else than images", arguments.network.file().display()).into());
    };
    // its answers
    let pipeline = pipeline(arguments, sample)?;
    let model = arguments.network.load(&description)?.with_precision(arguments.precision.precision());
    for path in &arguments.images {
        let scores = model.predict(&pipeline.load(path)?)?;
        say(format!("{}\n{}", path.display(), description.top_k(scores.data(), arguments.top)))?;
    }
    // one file of everything
    if let Some(path) = &arguments.save {
        description = description.preprocessing(&pipeline)?;
        save_network(&model, &description, path)?;
        say(format!("written to {}", path.display()))?;
    }
    Ok(())
}

/// Returns how images for a network that reads `sample` are prepared: as requested, as described in the file of
/// weights, or as published weights of the network expect.
fn pipeline(arguments: &Arguments, sample: [usize; 3]) -> ocelli::Result<Pipeline> {
    if let Some(pixels) = arguments.pixels {
        return Ok(pixels.pipeline(sample));
    }
    let path = arguments.network.file();
    match stored_pipeline(path, &arguments.network.metadata()?)? {
        Some(_) if arguments.size.is_some() => {
            let reason = "the file says how images are prepared; --size needs --pixels, which says it anew";
            Err(format!("{}: {reason}", path.display()).into())
        }
        Some(stored) => Ok(stored),
        None => {
            let Some(net) = &arguments.network.net else {
                return Err(format!("{} does not say how images are prepared; --pixels does", path.display()).into());
            };
            let [height, width, _] = sample;
            Ok(by_name(net, None)?.pipeline([height, width]))
        }
    }
}

/// Reads class names, one on each line.
fn class_names(path: &PathBuf) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_string()).collect();
    if names.is_empty() {
        return Err(format!("{}: no names of classes, one on each line", path.display()));
    }
    Ok(names)
}
