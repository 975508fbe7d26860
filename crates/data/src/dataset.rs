//! The interface between a dataset and a loader.

use crate::{Augmentation, Augmented, Chained, Error, Padded, Rescaled, Result, Split, Statistics, Subset};
use ocelli_tensor::{Key, element_count};
use std::{ops::Range, sync::Arc};

/// A known number of labelled images of one size.
///
/// Its methods that take `self` prepare the samples, and chain as those of an iterator do; the order matters.
///
/// ```
/// use ocelli_data::{Dataset, synthetic};
/// let digits = synthetic::digits(100, 1).pad([32, 32], 0.0)?.scale(-0.1, 1.175)?;
/// let mut sample = vec![0.0; 32 * 32];
/// let label = digits.write(3, 0, &mut sample)?;
/// assert!((label as usize) < digits.classes());
/// assert_eq!(sample[0], -0.1);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// Returns the number of samples.
    fn len(&self) -> usize;

    /// Returns the shape `[H, W, C]` of every image.
    fn shape(&self) -> [usize; 3];

    /// Returns the names of the classes in the order of the labels.
    fn class_names(&self) -> &[String];

    /// Writes the image of sample `index` to `out`, row by row with the channels of a pixel together, and returns its
    /// label, which is below [`Dataset::classes`].
    ///
    /// The result depends on `index` and `epoch` alone; only augmentation uses the epoch.
    ///
    /// # Errors
    /// [`Error::Index`] and [`Error::Room`], or the reason why the sample cannot be read.
    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32>;

    /// Returns true if there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of classes.
    fn classes(&self) -> usize {
        self.class_names().len()
    }

    /// Returns the number of values in an image; `usize::MAX` if no memory could hold them.
    fn sample_len(&self) -> usize {
        element_count(&self.shape()).unwrap_or(usize::MAX)
    }

    /// Places each image in the middle of a larger one of `size` = `[H, W]`, surrounded by `background`: LeNet-5 reads
    /// digits of 28 × 28 pixels on 32 × 32. An odd remainder goes to the bottom and to the right.
    ///
    /// # Errors
    /// [`Error::Setting`] if `size` is smaller than the images, or too large to be addressed.
    fn pad(self, size: [usize; 2], background: f32) -> Result<Padded<Self>>
    where
        Self: Sized,
    {
        Padded::new(self, size, background)
    }

    /// Maps the pixels so that 0 becomes `low` and 1 becomes `high`: `y = low + (high - low)·x`.
    ///
    /// LeNet-5 (LeCun et al. 1998) expects the background at -0.1 and the ink at 1.175, which makes the mean about 0
    /// and the variance about 1.
    ///
    /// # Errors
    /// [`Error::Setting`] if a bound is not finite.
    fn scale(self, low: f32, high: f32) -> Result<Rescaled<Self>>
    where
        Self: Sized,
    {
        Rescaled::to_range(self, low, high)
    }

    /// Standardises the pixels by channel: `y = (x - mean) / deviation`. [`Statistics::measure`] measures both; use the
    /// statistics of the training samples for every other part.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is not one mean and one positive, finite deviation for each channel.
    fn standardise(self, statistics: &Statistics) -> Result<Rescaled<Self>>
    where
        Self: Sized,
    {
        Rescaled::standardised(self, statistics)
    }

    /// Changes the images at random, for training. The draw for a sample is a function of `key`, the epoch and the
    /// index of the sample, so that it differs between epochs and is repeated whenever an epoch is read again. Give
    /// each augmentation of a chain its own key.
    ///
    /// # Errors
    /// [`Error::Setting`] if the augmentation does not suit the images.
    ///
    /// ```
    /// use ocelli_data::{Dataset, RandomCrop, RandomMirror, synthetic};
    /// use ocelli_tensor::{Key, element_count};
    /// let key = Key::new(42);
    /// let digits = synthetic::digits(100, 1)
    ///     .augment(RandomCrop { margin: 4, background: 0.0 }, key.with("crop"))?
    ///     .augment(RandomMirror, key.with("mirror"))?;
    /// assert_eq!(digits.shape(), [28, 28, 1]);
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    fn augment<A: Augmentation>(self, augmentation: A, key: Key) -> Result<Augmented<Self, A>>
    where
        Self: Sized,
    {
        Augmented::new(self, augmentation, key)
    }

    /// Appends the samples of another dataset.
    ///
    /// # Errors
    /// [`Error::Setting`] if the shapes of the images or the classes differ.
    fn chain<D: Dataset>(self, other: D) -> Result<Chained<Self, D>>
    where
        Self: Sized,
    {
        Chained::new(self, other)
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
    /// use ocelli_tensor::{Key, element_count};
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
}

/// Makes the two checks that every [`Dataset::write`] starts with.
pub(crate) fn check(dataset: &(impl Dataset + ?Sized), index: usize, out: &[f32]) -> Result<()> {
    if index >= dataset.len() {
        return Err(Error::Index { index, len: dataset.len() });
    }
    if out.len() != dataset.sample_len() {
        return Err(Error::Room { expected: dataset.sample_len(), got: out.len() });
    }
    Ok(())
}

macro_rules! dataset_behind {
    ($pointer:ty) => {
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn shape(&self) -> [usize; 3] {
                (**self).shape()
            }
            fn class_names(&self) -> &[String] {
                (**self).class_names()
            }
            fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
                (**self).write(index, epoch, out)
            }
        }
    };
}

dataset_behind!(&D);
dataset_behind!(Box<D>);
dataset_behind!(Arc<D>);
