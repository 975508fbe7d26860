//! Threads that make batches ahead.

use super::epoch::{Maker, make};
use crate::Result;
use ocelli_tensor::Batch;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

/// Threads that make the batches of an epoch, and those that are finished. Each thread takes the next number, so batches are
/// finished in any order and taken in theirs.
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Signals that a batch was finished.
    finished: Condvar,
    /// Signals that a batch was taken, or that the threads must stop.
    taken: Condvar,
    /// The most batches that are finished or being made.
    most: usize,
}

struct State {
    /// The number of the next batch to be made, and the end.
    next: Range<usize>,
    /// The number of the next batch to be taken.
    wanted: usize,
    finished: BTreeMap<usize, Result<Batch>>,
    stop: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of the next batch, and returns its number; `None` at the end.
    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        while !state.stop && !state.next.is_empty() && state.next.start - state.wanted >= self.most {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop { None } else { state.next.next() }
    }

    fn work(&self, maker: &dyn Maker) {
        while let Some(number) = self.next() {
            let Some(batch) = make(maker, number, &|| !self.state().stop) else { return };
            self.state().finished.insert(number, batch);
            self.finished.notify_one();
        }
    }
}

impl Ahead {
    /// Starts threads that make these batches, of which `depth` may wait. `None` if the system refuses every thread.
    pub(super) fn start(maker: &Arc<dyn Maker>, numbers: Range<usize>, depth: usize, workers: usize) -> Option<Ahead> {
        let workers = workers.min(numbers.len());
        let shared = Arc::new(Shared {
            state: Mutex::new(State { wanted: numbers.start, next: numbers, finished: BTreeMap::new(), stop: false }),
            finished: Condvar::new(),
            taken: Condvar::new(),
            most: depth.saturating_add(workers),
        });
        let start = |_| {
            let (shared, maker) = (shared.clone(), maker.clone());
            Builder::new().name("ocelli-loader".into()).spawn(move || shared.work(&*maker)).ok()
        };
        let threads: Vec<_> = (0..workers).map_while(start).collect();
        (!threads.is_empty()).then_some(Ahead { shared, threads })
    }

    /// Waits for a batch and takes it. Numbers are taken in their order.
    pub(super) fn take(&self, number: usize) -> Option<Result<Batch>> {
        let mut state = self.shared.state();
        // Every number is made, because panics are errors and threads end only when they are told to.
        let batch = loop {
            match state.finished.remove(&number) {
                Some(batch) => break batch,
                None => state = self.shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.wanted = number + 1;
        drop(state);
        self.shared.taken.notify_all();
        Some(batch)
    }
}

impl Drop for Ahead {
    /// Waits for the threads, which end after their current sample.
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.taken.notify_all();
        for thread in self.threads.drain(..) {
            // A thread panics only if dropping a batch does; nobody is left to report it to.
            let _ = thread.join();
        }
    }
}
