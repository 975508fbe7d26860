//! Writes a network with its weights as an ONNX file, which other programs run.
//!
//! ```sh
//! cargo run --release --features onnx --example export -- --net resnet18 --weights resnet18-f37072fd.pth --out resnet18.onnx
//! cargo run --release --features onnx --example export -- --weights runs/lenet/weights.safetensors --out lenet.onnx
//! cargo run --release --features onnx --example export -- --onnx model.onnx --out again.onnx
//! ```
//!
//! The file says what the network is, its classes and how images are prepared for it, as a network in one file does.

mod common;
#[path = "common/network.rs"]
mod network;
#[path = "common/onnx.rs"]
mod onnx;
#[path = "common/output.rs"]
mod output;

use clap::Parser;
use common::{Common, exit_on_error, say};
use network::NetworkArguments;
use ocelli::{
    models::{Metadata, NetworkDescription, PREPROCESSING, by_name},
    onnx::Export,
};
use output::check_writable;
use std::{path::PathBuf, process::ExitCode};

/// Writes a network with its weights as an ONNX file.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    network: NetworkArguments,
    /// Number of classes of the network; default: the published number.
    #[arg(long)]
    classes: Option<usize>,
    /// File to write the network to.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    check_writable(&arguments.out)?;
    let description = arguments.network.description(|net| NetworkDescription::unnamed(net, arguments.classes))?;
    let model = arguments.network.load(&description)?;
    Export::new().metadata(metadata(arguments, &description)?).write(&model, &arguments.out)?;
    Ok(say(format!("{} parameters written to {}", model.parameters().trained_count(), arguments.out.display()))?)
}

/// Returns what the file says about the network: what the file of weights says, or what is published.
fn metadata(arguments: &Arguments, description: &NetworkDescription) -> ocelli::Result<Metadata> {
    let mut metadata = arguments.network.metadata()?;
    let described = serde_json::to_string(description).map_err(ocelli::Error::other)?;
    metadata.entry("network".into()).or_insert(described);
    if let (Some(net), &[height, width, _]) = (&arguments.network.net, &description.sample[..])
        && !metadata.contains_key(PREPROCESSING)
    {
        let pipeline = by_name(net, None)?.pipeline([height, width]);
        metadata.insert(PREPROCESSING.into(), serde_json::to_string(&pipeline).map_err(ocelli::Error::other)?);
    }
    Ok(metadata)
}
