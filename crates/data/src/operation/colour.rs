//! Changes of the colours of single pixels.

use super::{blend, rounded};
use crate::{Dataset, Error, Image, Result};
use ocelli_tensor::{Key, Stream};
use serde::{Deserialize, Serialize};

/// Replaces each value by that of a table.
pub(super) fn table(image: &mut Image, of: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|x| of(x as u8));
    image.pixels_mut().iter_mut().for_each(|value| *value = table[usize::from(*value)]);
}

/// Returns the pixels of a colour image; none of a grey one.
fn colours(image: &mut Image) -> &mut [[u8; 3]] {
    match image.channels() {
        3 => image.pixels_mut().as_chunks_mut().0,
        _ => &mut [],
    }
}

/// Returns the luminance with the weights of torchvision, cut to a whole level.
fn luminance([red, green, blue]: [u8; 3]) -> f32 {
    (0.2989 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)).floor()
}

/// Returns the byte of a value from 0 to 1, which torchvision divides into 256 equal parts.
pub(super) fn from_unit(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * (256.0 - 1e-3)) as u8
}

pub(super) fn contrast(image: &mut Image, factor: f32) {
    let sum: f64 = match image.channels() {
        3 => colours(image).iter().map(|colour| f64::from(luminance(*colour))).sum(),
        _ => image.pixels().iter().map(|value| f64::from(*value)).sum(),
    };
    let [height, width] = image.size();
    let mean = (sum / (height * width) as f64) as f32;
    table(image, |x| blend(x, mean, factor));
}

pub(super) fn saturation(image: &mut Image, factor: f32) {
    for colour in colours(image) {
        let grey = luminance(*colour);
        *colour = colour.map(|x| blend(x, grey, factor));
    }
}

pub(super) fn grey(image: &mut Image) {
    colours(image).iter_mut().for_each(|colour| *colour = [luminance(*colour) as u8; 3]);
}

/// Turns the hue in the cone of hue, saturation and value.
pub(super) fn hue(image: &mut Image, turn: f32) {
    for colour in colours(image) {
        let [red, green, blue] = colour.map(|x| f32::from(x) / 255.0);
        let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
        let range = most - least;
        if range == 0.0 {
            continue;
        }
        let sixth = match most {
            _ if most == red => (green - blue) / range,
            _ if most == green => 2.0 + (blue - red) / range,
            _ => 4.0 + (red - green) / range,
        };
        let hue = 6.0 * (sixth / 6.0 + turn).rem_euclid(1.0);
        let (saturation, part) = (range / most, hue - hue.floor());
        let p = most * (1.0 - saturation);
        let q = most * (1.0 - saturation * part);
        let t = most * (1.0 - saturation * (1.0 - part));
        let turned = match hue as u8 {
            1 => [q, most, p],
            2 => [p, most, t],
            3 => [p, q, most],
            4 => [t, p, most],
            5 => [most, p, q],
            _ => [most, t, p],
        };
        *colour = turned.map(from_unit);
    }
}

/// Applies a table for each channel, made from the number of pixels of each level.
fn by_channel(image: &mut Image, table: impl Fn(&[usize; 256]) -> [u8; 256]) {
    let channels = image.channels();
    for channel in 0..channels {
        let mut counts = [0; 256];
        image.pixels().iter().skip(channel).step_by(channels).for_each(|value| counts[usize::from(*value)] += 1);
        let table = table(&counts);
        let values = image.pixels_mut().iter_mut().skip(channel).step_by(channels);
        values.for_each(|value| *value = table[usize::from(*value)]);
    }
}

pub(super) fn equalise(image: &mut Image) {
    by_channel(image, |counts| {
        let last = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let step = (counts.iter().sum::<usize>() - counts[last]) / 255;
        let mut below = step / 2;
        std::array::from_fn(|level| match step {
            0 => level as u8,
            _ => {
                let value = (below / step).min(255) as u8;
                below += counts[level];
                value
            }
        })
    });
}

pub(super) fn auto_contrast(image: &mut Image) {
    by_channel(image, |counts| {
        let least = counts.iter().position(|count| *count > 0).unwrap_or(0);
        let most = counts.iter().rposition(|count| *count > 0).unwrap_or(255);
        let scale = (most - least) as f32 / 255.0;
        std::array::from_fn(|level| match most - least {
            0 => level as u8,
            _ => ((level as f32 - least as f32) / scale).clamp(0.0, 255.0) as u8,
        })
    });
}

pub(super) fn noise(image: &mut Image, deviation: f32, seed: u64) {
    let mut random = Key::new(seed).with("noise").stream();
    image.pixels_mut().iter_mut().for_each(|x| *x = rounded(f32::from(*x) + deviation * random.normal()));
}

/// Adds numbers to the channels; their mean to grey.
pub(super) fn shift(image: &mut Image, by: [f32; 3]) {
    match image.channels() {
        3 => {
            for colour in colours(image) {
                colour.iter_mut().zip(by).for_each(|(x, by)| *x = rounded(f32::from(*x) + by));
            }
        }
        _ => table(image, |x| rounded(f32::from(x) + by.iter().sum::<f32>() / 3.0)),
    }
}

