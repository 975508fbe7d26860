//! Images with a margin.

use crate::{Dataset, Error, Result, dataset::check};
use ocelli_tensor::element_count;

/// A dataset whose images are surrounded by a margin; made by [`Dataset::pad`].
#[derive(Clone, Debug)]
pub struct Padded<D> {
    inner: D,
    size: [usize; 2],
    background: f32,
}

impl<D: Dataset> Padded<D> {
    pub(crate) fn new(inner: D, size: [usize; 2], background: f32) -> Result<Padded<D>> {
        let [height, width, channels] = inner.shape();
        if size[0] < height || size[1] < width {
            let text = format!("images of {height} x {width} pixels do not fit into {} x {}", size[0], size[1]);
            return Err(Error::Setting(text));
        }
        if element_count(&[size[0], size[1], channels]).is_none() {
            return Err(Error::Setting(format!("images of {} x {} pixels are too large", size[0], size[1])));
        }
        Ok(Padded { inner, size, background })
    }
}

impl<D: Dataset> Dataset for Padded<D> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn shape(&self) -> [usize; 3] {
        [self.size[0], self.size[1], self.inner.shape()[2]]
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    /// Writes the image to the front of `out` and then moves its rows apart, from the last to the first: each moves
    /// back or stays, so none is overwritten before it was moved.
    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        check(self, index, out)?;
        let [height, width, channels] = self.inner.shape();
        let (row, wide) = (width * channels, self.size[1] * channels);
        let label = self.inner.write(index, epoch, &mut out[..height * row])?;
        let top = (self.size[0] - height) / 2;
        let left = (self.size[1] - width) / 2 * channels;
        let first = top * wide + left;
        let mut end = out.len();
        for y in (0..height).rev() {
            let to = first + y * wide;
            out.copy_within(y * row..(y + 1) * row, to);
            // The space between this row and the one below it was moved already, or never held anything.
            out[to + row..end].fill(self.background);
            end = to;
        }
        out[..end].fill(self.background);
        Ok(label)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dataset, Images};

    #[test]
    fn every_margin_is_background_and_the_middle_the_image() {
        let pixels: Vec<u8> = (1..=12).map(|value| value * 20).collect();
        for channels in [1, 2] {
            let shape = [3, 4 / channels, channels];
            let images = Images::new(shape, pixels.clone(), vec![0], vec!["only".into()]).unwrap();
            for (more_h, more_w) in [(0, 0), (1, 0), (0, 1), (3, 2), (5, 5), (10, 0)] {
                let size = [shape[0] + more_h, shape[1] + more_w];
                let padded = (&images).pad(size, -1.0).unwrap();
                let mut out = vec![f32::NAN; size[0] * size[1] * channels];
                padded.write(0, 0, &mut out).unwrap();
                for (i, value) in out.iter().enumerate() {
                    let (y, x, c) = (i / (size[1] * channels), i / channels % size[1], i % channels);
                    let (y, x) = (y.wrapping_sub(more_h / 2), x.wrapping_sub(more_w / 2));
                    let inside = y < shape[0] && x < shape[1];
                    let expected =
                        if inside { f32::from(pixels[(y * shape[1] + x) * channels + c]) / 255.0 } else { -1.0 };
                    assert_eq!(*value, expected, "{size:?} at {i}");
                }
            }
        }
    }

    #[test]
    fn a_smaller_or_absurd_size_is_refused() {
        let images = Images::new([3, 4, 1], vec![0; 12], vec![0], vec!["only".into()]).unwrap();
        let text = |size| (&images).pad(size, 0.0).unwrap_err().to_string();
        assert_eq!(text([3, 3]), "images of 3 x 4 pixels do not fit into 3 x 3");
        assert_eq!(text([3, usize::MAX]), format!("images of 3 x {} pixels are too large", usize::MAX));
    }
}
