//! Reads images of digits from files and grey values.

use crate::{
    Error, Image, Result,
    digit::{BLANK, SIZE, centred_digit},
};
use std::path::Path;

/// Reads an image of one digit and converts it to the convention of MNIST: light ink (255) on dark paper (0), the digit
/// in a box of 20 × 20 with its proportions kept, its centre of mass in the middle of 28 × 28.
///
/// Ink may be darker or lighter than the paper; the border of the image is taken for paper.
///
/// # Errors
/// The errors of [`load_grey`](super::load_grey); [`Error::Format`] if there is no visible ink.
pub fn digit(path: impl AsRef<Path>) -> Result<[u8; SIZE * SIZE]> {
    let path = path.as_ref();
    centred_digit(&super::decode_file(path)?).ok_or_else(|| Error::format(path, BLANK))
}

/// Converts grey values `[H, W]` from 0 to 1, row by row in memory, as [`digit`] converts a file.
///
/// # Errors
/// [`Error::Setting`] if the values do not fill `size`, `size` is 0 or too large, or there is no visible ink.
///
/// ```
/// let mut image = vec![1.0; 50 * 40];                    // white paper,
/// (10..40).for_each(|row| image[row * 40 + 20] = 0.0);   // and a stroke of black ink
/// let digit = ocelli_data::image_files::digit_of([50, 40], &image)?;
/// assert_eq!((digit[0], digit[14 * 28 + 14] > 200), (0, true));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn digit_of([height, width]: [usize; 2], grey: &[f32]) -> Result<[u8; SIZE * SIZE]> {
    // NaN becomes 0.
    let bytes = grey.iter().map(|value| (255.0 * value).round() as u8).collect();
    let image = Image::new([height, width, 1], bytes)?;
    centred_digit(&image).ok_or_else(|| Error::Setting(BLANK.into()))
}
