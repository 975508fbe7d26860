//! Measures the choice of algorithms: times every algorithm that can compute a convolution beside the chosen one.

#[path = "../benches/shapes/mod.rs"]
mod shapes;

#[path = "common/mod.rs"]
mod common;
#[path = "common/output.rs"]
mod output;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    kernels::conv::{Algorithm, Conv2dGeometry, Conv2dSettings, Padding, Pass, Precision, choose, planned},
    simd::InstructionSet,
    tensor::{Key, Stream},
};
use output::check_writable;
use serde::Serialize;
use shapes::{Network, layer::Operation, task};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Draws convolutions of all kinds, times every algorithm that supports each, and prints how far the chosen one is from
/// the fastest.
///
/// The convolutions are functions of their indices, so that two runs measure the same ones. The goal is a chosen
/// algorithm within 1.15 of the fastest for 95 of 100, and within 1.5 for all. The constants of the choice are beside
/// the algorithms, in `kernels/src/conv`, as the terms of each `cost`. At the end the time per unit of cost is printed
/// for each algorithm, on which all should agree.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Number of convolutions, each in three passes.
    #[arg(long, default_value_t = 300)]
    count: u64,
    /// Index of the first convolution.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Measures the convolutions of the published networks instead, and the sizes of docs/benchmarks.md: each with one
    /// image and with the batch of a training step.
    #[arg(long, conflicts_with_all = ["count", "first"])]
    networks: bool,
    /// Duration in milliseconds of the measurement of each algorithm.
    #[arg(long, default_value_t = 30)]
    milliseconds: u64,
    /// Smallest ratio to the fastest algorithm of the rows that are printed.
    #[arg(long, default_value_t = 1.15)]
    print: f64,
    /// File to write all rows to.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One pass of one convolution.
#[derive(Serialize)]
struct Row {
    name: String,
    pass: &'static str,
    convolution: String,
    /// The times of all algorithms, beginning with the chosen one.
    algorithms: Vec<Timed>,
    /// Time of the chosen algorithm divided by the shortest.
    ratio: f64,
}

/// The measured time and the estimated cost of an algorithm.
#[derive(Serialize)]
struct Timed {
    algorithm: &'static str,
    milliseconds: f64,
    /// Estimated cost in multiply-adds of vectors at the peak.
    cost: f64,
}

impl Timed {
    /// Returns the nanoseconds per unit of cost: equal for all algorithms of a machine, if their costs were right.
    fn unit(&self) -> f64 {
        self.milliseconds * 1e6 / self.cost
    }
}

/// Ratio to the fastest from which an algorithm runs only once, and its costs need not be exact.
const FAR_BEHIND: f64 = 3.0;

/// Range of multiply-adds from which convolutions are drawn.
const WORK: std::ops::Range<u64> = 200_000..1_500_000_000;
/// Maximum number of elements of input, output and filter together: 120 MB.
const MOST_NUMBERS: usize = 30 << 20;

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    if let Some(path) = &arguments.json {
        check_writable(path)?;
    }
    arguments.common.start()?;
    let set = InstructionSet::current();
    let list = if arguments.networks { of_networks() } else { drawn(arguments) };
    say(format!("{} convolutions on {set}, {} threads", list.len(), rayon::current_num_threads()))?;
    let time = Duration::from_millis(arguments.milliseconds);
    let mut rows = Vec::new();
    for (name, g) in list {
        for pass in Pass::ALL {
            // Run on one of the pool's threads, as a plan runs its steps.
            let row = rayon::scope(|_| set.scoped(|| measure(&name, &g, pass, time)));
            if row.ratio > arguments.print {
                let Row { convolution, algorithms, ratio, .. } = &row;
                let time = |timed: &Timed| format!("{} {:.3}", timed.algorithm, timed.milliseconds);
                let times = algorithms.iter().map(time).collect::<Vec<_>>().join(", ");
                say(format!("{ratio:6.2}  {name} {} {convolution}: {times} ms", pass.name()))?;
            }
            rows.push(row);
        }
    }
    say_units(&rows)?;
    let within = |bound: f64| rows.iter().filter(|row| row.ratio <= bound).count() as f64 / rows.len().max(1) as f64;
    let worst = rows.iter().map(|row| row.ratio).fold(1.0, f64::max);
    say(format!(
        "{} passes: {:.1} % within 1.15 of the fastest, {:.1} % within 1.5, the worst at {worst:.2}",
        rows.len(),
        100.0 * within(1.15),
        100.0 * within(1.5)
    ))?;
    match &arguments.json {
        Some(path) => {
            Ok(ocelli::tensor::write_atomically(path, |file| Ok(serde_json::to_writer_pretty(file, &rows)?))?)
        }
        None => Ok(()),
    }
}

