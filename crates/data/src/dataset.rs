//! The interface between images with labels and a loader.

use crate::{Cached, Chained, Error, Image, Result, Split, Subset};
use ocelli_tensor::Key;
use std::{ops::Range, sync::Arc};

/// A known number of images, of any size, with what a network is to answer for each.
///
/// A dataset hands out images as they were decoded. A [`Pipeline`](crate::Pipeline) prepares them, and a
/// [`Loader`](crate::Loader) gathers them into batches. Its methods that take `self` chain as those of an iterator do.
///
/// ```
/// use ocelli_data::{Dataset, Image, synthetic};
/// let digits = synthetic::digits(100, 1).take(50..100)?;
/// let mut image = Image::default();
/// digits.read(3, &mut image)?;
/// assert_eq!(image.size(), [28, 28]);
/// assert!((digits.label(3)? as usize) < digits.classes());
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// Returns the number of samples.
    fn len(&self) -> usize;

    /// Returns the names of the classes in the order of the labels; empty if there are no classes or they have no names.
    fn class_names(&self) -> &[String];

    /// Returns the label of sample `index`, which is below [`Dataset::classes`].
    ///
    /// # Errors
    /// [`Error::Index`] if there is no such sample; [`Error::Setting`] if the samples have no labels.
    fn label(&self, index: usize) -> Result<u32>;

    /// Decodes the image of sample `index` into `image`, whose memory is reused. The result depends on `index` alone.
    ///
    /// # Errors
    /// [`Error::Index`], or the reason why the image cannot be read.
    fn read(&self, index: usize, image: &mut Image) -> Result<()>;

    /// Decodes a part of the image of sample `index` into `image`. `part` is told the rows and columns of the whole image and
    /// returns those that are wanted, of which there is at least one each. By default the whole image is decoded and cropped;
    /// a dataset of files need not decode the rest.
    ///
    /// # Errors
    /// The errors of [`Dataset::read`]; [`Error::Setting`] if the part is not within the image.
    fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> Result<()> {
        self.read(index, image)?;
        let part = chosen(image.size(), part)?;
        image.crop(part);
        Ok(())
    }

    /// Returns the rows and columns of every image; `None` if they differ or are not known before they are decoded.
    fn size(&self) -> Option<[usize; 2]> {
        None
    }

    /// Returns the kind of what a network is to answer; default [`Targets::Labels`].
    fn targets(&self) -> Targets {
        Targets::Labels
    }

    /// Writes the targets of sample `index` to `out`, one for each of [`Targets::Values`].
    ///
    /// # Errors
    /// [`Error::Index`]; [`Error::Setting`] if the samples have labels or nothing.
    fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let _ = (index, out);
        Err(Error::Setting("the samples of this dataset have no targets".into()))
    }

    /// Returns a name of sample `index` for errors and lists, such as its file.
    fn name(&self, index: usize) -> String {
        format!("sample {index}")
    }

    /// Returns true if there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of classes.
    fn classes(&self) -> usize {
        self.class_names().len()
    }

    /// Counts the samples of each class.
    ///
    /// # Errors
    /// The errors of [`Dataset::label`]; [`Error::Label`] if a label has no class.
    fn class_counts(&self) -> Result<Vec<usize>> {
        let mut counts = vec![0; self.classes()];
        for index in 0..self.len() {
            let label = self.label(index)?;
            let classes = counts.len();
            *counts.get_mut(label as usize).ok_or(Error::Label { index, label, classes })? += 1;
        }
        Ok(counts)
    }

    /// Appends the samples of another dataset.
    ///
    /// # Errors
    /// [`Error::Setting`] if the classes or the kinds of targets differ.
    fn chain<D: Dataset>(self, other: D) -> Result<Chained<Self, D>>
    where
        Self: Sized,
    {
        Chained::new(self, other)
    }

    /// Keeps the decoded images that are read first in memory, up to so many bytes, so that later epochs decode only the
    /// rest.
    fn cached(self, bytes: usize) -> Cached<Self>
    where
        Self: Sized,
    {
        Cached::new(self, bytes)
    }

    /// Keeps only the samples of `range`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the range is not within the samples.
    fn take(self, range: Range<usize>) -> Result<Subset<Self>>
    where
        Self: Sized,
    {
        Subset::range(self, range)
    }

    /// Splits the samples into those for training and `validation` others, drawn by `key`. Both parts keep the order of
    /// the samples.
    ///
    /// # Errors
    /// [`Error::Setting`] if there are fewer than `validation` samples.
    ///
    /// ```
    /// use ocelli_data::{Dataset, synthetic};
    /// use ocelli_tensor::Key;
    /// let (training, validation) = synthetic::digits(100, 1).split(20, Key::new(5))?;
    /// assert_eq!((training.len(), validation.len()), (80, 20));
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    fn split(self, validation: usize, key: Key) -> Result<Split<Self>>
    where
        Self: Sized,
    {
        Subset::split(Arc::new(self), validation, key)
    }

    /// Splits as [`Dataset::split`] does, so that both parts have the classes in the same proportions, as nearly as whole
    /// samples allow.
    ///
    /// # Errors
    /// The errors of [`Dataset::split`] and [`Dataset::class_counts`].
    ///
    /// ```
    /// use ocelli_data::{Dataset, Images};
    /// use ocelli_tensor::Key;
    /// let labels = vec![0, 0, 0, 0, 0, 0, 1, 1, 1];
    /// let images = Images::new([1, 1, 1], vec![0; 9], labels, vec!["many".into(), "few".into()])?;
    /// let (training, validation) = images.stratified_split(3, Key::new(5))?;
    /// assert_eq!((training.class_counts()?, validation.class_counts()?), (vec![4, 2], vec![2, 1]));
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    fn stratified_split(self, validation: usize, key: Key) -> Result<Split<Self>>
    where
        Self: Sized,
    {
        Subset::stratified_split(Arc::new(self), validation, key)
    }
}

