//! The batches of one epoch, prepared when requested or ahead on a thread.

use super::Loader;
use crate::Result;
use ocelli_tensor::Batch;
use std::{
    iter::FusedIterator,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

/// Largest number of batches that wait, whatever is requested: their memory is reserved at once.
const MAX_PREFETCH: usize = 1024;

/// An iterator over the batches of one epoch; made by [`Loader::epoch`]. It ends after the first error. Dropping it
/// stops its thread.
pub struct Epoch {
    left: usize,
    source: Source,
}

enum Source {
    /// Makes each batch when it is requested.
    Direct(Plan),
    /// Receives batches from a thread.
    Ahead(Ahead),
}

impl Epoch {
    pub(super) fn start(loader: &Loader, epoch: u64, first_batch: usize) -> Epoch {
        let batches = loader.batches();
        let indices = loader.indices(epoch).into();
        let plan = Plan { loader: loader.clone(), epoch, indices, next: first_batch, batches };
        let left = batches.saturating_sub(first_batch);
        let depth = loader.prefetch.min(left).min(MAX_PREFETCH);
        let source = match depth {
            0 => Source::Direct(plan),
            depth => Ahead::start(plan, depth),
        };
        Epoch { left, source }
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.left == 0 {
            return None;
        }
        let batch = match &mut self.source {
            Source::Direct(plan) => plan.next_batch(|| true),
            // The thread sends every batch or an error, and panics of datasets are errors: it lives until the end.
            Source::Ahead(ahead) => ahead.batches.as_ref().and_then(|batches| batches.recv().ok()),
        };
        self.left = match batch {
            Some(Ok(_)) => self.left - 1,
            _ => 0,
        };
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.min(1), Some(self.left))
    }
}

impl FusedIterator for Epoch {}

/// The batches of an epoch that are still to be made.
#[derive(Clone)]
struct Plan {
    loader: Loader,
    epoch: u64,
    indices: Arc<[usize]>,
    next: usize,
    batches: usize,
}

impl Plan {
    /// Makes the next batch; `None` at the end or if `go_on` returns false.
    fn next_batch(&mut self, go_on: impl Fn() -> bool) -> Option<Result<Batch>> {
        if self.next >= self.batches {
            return None;
        }
        let batch = self.loader.batch(self.epoch, &self.indices[self.range()], go_on);
        self.next += 1;
        batch.transpose()
    }

    /// Returns the range of the next batch within the indices. No overflow: `next < batches`, and every batch but the
    /// last is full.
    fn range(&self) -> Range<usize> {
        let first = self.next * self.loader.batch_size;
        first..first.saturating_add(self.loader.batch_size).min(self.indices.len())
    }
}

/// A thread that makes batches, and the channel that receives them.
struct Ahead {
    /// `None` only while it is dropped.
    batches: Option<Receiver<Result<Batch>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts the thread. If the system refuses a thread, the same batches are made when requested.
    fn start(plan: Plan, depth: usize) -> Source {
        let (sender, receiver) = sync_channel(depth);
        let stop = Arc::new(AtomicBool::new(false));
        let (ahead, seen) = (plan.clone(), stop.clone());
        match Builder::new().name("ocelli-loader".into()).spawn(move || prepare(ahead, &seen, &sender)) {
            Ok(thread) => Source::Ahead(Ahead { batches: Some(receiver), stop, thread: Some(thread) }),
            Err(_) => Source::Direct(plan),
        }
    }
}

/// Sends every batch in order, until the end, an error or the stop flag.
fn prepare(mut plan: Plan, stop: &AtomicBool, sender: &SyncSender<Result<Batch>>) {
    while let Some(batch) = plan.next_batch(|| !stop.load(Ordering::Relaxed)) {
        let last = batch.is_err();
        // A refused send means that the receiver was dropped.
        if sender.send(batch).is_err() || last {
            return;
        }
    }
}

impl Drop for Ahead {
    /// Waits for the thread, which ends after its current sample: it checks `stop` before the next one, and a full
    /// channel without a receiver refuses instead of waiting.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // The thread panics only if dropping a dataset does; nobody is left to report it to.
            let _ = thread.join();
        }
    }
}
