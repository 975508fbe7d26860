//! How all benchmarks measure.

use criterion::Criterion;
use std::time::Duration;

/// Runs one bench file. Kernels take micro- to milliseconds: a second of samples each is steady to some per cent, and
/// a whole family takes minutes.
pub fn run(benches: &[fn(&mut Criterion)]) {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for bench in benches {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
