//! A prediction server in one process: many threads request one image at a time, batches of one to eight are answered
//! as they come, and the latency of each answer is measured.
//!
//! ```sh
//! cargo run --release --example server -- --net resnet18 --clients 16 --requests 20
//! ```

mod common;

use clap::{Parser, builder::PossibleValuesParser};
use common::{Common, exit_on_error, say};
use ocelli::{
    graph::Inference,
    models::{by_name, network_names},
    prelude::*,
};
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Maximum number of images in a batch.
const LARGEST_BATCH: usize = 8;
/// Maximum number of clients: each is a thread.
const MOST_CLIENTS: i64 = 1024;

/// Answers images from many threads in batches of one to eight, and prints throughput and latency.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The network.
    #[arg(long, default_value = "cifar_resnet20", value_parser = PossibleValuesParser::new(network_names()))]
    net: String,
    /// File of weights, as `bench_models` loads them; default: random weights from the seed.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Number of client threads, each with one request at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=MOST_CLIENTS))]
    clients: u16,
    /// Number of images that each client requests.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Number of worker threads. Each runs its own batch; the kernels of all share the pool of `--threads`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Microseconds for which a batch waits for more images.
    #[arg(long, default_value_t = 200)]
    wait: u64,
}

/// An image, and the channel for its answer.
struct Request {
    image: Tensor,
    answer: Sender<Answer>,
}

/// The scores of one image, or the reason why there are none.
type Answer = Result<Vec<f32>, String>;

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let network = by_name(&arguments.net, None)?;
    let (loader, sample) = (network.loader(), network.sample);
    let mut model = Model::from_layer(network.layer, sample, arguments.common.seed)?;
    if let Some(file) = &arguments.weights {
        loader.load(&mut model, file)?;
    }
    let sizes = (1..=LARGEST_BATCH).map(|n| model.inference(n)).collect::<Result<Vec<_>, _>>()?;
    // The first run of a size allocates its memory; that is not part of the latency of a request.
    for (n, inference) in (1..).zip(&sizes) {
        inference.predict(&Tensor::zeros([&[n][..], &sample].concat()))?;
    }
    let served = serve(arguments, &sizes, sample)?;
    report(arguments, served)
}

/// The measurements of a run.
struct Served {
    elapsed: Duration,
    /// Latency of every request, from sending it to receiving the answer.
    latencies: Vec<Duration>,
    /// Number of batches of each size.
    batches: [usize; LARGEST_BATCH],
}

/// Starts every client and every worker, and waits until all requests are answered.
fn serve(arguments: &Arguments, sizes: &[Inference], sample: [usize; 3]) -> Result<Served, String> {
    let (queue, requests) = channel();
    let requests = Mutex::new(requests);
    let wait = Duration::from_micros(arguments.wait);
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..arguments.workers).map(|_| scope.spawn(|| answer_all(&requests, sizes, sample, wait))).collect();
        let clients: Vec<_> = (0..arguments.clients)
            .map(|client| {
                let (queue, key) = (queue.clone(), Key::new(arguments.common.seed).at(client.into()));
                scope.spawn(move || ask_all(&queue, arguments.requests, sample, key))
            })
            .collect();
        // Workers stop when the last client has disconnected.
        drop(queue);
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.join().map_err(|_| "a client panicked")??);
        }
        let elapsed = start.elapsed();
        let mut batches = [0; LARGEST_BATCH];
        for worker in workers {
            let counted = worker.join().map_err(|_| "a worker panicked")?;
            batches.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
        }
        Ok(Served { elapsed, latencies, batches })
    })
}

/// Runs one client, which requests one image after the other; returns its latencies.
fn ask_all(queue: &Sender<Request>, requests: u32, sample: [usize; 3], key: Key) -> Result<Vec<Duration>, String> {
    let image = Tensor::uniform(sample, key);
    let ask = |_| {
        let (answer, answered) = channel();
        let start = Instant::now();
        queue.send(Request { image: image.clone(), answer }).map_err(|_| "nobody answers any more")?;
        answered.recv().map_err(|_| "a worker ended without an answer")??;
        Ok(start.elapsed())
    };
    (0..requests).map(ask).collect()
}

/// Runs one worker, which answers batches until there are no clients; returns the number of batches of each size.
fn answer_all(
    requests: &Mutex<Receiver<Request>>,
    sizes: &[Inference],
    sample: [usize; 3],
    wait: Duration,
) -> [usize; LARGEST_BATCH] {
    let mut counts = [0; LARGEST_BATCH];
    loop {
        let batch = next_batch(requests, wait);
        if batch.is_empty() {
            return counts;
        }
        counts[batch.len() - 1] += 1;
        answer(&sizes[batch.len() - 1], sample, batch);
    }
}

/// Returns the first request to come, with those that follow it closely; empty if there are no clients.
fn next_batch(requests: &Mutex<Receiver<Request>>, wait: Duration) -> Vec<Request> {
    // Other workers wait while this one collects its batch, and not while it computes.
    let requests = requests.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Ok(first) = requests.recv() else { return Vec::new() };
    let until = Instant::now() + wait;
    let mut batch = vec![first];
    while batch.len() < LARGEST_BATCH {
        match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(request) => batch.push(request),
            Err(_) => break,
        }
    }
    batch
}

/// Runs a batch and sends each client its row.
fn answer(inference: &Inference, [height, width, channels]: [usize; 3], batch: Vec<Request>) {
    let mut images = Tensor::zeros([batch.len(), height, width, channels]);
    let rows = images.data_mut().chunks_exact_mut(height * width * channels);
    rows.zip(&batch).for_each(|(row, request)| row.copy_from_slice(request.image.data()));
    let scores = inference.predict(&images).map_err(|error| error.to_string());
    for (number, request) in batch.into_iter().enumerate() {
        let row = scores.as_ref().map(|scores| scores.rows(number..number + 1).into_vec()).map_err(String::clone);
        // A disconnected client needs no answer.
        let _ = request.answer.send(row);
    }
}

fn report(arguments: &Arguments, served: Served) -> ocelli::Result<()> {
    let Served { elapsed, mut latencies, batches } = served;
    latencies.sort_unstable();
    let count = latencies.len();
    let rate = count as f64 / elapsed.as_secs_f64();
    let (clients, threads) = (arguments.clients, rayon::current_num_threads());
    say(format!("{}: {count} images from {clients} clients, {threads} threads", arguments.net))?;
    say(format!("{rate:.1} images/s"))?;
    let at = |share: f64| 1e3 * latencies[((count - 1) as f64 * share) as usize].as_secs_f64();
    let [half, most, nearly_all, all] = [0.5, 0.9, 0.99, 1.0].map(at);
    say(format!("latency: median {half:.2} ms, 90 % {most:.2}, 99 % {nearly_all:.2}, longest {all:.2}"))?;
    let counted: Vec<_> = (1..).zip(batches).filter(|(_, count)| *count > 0).collect();
    let counted: Vec<_> = counted.iter().map(|(size, count)| format!("{count} of {size}")).collect();
    Ok(say(format!("batches: {}", counted.join(", ")))?)
}
