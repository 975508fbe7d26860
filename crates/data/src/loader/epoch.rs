//! The batches of one epoch, prepared when requested or ahead on threads.

use super::ahead::Ahead;
use crate::{Error, Result};
use ocelli_tensor::Batch;
use std::{
    any::Any,
    iter::FusedIterator,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Makes the batches of an epoch, each from its number alone.
pub(super) trait Maker: Send + Sync {
    /// Makes a batch; `None` if `go_on`, which is asked now and then, returned false.
    fn make(&self, number: usize, go_on: &dyn Fn() -> bool) -> Option<Result<Batch>>;
}

/// An iterator over the batches of one epoch; made by [`Loader::epoch`](super::Loader::epoch) and
/// [`GeneratedBatches::epoch`](super::GeneratedBatches::epoch). It ends after the first error. Dropping it stops its
/// threads.
pub struct Epoch {
    maker: Arc<dyn Maker>,
    /// The numbers of the batches that are still to come.
    left: Range<usize>,
    /// `None` if each batch is made when it is requested.
    ahead: Option<Ahead>,
}

impl Epoch {
    pub(super) fn start(maker: Arc<dyn Maker>, numbers: Range<usize>, prefetch: usize, workers: usize) -> Epoch {
        let ahead = match prefetch.min(numbers.len()) {
            0 => None,
            // If the system refuses threads, the same batches are made when they are requested.
            depth => Ahead::start(&maker, numbers.clone(), depth, workers.max(1)),
        };
        Epoch { maker, left: numbers, ahead }
    }
}

/// Makes a batch; a panic becomes an error, so that it ends the epoch in the same way with and without threads.
pub(super) fn make(maker: &dyn Maker, number: usize, go_on: &dyn Fn() -> bool) -> Option<Result<Batch>> {
    catch_unwind(AssertUnwindSafe(|| maker.make(number, go_on))).unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        Some(Err(Error::Setting(format!("batch {number}: its function panicked: {message}"))))
    })
}

/// Returns the message of a panic.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)").into()
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let number = self.left.next()?;
        let batch = match &self.ahead {
            None => make(&*self.maker, number, &|| true),
            Some(ahead) => ahead.take(number),
        };
        if !matches!(batch, Some(Ok(_))) {
            self.left = 0..0;
            self.ahead = None;
        }
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len().min(1), Some(self.left.len()))
    }
}

impl FusedIterator for Epoch {}