/// Returns the convolutions of the networks, each once.
fn of_networks() -> Vec<(String, Conv2dGeometry)> {
    let mut list: Vec<(String, Conv2dGeometry)> = Vec::new();
    let networks = Network::all();
    for (network, layer) in networks.iter().flat_map(Network::named_layers) {
        if let Operation::Convolution(convolution) = &layer.operation {
            for batch in [1, layer.batch] {
                let g = convolution.geometry(batch);
                if list.iter().all(|(_, other)| *other != g) {
                    list.push((format!("{network} {}", layer.name), g));
                }
            }
        }
    }
    list
}

/// Returns the named convolutions and those that are drawn.
fn drawn(arguments: &Arguments) -> Vec<(String, Conv2dGeometry)> {
    let drawn = arguments.first..arguments.first + arguments.count;
    let drawn = drawn.map(|number| (number.to_string(), draw(arguments.common.seed, number)));
    named().into_iter().map(|g| ("named".to_string(), g)).chain(drawn).collect()
}

/// Returns convolutions for which the choice was wrong once: filters as long as the image, and nearly as large.
fn named() -> [Conv2dGeometry; 3] {
    let with = |input, filter| Conv2dGeometry::new(&Conv2dSettings::default(), input, filter).expect("a convolution");
    [
        with([4, 80, 100, 16], [80, 5, 16, 64]),
        with([4, 128, 64, 16], [128, 1, 16, 32]),
        with([8, 16, 16, 32], [15, 15, 32, 64]),
    ]
}

/// Draws the convolution of this index.
fn draw(seed: u64, number: u64) -> Conv2dGeometry {
    let mut stream = Key::new(seed).with("choice").at(number).stream();
    loop {
        if let Some(g) = draw_once(&mut stream)
            && WORK.contains(&g.macs())
            && g.input_len() + g.output_len() + g.filter_len() <= MOST_NUMBERS
        {
            return g;
        }
    }
}

fn draw_once(stream: &mut Stream) -> Option<Conv2dGeometry> {
    let one_of = |stream: &mut Stream, list: &[usize]| list[stream.below(list.len())];
    let size = one_of(stream, &[1, 4, 7, 8, 14, 16, 28, 32, 56, 64, 100, 112, 224]);
    let (height, width) =
        if stream.below(4) == 0 { (size, one_of(stream, &[1, 5, 12, 40, 100, 300])) } else { (size, size) };
    let channels = [1, 3, 4, 6, 8, 12, 16, 20, 32, 48, 64, 96, 128, 192, 256, 512, 1024];
    let (inputs, outputs) = (one_of(stream, &channels), one_of(stream, &channels[1..]));
    let batch = one_of(stream, &[1, 1, 2, 4, 8, 16, 32]);
    let kernel = match stream.below(8) {
        0 | 1 => [1, 1],
        2..5 => [3, 3],
        5 => [one_of(stream, &[2, 4, 5, 7]); 2],
        6 => [one_of(stream, &[9, 11, 15, 25]); 2],
        // Long filters, many of which span the image.
        _ => {
            let (long, short) = (one_of(stream, &[8, 16, 40, height, width]), one_of(stream, &[1, 1, 2, 5]));
            if stream.below(2) == 0 { [long, short] } else { [short, long] }
        }
    };
    let stride = one_of(stream, &[1, 1, 1, 2, 2, 3]);
    let dilation = if stream.below(6) == 0 { one_of(stream, &[2, 3, 4]) } else { 1 };
    let divides = |groups: usize| inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
    let (groups, outputs) = match stream.below(8) {
        0 => (inputs, inputs),
        1 => (Some(one_of(stream, &[2, 4, 8, 32])).filter(|&groups| divides(groups))?, outputs),
        _ => (1, outputs),
    };
    let settings = Conv2dSettings {
        stride_h: stride,
        stride_w: stride,
        dilation_h: dilation,
        dilation_w: dilation,
        groups,
        padding: if stream.below(3) == 0 { Padding::Valid } else { Padding::Same },
        ..Default::default()
    };
    Conv2dGeometry::new(&settings, [batch, height, width, inputs], [kernel[0], kernel[1], inputs / groups, outputs])
        .ok()
}

