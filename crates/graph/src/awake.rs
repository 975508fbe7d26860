//! Threads that stay awake while a plan runs.
//!
//! A thread of rayon that finds no work for some microseconds goes to sleep, and waking it takes longer than many a step:
//! between two steps that are cut for threads there are often some that are too small for it. So the other threads of the
//! pool look for work until the plan has run, as those of OpenMP do.

use rayon::Yield;
use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Time without any work after which a thread may sleep all the same.
const IDLE: Duration = Duration::from_micros(500);

/// Number of plans that run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// The number of the run that keeps threads awake; 0 if none does. It runs alone: of several, each has the others' threads
/// to wait for.
static CURRENT: AtomicU64 = AtomicU64::new(0);

/// Calls `f` on a thread of the pool, and keeps the other threads awake meanwhile.
///
/// The call does not wait for them in the end: one may have begun something that waits for this very run, such as a lock
/// that its caller holds.
pub(crate) fn with_threads_awake<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let run = Run::begin();
    rayon::scope(|_| {
        let caller = rayon::current_thread_index();
        for _ in 1..rayon::current_num_threads() {
            if let Some(number) = run.0 {
                rayon::spawn(move || look_for_work(number, caller));
            }
        }
        f()
    })
}

/// Looks for work until a run ends; not on the thread of its caller, which may find this task while it waits for another
/// thread.
fn look_for_work(run: u64, caller: Option<usize>) {
    if rayon::current_thread_index() == caller {
        return;
    }
    let mut worked = Instant::now();
    while CURRENT.load(Ordering::Relaxed) == run && RUNNING.load(Ordering::Relaxed) == 1 {
        match rayon::yield_now() {
            Some(Yield::Executed) => worked = Instant::now(),
            Some(Yield::Idle) | None if worked.elapsed() > IDLE => return,
            // Threads of other programs go first.
            Some(Yield::Idle) | None => thread::yield_now(),
        }
    }
}

/// A plan that runs, by its number if it began alone.
struct Run(Option<u64>);

impl Run {
    fn begin() -> Run {
        static LAST: AtomicU64 = AtomicU64::new(0);
        if RUNNING.fetch_add(1, Ordering::Relaxed) > 0 {
            return Run(None);
        }
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        CURRENT.store(number, Ordering::Relaxed);
        Run(Some(number))
    }
}

/// Also if the plan panics.
impl Drop for Run {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            // Unless another run is the current one by now.
            let _ = CURRENT.compare_exchange(number, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn sum(threads: usize) -> u64 {
        with_threads_awake(|| {
            thread::sleep(Duration::from_micros(50));
            let first: u64 = (0..1000u64).into_par_iter().sum();
            thread::sleep(2 * IDLE);
            first + (0..threads as u64).into_par_iter().map(|_| with_threads_awake(|| 1)).sum::<u64>()
        })
    }

    /// From outside of the pool and from inside, one inside another, several at a time.
    #[test]
    fn a_run_ends_wherever_it_is_called() {
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let expected = 499_500 + threads as u64;
            assert_eq!(pool.install(|| sum(threads)), expected);
            assert!(pool.install(|| (0..16).into_par_iter().map(|_| sum(threads)).all(|sum| sum == expected)));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(pool.install(|| sum(threads)), expected));
                }
            });
        }
        assert_eq!(sum(3), 499_503);
    }

    /// A thread that was kept awake finds a task which waits for a lock that the caller of the run holds.
    #[test]
    fn a_run_does_not_wait_for_those_that_wait_for_it() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let lock = std::sync::Mutex::new(());
        for _ in 0..100 {
            thread::scope(|scope| {
                let held = lock.lock().unwrap();
                scope.spawn(|| pool.install(|| drop(lock.lock().unwrap())));
                pool.install(|| with_threads_awake(|| thread::sleep(Duration::from_micros(200))));
                drop(held);
            });
        }
    }

    #[test]
    fn a_panic_comes_through() {
        let panic = std::panic::catch_unwind(|| with_threads_awake(|| panic!("of the plan")));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"of the plan"));
        assert_eq!(sum(1), 499_501);
    }
}
