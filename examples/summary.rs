//! Prints a network as a table: its operations, parameters, multiply-accumulates, and the memory that it will need.
//!
//! ```sh
//! cargo run --release --example summary -- --net resnet18 --batch 16
//! cargo run --release --example summary -- --net resnet18 --explain --dot resnet18.dot
//! cargo run --release --features onnx --example summary -- --onnx model.onnx
//! ```

mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/onnx.rs"]
mod onnx;

use clap::{Parser, builder::PossibleValuesParser};
use common::{Common, exit_on_error, say};
use memory::check_memory;
use ocelli::{
    graph::Graph,
    models::{by_name, network_names},
    prelude::*,
    tensor::write_atomically,
};
use std::{num::NonZero, path::PathBuf, process::ExitCode};

/// Prints the operations and the costs of a network.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The network.
    #[arg(long, value_parser = PossibleValuesParser::new(network_names()), required_unless_present = "onnx")]
    net: Option<String>,
    /// An ONNX file with a network, instead of a name.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["net", "classes"])]
    onnx: Option<PathBuf>,
    /// Height and width of the images; default: those that the network was published for, or 224 where an ONNX file leaves
    /// them open.
    #[arg(long)]
    size: Option<usize>,
    /// Batch size for the estimate of memory.
    #[arg(long, default_value = "1")]
    batch: NonZero<usize>,
    /// Number of classes of the network; default: the published number.
    #[arg(long)]
    classes: Option<usize>,
    /// Prints the steps of inference too: the operations fused into each, its algorithm and the reason for it, and the
    /// position of its result in memory.
    #[arg(long)]
    explain: bool,
    /// Writes the steps of inference as a drawing for Graphviz: dot -Tsvg FILE.
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let batch = arguments.batch.get();
    let model = match (&arguments.onnx, &arguments.net) {
        (Some(file), _) => onnx::read(file, arguments.size.map(|size| [size; 2]))?,
        (None, Some(net)) => named(arguments, net)?,
        (None, None) => return Err("--net or --onnx says which network".into()),
    };
    say(model.summary_for(batch)?)?;
    if arguments.explain || arguments.dot.is_some() {
        let plan = model.plan(batch, &["output"])?;
        if arguments.explain {
            say(format_args!("\n{}", plan.explain().trim_end()))?;
        }
        if let Some(path) = &arguments.dot {
            write_atomically(path, |file| file.write_all(plan.to_dot().as_bytes()))?;
            say(format_args!("steps drawn in {}", path.display()))?;
        }
    }
    Ok(())
}

/// Builds a network of the registry, if there is memory for it.
fn named(arguments: &Arguments, net: &str) -> ocelli::Result<Model> {
    let network = by_name(net, arguments.classes)?;
    let [height, width, channels] = network.sample;
    let size = |usual| arguments.size.unwrap_or(usual);
    let sample = [size(height), size(width), channels];
    let graph = Graph::from_layer(&network.layer, sample)?;
    check_memory(net, parameter_bytes(&graph))?;
    Ok(Model::zeroed(network.layer, sample)?)
}

/// Returns the bytes of all parameters, if they can be counted.
fn parameter_bytes(graph: &Graph) -> Option<u64> {
    let bytes = |value: usize| {
        let sizes = graph.values[value].shape.at(1);
        sizes.iter().try_fold(size_of::<f32>() as u64, |bytes, &size| bytes.checked_mul(size as u64))
    };
    graph.parameters.values().try_fold(0u64, |sum, spec| sum.checked_add(bytes(spec.value)?))
}
