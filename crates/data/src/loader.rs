//! Batches of a dataset, epoch after epoch.

mod epoch;
#[cfg(test)]
mod tests;

pub use epoch::Epoch;

use crate::{Dataset, Error, Result, dataset::check};
use ocelli_tensor::{Batch, Key, Tensor};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Default number of finished batches that wait: enough to even out samples of different cost.
const PREFETCH: usize = 2;

/// The order of the samples in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of the dataset.
    Sequential,
    /// A random order that is a function of the seed and the epoch.
    Shuffled {
        /// The seed.
        seed: u64,
    },
}

/// The treatment of the samples that do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastBatch {
    /// They form a smaller batch.
    Keep,
    /// They are left out of this epoch. A dataset smaller than one batch then has no batches.
    Drop,
}

/// Gathers the samples of a [`Dataset`] into batches, a few of them ahead on its own thread.
///
/// A batch is a function of the dataset, the settings, the epoch and its number; it does not depend on the thread or
/// its timing. Several epochs of one loader may be read at the same time.
///
/// ```
/// use ocelli_data::{LastBatch, Loader, synthetic};
/// let loader = Loader::new(synthetic::digits(100, 1), 32)?.shuffle(7).last_batch(LastBatch::Drop);
/// assert_eq!((loader.batches(), loader.samples()), (3, 96));
/// let whole: Vec<_> = loader.epoch(5).collect::<Result<_, _>>()?;
/// let resumed: Vec<_> = loader.epoch_from(5, 1).collect::<Result<_, _>>()?;
/// assert_eq!(whole[1..], resumed[..]);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    batch_size: usize,
    order: Order,
    last_batch: LastBatch,
    prefetch: usize,
    input_name: String,
    labels_name: String,
}

impl Loader {
    /// Makes a loader of all samples in their order; the tensors are called `input` and `labels`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the batch size is 0.
    pub fn new(dataset: impl Dataset + 'static, batch_size: usize) -> Result<Loader> {
        if batch_size == 0 {
            return Err(Error::Setting("a batch size of 0".into()));
        }
        Ok(Loader {
            dataset: Arc::new(dataset),
            batch_size,
            order: Order::Sequential,
            last_batch: LastBatch::Keep,
            prefetch: PREFETCH,
            input_name: "input".into(),
            labels_name: "labels".into(),
        })
    }

    /// Sets the order of the samples; default [`Order::Sequential`].
    pub fn order(self, order: Order) -> Loader {
        Loader { order, ..self }
    }

    /// Shuffles the samples, in another order each epoch: [`Order::Shuffled`].
    pub fn shuffle(self, seed: u64) -> Loader {
        self.order(Order::Shuffled { seed })
    }

    /// Sets the treatment of the samples that do not fill a batch; default [`LastBatch::Keep`].
    pub fn last_batch(self, last_batch: LastBatch) -> Loader {
        Loader { last_batch, ..self }
    }

    /// Sets the number of finished batches that may wait, while one more is prepared; default 2. With 0 each batch is
    /// prepared when it is requested, without a thread.
    pub fn prefetch(self, batches: usize) -> Loader {
        Loader { prefetch: batches, ..self }
    }

    /// Sets the names of the tensors: the images `[N, H, W, C]` and the labels `[N]`. With equal names only the labels
    /// would remain.
    pub fn names(self, input: impl Into<String>, labels: impl Into<String>) -> Loader {
        Loader { input_name: input.into(), labels_name: labels.into(), ..self }
    }

    /// Returns the dataset that the loader reads.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// Returns the number of samples in a full batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Returns the number of batches in an epoch.
    pub fn batches(&self) -> usize {
        match self.last_batch {
            LastBatch::Keep => self.dataset.len().div_ceil(self.batch_size),
            LastBatch::Drop => self.dataset.len() / self.batch_size,
        }
    }

    /// Returns the number of samples in an epoch.
    pub fn samples(&self) -> usize {
        match self.last_batch {
            LastBatch::Keep => self.dataset.len(),
            LastBatch::Drop => self.batches() * self.batch_size,
        }
    }

    /// Returns an iterator over the batches of one epoch.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// Returns an iterator over the batches of one epoch from number `first_batch` on, to resume an interrupted epoch.
    /// It is empty if the epoch has no more.
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> Epoch {
        Epoch::start(self, epoch, first_batch)
    }

    /// Returns the indices of the samples of an epoch in their order.
    fn indices(&self, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.dataset.len()).collect();
        if let Order::Shuffled { seed } = self.order {
            Key::new(seed).with("order").at(epoch).stream().shuffle(&mut indices);
        }
        indices
    }

    /// Makes one batch. Calls `go_on` before each sample, and returns `None` if it must stop.
    fn batch(&self, epoch: u64, indices: &[usize], go_on: impl Fn() -> bool) -> Result<Option<Batch>> {
        let [height, width, channels] = self.dataset.shape();
        let mut input = Tensor::try_zeros([indices.len(), height, width, channels])?;
        let mut labels = Vec::with_capacity(indices.len());
        let sample_len = self.dataset.sample_len().max(1);
        for (index, out) in indices.iter().zip(input.data_mut().chunks_exact_mut(sample_len)) {
            if !go_on() {
                return Ok(None);
            }
            labels.push(self.sample(*index, epoch, out)?);
        }
        Ok(Some(Batch::new().with(&self.input_name, input).with(&self.labels_name, Tensor::from(labels))))
    }

    /// Writes one sample. A label without a class is reported here, where its sample is known, and not in a loss. A
    /// panic of the dataset becomes an error, so that it ends the epoch in the same way with and without a thread.
    fn sample(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        let write = || {
            check(&self.dataset, index, out)?;
            let (label, classes) = (self.dataset.write(index, epoch, out)?, self.dataset.classes());
            // A dataset without class names does not know its number of classes.
            match classes {
                0 => Ok(label),
                classes if (label as usize) < classes => Ok(label),
                classes => Err(Error::Label { index, label, classes }),
            }
        };
        catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let message = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)").into();
            Err(Error::Panic { index, message })
        })
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("samples", &self.samples())
            .field("shape", &self.dataset.shape())
            .field("batch_size", &self.batch_size)
            .field("order", &self.order)
            .field("last_batch", &self.last_batch)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}
