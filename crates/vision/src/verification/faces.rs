//! Images of faces in memory, and their random changes for training.

use crate::{Error, Result};
use ocelli_data::Identities;
use ocelli_tensor::{ShapeText, Stream, Tensor};

/// Images of faces in memory, all of one size, and whom they show.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceSet {
    images: Tensor,
    identities: Identities,
}

impl FaceSet {
    /// Makes a set of images `[N, H, W, C]` of values from 0 to 1, and whom they show; samples of `identities` are
    /// positions among the images.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the images are of another shape, or an identity has a sample beyond them.
    pub fn new(images: Tensor, identities: Identities) -> Result<FaceSet> {
        let [count, _, _, _] = *images.shape() else {
            let got = ShapeText(images.shape());
            return Err(Error::Invalid(format!("images of shape {got}, where [N, H, W, C] is expected")));
        };
        match identities.samples().into_iter().find(|&sample| sample >= count) {
            Some(sample) => Err(Error::Invalid(format!("sample {sample} of {count} images"))),
            None => Ok(FaceSet { images, identities }),
        }
    }

    /// Returns the identities.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Returns the same images with a part of the identities.
    ///
    /// # Errors
    /// Fails as [`FaceSet::new`] does.
    pub fn with(&self, identities: Identities) -> Result<FaceSet> {
        FaceSet::new(self.images.clone(), identities)
    }

    /// Returns the shape `[H, W, C]` of an image.
    pub fn sample(&self) -> [usize; 3] {
        let shape = self.images.shape();
        [shape[1], shape[2], shape[3]]
    }

    /// Returns the values of an image, if there is one of that index.
    pub fn image(&self, index: usize) -> Option<&[f32]> {
        let length: usize = self.sample().iter().product();
        self.images.data().get(index * length..(index + 1) * length)
    }

    /// Returns the images of all identities, `[M, H, W, C]`, and the position of the identity of each.
    ///
    /// # Errors
    /// [`Error::Tensor`] if there is no room for them.
    pub fn labelled(&self) -> Result<(Tensor, Vec<u32>)> {
        let mut labels = Vec::new();
        for (position, identity) in self.identities.iter().enumerate() {
            labels.resize(labels.len() + identity.samples.len(), position as u32);
        }
        Ok((self.gathered(&self.identities.samples())?, labels))
    }

    /// Copies images to `[M, H, W, C]`, in the order of their indices; one that does not exist is black.
    pub(super) fn gathered(&self, indices: &[usize]) -> Result<Tensor> {
        let [height, width, channels] = self.sample();
        let mut images = Tensor::try_zeros([indices.len(), height, width, channels])?;
        let length = (height * width * channels).max(1);
        for (out, &index) in images.data_mut().chunks_exact_mut(length).zip(indices) {
            if let Some(image) = self.image(index) {
                out.copy_from_slice(image);
            }
        }
        Ok(images)
    }
}

/// Random changes of images of faces, for training: of few images, many.
///
/// ```
/// use ocelli_tensor::Key;
/// use ocelli_vision::FaceAugmentation;
/// let mut image = vec![0.5; 28 * 24];
/// FaceAugmentation::default().apply(&mut image, [28, 24, 1], &mut Key::new(7).stream());
/// assert!(image.iter().all(|value| (0.0..=1.0).contains(value)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceAugmentation {
    /// Largest shift, as a share of the height, in either direction.
    pub shift: f32,
    /// Largest rotation in radians.
    pub rotation: f32,
    /// Largest change of the size, as a share, and of its proportions, by half of that.
    pub scale: f32,
    /// Largest change of the brightness.
    pub brightness: f32,
    /// Largest change of the contrast, as a share.
    pub contrast: f32,
    /// Largest slope of the light from one side to the other.
    pub light: f32,
    /// Probability with which a rectangle is painted over (Zhong et al. 2017).
    pub erasing: f32,
    /// Probability with which the image is mirrored.
    pub mirror: f32,
}

impl Default for FaceAugmentation {
    /// Makes the changes that some ten images of each of a few identities need.
    fn default() -> FaceAugmentation {
        FaceAugmentation {
            shift: 0.06,
            rotation: 0.18,
            scale: 0.12,
            brightness: 0.12,
            contrast: 0.25,
            light: 0.15,
            erasing: 0.4,
            mirror: 0.5,
        }
    }
}

impl FaceAugmentation {
    /// Changes nothing.
    pub const NONE: FaceAugmentation = FaceAugmentation {
        shift: 0.0,
        rotation: 0.0,
        scale: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        light: 0.0,
        erasing: 0.0,
        mirror: 0.0,
    };

