//! Measures the peak and the bandwidth of the machine, on any number of threads.

use ocelli::simd::machine::{Stores, Streams, multiply_adds};
use ocelli::{simd::InstructionSet, tensor::Arena};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::clock::median;

/// Rounds of one try, some milliseconds: long beside the start of the threads, short beside a time slice.
const ROUNDS: u64 = 2_000_000;
/// Minimum number of tries, of which the best counts.
const TRIES: usize = 30;
/// Maximum number of tries (a few seconds), while threads together reach less than [`SPREAD`] of what they reach alone:
/// a scheduler may leave two of them on one core for some tenths of a second.
const MOST_TRIES: usize = 600;
/// The share of the ideal speed-up at which tries end; see [`MOST_TRIES`].
const SPREAD: f64 = 0.95;

fn pool(threads: usize) -> ocelli::Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(ocelli::Error::other)
}

/// Measures the `f32` multiply-add peak in GFLOP/s: the best try, because other work can only make a try slower.
pub fn peak(set: InstructionSet, threads: usize) -> ocelli::Result<f64> {
    let pool = pool(threads)?;
    let alone = if threads == 1 { 0.0 } else { peak(set, 1)? };
    let mut best: f64 = 0.0;
    for tries in 1..=MOST_TRIES {
        let start = Instant::now();
        let flops: u64 = pool.broadcast(|_| multiply_adds(set, ROUNDS)).into_iter().sum();
        best = best.max(flops as f64 / start.elapsed().as_secs_f64() / 1e9);
        if tries >= TRIES && best >= SPREAD * alone * threads as f64 {
            break;
        }
    }
    Ok(best)
}

/// Rounds of a measurement of about a millisecond.
const MOMENT: u64 = 300_000;

/// Measures the peak of the ambient pool at this moment, in GFLOP/s: the sum over the threads, without the time of
/// waking them.
pub fn peak_now(set: InstructionSet) -> f64 {
    let rate = |_: rayon::BroadcastContext<'_>| {
        let start = Instant::now();
        multiply_adds(set, MOMENT) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    rayon::broadcast(rate).into_iter().sum()
}

/// Bytes of a stream: twice a large cache.
const STREAM_BYTES: usize = 64 << 20;
/// Duration of the measurement of each bandwidth: some passes over a stream, each of which takes milliseconds.
const BUDGET: Duration = Duration::from_millis(40);

/// Memory bandwidth in GB/s for several mixes of reads and writes.
pub struct Bandwidth {
    threads: usize,
    /// Rows `(what, on one thread, on all)`.
    rates: Vec<(&'static str, f64, f64)>,
}

impl Bandwidth {
    /// Measures on one thread and on `threads`.
    pub fn measure(set: InstructionSet, threads: usize) -> ocelli::Result<Self> {
        let alone = Memory::new(set, 1)?.rates();
        let all = if threads == 1 { alone.clone() } else { Memory::new(set, threads)?.rates() };
        let rates = alone.into_iter().zip(all).map(|((what, one), (_, all))| (what, one, all)).collect();
        Ok(Self { threads, rates })
    }

    /// Returns the bandwidth of a copy on all threads, with regular or with non-temporal stores, whichever is larger.
    pub fn copy(&self) -> f64 {
        self.rates.iter().filter(|(what, ..)| what.starts_with(COPY)).map(|&(.., all)| all).fold(0.0, f64::max)
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = format!("{} threads", self.threads);
        writeln!(f, "{:32}{:>10}{threads:>12}", "bandwidth, GB/s", "1 thread")?;
        self.rates.iter().try_for_each(|(what, one, all)| writeln!(f, "{what:32}{one:10.1}{all:12.1}"))
    }
}

const COPY: &str = "copy";

/// Streams of [`STREAM_BYTES`], cut into a part for each thread of a pool.
struct Memory {
    set: InstructionSet,
    pool: ThreadPool,
    /// For each thread, its part of each stream.
    parts: Vec<Mutex<[Arena; 3]>>,
}

impl Memory {
    fn new(set: InstructionSet, threads: usize) -> ocelli::Result<Self> {
        let pool = pool(threads)?;
        let length = STREAM_BYTES / size_of::<f32>() / threads;
        let part = || {
            let mut part = [Arena::new(length), Arena::new(length), Arena::new(length)];
            part.iter_mut().for_each(|stream| stream.as_mut_slice().fill(1.0));
            Mutex::new(part)
        };
        // Each thread touches its part first, so that it lies in near memory.
        let parts = pool.broadcast(|_| part());
        Ok(Self { set, pool, parts })
    }

    fn rates(&self) -> Vec<(&'static str, f64)> {
        use Stores::{NonTemporal, Regular};
        vec![
            ("read", self.rate(|[a, _, _]| Streams { read: [a], update: [], write: [] }, Regular)),
            ("write", self.rate(|[a, _, _]| Streams { read: [], update: [], write: [a] }, Regular)),
            ("write, non-temporal", self.rate(|[a, _, _]| Streams { read: [], update: [], write: [a] }, NonTemporal)),
            (COPY, self.rate(|[a, b, _]| Streams { read: [a], update: [], write: [b] }, Regular)),
            ("copy, non-temporal", self.rate(|[a, b, _]| Streams { read: [a], update: [], write: [b] }, NonTemporal)),
            ("read 2, write 1", self.rate(|[a, b, c]| Streams { read: [a, b], update: [], write: [c] }, Regular)),
            (
                "read 2, write 1, non-temporal",
                self.rate(|[a, b, c]| Streams { read: [a, b], update: [], write: [c] }, NonTemporal),
            ),
            ("update 1", self.rate(|[a, _, _]| Streams { read: [], update: [a], write: [] }, Regular)),
            ("read 1, update 1", self.rate(|[a, b, _]| Streams { read: [a], update: [b], write: [] }, Regular)),
            ("read 1, update 2", self.rate(|[a, b, c]| Streams { read: [a], update: [b, c], write: [] }, Regular)),
        ]
    }

    /// Measures GB/s of passing through the streams that `arrange` makes of the memory of a thread, on all threads of
    /// the pool.
    fn rate<const READ: usize, const UPDATE: usize, const WRITE: usize>(
        &self,
        arrange: impl for<'a> Fn([&'a mut [f32]; 3]) -> Streams<'a, READ, UPDATE, WRITE> + Sync,
        stores: Stores,
    ) -> f64 {
        let pass = |index: usize| {
            let mut part = self.parts[index].lock().expect("no thread panicked");
            let streams = arrange(part.each_mut().map(Arena::as_mut_slice));
            let bytes = streams.bytes();
            std::hint::black_box(streams.run(self.set, stores));
            bytes
        };
        let bytes: u64 = self.pool.broadcast(|context| pass(context.index())).into_iter().sum();
        let time = median(|| drop(self.pool.broadcast(|context| pass(context.index()))), BUDGET);
        bytes as f64 / time.as_secs_f64() / 1e9
    }
}
