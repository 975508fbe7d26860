//! A decoded image, before it is converted.

use crate::Channels;

/// An image as rows of pixels with one sample each, grey, or three, red, green and blue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DecodedImage {
    height: usize,
    width: usize,
    channels: usize,
    samples: Samples,
}

/// The samples of an image as its file has them, from 0 to the largest value of their type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Samples {
    fn len(&self) -> usize {
        match self {
            Samples::Bytes(bytes) => bytes.len(),
            Samples::Words(words) => words.len(),
        }
    }
}

/// Weights of red, green and blue in the luminance (ITU-R BT.709).
const LUMINANCE: [f32; 3] = [0.2126, 0.7152, 0.0722];

impl DecodedImage {
    /// Makes an image `[H, W, C]`. Decoders only make whole ones: `samples` fill it.
    pub(super) fn new([height, width, channels]: [usize; 3], samples: Samples) -> DecodedImage {
        assert_eq!(samples.len(), height * width * channels, "a decoder makes a whole image");
        DecodedImage { height, width, channels, samples }
    }

    /// Returns the rows and columns.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Writes the requested channels of row `y` as values from 0 to 1.
    pub(super) fn write_row(&self, y: usize, channels: Channels, out: &mut [f32]) {
        let row = y * self.width * self.channels..(y + 1) * self.width * self.channels;
        match &self.samples {
            Samples::Bytes(bytes) => self.write_values(&bytes[row], f32::from(u8::MAX), channels, out),
            Samples::Words(words) => self.write_values(&words[row], f32::from(u16::MAX), channels, out),
        }
    }

    fn write_values<T: Copy + Into<f32>>(&self, row: &[T], white: f32, channels: Channels, out: &mut [f32]) {
        let values = row.iter().map(|sample| (*sample).into() / white);
        match (self.channels, channels) {
            (1, Channels::Grey) | (3, Channels::Rgb | Channels::Bgr) => {
                out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
            }
            (1, _) => out.chunks_exact_mut(3).zip(values).for_each(|(pixel, value)| pixel.fill(value)),
            (_, _) => out.iter_mut().zip(row.chunks_exact(3)).for_each(|(out, pixel)| {
                let parts = pixel.iter().zip(LUMINANCE).map(|(sample, weight)| weight * (*sample).into());
                *out = parts.sum::<f32>() / white;
            }),
        }
        if channels == Channels::Bgr {
            out.chunks_exact_mut(3).for_each(<[f32]>::reverse);
        }
    }

    /// Converts the image to bytes of red, green and blue.
    pub(super) fn into_rgb_bytes(self) -> Vec<u8> {
        let bytes = match self.samples {
            Samples::Bytes(bytes) => bytes,
            Samples::Words(words) => words.into_iter().map(|word| ((u32::from(word) + 128) / 257) as u8).collect(),
        };
        match self.channels {
            1 => bytes.into_iter().flat_map(|grey| [grey; 3]).collect(),
            _ => bytes,
        }
    }

    /// Returns the image turned upright from its Exif `orientation`, 1 to 8.
    pub(super) fn turned(self, orientation: u8) -> DecodedImage {
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let samples = match &self.samples {
            Samples::Bytes(bytes) => Samples::Bytes(self.turned_samples(bytes, orientation)),
            Samples::Words(words) => Samples::Words(self.turned_samples(words, orientation)),
        };
        let [height, width] = self.turned_size(orientation);
        DecodedImage::new([height, width, self.channels], samples)
    }

    /// Returns the size of the turned image: the orientations from 5 on exchange rows and columns.
    fn turned_size(&self, orientation: u8) -> [usize; 2] {
        if orientation < 5 { [self.height, self.width] } else { [self.width, self.height] }
    }

    fn turned_samples<T: Copy>(&self, samples: &[T], orientation: u8) -> Vec<T> {
        let [height, width] = self.turned_size(orientation);
        let (bottom, right) = (self.height - 1, self.width - 1);
        let mut turned = Vec::with_capacity(samples.len());
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
                let pixel = (row * self.width + column) * self.channels;
                turned.extend_from_slice(&samples[pixel..pixel + self.channels]);
            }
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_orientation_of_exif_is_turned_upright() {
        let image = DecodedImage::new([2, 3, 1], Samples::Bytes(vec![1, 2, 3, 4, 5, 6]));
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
            assert_eq!((turned.size(), turned.samples), (size, Samples::Bytes(expected.into())), "{orientation}");
        }
    }

    #[test]
    fn channels_are_converted_row_by_row() {
        let row = |image: &DecodedImage, channels: Channels| {
            let mut out = vec![9.0; image.width * channels.count()];
            image.write_row(0, channels, &mut out);
            out
        };
        let grey = DecodedImage::new([1, 2, 1], Samples::Words(vec![0, 65535]));
        assert_eq!(row(&grey, Channels::Rgb), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(grey.into_rgb_bytes(), [0, 0, 0, 255, 255, 255]);
        let colour = DecodedImage::new([1, 1, 3], Samples::Bytes(vec![255, 51, 0]));
        assert_eq!(row(&colour, Channels::Bgr), [0.0, 0.2, 1.0]);
        assert!((row(&colour, Channels::Grey)[0] - (0.2126 + 0.2 * 0.7152)).abs() < 1e-6);
    }
}
