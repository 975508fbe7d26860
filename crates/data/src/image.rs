//! A decoded image.

use crate::{Error, Result};
use ocelli_tensor::{ShapeText, element_count};
use std::ops::Range;

/// Largest height or width of an image: beyond cameras and scanners in common use.
pub(crate) const MAX_SIDE: u32 = 16_384;
/// Largest number of pixels of an image.
pub(crate) const MAX_PIXELS: u64 = 1 << 26;
/// Largest number of pixels that a smaller image is enlarged to. The settings may come from a file of weights, and an
/// image may be tiny.
pub(crate) const MAX_ENLARGED_PIXELS: usize = 1 << 24;

/// A decoded image `[H, W, C]` of one byte per value: grey (C = 1), or red, green and blue (C = 3).
///
/// An image keeps its memory when it is filled again, so that one serves for any number of samples.
///
/// ```
/// use ocelli_data::Image;
/// let mut image = Image::new([1, 2, 3], vec![255, 0, 0, 0, 0, 255])?;
/// assert_eq!((image.size(), image.channels()), ([1, 2], 3));
/// image.reshape([2, 2, 1])?.fill(7);
/// assert_eq!(image.pixels(), [7; 4]);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    size: [usize; 2],
    channels: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// Makes an image of `shape` = `[H, W, C]`, row by row with the channels of a pixel together.
    ///
    /// # Errors
    /// [`Error::Setting`] if C is neither 1 nor 3, a size is 0 or too large, or the pixels do not fill the image.
    pub fn new(shape: [usize; 3], pixels: Vec<u8>) -> Result<Image> {
        check_shape(shape)?;
        if element_count(&shape) != Some(pixels.len()) {
            let text = format!("{} bytes are not an image of shape {}", pixels.len(), ShapeText(&shape));
            return Err(Error::Setting(text));
        }
        let [height, width, channels] = shape;
        Ok(Image { size: [height, width], channels, pixels })
    }

    /// Makes an image of a shape that was checked and pixels that fill it.
    #[cfg(feature = "images")]
    pub(crate) fn decoded([height, width, channels]: [usize; 3], pixels: Vec<u8>) -> Image {
        assert_eq!(pixels.len(), height * width * channels, "a decoder makes a whole image");
        Image { size: [height, width], channels, pixels }
    }

    /// Returns the rows and columns.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Returns the number of channels, 1 or 3; 0 before the image is filled.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the values, row by row with the channels of a pixel together.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns the values for writing.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Gives the image another shape `[H, W, C]`, and returns its values to be written: those that it has are of no
    /// meaning. The memory is kept where it is large enough.
    ///
    /// # Errors
    /// [`Error::Setting`] if C is neither 1 nor 3, or a size is 0 or too large.
    pub fn reshape(&mut self, shape: [usize; 3]) -> Result<&mut [u8]> {
        check_shape(shape)?;
        Ok(self.reshape_checked(shape))
    }

    /// Gives the image a shape that was checked.
    pub(crate) fn reshape_checked(&mut self, [height, width, channels]: [usize; 3]) -> &mut [u8] {
        (self.size, self.channels) = ([height, width], channels);
        self.pixels.resize(height * width * channels, 0);
        &mut self.pixels
    }

    /// Crops the image in its own memory to rows and columns that it has.
    pub(crate) fn crop(&mut self, [rows, columns]: [Range<usize>; 2]) {
        let (channels, from) = (self.channels, self.row());
        let to = columns.len() * channels;
        if (rows.len(), to) == (self.size[0], from) {
            return;
        }
        for (y, row) in rows.clone().enumerate() {
            let begin = row * from + columns.start * channels;
            self.pixels.copy_within(begin..begin + to, y * to);
        }
        self.reshape_checked([rows.len(), columns.len(), channels]);
    }

    /// Copies another image into the memory of this one.
    pub(crate) fn copy_from(&mut self, other: &Image) {
        (self.size, self.channels) = (other.size, other.channels);
        self.pixels.clear();
        self.pixels.extend_from_slice(&other.pixels);
    }

    /// Returns the number of bytes of a row.
    pub(crate) fn row(&self) -> usize {
        self.size[1] * self.channels
    }

    /// Converts a grey image to red, green and blue; leaves others as they are.
    #[cfg(feature = "images")]
    pub(crate) fn into_rgb(self) -> Vec<u8> {
        match self.channels {
            1 => self.pixels.into_iter().flat_map(|grey| [grey; 3]).collect(),
            _ => self.pixels,
        }
    }

    /// Returns the image turned upright from its Exif `orientation`, 1 to 8.
    #[cfg(feature = "images")]
    pub(crate) fn turned(self, orientation: u8) -> Image {
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let [height, width] = upright_size(self.size, orientation);
        let (bottom, right) = (self.size[0] - 1, self.size[1] - 1);
        let mut turned = Vec::with_capacity(self.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (row, column) = match orientation {
                    2 => (y, right - x),
                    3 => (bottom - y, right - x),
                    4 => (bottom - y, x),
                    5 => (x, y),
                    6 => (bottom - x, y),
                    7 => (bottom - x, right - y),
                    _ => (x, right - y),
                };
                let pixel = (row * self.size[1] + column) * self.channels;
                turned.extend_from_slice(&self.pixels[pixel..pixel + self.channels]);
            }
        }
        Image { size: [height, width], pixels: turned, ..self }
    }
}

