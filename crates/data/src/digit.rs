//! Converts an image of a digit to the convention of MNIST.

use crate::{
    Image,
    image::luminance,
    resize::{Filter, Part, Resizer},
};
use std::ops::Range;

/// Rows and columns of an image of MNIST.
pub(crate) const SIZE: usize = 28;
/// Rows and columns of the box that the digit itself fits into.
const BOX: usize = 20;
/// Longest side to which a larger image is reduced before the digit is located: plenty for 20 pixels.
const WORKING_SIDE: usize = 512;
/// Least contrast between ink and paper, where black to white is 1. Noise and shadows have less.
const MIN_CONTRAST: f32 = 0.1;

pub(crate) const BLANK: &str = "no digit to be seen: the image has no contrast";

/// Converts an image of one digit to the convention of MNIST: light ink (255) on dark paper (0), the digit in a box of
/// 20 × 20 with its proportions kept, its centre of mass in the middle of 28 × 28. Ink may be darker or lighter than the
/// paper; the border of the image is taken for paper. `None` if there is no ink.
pub(crate) fn centred_digit(image: &Image) -> Option<[u8; SIZE * SIZE]> {
    let grey = match image.channels() {
        1 => image.pixels().to_vec(),
        _ => image.pixels().as_chunks().0.iter().map(|colour| luminance(*colour)).collect(),
    };
    let longer = image.size()[0].max(image.size()[1]);
    let working = if longer > WORKING_SIDE {
        image.size().map(|side| (side * WORKING_SIDE).div_ceil(longer))
    } else {
        image.size()
    };
    let grey = Grey::of(image.size(), grey).resized([0..image.size()[0], 0..image.size()[1]], working);
    let ink = ink(grey)?;
    Some(centre(&shrink(&ink)))
}

/// A grey image.
struct Grey(Image);

impl Grey {
    fn of([height, width]: [usize; 2], pixels: Vec<u8>) -> Grey {
        let mut image = Image::default();
        image.reshape_checked([height, width, 1]).copy_from_slice(&pixels);
        Grey(image)
    }

    fn resized(&self, part: [Range<usize>; 2], wanted: [usize; 2]) -> Grey {
        let mut out = Image::default();
        let all = wanted.map(|side| 0..side);
        Resizer::default().resize(Part::new(&self.0, part), wanted, all, Filter::Bilinear, &mut out);
        Grey(out)
    }

    /// Iterates over rows, columns and values from 0 to 1.
    fn places(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let width = self.0.size()[1];
        self.0.pixels().iter().enumerate().map(move |(at, value)| (at / width, at % width, f32::from(*value) / 255.0))
    }
}

/// Maps each pixel from paper (0) to ink (1); values below a quarter count as paper. `None` if there is no ink.
fn ink(mut grey: Grey) -> Option<Grey> {
    let paper = border_median(&grey);
    let (low, high) = grey.places().fold((f32::MAX, f32::MIN), |(low, high), (.., v)| (low.min(v), high.max(v)));
    // Pixels far from the value of the paper are ink.
    let strongest = if paper - low > high - paper { low - paper } else { high - paper };
    if strongest.abs() < MIN_CONTRAST {
        return None;
    }
    grey.0.pixels_mut().iter_mut().for_each(|value| {
        let part = (f32::from(*value) / 255.0 - paper) / strongest;
        *value = (255.0 * ((part - 0.25) / 0.75).clamp(0.0, 1.0)).round() as u8;
    });
    Some(grey)
}

/// Returns the median of the outermost pixels.
fn border_median(grey: &Grey) -> f32 {
    let [bottom, right] = grey.0.size().map(|side| side - 1);
    let mut border: Vec<f32> = grey
        .places()
        .filter(|(y, x, _)| *x == 0 || *y == 0 || *x == right || *y == bottom)
        .map(|(_, _, value)| value)
        .collect();
    let middle = border.len() / 2;
    *border.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Crops the box of the ink and resizes its longer side to 20 pixels.
fn shrink(ink: &Grey) -> Grey {
    let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
    for (y, x, value) in ink.places() {
        // The threshold is half of the darkest ink: a stroke has such pixels all along, specks and shadows rarely do.
        if value > 0.5 {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x), bottom.max(y));
        }
    }
    let (width, height) = (right - left + 1, bottom - top + 1);
    let longer = width.max(height);
    let side = |side: usize| ((side * BOX + longer / 2) / longer).max(1);
    ink.resized([top..top + height, left..left + width], [side(height), side(width)])
}

/// Moves the centre of mass of the digit to the middle, as near as its box allows, and scales its strongest ink to 255.
fn centre(digit: &Grey) -> [u8; SIZE * SIZE] {
    let (mut mass, mut strongest, mut moment) = (0.0f32, 0.0f32, [0.0f32; 2]);
    for (y, x, value) in digit.places() {
        mass += value;
        strongest = strongest.max(value);
        moment = [moment[0] + value * (y as f32 + 0.5), moment[1] + value * (x as f32 + 0.5)];
    }
    let offset = |axis: usize| {
        let wanted = (SIZE as f32 / 2.0 - moment[axis] / mass).round().max(0.0) as usize;
        wanted.min(SIZE - digit.0.size()[axis])
    };
    let [top, left] = [0, 1].map(offset);
    let mut out = [0; SIZE * SIZE];
    for (y, x, value) in digit.places() {
        out[(top + y) * SIZE + left + x] = (255.0 * value / strongest).round() as u8;
    }
    out
}
