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

/// How many finished batches wait at the most, unless said otherwise: enough to even out samples of different cost.
const PREFETCH: usize = 2;

/// In which order the samples come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they lie in the dataset.
    Sequential,
    /// In a random order that is a function of the seed and the epoch.
    Shuffled {
        /// The seed.
        seed: u64,
    },
}

/// What becomes of the samples that do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastBatch {
    /// They make a smaller batch.
    Keep,
    /// They are left out of this epoch. A dataset smaller than one batch then has none.
    Drop,
}

/// Gathers the samples of a [`Dataset`] into batches, a few of them ahead on a thread of its own.
///
/// A batch is a function of the dataset, the settings, the epoch and its number; neither the thread nor its timing can
/// be seen in it. A loader may be asked for several epochs at the same time.
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
    /// A loader of all samples in their order; the tensors are called `input` and `labels`.
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

    /// In which order the samples come; [`Order::Sequential`] unless said otherwise.
    pub fn order(self, order: Order) -> Loader {
        Loader { order, ..self }
    }

    /// The samples in another random order each epoch: [`Order::Shuffled`].
    pub fn shuffle(self, seed: u64) -> Loader {
        self.order(Order::Shuffled { seed })
    }

    /// What becomes of the samples that do not fill a batch; [`LastBatch::Keep`] unless said otherwise.
    pub fn last_batch(self, last_batch: LastBatch) -> Loader {
        Loader { last_batch, ..self }
    }

    /// How many finished batches may wait; one more is in the making. 2 unless said otherwise; 0 prepares each batch when
    /// it is asked for, without a thread.
    pub fn prefetch(self, batches: usize) -> Loader {
        Loader { prefetch: batches, ..self }
    }

    /// The names of the tensors: the pictures `[N, H, W, C]` and the labels `[N]`. With equal names only the labels
    /// would remain.
    pub fn names(self, input: impl Into<String>, labels: impl Into<String>) -> Loader {
        Loader { input_name: input.into(), labels_name: labels.into(), ..self }
    }

    /// What it reads.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// How many samples a full batch has.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// How many batches an epoch has.
    pub fn batches(&self) -> usize {
        match self.last_batch {
            LastBatch::Keep => self.dataset.len().div_ceil(self.batch_size),
            LastBatch::Drop => self.dataset.len() / self.batch_size,
        }
    }

    /// How many samples an epoch has.
    pub fn samples(&self) -> usize {
        match self.last_batch {
            LastBatch::Keep => self.dataset.len(),
            LastBatch::Drop => self.batches() * self.batch_size,
        }
    }

    /// The batches of one epoch.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of one epoch from number `first_batch` on: what is left of an epoch that was interrupted. None if the
    /// epoch has no more.
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> Epoch {
        Epoch::start(self, epoch, first_batch)
    }

    /// The samples of an epoch in their order.
    fn indices(&self, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.dataset.len()).collect();
        if let Order::Shuffled { seed } = self.order {
            Key::new(seed).with("order").at(epoch).stream().shuffle(&mut indices);
        }
        indices
    }

    /// One batch. Asks `go_on` before each sample, and is `None` if it must stop.
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

    /// One sample. A label without a class is named here, where its sample is known, and not where a loss meets it. A panic
    /// of the dataset becomes an error, so that it ends the epoch in the same way with and without a thread.
    fn sample(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        let write = || {
            check(&self.dataset, index, out)?;
            let (label, classes) = (self.dataset.write(index, epoch, out)?, self.dataset.classes());
            // A dataset that names no classes does not say how many there are.
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
