//! Prepares image files for a network.

use super::{IN_MEMORY, decode_bytes, decode_file};
use crate::{Error, Image, Pipeline, Result, Scratch};
use ocelli_tensor::{Key, Tensor};
use std::path::Path;

impl Pipeline {
    /// Reads an image file as a tensor `[1, H, W, C]`, where C is the count of [`Pipeline::channels`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not an image that this [module](super)
    /// reads, is damaged or too large, does not suit a step, or shows no digit where one is expected; [`Error::Setting`] if
    /// a step draws at random, a size has a 0 or is too large, or there is not one mean and one positive deviation for each
    /// channel.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Tensor> {
        self.check_fixed()?;
        let path = path.as_ref();
        self.prepared(decode_file(path)?).map_err(|error| error.about(|| path.display().to_string()))
    }

    /// Decodes the bytes of an image file, as [`Pipeline::load`] does.
    ///
    /// # Errors
    /// The errors of [`Pipeline::load`].
    pub fn read(&self, bytes: &[u8]) -> Result<Tensor> {
        self.check_fixed()?;
        self.prepared(decode_bytes(bytes)?).map_err(|error| error.about(|| IN_MEMORY.into()))
    }

    /// Checks, before a file is opened, that images can be prepared without drawing.
    fn check_fixed(&self) -> Result<()> {
        if self.is_random() {
            let remedy = "predictions need one without such transforms";
            return Err(Error::Setting(format!("the pipeline draws at random; {remedy}")));
        }
        self.check()
    }

    fn prepared(&self, mut image: Image) -> Result<Tensor> {
        let [height, width, channels] = self.shape(Some(image.size()))?;
        let mut tensor = Tensor::try_zeros([1, height, width, channels])?;

        self.apply(&mut image, Key::new(0), &mut Scratch::default(), tensor.data_mut())?;
        Ok(tensor)
    }
}

/// Reads an image as grey values `[1, H, W, 1]` from 0 (black) to 1 (white), resized to `size` = `[H, W]`.
///
/// Resizing stretches if the proportions differ, and averages if it reduces the size.
///
/// # Errors
/// The errors of [`Pipeline::load`].
pub fn load_grey(path: impl AsRef<Path>, size: [usize; 2]) -> Result<Tensor> {
    Pipeline::stretch(size).grey().load(path)
}

/// Reads an image as red, green and blue `[1, H, W, 3]` from 0 to 1, resized to `size` = `[H, W]`.
///
/// # Errors
/// The errors of [`Pipeline::load`].
pub fn load_rgb(path: impl AsRef<Path>, size: [usize; 2]) -> Result<Tensor> {
    Pipeline::stretch(size).load(path)
}

/// Decodes the bytes of an image file as grey values `[1, H, W, 1]`, as [`load_grey`] does.
///
/// # Errors
/// The errors of [`Pipeline::load`].
///
/// ```
/// let grey = ocelli_data::image_files::read_grey(b"P5 2 1 255 \x00\xFF", [1, 2])?;
/// assert_eq!((grey.shape(), grey.data()), (&[1, 1, 2, 1][..], &[0.0, 1.0][..]));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn read_grey(bytes: &[u8], size: [usize; 2]) -> Result<Tensor> {
    Pipeline::stretch(size).grey().read(bytes)
}

/// Decodes the bytes of an image file as red, green and blue `[1, H, W, 3]`, as [`load_rgb`] does.
///
/// # Errors
/// The errors of [`Pipeline::load`].
pub fn read_rgb(bytes: &[u8], size: [usize; 2]) -> Result<Tensor> {
    Pipeline::stretch(size).read(bytes)
}
