//! Measures how fast a network trains or runs, and how much memory it takes.
//!
//! ```sh
//! cargo run --release --example bench_models -- --net resnet50 --mode train --batch 16
//! cargo run --release --features onnx --example bench_models -- --onnx model.onnx
//! ```

mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/onnx.rs"]
mod onnx;
#[path = "common/output.rs"]
mod output;
#[path = "common/precision.rs"]
mod precision;

use clap::{Parser, ValueEnum, builder::PossibleValuesParser};
use common::{Common, exit_on_error, say};
use memory::{check_memory, counted};
use ocelli::{
    models::{by_name, network_names},
    prelude::*,
    tensor::{Key, write_atomically},
};
use onnx::{image_input, read_images};
use output::check_writable;
use precision::PrecisionArgument;
use std::{
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Times steps of training or inference of a network on random images, and measures the memory that they take.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The network.
    #[arg(long, value_parser = PossibleValuesParser::new(network_names()), required_unless_present = "onnx")]
    net: Option<String>,
    /// An ONNX file with a network of images, instead of a name.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["net", "weights"])]
    onnx: Option<PathBuf>,
    /// The kind of step to time.
    #[arg(long, value_enum, default_value_t = What::Infer)]
    mode: What,
    #[command(flatten)]
    precision: PrecisionArgument,
    /// Number of images in a batch.
    #[arg(long, default_value = "1")]
    batch: NonZero<usize>,
    /// Height and width of the images; default: those that the network was published for.
    #[arg(long)]
    size: Option<usize>,
    /// Number of steps to time; default: as many as fit into ten seconds, and at least three.
    #[arg(long)]
    steps: Option<usize>,
    /// Weights to load, as part of the cold start.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// File to write the results to.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Forward, loss, backward, and SGD with momentum and weight decay.
    Train,
    /// The forward pass, with weights prepared beforehand.
    Infer,
}

/// Duration of the measurement without a number of steps.
const BUDGET: Duration = Duration::from_secs(10);
/// Smallest number of steps of such a measurement.
const LEAST_STEPS: usize = 3;
/// A learning rate so small that the weights do not change, however long it runs.
const LEARNING_RATE: f32 = 1e-9;

/// Number of classes that every network has at least.
const LEAST_CLASSES: u32 = 10;

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    if let Some(file) = &arguments.json {
        check_writable(file)?;
    }
    let n = arguments.batch.get();
    let network = arguments.net.as_deref().map(|net| by_name(net, None)).transpose()?;
    let (input, sample) = match (&network, &arguments.onnx) {
        (Some(network), _) => {
            let [height, width, channels] = network.sample;
            let size = |usual| arguments.size.unwrap_or(usual);
            ("input".to_string(), [size(height), size(width), channels])
        }
        (None, Some(file)) => image_input(&read_images(file, arguments.size.map(|size| [size; 2]))?)?,
        (None, None) => return Err("--net or --onnx says which network".into()),
    };
    let purpose = format!("a batch of {n}");
    let numbers = sample.iter().try_fold(n as u64, |numbers, &size| numbers.checked_mul(size as u64));
    check_memory(&purpose, numbers.and_then(|numbers| numbers.checked_mul(size_of::<f32>() as u64)))?;
    let images = Tensor::uniform([n, sample[0], sample[1], sample[2]], Key::new(arguments.common.seed));
    let base = status("RssAnon");
    let loader = network.as_ref().map(|network| network.loader());
    let mut cold = ColdStart::begin();
    let mut model = match (network, &arguments.onnx, &arguments.weights) {
        (Some(network), _, Some(_)) => Model::zeroed(network.layer, sample)?,
        (Some(network), _, None) => Model::from_layer(network.layer, sample, arguments.common.seed)?,
        (None, Some(file), _) => read_images(file, Some([sample[0], sample[1]]))?,
        (None, None, _) => return Err("--net or --onnx says which network".into()),
    };
    model = model.with_precision(arguments.precision.precision());
    cold.done("building");
    if let (Some(file), Some(loader)) = (&arguments.weights, loader) {
        loader.load(&mut model, file)?;
        cold.done("loading");
    }
    let (times, peak) = match arguments.mode {
        What::Train => {
            let labels: Vec<u32> = (0..n as u32).map(|i| i % LEAST_CLASSES).collect();
            let batch = Batch::new().with(input, images).with("labels", Tensor::from(labels));
            let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels")))?;
            let mut sgd = Sgd::new(LEARNING_RATE).momentum(0.9).weight_decay(1e-4);
            // The optimiser adds the momentum of each parameter; gradients are part of the plan.
            let planned = objective.plan(&model, n)?.peak_bytes();
            check_memory(&purpose, Some(planned as u64))?;
            let peak = planned + 2 * model.parameters().bytes();
            cold.done("planning");
            let mut step = || -> ocelli::Result<()> {
                let step = objective.step(&mut model, &batch)?;
                Ok(sgd.step(&mut model, &step)?)
            };
            step()?;
            cold.done("the first step");
            (timed(arguments.steps, step)?, peak)
        }
        What::Infer => {
            check_memory(&purpose, Some(model.plan(n, &["output"])?.peak_bytes() as u64))?;
            let inference = model.inference(n)?;
            let peak = inference.plan().peak_bytes() + model.parameters().bytes();
            cold.done("preparing weights");
            let mut session = inference.session();
            let mut step = || Ok(session.predict(&images).map(|_| ())?);
            step()?;
            cold.done("the first step");
            (timed(arguments.steps, step)?, peak)
        }
    };
    let macs = model.summary().macs;
    let passes = if arguments.mode == What::Train { 3 } else { 1 };
    let operations = 2.0 * (macs as f64) * n as f64 * passes as f64;
    report(arguments, sample[0], &times, operations, Memory { peak, base }, &cold)
}

