//! Maps of the plane, in one bilinear resampling.

use super::rounded;
use crate::{Border, Error, Image, Mirror, Result};
use serde::{Deserialize, Serialize};
use std::mem::swap;

/// A map of the image: it is sheared, turned and scaled about its middle, then moved. Angles are in degrees, clockwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// The turn.
    pub angle: f32,
    /// The shift by pixels to the right and down.
    pub translate: [f32; 2],
    /// The factor of the size.
    pub scale: f32,
    /// The shear along x and along y.
    pub shear: [f32; 2],
}

impl Affine {
    /// Returns the map that leaves all as it is.
    pub fn identity() -> Affine {
        Affine { angle: 0.0, translate: [0.0; 2], scale: 1.0, shear: [0.0; 2] }
    }

    pub(super) fn check(&self) -> Result<()> {
        let Affine { angle, translate: [right, down], scale, shear: [x, y] } = *self;
        let sheared = |angle: f32| (-89.0..=89.0).contains(&angle);
        let finite = [angle, right, down].iter().all(|value| value.is_finite());
        match finite && sheared(x) && sheared(y) && (1e-3..=1e3).contains(&scale) {
            true => Ok(()),
            false => Err(Error::Setting(format!("an image cannot be mapped by {self:?}"))),
        }
    }

    /// Returns the inverse map, from places of the result to those of the image, both from its middle: two rows of two
    /// factors and a summand.
    fn inverse(&self) -> [[f64; 3]; 2] {
        let [angle, x, y] = [self.angle, self.shear[0], self.shear[1]].map(|degrees| f64::from(degrees).to_radians());
        let [right, down] = self.translate.map(f64::from);
        let a = (angle - y).cos() / y.cos();
        let b = -(angle - y).cos() * x.tan() / y.cos() - angle.sin();
        let c = (angle - y).sin() / y.cos();
        let d = -(angle - y).sin() * x.tan() / y.cos() + angle.cos();
        // The determinant of the turn and the shear is 1.
        [[d, -b], [-c, a]]
            .map(|[p, q]| [p, q].map(|factor| factor / f64::from(self.scale)))
            .map(|[p, q]| [p, q, -p * right - q * down])
    }
}

pub(super) fn affine(image: &mut Image, map: &Affine, border: Border, next: &mut Image) {
    let rows = map.inverse();
    let [middle_y, middle_x] = image.size().map(|side| side as f64 / 2.0);
    let from = |x: f64, y: f64| {
        let [x, y] = [x - middle_x, y - middle_y];
        let [x, y] = rows.map(|[p, q, r]| p * x + q * y + r);
        [x + middle_x, y + middle_y]
    };
    resample(image, border, next, from);
}

/// Moves the corners of an image.
pub(super) fn perspective(image: &mut Image, corners: &[[f32; 2]; 4], border: Border, next: &mut Image) {
    let [bottom, right] = image.size().map(|side| side as f64 - 1.0);
    let starts = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    // For each corner, two equations of the eight factors: where its place in the result comes from.
    let mut equations = [[0.0; 9]; 8];
    for ((pair, [x, y]), shift) in equations.as_chunks_mut::<2>().0.iter_mut().zip(starts).zip(corners) {
        let [to_x, to_y] = [x + f64::from(shift[0]), y + f64::from(shift[1])];
        pair[0] = [to_x, to_y, 1.0, 0.0, 0.0, 0.0, -x * to_x, -x * to_y, x];
        pair[1] = [0.0, 0.0, 0.0, to_x, to_y, 1.0, -y * to_x, -y * to_y, y];
    }
    // Corners on one line have no such map: the image is left as it is.
    let Some([a, b, c, d, e, f, g, h]) = solved(equations) else { return };
    let from = |x: f64, y: f64| {
        let depth = g * x + h * y + 1.0;
        [(a * x + b * y + c) / depth, (d * x + e * y + f) / depth]
    };
    resample(image, border, next, from);
}

/// Solves eight equations by elimination with the largest pivot of each column; `None` if they have no one solution.
fn solved(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|i, j| rows[*i][column].abs().total_cmp(&rows[*j][column].abs()))?;
        rows.swap(column, pivot);
        let above = rows[column];
        if above[column].abs() < 1e-9 {
            return None;
        }
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = row[column] / above[column];
            row.iter_mut().zip(above).for_each(|(value, above)| *value -= factor * above);
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

/// Makes each pixel of the result from the four around the place that `from` gives for its middle, both with the corner of
/// the image at 0.
fn resample(image: &mut Image, border: Border, next: &mut Image, from: impl Fn(f64, f64) -> [f64; 2]) {
    let (channels, [height, width], row) = (image.channels(), image.size(), image.row());
    let colour = border.colour(channels);
    let out = next.reshape_checked([height, width, channels]);
    let (pixels, stride) = (image.pixels(), row);
    for (y, line) in out.chunks_exact_mut(row).enumerate() {
        for (x, pixel) in line.chunks_exact_mut(channels).enumerate() {
            // Far outside, and where there is no number, one place is as good as another.
            let [u, v] = from(x as f64 + 0.5, y as f64 + 0.5).map(|at| (at - 0.5).clamp(-1e6, 1e6));
            let (left, top) = (u.floor(), v.floor());
            let (right_share, bottom_share) = ((u - left) as f32, (v - top) as f32);
            let (left, top) = (left as isize, top as isize);
            let columns = [left, left + 1].map(|at| border.place(at, width));
            let rows = [top, top + 1].map(|at| border.place(at, height));
            for (channel, out) in pixel.iter_mut().enumerate() {
                let value = |row: Option<usize>, column: Option<usize>| match (row, column) {
                    (Some(y), Some(x)) => f32::from(pixels[y * stride + x * channels + channel]),
                    _ => f32::from(colour[channel]),
                };
                let across = |row| (1.0 - right_share) * value(row, columns[0]) + right_share * value(row, columns[1]);
                *out = rounded((1.0 - bottom_share) * across(rows[0]) + bottom_share * across(rows[1]));
            }
        }
    }
    swap(image, next);
}

/// Mirrors an image in its own memory.
pub(super) fn mirror(image: &mut Image, direction: Mirror) {
    let (row, channels) = (image.row(), image.channels());
    match direction {
        Mirror::LeftRight => image.pixels_mut().chunks_exact_mut(row).for_each(|row| match channels {
            1 => row.reverse(),
            _ => row.as_chunks_mut::<3>().0.reverse(),
        }),
        Mirror::TopBottom => {
            let height = image.size()[0];
            let (top, bottom) = image.pixels_mut().split_at_mut(height.div_ceil(2) * row);
            let below = bottom.chunks_exact_mut(row).rev();
            top.chunks_exact_mut(row).zip(below).for_each(|(above, below)| above.swap_with_slice(below));
        }
    }
}
