//! Times of work that takes from microseconds to seconds.

use std::time::{Duration, Instant};

/// A sample lasts at least this long, so that the clock itself does not count.
const SAMPLE: Duration = Duration::from_micros(200);
/// A median of fewer samples says little.
const SAMPLES: usize = 5;

/// The median time of `work`, from samples that together take about `budget`, after one call that is not counted.
pub fn median(mut work: impl FnMut(), budget: Duration) -> Duration {
    work();
    let once = time(&mut work, 1);
    let calls = (SAMPLE.as_nanos() / once.as_nanos().max(1) + 1) as u32;
    let sample = once * calls;
    let count = (budget.as_nanos() / sample.as_nanos().max(1)) as usize;
    let mut samples: Vec<Duration> = (0..count.max(SAMPLES)).map(|_| time(&mut work, calls)).collect();
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// The time of one call among `calls`.
fn time(work: &mut impl FnMut(), calls: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed() / calls
}