/// Returns the rows and columns of an image turned upright from its Exif `orientation`: those from 5 to 8 exchange them.
#[cfg(feature = "images")]
pub(crate) fn upright_size([height, width]: [usize; 2], orientation: u8) -> [usize; 2] {
    if (5..=8).contains(&orientation) { [width, height] } else { [height, width] }
}

/// Checks the shape `[H, W, C]` of an image.
pub(crate) fn check_shape([height, width, channels]: [usize; 3]) -> Result<()> {
    if !matches!(channels, 1 | 3) {
        return Err(Error::Setting(format!("an image has 1 or 3 channels, not {channels}")));
    }
    match size_fault([height, width]) {
        Some(fault) => Err(Error::Setting(format!("an image of {fault}"))),
        None => Ok(()),
    }
}

/// Returns the luminance of a colour as Pillow computes it: ITU-R BT.601 in fixed point.
pub(crate) fn luminance([red, green, blue]: [u8; 3]) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
}

/// Returns the reason why an image cannot have this size `[H, W]`, if there is one.
pub(crate) fn size_fault(size: [usize; 2]) -> Option<String> {
    let [height, width] = size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let pixels = u64::from(height) * u64::from(width);
    if pixels == 0 {
        return Some(format!("{height} x {width} pixels"));
    }
    let too_large = height > MAX_SIDE || width > MAX_SIDE || pixels > MAX_PIXELS;
    too_large.then(|| {
        let limits = format!("the limits are {MAX_SIDE} on a side and {MAX_PIXELS} in all");
        format!("{height} x {width} pixels: {limits}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "images")]
    #[test]
    fn every_orientation_of_exif_is_turned_upright() {
        let image = Image::new([2, 3, 1], vec![1, 2, 3, 4, 5, 6]).unwrap();
        for (orientation, size, expected) in [
            (1, [2, 3], [1, 2, 3, 4, 5, 6]),
            (2, [2, 3], [3, 2, 1, 6, 5, 4]),
            (3, [2, 3], [6, 5, 4, 3, 2, 1]),
            (4, [2, 3], [4, 5, 6, 1, 2, 3]),
            (5, [3, 2], [1, 4, 2, 5, 3, 6]),
            (6, [3, 2], [4, 1, 5, 2, 6, 3]),
            (7, [3, 2], [6, 3, 5, 2, 4, 1]),
            (8, [3, 2], [3, 6, 2, 5, 1, 4]),
            (9, [2, 3], [1, 2, 3, 4, 5, 6]),
        ] {
            let turned = image.clone().turned(orientation);
            assert_eq!((turned.size(), turned.pixels()), (size, &expected[..]), "{orientation}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let text = |shape, bytes: usize| Image::new(shape, vec![0; bytes]).unwrap_err().to_string();
        assert_eq!(text([2, 2, 2], 8), "an image has 1 or 3 channels, not 2");
        assert_eq!(text([2, 0, 1], 0), "an image of 2 x 0 pixels");
        assert_eq!(text([2, 2, 3], 11), "11 bytes are not an image of shape [2, 2, 3]");
        assert!(text([usize::MAX, 2, 3], 11).ends_with("the limits are 16384 on a side and 67108864 in all"));
    }
}
