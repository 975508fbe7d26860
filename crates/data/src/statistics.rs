//! Mean and deviation of channels, by which pixels are normalised.

use crate::{Dataset, Error, Image, Result};
use serde::{Deserialize, Serialize};

/// Mean and standard deviation of each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel.
    pub deviation: Vec<f32>,
}

impl Statistics {
    /// Measures the statistics of all pixels of a dataset, as values from 0 to 1: one mean and deviation for grey images,
    /// three for colours. Sums are exact, so the order of the samples does not matter.
    ///
    /// # Errors
    /// The errors of [`Dataset::read`]; [`Error::Setting`] if there are no samples, or images of one and of three
    /// channels.
    ///
    /// ```
    /// use ocelli_data::{Images, Statistics};
    /// let images = Images::new([1, 2, 1], vec![0, 255], vec![0], vec!["only".into()])?;
    /// assert_eq!(Statistics::measure(&images)?, Statistics { mean: vec![0.5], deviation: vec![0.5] });
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    pub fn measure(dataset: &(impl Dataset + ?Sized)) -> Result<Statistics> {
        let (mut image, mut count, mut channels) = (Image::default(), 0u128, 0);
        let mut sums = [(0u128, 0u128); 3];
        for index in 0..dataset.len() {
            dataset.read(index, &mut image)?;
            if index > 0 && image.channels() != channels {
                let text =
                    format!("{} has {} channels, those before it {channels}", dataset.name(index), image.channels());
                return Err(Error::Setting(text));
            }
            channels = image.channels();
            count += (image.pixels().len() / channels) as u128;
            for (channel, sum) in sums.iter_mut().enumerate().take(channels) {
                // One image has at most 2²⁶ pixels, whose squares are below 2⁴².
                let values = image.pixels().iter().skip(channel).step_by(channels).map(|value| u64::from(*value));
                let (total, squares) = values.fold((0, 0), |(total, squares), v| (total + v, squares + v * v));
                *sum = (sum.0 + u128::from(total), sum.1 + u128::from(squares));
            }
        }
        if count == 0 {
            return Err(Error::Setting("a dataset without samples has no statistics".into()));
        }
        let mean = |(sum, _): &(u128, u128)| *sum as f64 / count as f64 / 255.0;
        // The numerator of the variance is exact: count·Σx² − (Σx)².
        let deviation =
            |(sum, squares): &(u128, u128)| ((count * squares - sum * sum) as f64).sqrt() / count as f64 / 255.0;
        let of = |value: &dyn Fn(&(u128, u128)) -> f64| sums[..channels].iter().map(|sum| value(sum) as f32).collect();
        Ok(Statistics { mean: of(&mean), deviation: of(&deviation) })
    }

    /// Returns mean 0 and deviation 1 for each channel, which leave values unchanged.
    pub fn identity(channels: usize) -> Statistics {
        Statistics { mean: vec![0.0; channels], deviation: vec![1.0; channels] }
    }

    /// Returns the statistics of ImageNet's red, green and blue, from 0 to 1, which most published weights expect.
    pub fn imagenet() -> Statistics {
        Statistics { mean: vec![0.485, 0.456, 0.406], deviation: vec![0.229, 0.224, 0.225] }
    }

    /// Returns the statistics that networks from Caffe expect: blue, green and red from 0 to 255, minus their means
    /// 104, 117 and 123.
    pub fn caffe() -> Statistics {
        Statistics { mean: [104.0, 117.0, 123.0].map(|mean| mean / 255.0).into(), deviation: vec![1.0 / 255.0; 3] }
    }

    /// Returns the statistics that map values from 0 to 1 to the range `low` to `high`:
    /// `y = low + (high − low) x`.
    ///
    /// # Errors
    /// [`Error::Setting`] if `low` is not below `high` or they are not finite.
    pub fn for_range(channels: usize, low: f32, high: f32) -> Result<Statistics> {
        let range = high - low;
        if !(range > 0.0 && range.is_finite()) {
            return Err(Error::Setting(format!("pixels cannot be scaled to {low}..{high}")));
        }
        Ok(Statistics { mean: vec![-low / range; channels], deviation: vec![1.0 / range; channels] })
    }

