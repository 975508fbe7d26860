//! Sources of batches.

use crate::{Error, Result};
use ocelli_data::{Epoch, GeneratedBatches, Loader};
use ocelli_tensor::Batch;

/// A source of the batches of every epoch.
///
/// The batches of an epoch are a function of its number alone, so that a run can be resumed in the middle. Slices and vectors
/// of batches are the same in every epoch.
pub trait BatchSource {
    /// Returns the number of batches in an epoch.
    fn batches(&self) -> usize;

    /// Returns the number of samples in an epoch.
    fn samples(&self) -> usize;

    /// Iterates over the batches of an epoch, beginning with the one numbered `first`, from 0.
    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_>;
}

impl BatchSource for Loader {
    fn batches(&self) -> usize {
        Loader::batches(self)
    }

    fn samples(&self) -> usize {
        Loader::samples(self)
    }

    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        checked(Loader::epoch_from(self, epoch, first))
    }
}

impl BatchSource for GeneratedBatches {
    fn batches(&self) -> usize {
        GeneratedBatches::batches(self)
    }

    fn samples(&self) -> usize {
        GeneratedBatches::samples(self)
    }

    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        checked(GeneratedBatches::epoch_from(self, epoch, first))
    }
}

/// Converts the errors of data.
fn checked(batches: Epoch) -> Box<dyn Iterator<Item = Result<Batch>>> {
    Box::new(batches.map(|batch| batch.map_err(|error| Error::Data(error.to_string()))))
}

/// Borrowed sources are sources, also of unsized types: a slice of batches goes to [`Trainer::run`](crate::Trainer::run) as
/// `Some(&slice)`.
impl<S: BatchSource + ?Sized> BatchSource for &S {
    fn batches(&self) -> usize {
        (**self).batches()
    }

    fn samples(&self) -> usize {
        (**self).samples()
    }

    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        (**self).epoch_from(epoch, first)
    }
}

impl BatchSource for [Batch] {
    fn batches(&self) -> usize {
        self.len()
    }

    fn samples(&self) -> usize {
        self.iter().map(Batch::len).sum()
    }

    fn epoch_from(&self, _epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        Box::new(self.iter().skip(first).cloned().map(Ok))
    }
}

impl BatchSource for Vec<Batch> {
    fn batches(&self) -> usize {
        self[..].batches()
    }

    fn samples(&self) -> usize {
        self[..].samples()
    }

    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        self[..].epoch_from(epoch, first)
    }
}
