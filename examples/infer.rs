//! Runs a network on a tensor from a file and writes its outputs, and gradients on request, to another, to compare with
//! other frameworks.
//!
//! ```sh
//! cargo run --release --example infer -- --net resnet18 --weights resnet18.pth --input x.safetensors --output y.safetensors \
//!     --taps layer1,layer4.1 --grad
//! cargo run --release --features onnx --example infer -- --onnx model.onnx --input x.safetensors --output y.safetensors
//! ```
//!
//! Everything in the files has PyTorch's layout: images and activations `[N, C, H, W]`, filters `[O, I, H, W]`,
//! matrices `[out, in]`. The output file holds `output` and the taps by their names, of inference. With `--grad` it
//! also holds the mean cross-entropy with the `labels` of the input file as `loss`, and its gradients `grad.input` and
//! `grad.<parameter>`, of training without dropout: normalisations take the statistics of the batch.

mod common;
#[path = "common/network.rs"]
mod network;
#[path = "common/onnx.rs"]
mod onnx;
#[path = "common/precision.rs"]
mod precision;

use clap::Parser;
use common::{Common, exit_on_error, say};
use network::NetworkArguments;
use ocelli::{
    models::{
        DType, MAX_CLASSES, Metadata, NetworkDescription, channels_first, channels_last, in_file_layout, save_tensors,
    },
    prelude::*,
};
use onnx::image_input;
use precision::PrecisionArgument;
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

/// Runs a network on a tensor from a file, for comparison with other frameworks.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    network: NetworkArguments,
    /// Number of classes of the network; default: the published number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MAX_CLASSES as i64))]
    classes: Option<u32>,
    /// File with the input, [N, C, H, W].
    #[arg(long)]
    input: PathBuf,
    /// Name of the input in that file.
    #[arg(long, default_value = "input")]
    tensor: String,
    /// Name of the labels in that file.
    #[arg(long, default_value = "labels")]
    labels: String,
    /// File to write the results to, as safetensors.
    #[arg(long)]
    output: PathBuf,
    /// Names of further activations to write.
    #[arg(long, value_delimiter = ',')]
    taps: Vec<String>,
    /// Writes loss and gradients too.
    #[arg(long)]
    grad: bool,
    #[command(flatten)]
    precision: PrecisionArgument,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    // read the input and load the network
    let mut file = WeightFile::open(&arguments.input)?;
    let input = channels_last(&file.read(&arguments.tensor)?);
    let [_, height, width, channels] = *input.shape() else {
        return Err(format!("{} is no [N, C, H, W]", arguments.tensor).into());
    };
    let classes = arguments.classes.map(|classes| classes as usize);
    let description = arguments.network.description(|net| NetworkDescription::unnamed(net, classes))?;
    if let Some(given) = classes.filter(|&given| given != description.classes) {
        let (path, known) = (arguments.network.file().display(), description.classes);
        return Err(format!("{path}: --classes {given}, but the network tells {known} classes apart").into());
    }
    let model = arguments.network.load(&description.sample([height, width, channels]))?;
    let model = model.with_precision(arguments.precision.precision());
    let (name, _) = image_input(&model)?;

    // outputs, and gradients on request
    let mut batch = Batch::new().with(&name, &input);
    let wanted: Vec<&str> = ["output"].into_iter().chain(arguments.taps.iter().map(String::as_str)).collect();
    let values = model.run(&batch, &wanted)?;
    let mut results: BTreeMap<String, Tensor> =
        wanted.iter().zip(&values).map(|(name, value)| (name.to_string(), channels_first(value))).collect();
    if arguments.grad {
        batch = batch.with("labels", labels(&mut file, &arguments.labels)?);
        results.extend(gradients(&model, &batch, &name, input.shape())?);
    }
    save_tensors(&results, &arguments.output, &Metadata::new())?;
    // print a line for each result
    for (name, tensor) in results.iter().filter(|(name, _)| !name.starts_with("grad.")) {
        let norm = tensor.data().iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        say(match tensor.shape() {
            [] => format!("{name}: {:.6}", tensor.data()[0]),
            shape => format!("{name}: {shape:?}, norm {norm:.6}"),
        })?;
    }
    Ok(say(format!("{} tensors written to {}", results.len(), arguments.output.display()))?)
}

/// Reads the labels of the samples.
fn labels(file: &mut WeightFile, name: &str) -> ocelli::Result<Tensor<u32>> {
    let is_float = |dtype| matches!(dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16);
    if file.info(name).is_some_and(|info| is_float(info.dtype)) {
        return Err(format!("{name} are no integers").into());
    }
    let label = |&number: &f32| {
        let whole = (number >= 0.0 && number < (1 << 24) as f32).then_some(number as u32);
        whole.ok_or_else(|| format!("{name} hold {number}, which is no class"))
    };
    Ok(Tensor::from(file.read(name)?.data().iter().map(label).collect::<Result<Vec<u32>, _>>()?))
}

/// Computes the loss and its gradients.
fn gradients(model: &Model, batch: &Batch, input: &str, shape: &[usize]) -> ocelli::Result<BTreeMap<String, Tensor>> {
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    let mut objective = model.objective_of(Mode::TrainWithoutDropout, Wrt::ParametersAnd(&[input]), loss)?;
    let step = objective.evaluate(model, batch)?;
    let mut results = BTreeMap::from([("loss".to_string(), Tensor::scalar(step.loss()))]);
    if let Some(gradient) = step.gradient(input) {
        results.insert("grad.input".into(), channels_first(&Tensor::from_vec(shape, gradient.to_vec())?));
    }
    for (parameter, value) in model.parameters().iter() {
        if let Some(gradient) = step.gradient(&parameter.path) {
            let gradient = Tensor::from_vec(value.shape(), gradient.to_vec())?;
            results.insert(format!("grad.{}", parameter.path), in_file_layout(parameter, &gradient));
        }
    }
    Ok(results)
}