    /// Normalises pixels of as many channels as there are statistics, channels last, in place: `(x − mean) / deviation`.
    ///
    /// ```
    /// use ocelli_data::Statistics;
    /// let statistics = Statistics { mean: vec![0.5, 0.0], deviation: vec![0.25, 2.0] };
    /// let mut pixels = [1.0, 1.0, 0.5, 0.0];
    /// statistics.normalise(&mut pixels);
    /// assert_eq!(pixels, [2.0, 0.5, 0.0, 0.0]);
    /// statistics.denormalise(&mut pixels);
    /// assert_eq!(pixels, [1.0, 1.0, 0.5, 0.0]);
    /// ```
    pub fn normalise(&self, pixels: &mut [f32]) {
        self.map(pixels, |x, mean, deviation| (x - mean) / deviation);
    }

    /// Turns what [`Statistics::normalise`] made back into pixels, in place: `mean + deviation · x`.
    pub fn denormalise(&self, pixels: &mut [f32]) {
        self.map(pixels, |x, mean, deviation| x * deviation + mean);
    }

    /// Replaces every value by a function of itself and of the mean and the deviation of its channel.
    fn map(&self, pixels: &mut [f32], f: impl Fn(f32, f32, f32) -> f32) {
        for pixel in pixels.chunks_exact_mut(self.mean.len().max(1)) {
            let statistics = self.mean.iter().zip(&self.deviation);
            pixel.iter_mut().zip(statistics).for_each(|(x, (mean, deviation))| *x = f(*x, *mean, *deviation));
        }
    }

    /// Returns `(factor, shift)` for each of `channels` channels, at most 3, so that `y = factor x + shift` is
    /// `(x − mean) / deviation`.
    pub(crate) fn maps(&self, channels: usize) -> Result<[(f32, f32); 3]> {
        let Statistics { mean, deviation } = self;
        if mean.len() != channels || deviation.len() != channels {
            let (means, deviations) = (mean.len(), deviation.len());
            return Err(Error::Setting(format!("{means} means and {deviations} deviations for {channels} channels")));
        }
        let mut maps = [(1.0, 0.0); 3];
        for (channel, (map, (mean, deviation))) in maps.iter_mut().zip(mean.iter().zip(deviation)).enumerate() {
            *map = (1.0 / deviation, -mean / deviation);
            if !(*deviation > 0.0 && map.0.is_finite() && map.1.is_finite()) {
                let text = format!("channel {channel} cannot be standardised by mean {mean}, deviation {deviation}");
                return Err(Error::Setting(text));
            }
        }
        Ok(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;

    #[test]
    fn each_channel_has_its_own_moments() {
        let pixels = vec![0, 255, 7, 255, 0, 7, 0, 255, 7, 255, 0, 7];
        let colours = Images::new([1, 2, 3], pixels, vec![0, 0], vec!["only".into()]).unwrap();
        let seven = 7.0 / 255.0;
        let expected = Statistics { mean: vec![0.5, 0.5, seven], deviation: vec![0.5, 0.5, 0.0] };
        assert_eq!(Statistics::measure(&colours).unwrap(), expected);
    }

    #[test]
    fn what_would_give_no_numbers_is_refused() {
        let text = |mean: &[f32], deviation: &[f32]| {
            let statistics = Statistics { mean: mean.into(), deviation: deviation.into() };
            statistics.maps(2).unwrap_err().to_string()
        };
        assert_eq!(text(&[0.0], &[1.0]), "1 means and 1 deviations for 2 channels");
        assert_eq!(text(&[0.5, 0.0], &[1.0, 0.0]), "channel 1 cannot be standardised by mean 0, deviation 0");
        assert!(text(&[f32::NAN, 0.0], &[1.0, 1.0]).starts_with("channel 0"));
        assert!(text(&[0.0, 0.0], &[1.0, f32::NAN]).starts_with("channel 1"));
        let range = |low, high| Statistics::for_range(1, low, high).unwrap_err().to_string();
        assert_eq!(range(1.0, 1.0), "pixels cannot be scaled to 1..1");
        assert_eq!(range(f32::NAN, 1.0), "pixels cannot be scaled to NaN..1");
        assert_eq!(range(f32::NEG_INFINITY, 1.0), "pixels cannot be scaled to -inf..1");
        let empty = Images::new([1, 2, 1], vec![], vec![], vec![]).unwrap();
        let empty = Statistics::measure(&empty).unwrap_err().to_string();
        assert_eq!(empty, "a dataset without samples has no statistics");
    }
}
