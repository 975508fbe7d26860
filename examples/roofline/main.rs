//! Measures how near each layer of a network comes to the limits of this machine.

mod ceilings;
mod clock;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/memory.rs"]
mod memory;
#[path = "../common/output.rs"]
mod output;
mod report;
#[path = "../../benches/shapes/mod.rs"]
mod shapes;

use ceilings::{Bandwidth, peak, peak_now};
use clap::{Parser, ValueEnum};
use clock::{Measured, beside};
use common::{Common, exit_on_error, say};
use memory::check_memory;
use ocelli::{
    kernels::conv::{self, Algorithm, Pass, Precision},
    simd::InstructionSet,
};
use output::check_writable;
use report::{Row, Summary};
use shapes::{
    Network,
    layer::{Layer, Operation},
    task,
};
use std::{error::Error, io, num::NonZero, path::PathBuf, process::ExitCode, time::Duration};

/// Measures the floating-point peak and the memory bandwidth of this machine, and then how near each layer of a network
/// comes to them.
///
/// The share of the peak counts the operations of the definition, so that Winograd's algorithms, which need fewer, can
/// pass 100 %. The table is printed layer by layer; its last line is the whole network, in which a layer counts as often
/// as it occurs.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A published network, or `kernels`: the sizes of docs/benchmarks.md.
    #[arg(long, default_value = "vgg16", value_parser = ["vgg16", "resnet50", "alexnet", "googlenet", "lenet5", "resnet20", "kernels"])]
    net: String,
    /// Only the layer of this name or, if there is none, the layers with this in their name.
    #[arg(long)]
    layer: Option<String>,
    /// The passes to compute.
    #[arg(long, value_enum, default_value_t = Passes::Forward)]
    pass: Passes,
    /// Number of images in a batch; default: 8 of 224 × 224, 128 of CIFAR and 64 digits.
    #[arg(long)]
    batch: Option<NonZero<usize>>,
    /// The instruction set: avx512, avx2 or portable; default: the best of this machine.
    #[arg(long)]
    isa: Option<InstructionSet>,
    /// Forces an algorithm by its name, and leaves out the layers that it cannot compute.
    #[arg(long)]
    algorithm: Option<String>,
    /// Leaves out the algorithms that round more than the definition, which are Winograd's.
    #[arg(long)]
    strict: bool,
    /// Duration in seconds of the measurement of each row.
    #[arg(long, default_value = "0.3", value_parser = seconds)]
    seconds: Duration,
    /// File to write the rows to.
    #[arg(long)]
    json: Option<PathBuf>,
    /// File to write the sizes of the layers to, for other programs to compute the same; measures nothing.
    #[arg(long)]
    shapes: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Passes {
    /// Computes `y` from `x` and `w`.
    Forward,
    /// Computes the gradient of the data: `dx` from `dy` and `w`.
    Data,
    /// Computes the gradient of the filter: `dw` from `x` and `dy`.
    Filter,
    /// Computes all three.
    All,
}

impl Passes {
    fn list(self) -> &'static [Pass] {
        match self {
            Self::Forward => &[Pass::Forward],
            Self::Data => &[Pass::BackwardData],
            Self::Filter => &[Pass::BackwardFilter],
            Self::All => &Pass::ALL,
        }
    }
}

