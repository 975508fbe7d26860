//! Converts any image of a digit to the convention of MNIST.

use super::{checked, decoded::DecodedImage, resize::Values};
use crate::{Channels, Error, Result};
use std::path::Path;

/// Rows and columns of an image of MNIST.
const SIZE: usize = 28;
/// Rows and columns of the box that the digit itself fits into.
const BOX: usize = 20;
/// Longest side to which a larger image is reduced before the digit is located: plenty for 20 pixels.
const WORKING_SIDE: usize = 512;
/// Least contrast between ink and paper, where black to white is 1. Noise and shadows have less.
const MIN_CONTRAST: f32 = 0.1;

/// Reads an image of one digit and converts it to the convention of MNIST: light ink (255) on dark paper (0), the digit
/// in a box of 20 × 20 with its proportions kept, its centre of mass in the middle of 28 × 28.
///
/// Ink may be darker or lighter than the paper; the border of the image is taken for paper.
///
/// # Errors
/// The errors of [`load_grey`](super::load_grey); [`Error::Format`] if there is no visible ink.
pub fn digit(path: impl AsRef<Path>) -> Result<[u8; SIZE * SIZE]> {
    let path = path.as_ref();
    from_image(&super::load(path)?, path)
}

/// Converts the image of the file at `path`, which errors name.
pub(super) fn from_image(image: &DecodedImage, path: &Path) -> Result<[u8; SIZE * SIZE]> {
    let write_row = |y: usize, out: &mut [f32]| image.write_row(y, Channels::Grey, out);
    arrange(image.size(), write_row).ok_or_else(|| Error::format(path, BLANK))
}

const BLANK: &str = "no digit to be seen: the image has no contrast";

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
pub fn digit_of(size: [usize; 2], grey: &[f32]) -> Result<[u8; SIZE * SIZE]> {
    let [height, width] = checked(size)?;
    if height * width != grey.len() {
        return Err(Error::Setting(format!("{} grey values are not {height} x {width} pixels", grey.len())));
    }
    let write_row = |y: usize, out: &mut [f32]| {
        for (out, value) in out.iter_mut().zip(&grey[y * width..(y + 1) * width]) {
            *out = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
        }
    };
    arrange(size, write_row).ok_or_else(|| Error::Setting(BLANK.into()))
}

/// Carries out all steps of the conversion; `None` if there is no ink.
fn arrange(size: [usize; 2], write_row: impl Fn(usize, &mut [f32])) -> Option<[u8; SIZE * SIZE]> {
    let longer = size[0].max(size[1]);
    let working = if longer > WORKING_SIDE { size.map(|side| (side * WORKING_SIDE).div_ceil(longer)) } else { size };
    let ink = ink(Values::resized(size, 1, write_row, working))?;
    let small = shrink(&ink);
    Some(centre(&small))
}

/// Maps each pixel from paper (0) to ink (1); values below a quarter count as paper. `None` if there is no ink.
fn ink(mut image: Values) -> Option<Values> {
    let paper = border_median(&image);
    let (low, high) = image.data.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    // Pixels far from the value of the paper are ink.
    let strongest = if paper - low > high - paper { low - paper } else { high - paper };
    if strongest.abs() < MIN_CONTRAST {
        return None;
    }
    image.data.iter_mut().for_each(|value| {
        let part = (*value - paper) / strongest;
        *value = ((part - 0.25) / 0.75).clamp(0.0, 1.0);
    });
    Some(image)
}

/// Iterates over the values with their rows and columns.
fn pixels(image: &Values) -> impl Iterator<Item = (usize, usize, f32)> {
    let width = image.size[1];
    image.data.iter().enumerate().map(move |(at, value)| (at / width, at % width, *value))
}

/// Returns the median of the outermost pixels.
fn border_median(image: &Values) -> f32 {
    let [bottom, right] = image.size.map(|side| side - 1);
    let mut border: Vec<f32> = pixels(image)
        .filter(|(y, x, _)| *x == 0 || *y == 0 || *x == right || *y == bottom)
        .map(|(_, _, value)| value)
        .collect();
    let middle = border.len() / 2;
    *border.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Crops the box of the ink and resizes its longer side to 20 pixels.
fn shrink(ink: &Values) -> Values {
    let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
    for (y, x, value) in pixels(ink) {
        // The threshold is half of the darkest ink: a stroke has such pixels all along, specks and shadows rarely do.
        if value > 0.5 {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x), bottom.max(y));
        }
    }
    let (width, height) = (right - left + 1, bottom - top + 1);
    let longer = width.max(height);
    let side = |side: usize| ((side * BOX + longer / 2) / longer).max(1);
    let write_row = |y: usize, out: &mut [f32]| {
        let begin = (top + y) * ink.size[1] + left;
        out.copy_from_slice(&ink.data[begin..begin + width]);
    };
    Values::resized([height, width], 1, write_row, [side(height), side(width)])
}

/// Moves the centre of mass of the digit to the middle, as near as its box allows, and scales its strongest ink to 255.
fn centre(digit: &Values) -> [u8; SIZE * SIZE] {
    let (mut mass, mut strongest, mut moment) = (0.0f32, 0.0f32, [0.0f32; 2]);
    for (y, x, value) in pixels(digit) {
        mass += value;
        strongest = strongest.max(value);
        moment = [moment[0] + value * (y as f32 + 0.5), moment[1] + value * (x as f32 + 0.5)];
    }
    let offset = |axis: usize| {
        let wanted = (SIZE as f32 / 2.0 - moment[axis] / mass).round().max(0.0) as usize;
        wanted.min(SIZE - digit.size[axis])
    };
    let [top, left] = [0, 1].map(offset);
    let mut out = [0; SIZE * SIZE];
    for (y, x, value) in pixels(digit) {
        out[(top + y) * SIZE + left + x] = (255.0 * value / strongest).round() as u8;
    }
    out
}