/// Returns the sorted times of steps, after one that is not counted.
fn timed(steps: Option<usize>, mut step: impl FnMut() -> ocelli::Result<()>) -> ocelli::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut step = || {
        let start = Instant::now();
        step().map(|()| start.elapsed())
    };
    let once = step()?;
    let fit = (BUDGET.as_nanos() / once.as_nanos().max(1)) as usize;
    for _ in 0..steps.unwrap_or(fit.max(LEAST_STEPS)).max(1) {
        times.push(step()?);
    }
    times.sort_unstable();
    Ok(times)
}

/// The phases until the first step is done, with their durations.
struct ColdStart {
    last: Instant,
    phases: Vec<(&'static str, Duration)>,
}

impl ColdStart {
    fn begin() -> ColdStart {
        ColdStart { last: Instant::now(), phases: Vec::new() }
    }

    /// Records the end of a phase.
    fn done(&mut self, what: &'static str) {
        self.phases.push((what, self.last.elapsed()));
        self.last = Instant::now();
    }

    fn total(&self) -> Duration {
        self.phases.iter().map(|(_, time)| *time).sum()
    }
}

/// The predicted memory, and what the process had taken before the network was built.
struct Memory {
    peak: usize,
    base: Option<usize>,
}

fn report(
    arguments: &Arguments,
    size: usize,
    times: &[Duration],
    operations: f64,
    memory: Memory,
    cold: &ColdStart,
) -> ocelli::Result<()> {
    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
    let (median, best) = (milliseconds(times[times.len() / 2]), milliseconds(times[0]));
    let of_file = || arguments.onnx.as_ref().map(|file| file.display().to_string());
    let (net, n) = (arguments.net.clone().or_else(of_file).unwrap_or_default(), arguments.batch.get());
    let mode = if arguments.mode == What::Train { "train" } else { "infer" };
    let threads = rayon::current_num_threads();
    let images = 1e3 * n as f64 / median;
    let gflops = operations / median / 1e6;
    let measured = most_anonymous().zip(memory.base).map(|(most, base)| most.saturating_sub(base));
    // for programs
    if let Some(file) = &arguments.json {
        let row = serde_json::json!({
            "net": net, "mode": mode, "batch": n, "size": size, "threads": threads,
            "ms": median, "ms_best": best, "images_s": images, "gflops": gflops,
            "peak_bytes_predicted": memory.peak, "rss_bytes": measured, "cold_start_ms": milliseconds(cold.total()),
        });
        write_atomically(file, |file| writeln!(file, "{row}"))?;
    }
    // for people
    say(format!("{net}, {mode}, batch {n} at {size} px, {threads} threads, {} steps", times.len()))?;
    say(format!("median {median:.2} ms, best {best:.2} ms: {images:.1} images/s, {gflops:.0} effective GFLOP/s"))?;
    let megabytes = |bytes: usize| format!("{:.0} MB", bytes as f64 / 1e6);
    let and_measured = measured.map_or(String::new(), |bytes| format!(", {} measured", megabytes(bytes)));
    say(format!("memory: {} predicted{and_measured}", megabytes(memory.peak)))?;
    let phases: Vec<String> = cold.phases.iter().map(|(what, t)| format!("{what} {:.0}", milliseconds(*t))).collect();
    Ok(say(format!("cold start: {:.0} ms: {}", milliseconds(cold.total()), phases.join(", ")))?)
}

/// Returns the largest memory of this process so far, without the pages of files: those of the program itself are read
/// from its file as its code runs, and can be dropped at any time.
fn most_anonymous() -> Option<usize> {
    Some(status("VmHWM")?.saturating_sub(status("RssFile")?))
}

/// Returns a count of bytes that the operating system keeps of this process, if it has one.
fn status(key: &str) -> Option<usize> {
    usize::try_from(counted("/proc/self/status", key)?).ok()
}
