//! A selection of the samples of a dataset.

use crate::{Dataset, Error, Result};
use ocelli_tensor::Key;
use std::{ops::Range, sync::Arc};

/// A selection of the samples of a dataset; made by [`Dataset::take`] and [`Dataset::split`].
#[derive(Clone, Debug)]
pub struct Subset<D> {
    inner: D,
    chosen: Chosen,
}

/// The training and the validation samples of one dataset, in this order; made by [`Dataset::split`].
pub type Split<D> = (Subset<Arc<D>>, Subset<Arc<D>>);

#[derive(Clone, Debug)]
enum Chosen {
    Range(Range<usize>),
    Indices(Vec<usize>),
}

impl<D: Dataset> Subset<D> {
    pub(crate) fn range(inner: D, range: Range<usize>) -> Result<Subset<D>> {
        if range.start > range.end || range.end > inner.len() {
            return Err(Error::Setting(format!("samples {range:?} of a dataset of {}", inner.len())));
        }
        Ok(Subset { inner, chosen: Chosen::Range(range) })
    }

    /// Returns the index that sample `index` has in the whole dataset, if there is such a sample.
    pub fn original(&self, index: usize) -> Option<usize> {
        match &self.chosen {
            Chosen::Range(range) => (index < range.len()).then(|| range.start + index),
            Chosen::Indices(indices) => indices.get(index).copied(),
        }
    }
}

impl<D: Dataset> Subset<Arc<D>> {
    pub(crate) fn split(inner: Arc<D>, validation: usize, key: Key) -> Result<Split<D>> {
        let len = inner.len();
        if validation > len {
            return Err(Error::Setting(format!("{validation} samples for validation out of {len}")));
        }
        let mut indices: Vec<usize> = (0..len).collect();
        key.with("split").stream().shuffle(&mut indices);
        let mut training = indices.split_off(validation);
        indices.sort_unstable();
        training.sort_unstable();
        let subset = |indices| Subset { inner: inner.clone(), chosen: Chosen::Indices(indices) };
        Ok((subset(training), subset(indices)))
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        match &self.chosen {
            Chosen::Range(range) => range.len(),
            Chosen::Indices(indices) => indices.len(),
        }
    }

    fn shape(&self) -> [usize; 3] {
        self.inner.shape()
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        let original = self.original(index).ok_or(Error::Index { index, len: self.len() })?;
        self.inner.write(original, epoch, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;

    fn numbered(count: u8) -> Images {
        let labels = (0..count).map(u32::from).collect();
        Images::new([1, 1, 1], (0..count).collect(), labels, (0..count).map(|class| class.to_string()).collect())
            .unwrap()
    }

    fn labels(dataset: &impl Dataset) -> Vec<u32> {
        (0..dataset.len()).map(|index| dataset.write(index, 0, &mut [0.0]).unwrap()).collect()
    }

    #[test]
    fn a_range_is_itself() {
        let some = numbered(10).take(3..6).unwrap();
        assert_eq!(labels(&some), [3, 4, 5]);
        assert_eq!(some.write(3, 0, &mut [0.0]).unwrap_err().to_string(), "sample 3 of a dataset of 3");
        assert_eq!(numbered(10).take(3..11).unwrap_err().to_string(), "samples 3..11 of a dataset of 10");
        #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
        let reversed = numbered(10).take(6..3).unwrap_err();
        assert_eq!(reversed.to_string(), "samples 6..3 of a dataset of 10");
    }

    #[test]
    fn a_split_parts_the_samples_and_depends_on_the_key() {
        let split = |key| {
            let (training, validation) = numbered(100).split(30, key).unwrap();
            (labels(&training), labels(&validation))
        };
        let (train, validation) = split(Key::new(1));
        assert_eq!((train.len(), validation.len()), (70, 30));
        assert!(train.is_sorted() && validation.is_sorted());
        let mut all = [train.clone(), validation].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(train, split(Key::new(1)).0);
        assert_ne!(train, split(Key::new(2)).0);
        let text = numbered(5).split(6, Key::new(1)).unwrap_err().to_string();
        assert_eq!(text, "6 samples for validation out of 5");
    }
}
