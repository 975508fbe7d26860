//! Where batches come from.

use crate::{Error, Result};
use ocelli_data::Loader;
use ocelli_tensor::Batch;

/// Batches by epoch. The batches of an epoch are a function of its number alone, so that a run can be resumed in the middle.
pub trait BatchSource {
    /// How many batches an epoch has.
    fn batches(&self) -> usize;

    /// How many samples an epoch has.
    fn samples(&self) -> usize;

    /// The batches of an epoch from one on.
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
        let batches = Loader::epoch_from(self, epoch, first);
        Box::new(batches.map(|batch| batch.map_err(|error| Error::Data(error.to_string()))))
    }
}

/// What is borrowed, of whatever size: a slice of batches goes to [`Trainer::run`](crate::Trainer::run) as `Some(&slice)`.
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

/// Batches in memory, the same in every epoch.
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
