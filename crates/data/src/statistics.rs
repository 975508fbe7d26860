//! Mean and deviation of channels, by which pixels are normalised.

use crate::{Dataset, Error, Result};
use ocelli_tensor::Tensor;
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
    /// Measures the statistics of a dataset over all samples of epoch 0.
    ///
    /// # Errors
    /// The errors of [`Dataset::write`]; [`Error::Setting`] if there are no samples.
    ///
    /// ```
    /// use ocelli_data::{Dataset, Statistics, synthetic};
    /// let digits = synthetic::digits(50, 1);
    /// let statistics = Statistics::measure(&digits)?;
    /// let after = Statistics::measure(&digits.standardise(&statistics)?)?;
    /// assert!(after.mean[0].abs() < 1e-4 && (after.deviation[0] - 1.0).abs() < 1e-4);
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    pub fn measure(dataset: &(impl Dataset + ?Sized)) -> Result<Statistics> {
        if dataset.is_empty() || dataset.sample_len() == 0 {
            return Err(Error::Setting("a dataset without samples has no statistics".into()));
        }
        let channels = dataset.shape()[2];
        let mut sample = Tensor::try_zeros(dataset.shape())?;
        let sample = sample.data_mut();
        let mut sums = vec![(0.0f64, 0.0f64); channels];
        for index in 0..dataset.len() {
            dataset.write(index, 0, sample)?;
            for pixel in sample.chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    let value = f64::from(*value);
                    *sum = (sum.0 + value, sum.1 + value * value);
                }
            }
        }
        let count = (sample.len() / channels) as f64 * dataset.len() as f64;
        let mean = sums.iter().map(|(sum, _)| (sum / count) as f32).collect();
        let variance = |(sum, squares): &(f64, f64)| (squares / count - (sum / count).powi(2)).max(0.0);
        let deviation = sums.iter().map(|sums| variance(sums).sqrt() as f32).collect();
        Ok(Statistics { mean, deviation })
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

    /// Returns the statistics that map values from 0 to 1 to the range `low` to `high`, as [`Dataset::scale`] does:
    /// `y = low + (high − low) x`.
    ///
    /// # Errors
    /// [`Error::Setting`] if `low` is not below `high` or they are not finite.
    pub fn for_range(channels: usize, low: f32, high: f32) -> Result<Statistics> {
        let range = high - low;
        if !(range > 0.0 && range.is_finite()) {
            return Err(out_of_range(low, high));
        }
        Ok(Statistics { mean: vec![-low / range; channels], deviation: vec![1.0 / range; channels] })
    }

    /// Returns `(factor, shift)` for each of `channels` channels, so that `y = factor x + shift` is
    /// `(x − mean) / deviation`.
    pub(crate) fn maps(&self, channels: usize) -> Result<Vec<(f32, f32)>> {
        let Statistics { mean, deviation } = self;
        if mean.len() != channels || deviation.len() != channels {
            let (means, deviations) = (mean.len(), deviation.len());
            return Err(Error::Setting(format!("{means} means and {deviations} deviations for {channels} channels")));
        }
        let map = |(channel, (mean, deviation)): (usize, (&f32, &f32))| {
            let map = (1.0 / deviation, -mean / deviation);
            if *deviation > 0.0 && map.0.is_finite() && map.1.is_finite() {
                return Ok(map);
            }
            Err(Error::Setting(format!(
                "channel {channel} cannot be standardised by mean {mean}, deviation {deviation}"
            )))
        };
        mean.iter().zip(deviation).enumerate().map(map).collect()
    }
}

/// Makes the error for a range that pixels cannot be scaled to.
pub(crate) fn out_of_range(low: f32, high: f32) -> Error {
    Error::Setting(format!("pixels cannot be scaled to {low}..{high}"))
}