/// The directions in which the colours of a dataset vary: eigenvalues and eigenvectors of the covariance of red, green and
/// blue, as values from 0 to 1 (Krizhevsky, Sutskever and Hinton 2012, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalColours {
    /// The standard deviation along each direction, which is the root of the eigenvalue, largest first.
    pub deviations: [f32; 3],
    /// The directions, each a colour of length 1.
    pub directions: [[f32; 3]; 3],
}

impl PrincipalColours {
    /// Returns those of ImageNet, in the numbers that are in use.
    pub fn imagenet() -> PrincipalColours {
        PrincipalColours {
            deviations: [0.2175, 0.0188, 0.0045],
            directions: [[-0.5675, -0.5808, -0.5836], [0.7192, -0.0045, -0.6948], [0.4009, -0.8140, 0.4203]],
        }
    }

    /// Measures those of a dataset of colour images.
    ///
    /// # Errors
    /// The errors of [`Dataset::read`]; [`Error::Setting`] if there are no samples, or a grey image.
    pub fn measure(dataset: &(impl Dataset + ?Sized)) -> Result<PrincipalColours> {
        let (mut image, mut count, mut sums, mut products) = (Image::default(), 0u64, [0.0f64; 3], [[0.0f64; 3]; 3]);
        for index in 0..dataset.len() {
            dataset.read(index, &mut image)?;
            if image.channels() != 3 {
                return Err(Error::Setting(format!("{} is grey and has no principal colours", dataset.name(index))));
            }
            for colour in image.pixels().as_chunks::<3>().0 {
                let colour = colour.map(|value| f64::from(value) / 255.0);
                for (i, value) in colour.iter().enumerate() {
                    sums[i] += value;
                    colour.iter().zip(&mut products[i]).for_each(|(other, product)| *product += value * other);
                }
                count += 1;
            }
        }
        if count == 0 {
            return Err(Error::Setting("a dataset without samples has no principal colours".into()));
        }
        let count = count as f64;
        let covariance = |i: usize, j: usize| products[i][j] / count - sums[i] / count * (sums[j] / count);
        Ok(PrincipalColours::of_covariance(std::array::from_fn(|i| std::array::from_fn(|j| covariance(i, j)))))
    }

    /// Finds the eigenvectors by rotations that make one element after the other zero (Jacobi 1846).
    fn of_covariance(mut a: [[f64; 3]; 3]) -> PrincipalColours {
        let mut v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        // The convergence is quadratic: far fewer sweeps would do.
        for (p, q) in [(0, 1), (0, 2), (1, 2)].repeat(12) {
            let (sine, cosine) = (0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p])).sin_cos();
            let turn = |row: &mut [f64; 3]| {
                (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q])
            };
            a.iter_mut().for_each(turn);
            v.iter_mut().for_each(turn);
            let (above, below) = (a[p], a[q]);
            for k in 0..3 {
                (a[p][k], a[q][k]) = (cosine * above[k] - sine * below[k], sine * above[k] + cosine * below[k]);
            }
        }
        let mut order = [0, 1, 2];
        order.sort_by(|i, j| a[*j][*j].total_cmp(&a[*i][*i]));
        PrincipalColours {
            deviations: order.map(|i| a[i][i].max(0.0).sqrt() as f32),
            directions: order.map(|i| [0, 1, 2].map(|k| v[k][i] as f32)),
        }
    }

    /// Draws the colour that is added to all pixels of an image, in levels of 255: along each direction a normal number of
    /// this deviation times that of the dataset.
    pub(crate) fn draw(&self, deviation: f32, random: &mut Stream) -> [f32; 3] {
        let mut colour = [0.0; 3];
        for (length, direction) in self.deviations.iter().zip(self.directions) {
            let along = 255.0 * deviation * random.normal() * length;
            colour.iter_mut().zip(direction).for_each(|(value, part)| *value += along * part);
        }
        colour
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;

    #[test]
    fn principal_colours_are_found_again() {
        let mut random = Key::new(3).stream();
        let direction = [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
        let mut pixel = || {
            let along = [40.0, 20.0, 5.0].map(|deviation: f32| deviation * random.normal());
            [0, 1, 2].map(|c| (128.0 + (0..3).map(|i| along[i] * direction[i][c]).sum::<f32>()).round() as u8)
        };
        let pixels = (0..20_000).flat_map(|_| pixel()).collect();
        let images = Images::new([200, 100, 3], pixels, vec![0], vec!["only".into()]).unwrap();
        let found = PrincipalColours::measure(&images).unwrap();
        for (i, deviation) in [40.0, 20.0, 5.0].into_iter().enumerate() {
            assert!((found.deviations[i] * 255.0 / deviation - 1.0).abs() < 0.05, "{found:?}");
            let along: f32 = (0..3).map(|c| found.directions[i][c] * direction[i][c]).sum();
            assert!(along.abs() > 0.99, "{found:?}");
        }
    }
}
