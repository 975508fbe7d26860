//! Batches that a function makes.

use super::{
    PREFETCH, default_workers,
    epoch::{Epoch, Maker},
};
use crate::Result;
use ocelli_tensor::Batch;
use std::sync::Arc;

type Function = dyn Fn(u64, usize) -> Result<Batch> + Send + Sync;

/// The batches that a function of the epoch and their number makes, some of them ahead on threads, as a
/// [`Loader`](super::Loader) does it: for samples that are no labelled images, such as pairs, triplets or signals.
///
/// ```
/// use ocelli_data::GeneratedBatches;
/// use ocelli_tensor::{Batch, Key, Tensor};
/// let noise = GeneratedBatches::new(3, 8, |epoch, number| {
///     let x = Tensor::uniform([8, 2], Key::new(7).at(epoch).at(number as u64));
///     Ok(Batch::new().with("input", x))
/// });
/// let batches: Vec<_> = noise.epoch(0).collect::<Result<_, _>>()?;
/// assert_eq!((batches.len(), noise.samples()), (3, 24));
/// assert_eq!(noise.epoch_from(0, 2).next().unwrap()?, batches[2]);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone)]
pub struct GeneratedBatches {
    function: Arc<Function>,
    batches: usize,
    batch_size: usize,
    prefetch: usize,
    workers: usize,
}

impl GeneratedBatches {
    /// Makes a source of `batches` batches in each epoch, of `batch_size` samples each.
    pub fn new(
        batches: usize,
        batch_size: usize,
        function: impl Fn(u64, usize) -> Result<Batch> + Send + Sync + 'static,
    ) -> GeneratedBatches {
        let (prefetch, workers) = (PREFETCH, default_workers());
        GeneratedBatches { function: Arc::new(function), batches, batch_size, prefetch, workers }
    }

    /// Sets the number of finished batches that may wait; see [`Loader::prefetch`](super::Loader::prefetch).
    pub fn prefetch(self, batches: usize) -> GeneratedBatches {
        GeneratedBatches { prefetch: batches, ..self }
    }

    /// Sets the number of threads; see [`Loader::workers`](super::Loader::workers).
    pub fn workers(self, workers: usize) -> GeneratedBatches {
        GeneratedBatches { workers, ..self }
    }

    /// Returns the number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Returns the number of samples in an epoch.
    pub fn samples(&self) -> usize {
        self.batches.saturating_mul(self.batch_size)
    }

    /// Returns an iterator over the batches of one epoch.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// Returns an iterator over the batches of one epoch from number `first_batch` on.
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> Epoch {
        let maker = GeneratedEpoch { function: self.function.clone(), epoch };
        Epoch::start(Arc::new(maker), first_batch..self.batches, self.prefetch, self.workers)
    }
}

impl std::fmt::Debug for GeneratedBatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeneratedBatches")
            .field("batches", &self.batches)
            .field("batch_size", &self.batch_size)
            .field("prefetch", &self.prefetch)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

struct GeneratedEpoch {
    function: Arc<Function>,
    epoch: u64,
}

impl Maker for GeneratedEpoch {
    fn make(&self, number: usize, go_on: &dyn Fn() -> bool) -> Option<Result<Batch>> {
        go_on().then(|| (self.function)(self.epoch, number))
    }
}