    /// Changes an image `[H, W, C]` of values from 0 to 1 in place. Every draw comes from `random`, and there are as many
    /// whatever the settings.
    pub fn apply(&self, image: &mut [f32], [height, width, channels]: [usize; 3], random: &mut Stream) {
        let mut around = |size: f32| size * random.between(-1.0, 1.0);
        // draw where each pixel comes from
        let (rows, columns) = (height as f32, width as f32);
        let shift = [around(self.shift) * rows, around(self.shift) * rows];
        let (sine, cosine) = around(self.rotation).sin_cos();
        let (scale, stretch) = (1.0 + around(self.scale), 1.0 + around(0.5 * self.scale));
        let light = [around(self.light), around(self.light)];
        let (brightness, contrast) = (around(self.brightness), 1.0 + around(self.contrast));
        let mirrored = random.unit() < self.mirror;
        let erased = Rectangle::draw([height, width], random.unit() < self.erasing, random);
        // move the pixels, between whose places values are interpolated
        let original = image.to_vec();
        let mean = original.iter().sum::<f32>() / original.len().max(1) as f32;
        for (at, pixel) in image.chunks_exact_mut(channels.max(1)).enumerate() {
            let (row, column) = (at / width, at % width);
            let (y, x) = (row as f32 + 0.5 - rows / 2.0, column as f32 + 0.5 - columns / 2.0);
            let x_from = (cosine * x + sine * y) * scale * stretch * if mirrored { -1.0 } else { 1.0 };
            let y_from = (cosine * y - sine * x) * scale;
            let place = [y_from + shift[0] + rows / 2.0 - 0.5, x_from + shift[1] + columns / 2.0 - 0.5];
            let gain = contrast * (1.0 + light[0] * 2.0 * x / columns + light[1] * 2.0 * y / rows);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let moved = interpolated(&original, [height, width, channels], place, channel);
                *value = (mean + (moved - mean) * gain + brightness).clamp(0.0, 1.0);
                if erased.holds(row, column) {
                    *value = erased.tone;
                }
            }
        }
    }
}

/// A part of an image that is painted over.
struct Rectangle {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    tone: f32,
}

impl Rectangle {
    fn draw([height, width]: [usize; 2], painted: bool, random: &mut Stream) -> Rectangle {
        let mut side = |length: usize| {
            let size = (length as f32 * random.between(0.1, 0.4)) as usize;
            let first = random.below((length - size).max(1));
            first..first + if painted { size } else { 0 }
        };
        let (rows, columns) = (side(height), side(width));
        Rectangle { rows, columns, tone: random.unit() }
    }

    fn holds(&self, row: usize, column: usize) -> bool {
        self.rows.contains(&row) && self.columns.contains(&column)
    }
}

/// Returns the value at a place between pixels; beyond the edge it is that of the edge.
fn interpolated(image: &[f32], [height, width, channels]: [usize; 3], [y, x]: [f32; 2], channel: usize) -> f32 {
    let within = |place: f32, size: usize| place.clamp(0.0, (size - 1) as f32);
    let (y, x) = (within(y, height), within(x, width));
    let (top, left) = (y as usize, x as usize);
    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
    let (down, across) = (y - top as f32, x - left as f32);
    let at = |row: usize, column: usize| image[(row * width + column) * channels + channel];
    let between = |a: f32, b: f32, share: f32| a + share * (b - a);
    between(between(at(top, left), at(top, right), across), between(at(bottom, left), at(bottom, right), across), down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_tensor::Key;

    #[test]
    fn no_change_is_none_and_a_mirror_is_exact() {
        let image: Vec<f32> = (0..6 * 4 * 3).map(|i| i as f32 / 72.0).collect();
        let changed = |augmentation: FaceAugmentation, key| {
            let mut changed = image.clone();
            augmentation.apply(&mut changed, [6, 4, 3], &mut Key::new(key).stream());
            changed
        };
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same(&changed(FaceAugmentation::NONE, 1), &image));
        let mirrored = changed(FaceAugmentation { mirror: 1.0, ..FaceAugmentation::NONE }, 1);
        for (a, b) in image.chunks(12).zip(mirrored.chunks(12)) {
            let reversed: Vec<f32> = b.chunks(3).rev().flatten().copied().collect();
            assert!(same(a, &reversed));
        }
        assert_eq!(changed(FaceAugmentation::default(), 1), changed(FaceAugmentation::default(), 1));
        assert_ne!(changed(FaceAugmentation::default(), 1), changed(FaceAugmentation::default(), 2));
        // An image of one pixel has nothing to move.
        FaceAugmentation::default().apply(&mut [0.5], [1, 1, 1], &mut Key::new(1).stream());
    }

    #[test]
    fn sets_know_their_samples() {
        let identities = Identities::from_labels(["a", "b"], &[0, 1, 0]).unwrap();
        let set = FaceSet::new(Tensor::from_fn([3, 1, 1, 1], |i| i[0] as f32), identities).unwrap();
        let (images, labels) = set.labelled().unwrap();
        assert_eq!((images.data(), &labels[..]), (&[0.0, 2.0, 1.0][..], &[0, 0, 1][..]));
        assert_eq!((set.image(1), set.image(3)), (Some(&[1.0][..]), None));
        let beyond = FaceSet::new(Tensor::zeros([2, 1, 1, 1]), set.identities().clone()).unwrap_err().to_string();
        assert_eq!(beyond, "sample 2 of 2 images");
    }
}
