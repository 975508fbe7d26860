//! A selection of the samples of a dataset.

use crate::{Choice, Dataset, Error, Image, Result, Targets};
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

    fn place(&self, index: usize) -> Result<usize> {
        self.original(index).ok_or(Error::Index { index, len: self.len() })
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
        Ok(Subset::parts(&inner, training, indices))
    }

    pub(crate) fn stratified_split(inner: Arc<D>, validation: usize, key: Key) -> Result<Split<D>> {
        let (len, counts) = (inner.len(), inner.class_counts()?);
        if validation > len {
            return Err(Error::Setting(format!("{validation} samples for validation out of {len}")));
        }
        let mut classes: Vec<Vec<usize>> = counts.iter().map(|count| Vec::with_capacity(*count)).collect();
        for index in 0..len {
            classes[inner.label(index)? as usize].push(index);
        }
        // Each class gives its share rounded down; those with the largest rests, the first among equals, give one more.
        let share = |count: usize| (count as u128 * validation as u128 / len.max(1) as u128) as usize;
        let rest = |count: usize| count as u128 * validation as u128 % len.max(1) as u128;
        let mut shares: Vec<usize> = counts.iter().map(|count| share(*count)).collect();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|class| std::cmp::Reverse(rest(counts[*class])));
        let missing = validation - shares.iter().sum::<usize>();
        order.into_iter().take(missing).for_each(|class| shares[class] += 1);
        let (mut training, mut held) = (Vec::with_capacity(len - validation), Vec::with_capacity(validation));
        for (class, (mut indices, share)) in classes.into_iter().zip(shares).enumerate() {
            key.with("stratified split").at(class as u64).stream().shuffle(&mut indices);
            training.extend(indices.split_off(share));
            held.append(&mut indices);
        }
        training.sort_unstable();
        held.sort_unstable();
        Ok(Subset::parts(&inner, training, held))
    }

    fn parts(inner: &Arc<D>, training: Vec<usize>, validation: Vec<usize>) -> Split<D> {
        let subset = |indices| Subset { inner: inner.clone(), chosen: Chosen::Indices(indices) };
        (subset(training), subset(validation))
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn len(&self) -> usize {
        match &self.chosen {
            Chosen::Range(range) => range.len(),
            Chosen::Indices(indices) => indices.len(),
        }
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn label(&self, index: usize) -> Result<u32> {
        self.inner.label(self.place(index)?)
    }

    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        self.inner.read(self.place(index)?, image)
    }

    fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> Result<()> {
        self.inner.read_part(self.place(index)?, image, part)
    }

    fn size(&self) -> Option<[usize; 2]> {
        self.inner.size()
    }

    fn targets(&self) -> Targets {
        self.inner.targets()
    }

    fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
        self.inner.write_targets(self.place(index)?, out)
    }

    fn name(&self, index: usize) -> String {
        self.original(index).map_or_else(|| format!("sample {index}"), |original| self.inner.name(original))
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
        (0..dataset.len()).map(|index| dataset.label(index).unwrap()).collect()
    }

    #[test]
    fn a_range_is_itself() {
        let some = numbered(10).take(3..6).unwrap();
        assert_eq!(labels(&some), [3, 4, 5]);
        assert_eq!(some.read(3, &mut Image::default()).unwrap_err().to_string(), "sample 3 of a dataset of 3");
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

    #[test]
    fn a_stratified_split_keeps_the_proportions() {
        let labels: Vec<u32> = (0..100).map(|index| [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][index % 10]).collect();
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let images = Images::new([1, 1, 1], (0..100).collect(), labels, names).unwrap();
        let (training, validation) = images.clone().stratified_split(25, Key::new(1)).unwrap();
        assert_eq!(training.class_counts().unwrap(), [45, 22, 8]);
        assert_eq!(validation.class_counts().unwrap(), [15, 8, 2]);
        let drawn = |key| {
            let (_, validation) = images.clone().stratified_split(25, key).unwrap();
            (0..25).map(|index| validation.original(index).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(Key::new(1)), drawn(Key::new(1)));
        assert_ne!(drawn(Key::new(1)), drawn(Key::new(2)));
        let (all, none) = images.stratified_split(0, Key::new(1)).unwrap();
        assert_eq!((all.len(), none.len()), (100, 0));
    }
}