/// Largest difference between the peaks at the start and at the end, as a share; beyond it the shares between them are
/// worthless.
const STEADY: f64 = 0.05;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let set = arguments.isa.unwrap_or_else(InstructionSet::current);
    exit_on_error(set.scoped(|| run(&arguments)))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    let choice = match arguments.algorithm.as_deref() {
        Some(name) => Choice::Forced(algorithm(name)?),
        None if arguments.strict => Choice::Cheapest(Precision::Strict),
        None => Choice::Cheapest(Precision::Fast),
    };
    if let Some(set) = arguments.isa.filter(|&set| set != InstructionSet::current()) {
        return Err(format!("this machine has no {set}").into());
    }
    let mut network =
        Network::all().into_iter().find(|network| network.name == arguments.net).ok_or("no such network")?;
    if let Some(name) = &arguments.layer {
        let exact = network.layers.iter().any(|layer| layer.name == *name);
        network.layers.retain(|layer| if exact { layer.name == *name } else { layer.name.contains(name) });
    }
    if let Some(batch) = arguments.batch {
        for layer in &mut network.layers {
            let purpose = format!("{} with a batch of {batch}", layer.name);
            check_memory(&purpose, layer.bytes(1).checked_mul(batch.get() as u64))?;
            layer.batch = batch.get();
        }
    }
    if let Some(path) = &arguments.shapes {
        return report::write(path, &report::shapes(&network));
    }

    let set = InstructionSet::current();
    if let Some(path) = &arguments.json {
        check_writable(path)?;
    }
    arguments.common.start()?;
    let threads = rayon::current_num_threads();
    let alone = peak(set, 1)?;
    let before = if threads == 1 { alone } else { peak(set, threads)? };
    say(format!("peak of {set}: {alone:.1} GFLOP/s on 1 thread, {before:.1} on {threads}"))?;
    let bandwidth = Bandwidth::measure(set, threads)?;
    say(format!("\n{bandwidth}"))?;

    // Run on one of the pool's threads, as a plan runs its steps: from outside, each call would wake one first.
    let ceilings = Ceilings { set, threads, copy: bandwidth.copy() };
    // The instruction set is set per thread, and this is another one.
    let rows = rayon::scope(|_| set.scoped(|| rows(arguments, &network, choice, &ceilings)))?;
    let after = peak(set, threads)?;
    if (after / before - 1.0).abs() > STEADY {
        eprintln!("warning: the peak changed by {:.0} %: something else was running", (after / before - 1.0) * 100.0);
    }
    if let Some(path) = &arguments.json {
        report::write(path, &rows)?;
    }
    Ok(say(format!("peak afterwards: {after:.1} GFLOP/s"))?)
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn algorithm(name: &str) -> Result<&'static dyn Algorithm, String> {
    conv::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = conv::ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect();
        format!("there is no algorithm {name:?}: expected one of {}", names.join(", "))
    })
}

/// The choice of the algorithm of a convolution.
#[derive(Clone, Copy)]
enum Choice {
    /// The algorithm that the user chose.
    Forced(&'static dyn Algorithm),
    /// The cheapest algorithm at this precision, chosen by the library.
    Cheapest(Precision),
}

/// The limits that the rows are compared with.
struct Ceilings {
    set: InstructionSet,
    threads: usize,
    /// Bandwidth of a copy in GB/s.
    copy: f64,
}

fn rows(arguments: &Arguments, network: &Network, choice: Choice, of: &Ceilings) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &pass in arguments.pass.list() {
        let mut summary = Summary::default();
        say(Row::header())?;
        for layer in &network.layers {
            let measured = measure(layer, pass, choice, of.set, arguments.seconds);
            let Some((algorithm, Measured { time, ceiling_seconds })) = measured else { continue };
            let milliseconds = time.as_secs_f64() * 1e3;
            let gflop = 2.0 * layer.macs(layer.batch) as f64 / 1e9;
            let row = Row {
                net: network.name,
                layer: layer.name.clone(),
                pass: pass.name(),
                batch: layer.batch,
                threads: of.threads,
                isa: of.set.name(),
                algorithm,
                ms: milliseconds,
                gflops: gflop / time.as_secs_f64(),
                peak_share: gflop / ceiling_seconds,
            };
            let gigabytes = layer.bytes(layer.batch) as f64 / time.as_secs_f64() / 1e9;
            say(row.line(layer.count, gigabytes / of.copy))?;
            summary.add(layer, &row);
            rows.push(row);
        }
        say(format!("{summary}\n"))?;
    }
    Ok(rows)
}

/// Returns the algorithm and the time of one pass beside the peak; `None` if the forced algorithm cannot compute it.
fn measure(
    layer: &Layer,
    pass: Pass,
    choice: Choice,
    set: InstructionSet,
    budget: Duration,
) -> Option<(&'static str, Measured)> {
    let peak = || peak_now(set);
    match layer.operation {
        Operation::Convolution(convolution) => {
            let g = convolution.geometry(layer.batch);
            let algorithm = match choice {
                Choice::Forced(algorithm) => algorithm,
                Choice::Cheapest(precision) => conv::choose(&g, pass, precision).algorithm,
            };
            let supported = algorithm.supports(&g, pass);
            supported.then(|| (algorithm.name(), beside(task::convolution(g, pass, algorithm), peak, budget)))
        }
        Operation::Dense(dense) => match choice {
            Choice::Forced(_) => None,
            Choice::Cheapest(_) => Some(("gemm", beside(task::dense(dense, layer.batch, pass), peak, budget))),
        },
    }
}
