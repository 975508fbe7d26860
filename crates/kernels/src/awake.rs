//! Threads that stay awake beside work that is not cut for them yet.
//!
//! A thread of rayon that finds no work for some microseconds goes to sleep, and waking it takes longer than many a step
//! of a network: between two steps that are cut for threads there are often some that are too small for it. So the other
//! threads of the pool are given a task meanwhile, which is to wait, as those of OpenMP do.

use std::{
    hint,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Longest wait. Work that is cut without [`announce_work`], as that of somebody else's operation may be, lacks the waiting
/// threads for as long.
const LONGEST: Duration = Duration::from_micros(50);

/// Looks for the end of a wait between two looks at the clock.
const LOOKS: usize = 64;

/// Most threads that wait: each costs a task of a step.
const MOST_THREADS: usize = 7;

/// Number of times that work was cut for threads.
static ANNOUNCED: AtomicUsize = AtomicUsize::new(0);

/// Number of calls that other threads wait beside. Of several at once each has its own work for a thread.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Tells the threads that wait beside a step that there is work for them.
pub fn announce_work() {
    ANNOUNCED.fetch_add(1, Ordering::Relaxed);
}

/// Pieces of work for the threads of a pool. A thread that finds none left waits for the others, awake, so that none of them
/// has to wake it.
pub(crate) struct Pieces {
    count: usize,
    begun: AtomicUsize,
    done: AtomicUsize,
}

impl Pieces {
    /// Announces work of so many pieces.
    pub fn announce(count: usize) -> Self {
        announce_work();
        Self { count, begun: AtomicUsize::new(0), done: AtomicUsize::new(0) }
    }

    /// Does a piece.
    pub fn run(&self, piece: impl FnOnce()) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        piece();
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.begun.load(Ordering::Relaxed) == self.count {
            wait_until(|| self.done.load(Ordering::Relaxed) == self.count || CALLS.load(Ordering::Relaxed) != 1);
        }
    }
}

/// Waits until something is so, and no longer than [`LONGEST`].
fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        for _ in 0..LOOKS {
            if is_so() {
                return;
            }
            // The core is not offered to other programs: what this waits for may wait for this thread by then.
            hint::spin_loop();
        }
    }
}

/// Calls `f` on this thread, while other threads of its pool that have nothing to do wait for the work that `f` cuts for
/// them. They wait for that and for nothing else: they take no other work, and end their wait with `f`.
///
/// Outside of a pool, or if this is called while it runs elsewhere, no thread waits.
pub fn beside_waiting_threads<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let Some(caller) = rayon::current_thread_index() else { return f() };
    let others = (rayon::current_num_threads() - 1).min(MOST_THREADS);
    let call = Call::begin();
    if others == 0 || call.others > 0 {
        return f();
    }
    let wait = Wait { caller, announced: ANNOUNCED.load(Ordering::Relaxed), over: AtomicBool::new(false) };
    rayon::join(
        || {
            let result = f();
            // After a panic of `f` the threads wait for the longest time.
            wait.over.store(true, Ordering::Relaxed);
            result
        },
        || wait.on_threads(others),
    )
    .0
}

/// A call that is counted as long as it runs.
struct Call {
    /// Number of the others that ran when it began.
    others: usize,
}

impl Call {
    fn begin() -> Self {
        Self { others: CALLS.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALLS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The end of a wait beside a call, as threads look for it.
struct Wait {
    /// Index of the thread of the call. It may find this task while it waits for another thread.
    caller: usize,
    /// [`ANNOUNCED`] when the call began.
    announced: usize,
    /// True when the call has ended.
    over: AtomicBool,
}

impl Wait {
    /// Waits on this thread, and on `count - 1` others that have nothing to do.
    fn on_threads(&self, count: usize) {
        if self.is_over() {
            return;
        }
        if count > 1 {
            rayon::join(|| wait_until(|| self.is_over()), || self.on_threads(count - 1));
        } else {
            wait_until(|| self.is_over());
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
            || ANNOUNCED.load(Ordering::Relaxed) != self.announced
            || CALLS.load(Ordering::Relaxed) > 1
            || rayon::current_thread_index() == Some(self.caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::each;
    use std::{panic, sync::atomic::AtomicU64, thread};

    fn sum() -> u64 {
        beside_waiting_threads(|| {
            let sum = AtomicU64::new(0);
            let add = |number| _ = sum.fetch_add(number, Ordering::Relaxed);
            for _ in 0..3 {
                thread::sleep(LONGEST / 2);
                each(1000, &|i| add(i as u64));
            }
            // One inside another, on every thread.
            each(8, &|_| add(beside_waiting_threads(|| 1)));
            sum.into_inner()
        })
    }

    const SUM: u64 = 3 * 499_500 + 8;

    #[test]
    fn a_call_ends_wherever_it_is_made() {
        assert_eq!(sum(), SUM);
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for _ in 0..20 {
                assert_eq!(pool.install(sum), SUM);
            }
            pool.install(|| each(16, &|_| assert_eq!(sum(), SUM)));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(pool.install(sum), SUM));
                }
            });
        }
    }

    #[test]
    fn a_panic_comes_through() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let panic = pool.install(|| panic::catch_unwind(|| beside_waiting_threads(|| panic!("of the step"))));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"of the step"));
        assert_eq!(pool.install(sum), SUM);
    }
}
