//! How the pixels of a face become what an encoder's network reads.

use crate::{Error, Result};
use ocelli_data::Statistics;
use serde::{Deserialize, Serialize};

/// How an encoder changes values from 0 to 1 before its network reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Contrast {
    /// As they are, less the mean of each channel and divided by its deviation: what published weights expect.
    Global(Statistics),
    /// Less the mean of the square around each pixel, and divided by the deviation in it: `d / (σ + softening)` with
    /// `d = x − μ` and `σ² = mean(d²)`, where beyond the edge there is more of the edge (Pinto et al. 2008; Jarrett et
    /// al. 2009, whose window is a Gaussian). Light and exposure are gone then, which few images cannot teach a network
    /// to look through.
    Local {
        /// Pixels of the square on each side of its middle.
        radius: usize,
        /// The number added to each deviation, so that noise in flat parts stays small.
        softening: f32,
    },
}

impl Contrast {
    /// A bound above any window that is local.
    const LARGEST_RADIUS: usize = 1024;

    pub(super) fn check(&self, channels: usize) -> Result<()> {
        match self {
            Contrast::Global(Statistics { mean, deviation }) => {
                let usable = mean.iter().all(|x| x.is_finite()) && deviation.iter().all(|x| x.is_finite() && *x > 0.0);
                if mean.len() != channels || deviation.len() != channels || !usable {
                    let given = mean.len();
                    return Err(Error::Invalid(format!(
                        "an encoder of {channels} channels with statistics of {given}"
                    )));
                }
            }
            Contrast::Local { radius, softening } => {
                let softens = *softening > 0.0 && softening.is_finite();
                if !(1..=Self::LARGEST_RADIUS).contains(radius) || !softens {
                    return Err(Error::Invalid(format!(
                        "a local contrast within {radius} pixels, softened by {softening}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Changes images `[N, H, W, C]` in place, each of this shape.
    pub(super) fn apply(&self, images: &mut [f32], [height, width, channels]: [usize; 3]) {
        match self {
            Contrast::Global(statistics) => statistics.normalise(images),
            Contrast::Local { radius, softening } => {
                let shape = [height, width, channels];
                for image in images.chunks_exact_mut((height * width * channels).max(1)) {
                    let means = box_means(image, shape, *radius);
                    image.iter_mut().zip(&means).for_each(|(x, mean)| *x -= mean);
                    let squares: Vec<f32> = image.iter().map(|d| d * d).collect();
                    let variances = box_means(&squares, shape, *radius);
                    let deviations = variances.iter().map(|variance| variance.max(0.0).sqrt() + softening);
                    image.iter_mut().zip(deviations).for_each(|(d, deviation)| *d /= deviation);
                }
            }
        }
    }
}

/// Returns the mean of the square around each pixel; beyond the edge the image has the values of the edge.
fn box_means(image: &[f32], [height, width, channels]: [usize; 3], radius: usize) -> Vec<f32> {
    let mut along_rows = vec![0.0; image.len()];
    for row in 0..height {
        for channel in 0..channels {
            let at = |column: usize| (row * width + column) * channels + channel;
            running_means(image, &mut along_rows, width, radius, at);
        }
    }
    let mut means = vec![0.0; image.len()];
    for column in 0..width {
        for channel in 0..channels {
            let at = |row: usize| (row * width + column) * channels + channel;
            running_means(&along_rows, &mut means, height, radius, at);
        }
    }
    means
}

/// Writes the means of `2·radius + 1` values around each of the values at `at(0)`, …, `at(length − 1)`.
fn running_means(from: &[f32], to: &mut [f32], length: usize, radius: usize, at: impl Fn(usize) -> usize) {
    let value = |place: usize| f64::from(from[at(place.saturating_sub(radius).min(length - 1))]);
    // Places are shifted by `radius`, so that none is negative; f64, so that nothing remains of what has left the sum.
    let mut sum: f64 = (0..2 * radius).map(value).sum();
    for place in 0..length {
        sum += value(place + 2 * radius);
        to[at(place)] = (sum / (2 * radius + 1) as f64) as f32;
        sum -= value(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_tensor::{Key, Tensor};

    /// The definition, in f64.
    fn defined(image: &[f32], [height, width, channels]: [usize; 3], radius: usize, softening: f64) -> Vec<f64> {
        let mean = |values: &[f64], row: usize, column: usize, channel: usize| {
            let near = |at: usize, size: usize| {
                (0..=2 * radius).map(move |step| (at + step).saturating_sub(radius).min(size - 1))
            };
            let rows = near(row, height).flat_map(|y| near(column, width).map(move |x| (y, x)));
            rows.map(|(y, x)| values[(y * width + x) * channels + channel]).sum::<f64>()
                / ((2 * radius + 1) * (2 * radius + 1)) as f64
        };
        let places =
            || (0..height).flat_map(move |y| (0..width).flat_map(move |x| (0..channels).map(move |c| (y, x, c))));
        let values: Vec<f64> = image.iter().map(|x| f64::from(*x)).collect();
        let less: Vec<f64> = places().zip(&values).map(|((y, x, c), value)| value - mean(&values, y, x, c)).collect();
        let squares: Vec<f64> = less.iter().map(|d| d * d).collect();
        places().zip(&less).map(|((y, x, c), d)| d / (mean(&squares, y, x, c).sqrt() + softening)).collect()
    }

    #[test]
    fn local_contrast_is_its_definition() {
        for (shape, radius) in [([7, 5, 1], 2), ([4, 6, 3], 1), ([3, 2, 1], 9), ([1, 1, 1], 1)] {
            let image = Tensor::uniform([shape.iter().product::<usize>()], Key::new(7)).data().to_vec();
            let expected = defined(&image, shape, radius, 0.05);
            let mut got = [image.clone(), image].concat();
            Contrast::Local { radius, softening: 0.05 }.apply(&mut got, shape);
            for (got, expected) in got.iter().zip(expected.iter().cycle()) {
                assert!((f64::from(*got) - expected).abs() < 1e-5, "{shape:?}: {got} for {expected}");
            }
        }
    }

    /// More light and other exposure change nothing but what the softening is beside the deviations.
    #[test]
    fn local_contrast_does_not_see_the_light() {
        let shape = [9, 8, 1];
        let mut image = Tensor::uniform([72], Key::new(7)).data().to_vec();
        let mut lit: Vec<f32> = image.iter().map(|x| 0.4 * x + 0.3).collect();
        let contrast = Contrast::Local { radius: 2, softening: 1e-6 };
        contrast.apply(&mut image, shape);
        contrast.apply(&mut lit, shape);
        image.iter().zip(&lit).for_each(|(a, b)| assert!((a - b).abs() < 1e-4));
        let mut flat = [0.7; 72];
        contrast.apply(&mut flat, shape);
        assert!(flat.iter().all(|x| x.abs() < 1e-3), "{flat:?}");
    }
}
