//! Pictures in memory, as bytes.

use crate::{Dataset, Error, Result, dataset::check};
use ocelli_tensor::{ShapeText, Size};

/// Pictures `[N, H, W, C]` of one byte a number, with their labels: a quarter of what they would take as `f32`.
///
/// As a [`Dataset`] it writes the byte 0 as 0 and 255 as 1.
///
/// ```
/// use ocelli_data::{Dataset, Images};
/// let names = vec!["dark".to_string(), "light".to_string()];
/// let images = Images::new([1, 2, 1], vec![0, 51, 255, 204], vec![0, 1], names)?;
/// let mut out = [0.0; 2];
/// assert_eq!(images.write(1, 0, &mut out)?, 1);
/// assert_eq!(out, [1.0, 0.8]);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    shape: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<u32>,
    class_names: Vec<String>,
}

impl Images {
    /// Pictures of `shape` = `[H, W, C]` with one label each.
    ///
    /// # Errors
    /// [`Error::Setting`] if a size is 0 or the pixels do not fill a picture for each label; [`Error::Label`] if a label has no
    /// class.
    pub fn new(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<u32>, class_names: Vec<String>) -> Result<Images> {
        let wrong = |text: String| Err(Error::Setting(text));
        if shape.contains(&0) {
            return wrong(format!("pictures of shape {} have no pixels", ShapeText(&shape)));
        }
        if (Size::product_of(&shape) * labels.len()).get() != Some(pixels.len()) {
            let (count, bytes) = (labels.len(), pixels.len());
            return wrong(format!("{bytes} bytes are not {count} pictures of shape {}", ShapeText(&shape)));
        }
        if let Some((index, label)) = first_without_class(&labels, class_names.len()) {
            return Err(Error::Label { index, label, classes: class_names.len() });
        }
        Ok(Images { shape, pixels, labels, class_names })
    }

    /// All pixels, `[N, H, W, C]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The pixels `[H, W, C]` of one picture, if there is one of that index.
    pub fn picture(&self, index: usize) -> Option<&[u8]> {
        let sample = self.sample_len();
        (index < self.len()).then(|| &self.pixels[index * sample..(index + 1) * sample])
    }
}

/// The first label that is not below `classes`, and where it stands.
pub(crate) fn first_without_class(labels: &[u32], classes: usize) -> Option<(usize, u32)> {
    labels.iter().copied().enumerate().find(|(_, label)| *label as usize >= classes)
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn write(&self, index: usize, _epoch: u64, out: &mut [f32]) -> Result<u32> {
        check(self, index, out)?;
        let pixels = &self.pixels[index * out.len()..(index + 1) * out.len()];
        // A division, not a product with 1/255: 255 must give exactly 1.
        out.iter_mut().zip(pixels).for_each(|(value, pixel)| *value = f32::from(*pixel) / 255.0);
        Ok(self.labels[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| class.to_string()).collect()
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let text = |shape, pixels: usize, labels, classes| {
            Images::new(shape, vec![0; pixels], labels, names(classes)).unwrap_err().to_string()
        };
        assert_eq!(text([2, 2, 1], 7, vec![0, 0], 1), "7 bytes are not 2 pictures of shape [2, 2, 1]");
        assert_eq!(text([2, 0, 1], 0, vec![0], 1), "pictures of shape [2, 0, 1] have no pixels");
        assert_eq!(text([2, 1, 1], 4, vec![0, 3], 3), "sample 1 has the label 3, but there are 3 classes");
        assert!(text([usize::MAX, 2, 1], 4, vec![0], 3).starts_with("4 bytes are not 1 pictures"));
    }

    #[test]
    fn a_sample_beyond_the_end_and_wrong_room_are_errors() {
        let images = Images::new([1, 2, 1], vec![1, 2], vec![0], names(1)).unwrap();
        assert_eq!(images.write(1, 0, &mut [0.0; 2]).unwrap_err().to_string(), "sample 1 of a dataset of 1");
        let room = images.write(0, 0, &mut [0.0; 3]).unwrap_err().to_string();
        assert_eq!(room, "room for 3 numbers, but a sample has 2");
        assert_eq!((images.picture(0), images.picture(1)), (Some(&[1u8, 2][..]), None));
    }
}
