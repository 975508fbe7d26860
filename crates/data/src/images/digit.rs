//! Anybody's picture of a digit, brought to what MNIST looks like.

use super::{checked, decode};
use crate::{Error, Result};
use image::{ImageBuffer, Luma, imageops, imageops::FilterType};
use std::path::Path;

/// Rows and columns of a picture of MNIST.
const SIZE: usize = 28;
/// The digit itself fits into this many.
const BOX: usize = 20;
/// A larger picture is brought to this size before the digit is looked for: plenty for 20 pixels.
const WORKING_SIDE: u32 = 512;
/// Ink differs at least this much from paper, of the way from black to white. Noise and shadows differ less.
const MIN_CONTRAST: f32 = 0.1;

type Grey = ImageBuffer<Luma<f32>, Vec<f32>>;

/// Reads a picture of one digit and brings it to the convention of MNIST: light ink (255) on dark paper (0), the digit in
/// a box of 20 × 20 with its proportions kept, its centre of mass in the middle of 28 × 28.
///
/// Ink may be darker or lighter than the paper; the paper is what is seen along the border.
///
/// # Errors
/// As [`load_grey`](super::load_grey); [`Error::Format`] if there is no ink to be seen.
pub fn digit(path: impl AsRef<Path>) -> Result<[u8; SIZE * SIZE]> {
    let path = path.as_ref();
    let grey = decode(path)?.to_luma32f();
    arrange(grey).ok_or_else(|| Error::format(path, BLANK))
}

const BLANK: &str = "no digit to be seen: the picture has no contrast";

/// As [`digit`], for grey values `[H, W]` from 0 to 1 that are in memory already, row by row.
///
/// # Errors
/// [`Error::Setting`] if the values do not fill `size`, `size` is 0 or absurd, or there is no ink to be seen.
///
/// ```
/// let mut picture = vec![1.0; 50 * 40];                    // white paper,
/// (10..40).for_each(|row| picture[row * 40 + 20] = 0.0);   // and a stroke of black ink
/// let digit = ocelli_data::images::digit_of([50, 40], &picture)?;
/// assert_eq!((digit[0], digit[14 * 28 + 14] > 200), (0, true));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn digit_of(size: [usize; 2], grey: &[f32]) -> Result<[u8; SIZE * SIZE]> {
    let [height, width] = checked(size)?;
    let values = grey.iter().map(|value| if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 }).collect();
    let picture = (size[0] * size[1] == grey.len()).then(|| Grey::from_raw(width, height, values)).flatten();
    let wrong = || Error::Setting(format!("{} grey values are not {height} x {width} pixels", grey.len()));
    arrange(picture.ok_or_else(wrong)?).ok_or_else(|| Error::Setting(BLANK.into()))
}

/// The whole way; `None` if there is no ink.
fn arrange(mut picture: Grey) -> Option<[u8; SIZE * SIZE]> {
    let longer = picture.width().max(picture.height());
    if longer > WORKING_SIDE {
        let side = |side: u32| (u64::from(side) * u64::from(WORKING_SIDE)).div_ceil(longer.into()) as u32;
        picture = imageops::resize(&picture, side(picture.width()), side(picture.height()), FilterType::Triangle);
    }
    let ink = ink(picture)?;
    let small = shrink(&ink);
    Some(centre(&small))
}

/// How much of the way from paper to ink each pixel is, from 0 to 1. What is less than a quarter counts as paper.
fn ink(mut picture: Grey) -> Option<Grey> {
    let paper = border_median(&picture);
    let (low, high) = picture.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    // Ink is whatever lies farther from the paper.
    let strongest = if paper - low > high - paper { low - paper } else { high - paper };
    if strongest.abs() < MIN_CONTRAST {
        return None;
    }
    picture.iter_mut().for_each(|value| {
        let part = (*value - paper) / strongest;
        *value = ((part - 0.25) / 0.75).clamp(0.0, 1.0);
    });
    Some(picture)
}

/// The median of the outermost pixels.
fn border_median(picture: &Grey) -> f32 {
    let (right, bottom) = (picture.width() - 1, picture.height() - 1);
    let mut border: Vec<f32> = (picture.enumerate_pixels())
        .filter(|(x, y, _)| *x == 0 || *y == 0 || *x == right || *y == bottom)
        .map(|(_, _, pixel)| pixel.0[0])
        .collect();
    let middle = border.len() / 2;
    *border.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// The ink's box, brought to 20 pixels on its longer side.
fn shrink(ink: &Grey) -> Grey {
    let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y, pixel) in ink.enumerate_pixels() {
        // Half of the darkest ink: a stroke has such pixels all along, specks and shadows rarely do.
        if pixel.0[0] > 0.5 {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x), bottom.max(y));
        }
    }
    let (width, height) = (right - left + 1, bottom - top + 1);
    let longer = u64::from(width.max(height));
    let side = |side: u32| ((u64::from(side) * BOX as u64 + longer / 2) / longer).max(1) as u32;
    let cropped = imageops::crop_imm(ink, left, top, width, height).to_image();
    imageops::resize(&cropped, side(width), side(height), FilterType::Triangle)
}

/// The digit with its centre of mass in the middle, as near as its box allows, and its strongest ink at 255.
fn centre(digit: &Grey) -> [u8; SIZE * SIZE] {
    let (mut mass, mut strongest, mut moment) = (0.0f32, 0.0f32, [0.0f32; 2]);
    for (x, y, pixel) in digit.enumerate_pixels() {
        let value = pixel.0[0];
        mass += value;
        strongest = strongest.max(value);
        moment = [moment[0] + value * (x as f32 + 0.5), moment[1] + value * (y as f32 + 0.5)];
    }
    let offset = |moment: f32, side: u32| {
        let wanted = (SIZE as f32 / 2.0 - moment / mass).round().max(0.0) as usize;
        wanted.min(SIZE - side as usize)
    };
    let (left, top) = (offset(moment[0], digit.width()), offset(moment[1], digit.height()));
    let mut out = [0; SIZE * SIZE];
    for (x, y, pixel) in digit.enumerate_pixels() {
        out[(top + y as usize) * SIZE + left + x as usize] = (255.0 * pixel.0[0] / strongest).round() as u8;
    }
    out
}