/// The kind of what a network is to answer for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// A class: a batch holds labels `[N]`.
    Labels,
    /// This many real numbers, such as coordinates or the probabilities of classes (soft labels): a batch holds them as
    /// `[N, count]`.
    Values(usize),
    /// Nothing: a batch holds images only.
    Nothing,
}

/// Chooses the rows and columns of an image of a size `[H, W]` that are wanted.
pub type Choice<'a> = dyn FnMut([usize; 2]) -> [Range<usize>; 2] + 'a;

/// Returns the part of an image of this size that is chosen, if the image has it.
pub(crate) fn chosen(size: [usize; 2], choice: &mut Choice<'_>) -> Result<[Range<usize>; 2]> {
    let part = choice(size);
    if [0, 1].iter().all(|&axis| part[axis].start < part[axis].end && part[axis].end <= size[axis]) {
        return Ok(part);
    }
    let ([height, width], [rows, columns]) = (size, part);
    Err(Error::Setting(format!("the rows {rows:?} and columns {columns:?} of an image of {height} x {width} pixels")))
}

/// Makes the check that every access of a sample starts with.
pub(crate) fn check(dataset: &(impl Dataset + ?Sized), index: usize) -> Result<()> {
    match index < dataset.len() {
        true => Ok(()),
        false => Err(Error::Index { index, len: dataset.len() }),
    }
}

macro_rules! dataset_behind {
    ($pointer:ty) => {
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn class_names(&self) -> &[String] {
                (**self).class_names()
            }
            fn label(&self, index: usize) -> Result<u32> {
                (**self).label(index)
            }
            fn read(&self, index: usize, image: &mut Image) -> Result<()> {
                (**self).read(index, image)
            }
            fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> Result<()> {
                (**self).read_part(index, image, part)
            }
            fn size(&self) -> Option<[usize; 2]> {
                (**self).size()
            }
            fn targets(&self) -> Targets {
                (**self).targets()
            }
            fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
                (**self).write_targets(index, out)
            }
            fn name(&self, index: usize) -> String {
                (**self).name(index)
            }
        }
    };
}

dataset_behind!(&D);
dataset_behind!(Box<D>);
dataset_behind!(Arc<D>);