fn measure(name: &str, g: &Conv2dGeometry, pass: Pass, time: Duration) -> Row {
    let timed = |algorithm: &'static dyn Algorithm, best: f64| {
        let cost = algorithm.cost(g, pass);
        Timed { algorithm: algorithm.name(), milliseconds: milliseconds(g, pass, algorithm, time, best), cost }
    };
    let shortest = |list: &[Timed]| list.iter().map(|timed| timed.milliseconds).fold(f64::INFINITY, f64::min);
    let chosen = choose(g, pass, Precision::Fast).algorithm;
    let mut algorithms = vec![timed(chosen, f64::INFINITY)];
    for &algorithm in planned() {
        if algorithm.name() != chosen.name() && algorithm.supports(g, pass) {
            algorithms.push(timed(algorithm, shortest(&algorithms)));
        }
    }
    // Time the chosen one again: the machine may have been slower then.
    algorithms[0].milliseconds = algorithms[0].milliseconds.min(timed(chosen, f64::INFINITY).milliseconds);
    let ratio = algorithms[0].milliseconds / shortest(&algorithms);
    Row { name: name.to_string(), pass: pass.name(), convolution: describe(g), algorithms, ratio }
}

/// Prints the time per unit of cost of each algorithm in each pass.
fn say_units(rows: &[Row]) -> ocelli::Result<()> {
    say("nanoseconds of a unit of its cost: median, and the middle eight tenths")?;
    for (algorithm, pass) in planned().iter().flat_map(|algorithm| Pass::ALL.map(|pass| (algorithm.name(), pass))) {
        let mut units: Vec<f64> = Vec::new();
        for row in rows.iter().filter(|row| row.pass == pass.name()) {
            let fastest = row.algorithms[0].milliseconds / row.ratio;
            let near = |timed: &&Timed| timed.algorithm == algorithm && timed.milliseconds < FAR_BEHIND * fastest;
            units.extend(row.algorithms.iter().filter(near).map(Timed::unit));
        }
        units.sort_by(f64::total_cmp);
        if let (Some(last), at) =
            (units.len().checked_sub(1), |share: f64| units[(share * units.len() as f64) as usize])
        {
            let [low, middle, high] = [0.1, 0.5, 0.9].map(at);
            say(format!("  {algorithm:10} {:8}{:5} times {middle:.4} ({low:.4} to {high:.4})", pass.name(), last + 1))?;
        }
    }
    Ok(())
}

/// Returns the shortest time of the runs that fit into `time`, at least two; of one, if it is far behind `best`.
fn milliseconds(g: &Conv2dGeometry, pass: Pass, algorithm: &'static dyn Algorithm, time: Duration, best: f64) -> f64 {
    let mut run = task::convolution(*g, pass, algorithm);
    let mut once = || {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64() * 1e3
    };
    let first = once();
    if first > FAR_BEHIND * best {
        return first;
    }
    let started = Instant::now();
    let mut shortest = once();
    while started.elapsed() < time {
        shortest = shortest.min(once());
    }
    shortest
}

fn describe(g: &Conv2dGeometry) -> String {
    let Conv2dGeometry { batch, in_h, in_w, in_c, out_c, kernel_h, kernel_w, stride_h, dilation_h, groups, .. } = *g;
    let mut text = format!("{kernel_h}x{kernel_w} on {batch}x{in_h}x{in_w}x{in_c} -> {out_c}");
    for (value, usual, name) in [(stride_h, 1, "stride"), (dilation_h, 1, "dilation"), (groups, 1, "groups")] {
        if value != usual {
            text += &format!(", {name} {value}");
        }
    }
    if g.pad_top + g.pad_left + g.pad_bottom + g.pad_right > 0 {
        text += ", padded";
    }
    text
}
