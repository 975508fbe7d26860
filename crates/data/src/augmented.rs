//! Random changes of images, different in every epoch.

use crate::{Dataset, Error, Result};
use ocelli_tensor::{Key, Stream};

/// A random change of an image that keeps its label, for training; applied by [`Dataset::augment`].
///
/// ```
/// use ocelli_data::{Augmentation, Dataset, synthetic};
/// use ocelli_tensor::{Key, Stream};
///
/// /// Another brightness.
/// struct Brightness(f32);
///
/// impl Augmentation for Brightness {
///     fn apply(&self, picture: &mut [f32], _shape: [usize; 3], random: &mut Stream) {
///         let factor = 1.0 + random.between(-self.0, self.0);
///         picture.iter_mut().for_each(|value| *value *= factor);
///     }
/// }
///
/// let digits = synthetic::digits(10, 1).augment(Brightness(0.2), Key::new(7).with("brightness"))?;
/// let look = |epoch| {
///     let mut sample = vec![0.0; digits.sample_len()];
///     digits.write(3, epoch, &mut sample).map(|_| sample)
/// };
/// assert_eq!(look(0)?, look(0)?);
/// assert_ne!(look(0)?, look(1)?);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub trait Augmentation: Send + Sync {
    /// Changes an image `[H, W, C]` in place. Every random draw must come from `random`.
    fn apply(&self, picture: &mut [f32], shape: [usize; 3], random: &mut Stream);

    /// Checks that images of this shape `[H, W, C]` can be changed by this augmentation.
    ///
    /// # Errors
    /// [`Error::Setting`] if not, with the reason.
    fn check(&self, shape: [usize; 3]) -> Result<()> {
        let _ = shape;
        Ok(())
    }
}

/// Pads each image by `margin` pixels of `background` on every side and crops it at random to its own size, which moves it
/// by up to `margin` pixels each way (He et al. 2015, section 4.2, with 4 pixels).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomCrop {
    /// Width of the margin in pixels.
    pub margin: usize,
    /// Value of the margin in every channel: 0 is the mean of standardised images.
    pub background: f32,
}

impl Augmentation for RandomCrop {
    fn check(&self, shape: [usize; 3]) -> Result<()> {
        let [height, width, _] = shape;
        if self.margin < height.min(width) {
            return Ok(());
        }
        let margin = self.margin;
        Err(Error::Setting(format!("a margin of {margin} pixels around pictures of {height} x {width} pixels")))
    }

    /// Moves rows in an order in which none is overwritten before it is read.
    fn apply(&self, picture: &mut [f32], [height, width, channels]: [usize; 3], random: &mut Stream) {
        let mut draw = || random.below(2 * self.margin + 1);
        // The position of the crop within the padded image: row `y` of the crop is row `y + top - margin` of the image.
        let (top, left) = (draw(), draw());
        let row = width * channels;
        let shift = left.abs_diff(self.margin).min(width) * channels;
        let mut write = |y: usize| {
            let to = y * row;
            let from = (y + top).checked_sub(self.margin).filter(|from| *from < height).map(|from| from * row);
            let Some(from) = from else { return picture[to..to + row].fill(self.background) };
            if left < self.margin {
                picture.copy_within(from..from + row - shift, to + shift);
                picture[to..to + shift].fill(self.background);
            } else {
                picture.copy_within(from + shift..from + row, to);
                picture[to + row - shift..to + row].fill(self.background);
            }
        };
        if top < self.margin { (0..height).rev().for_each(&mut write) } else { (0..height).for_each(&mut write) }
    }
}

/// Mirrors each image left to right with probability 1/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomMirror;

impl Augmentation for RandomMirror {
    fn apply(&self, picture: &mut [f32], [_, width, channels]: [usize; 3], random: &mut Stream) {
        if random.below(2) == 0 {
            return;
        }
        for row in picture.chunks_exact_mut(width * channels) {
            for x in 0..width / 2 {
                let (left, right) = row.split_at_mut((width - 1 - x) * channels);
                left[x * channels..][..channels].swap_with_slice(&mut right[..channels]);
            }
        }
    }
}

/// A dataset whose images an [`Augmentation`] changes; made by [`Dataset::augment`].
#[derive(Clone, Debug)]
pub struct Augmented<D, A> {
    inner: D,
    augmentation: A,
    key: Key,
}

impl<D: Dataset, A: Augmentation> Augmented<D, A> {
    pub(crate) fn new(inner: D, augmentation: A, key: Key) -> Result<Augmented<D, A>> {
        augmentation.check(inner.shape())?;
        Ok(Augmented { inner, augmentation, key })
    }
}

