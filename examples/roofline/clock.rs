//! Measures work that takes from microseconds to seconds, beside a ceiling that changes over time.

use std::time::{Duration, Instant};

/// Shortest duration of a sample, so that neither the clock nor the change from ceiling to work counts.
const SAMPLE: Duration = Duration::from_millis(1);
/// Minimum number of samples of a median.
const SAMPLES: usize = 5;

/// The measurement of some work.
pub struct Measured {
    /// Median time of a call.
    pub time: Duration,
    /// Median of `time · ceiling`, the work that the ceiling allows in the time of a call: see [`beside`].
    pub ceiling_seconds: f64,
}

/// Measures the median time of `work`, and the median of `time · ceiling` over samples, where the ceiling of a sample
/// is the mean of what `ceiling` measures right before and right after it.
///
/// Machines are shared: what they can reach changes from moment to moment, by a third and more, and a ceiling that is
/// measured once says little about a time that is measured later. Work that is worth `w` then reaches the share
/// `w / ceiling_seconds`. Samples take about `budget` together; one call before them is not counted.
pub fn beside(mut work: impl FnMut(), ceiling: impl Fn() -> f64, budget: Duration) -> Measured {
    work();
    let once = time(&mut work, 1);
    let calls = (SAMPLE.as_nanos() / once.as_nanos().max(1) + 1) as u32;
    let sample = once * calls;
    let count = (budget.as_nanos() / sample.as_nanos().max(1)) as usize;
    let mut before = ceiling();
    let mut samples = Vec::with_capacity(count.max(SAMPLES));
    for _ in 0..count.max(SAMPLES) {
        let time = time(&mut work, calls);
        let after = ceiling();
        samples.push((time, time.as_secs_f64() * (before + after) / 2.0));
        before = after;
    }
    let middle = samples.len() / 2;
    let time = samples.select_nth_unstable_by_key(middle, |&(time, _)| time).1.0;
    let ceiling_seconds = samples.select_nth_unstable_by(middle, |a, b| a.1.total_cmp(&b.1)).1.1;
    Measured { time, ceiling_seconds }
}

/// Measures the median time of `work`, from samples that together take about `budget`, after one call that is not
/// counted.
pub fn median(work: impl FnMut(), budget: Duration) -> Duration {
    beside(work, || 0.0, budget).time
}

/// Measures the time of one call among `calls`.
fn time(work: &mut impl FnMut(), calls: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        work();
    }
    start.elapsed() / calls
}
