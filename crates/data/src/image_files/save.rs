//! Writes tensors as image files.

use super::png;
use crate::{Error, Image, Result, image::size_fault};
use ocelli_tensor::{ShapeText, Tensor, write_atomically};
use std::path::Path;

/// Writes a tensor `[H, W, C]` or `[1, H, W, C]` as a PNG file: grey for C = 1, red, green and blue for C = 3. A value
/// `x` becomes the byte `round(255·x)`; values below 0 are written as 0, values above 1 as 1.
///
/// The file is written atomically: an interrupted process leaves the old file or the new one.
///
/// ```
/// use ocelli_data::image_files::{load_rgb, save_png};
/// use ocelli_tensor::Tensor;
/// let path = std::env::temp_dir().join(format!("ocelli-doc-{}.png", std::process::id()));
/// let image = Tensor::full([1, 20, 30, 3], 0.4);
/// save_png(&image, &path)?;
/// assert_eq!(load_rgb(&path, [20, 30])?, image);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), ocelli_data::Error>(())
/// ```
///
/// # Errors
/// [`Error::Setting`] if the tensor has another shape, no pixels or more than an image may have, or a value that is not
/// finite; [`Error::Tensor`] if the file cannot be written.
pub fn save_png(image: &Tensor, path: impl AsRef<Path>) -> Result<()> {
    let bytes = encode_png(image)?;
    Ok(write_atomically(path, |file| file.write_all(&bytes))?)
}

/// Encodes a tensor as the bytes of a PNG file, as [`save_png`] writes them.
///
/// # Errors
/// The errors of [`save_png`], except those of the file.
pub fn encode_png(image: &Tensor) -> Result<Vec<u8>> {
    let wrong = |text: String| Error::Setting(text);
    let (&[height, width, channels @ (1 | 3)] | &[1, height, width, channels @ (1 | 3)]) = image.shape() else {
        let shape = ShapeText(image.shape());
        return Err(wrong(format!("an image of shape {shape} is neither [H, W, C] nor [1, H, W, C] with C = 1 or 3")));
    };
    if let Some(fault) = size_fault([height, width]) {
        return Err(wrong(format!("cannot save {fault}")));
    }
    if let Some(at) = image.data().iter().position(|value| !value.is_finite()) {
        let [y, x] = [at / channels / width, at / channels % width];
        return Err(wrong(format!("the value at row {y}, column {x} is {}", image.data()[at])));
    }
    let bytes: Vec<u8> = image.data().iter().map(|value| (255.0 * value.clamp(0.0, 1.0)).round() as u8).collect();
    encode_image(&Image::new([height, width, channels], bytes)?)
}

/// Encodes an image as the bytes of a PNG file, exactly.
///
/// # Errors
/// [`Error::Setting`] if the image has no pixels.
pub fn encode_image(image: &Image) -> Result<Vec<u8>> {
    let [height, width] = image.size();
    if let Some(fault) = size_fault([height, width]) {
        return Err(Error::Setting(format!("cannot save {fault}")));
    }
    let failed = |source| Error::Io { file: "an image in memory".into(), source };
    png::encode([height, width, image.channels()].map(|side| side as u32), image.pixels()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_files::{read_grey, read_rgb};

    #[test]
    fn what_is_saved_is_read_again() {
        for channels in [1, 3] {
            let image =
                Tensor::from_fn([7, 5, channels], |at| ((at[0] * 51 + at[1] * 7 + at[2] * 90) % 256) as f32 / 255.0);
            let bytes = encode_png(&image).unwrap();
            let read = if channels == 1 { read_grey(&bytes, [7, 5]) } else { read_rgb(&bytes, [7, 5]) };
            assert_eq!(read.unwrap().data(), image.data());
        }
        let outside = Tensor::from_vec([1, 1, 3, 1], vec![-0.5, 0.5, 7.0]).unwrap();
        assert_eq!(read_grey(&encode_png(&outside).unwrap(), [1, 3]).unwrap().data(), [0.0, 128.0 / 255.0, 1.0]);
    }

    #[test]
    fn what_is_no_image_is_not_saved() {
        let text = |image: &Tensor| encode_png(image).unwrap_err().to_string();
        for shape in [&[4, 4][..], &[2, 4, 4, 3], &[4, 4, 2], &[4, 4, 4], &[]] {
            assert!(text(&Tensor::zeros(shape)).ends_with("is neither [H, W, C] nor [1, H, W, C] with C = 1 or 3"));
        }
        assert_eq!(text(&Tensor::zeros([0, 4, 3])), "cannot save 0 x 4 pixels");
        let mut image = Tensor::zeros([2, 3, 3]);
        image[[1, 2, 0]] = f32::NAN;
        assert_eq!(text(&image), "the value at row 1, column 2 is NaN");
        image[[1, 2, 0]] = f32::INFINITY;
        let folder = tempfile::tempdir().unwrap();
        assert!(save_png(&image, folder.path().join("x.png")).is_err());
        assert!(!folder.path().join("x.png").exists());
        assert!(save_png(&Tensor::zeros([2, 3, 3]), folder.path()).is_err());
    }
}