impl<D: Dataset, A: Augmentation> Dataset for Augmented<D, A> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.inner.shape()
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        let label = self.inner.write(index, epoch, out)?;
        let mut random = self.key.at(epoch).at(index as u64).stream();
        self.augmentation.apply(out, self.inner.shape(), &mut random);
        Ok(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Images, Loader};
    use std::collections::BTreeSet;

    /// Makes images whose values are all different.
    fn images(shape: [usize; 3], count: usize) -> Images {
        let len = shape.iter().product::<usize>();
        let pixels = (0..len * count).map(|i| (i % len) as u8).collect();
        Images::new(shape, pixels, vec![0; count], vec!["only".into()]).unwrap()
    }

    fn samples(dataset: &impl Dataset, epoch: u64) -> Vec<Vec<f32>> {
        let sample = |index| {
            let mut out = vec![f32::NAN; dataset.sample_len()];
            dataset.write(index, epoch, &mut out).unwrap();
            out
        };
        (0..dataset.len()).map(sample).collect()
    }

    /// Returns the crop by its definition.
    fn cropped(picture: &[f32], [height, width, channels]: [usize; 3], margin: usize, at: [usize; 2]) -> Vec<f32> {
        let value = |i: usize| {
            let (y, x, c) = (i / (width * channels), i / channels % width, i % channels);
            let (y, x) = ((y + at[0]).wrapping_sub(margin), (x + at[1]).wrapping_sub(margin));
            if y < height && x < width { picture[(y * width + x) * channels + c] } else { -1.0 }
        };
        (0..picture.len()).map(value).collect()
    }

    #[test]
    fn a_crop_is_one_of_all_that_there_are_and_all_come() {
        for (shape, margin) in [([3, 5, 2], 1usize), ([3, 5, 1], 2), ([4, 4, 3], 0), ([5, 3, 3], 2), ([2, 2, 1], 1)] {
            let whole = samples(&images(shape, 1), 0).remove(0);
            let all: Vec<Vec<f32>> = (0..(2 * margin + 1).pow(2))
                .map(|i| cropped(&whole, shape, margin, [i / (2 * margin + 1), i % (2 * margin + 1)]))
                .collect();
            let crop = RandomCrop { margin, background: -1.0 };
            let drawn = samples(&images(shape, 600).augment(crop, Key::new(1)).unwrap(), 0);
            let seen: BTreeSet<usize> =
                drawn.iter().map(|one| all.iter().position(|crop| crop == one).expect("a crop")).collect();
            assert_eq!(seen.len(), all.len(), "{shape:?} with a margin of {margin}");
        }
    }

    #[test]
    fn half_of_the_pictures_are_mirrored() {
        for shape in [[2, 5, 3], [3, 4, 1], [2, 1, 2]] {
            let whole = samples(&images(shape, 1), 0).remove(0);
            let [_, width, channels] = shape;
            let mirrored: Vec<f32> = (0..whole.len())
                .map(|i| {
                    let (row, x, c) = (i / (width * channels), i / channels % width, i % channels);
                    whole[(row * width + width - 1 - x) * channels + c]
                })
                .collect();
            let drawn = samples(&images(shape, 1000).augment(RandomMirror, Key::new(2)).unwrap(), 0);
            assert!(drawn.iter().all(|one| *one == whole || *one == mirrored));
            let count = drawn.iter().filter(|one| **one == mirrored).count();
            assert!(width == 1 || (440..560).contains(&count), "{count} of 1000");
        }
    }

    #[test]
    fn what_is_drawn_depends_on_key_epoch_and_sample_alone() {
        let crop = RandomCrop { margin: 3, background: 0.0 };
        let augmented = |seed| images([8, 8, 3], 50).augment(crop, Key::new(seed)).unwrap();
        assert_eq!(samples(&augmented(1), 4), samples(&augmented(1), 4));
        assert_ne!(samples(&augmented(1), 4), samples(&augmented(1), 5));
        assert_ne!(samples(&augmented(1), 4), samples(&augmented(2), 4));
        let batches = |prefetch, first| -> Vec<_> {
            let loader = Loader::new(augmented(1), 16).unwrap().shuffle(3).prefetch(prefetch);
            loader.epoch_from(4, first).collect::<Result<_>>().unwrap()
        };
        assert_eq!(batches(0, 0), batches(3, 0));
        assert_eq!(batches(0, 0)[2..], batches(2, 2)[..]);
    }

    #[test]
    fn a_margin_wider_than_the_picture_is_refused() {
        let crop = |margin| RandomCrop { margin, background: 0.0 };
        let text = |margin| images([8, 5, 1], 1).augment(crop(margin), Key::new(1)).unwrap_err().to_string();
        assert_eq!(text(5), "a margin of 5 pixels around pictures of 8 x 5 pixels");
        assert!(text(usize::MAX).starts_with("a margin of 18446744073709551615 pixels"));
    }
}
