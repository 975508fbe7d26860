//! Threads that stay awake while a plan runs.
//!
//! A thread of rayon that finds no work for some microseconds goes to sleep, and waking it takes longer than many a step:
//! between two steps that are cut for threads there are often some that are too small for it. So the other threads of the
//! pool look for work until the plan has run, as those of OpenMP do.

use rayon::Yield;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Time without any work after which a thread may sleep all the same.
const IDLE: Duration = Duration::from_micros(500);

/// Number of plans that run. Only a plan that runs alone keeps threads awake: of several, each has the others' threads to
/// wait for.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Calls `f` on a thread of the pool, and keeps the other threads awake meanwhile. It allocates nothing.
pub(crate) fn with_threads_awake<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let _running = Running::begin();
    let threads = rayon::current_num_threads();
    if threads == 1 || !is_alone() {
        return rayon::scope(|_| f());
    }
    let (done, caller) = (AtomicBool::new(false), AtomicUsize::new(usize::MAX));
    let run = || {
        // Also if `f` panics.
        let _done = Done(&done);
        caller.store(rayon::current_thread_index().unwrap_or(usize::MAX), Ordering::Relaxed);
        f()
    };
    rayon::join(run, || stay_awake(&done, &caller, threads - 1)).0
}

/// Keeps this thread and `threads - 1` others awake, but not the one that runs the plan: it may find this task while it
/// waits for another thread.
fn stay_awake(done: &AtomicBool, caller: &AtomicUsize, threads: usize) {
    if done.load(Ordering::Acquire) || rayon::current_thread_index() == Some(caller.load(Ordering::Relaxed)) {
        return;
    }
    if threads == 1 {
        return look_for_work(done);
    }
    rayon::join(|| look_for_work(done), || stay_awake(done, caller, threads - 1));
}

fn look_for_work(done: &AtomicBool) {
    let mut worked = Instant::now();
    while !done.load(Ordering::Acquire) && is_alone() {
        match rayon::yield_now() {
            Some(Yield::Executed) => worked = Instant::now(),
            Some(Yield::Idle) | None if worked.elapsed() > IDLE => return,
            // Threads of other programs go first.
            Some(Yield::Idle) | None => thread::yield_now(),
        }
    }
}

fn is_alone() -> bool {
    RUNNING.load(Ordering::Relaxed) <= 1
}

/// Counts a plan that runs.
struct Running;

impl Running {
    fn begin() -> Running {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says that the plan has run.
struct Done<'d>(&'d AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
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

    #[test]
    fn a_panic_comes_through() {
        let panic = std::panic::catch_unwind(|| with_threads_awake(|| panic!("of the plan")));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"of the plan"));
        assert_eq!(sum(1), 499_501);
    }
}
