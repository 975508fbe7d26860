//! Pixels brought to the range or the moments that a network wants.

use crate::{Dataset, Error, Result};
use ocelli_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Pictures whose channels were each mapped by `y = factor·x + shift`; made by [`Dataset::scale`] and
/// [`Dataset::standardise`].
#[derive(Clone, Debug)]
pub struct Rescaled<D> {
    inner: D,
    /// `(factor, shift)` of each channel.
    maps: Vec<(f32, f32)>,
}

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
    /// Measures a dataset, all samples of epoch 0.
    ///
    /// # Errors
    /// Whatever [`Dataset::write`] answers; [`Error::Setting`] if there are no samples.
    ///
    /// ```
    /// use ocelli_data::{Dataset, Statistics, synthetic};
    /// let digits = synthetic::digits(50, 1);
    /// let statistics = Statistics::of(&digits)?;
    /// let after = Statistics::of(&digits.standardise(&statistics)?)?;
    /// assert!(after.mean[0].abs() < 1e-4 && (after.deviation[0] - 1.0).abs() < 1e-4);
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    pub fn of(dataset: &(impl Dataset + ?Sized)) -> Result<Statistics> {
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
}

impl Statistics {
    /// Those of ImageNet's red, green and blue, from 0 to 1: what most published weights expect.
    pub fn imagenet() -> Statistics {
        Statistics { mean: vec![0.485, 0.456, 0.406], deviation: vec![0.229, 0.224, 0.225] }
    }

    /// What networks from Caffe expect: blue, green and red from 0 to 255, less their means 104, 117 and 123.
    pub fn caffe() -> Statistics {
        Statistics { mean: [104.0, 117.0, 123.0].map(|mean| mean / 255.0).into(), deviation: vec![1.0 / 255.0; 3] }
    }

    /// What brings values from 0 to 1 to `low` to `high`, as [`Dataset::scale`] does: `y = low + (high − low) x`.
    ///
    /// # Errors
    /// [`Error::Setting`] if `low` is not below `high` or they are no finite numbers.
    pub fn for_range(channels: usize, low: f32, high: f32) -> Result<Statistics> {
        let range = high - low;
        if !(range > 0.0 && range.is_finite()) {
            return Err(out_of_range(low, high));
        }
        Ok(Statistics { mean: vec![-low / range; channels], deviation: vec![1.0 / range; channels] })
    }

    /// `(factor, shift)` of each of so many channels, so that `y = factor x + shift` is `(x − mean) / deviation`.
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

fn out_of_range(low: f32, high: f32) -> Error {
    Error::Setting(format!("pixels cannot be scaled to {low}..{high}"))
}

impl<D: Dataset> Rescaled<D> {
    pub(crate) fn to_range(inner: D, low: f32, high: f32) -> Result<Rescaled<D>> {
        if !(low.is_finite() && high.is_finite() && (high - low).is_finite()) {
            return Err(out_of_range(low, high));
        }
        let maps = vec![(high - low, low); inner.shape()[2]];
        Ok(Rescaled { inner, maps })
    }

    pub(crate) fn standardised(inner: D, statistics: &Statistics) -> Result<Rescaled<D>> {
        let maps = statistics.maps(inner.shape()[2])?;
        Ok(Rescaled { inner, maps })
    }
}

impl<D: Dataset> Dataset for Rescaled<D> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.inner.shape()
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        let label = self.inner.write(index, epoch, out)?;
        if let [(factor, shift)] = self.maps[..] {
            out.iter_mut().for_each(|value| *value = factor * *value + shift);
            return Ok(label);
        }
        for pixel in out.chunks_exact_mut(self.maps.len().max(1)) {
            pixel.iter_mut().zip(&self.maps).for_each(|(value, (factor, shift))| *value = factor * *value + shift);
        }
        Ok(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;

    fn colours() -> Images {
        Images::new([1, 2, 2], vec![0, 255, 255, 255, 0, 0, 255, 0], vec![0, 0], vec!["only".into()]).unwrap()
    }

    #[test]
    fn each_channel_has_its_own_moments() {
        let statistics = Statistics::of(&colours()).unwrap();
        assert_eq!(statistics, Statistics { mean: vec![0.5, 0.5], deviation: vec![0.5, 0.5] });
        let mut out = [0.0; 4];
        colours().standardise(&statistics).unwrap().write(0, 0, &mut out).unwrap();
        assert_eq!(out, [-1.0, 1.0, 1.0, 1.0]);
        colours().scale(-0.1, 1.175).unwrap().write(1, 0, &mut out).unwrap();
        assert_eq!(out[0], -0.1);
        assert!((out[2] - 1.175).abs() < 1e-6);
    }

    #[test]
    fn what_would_give_no_numbers_is_refused() {
        let text = |mean: &[f32], deviation: &[f32]| {
            let statistics = Statistics { mean: mean.into(), deviation: deviation.into() };
            colours().standardise(&statistics).unwrap_err().to_string()
        };
        assert_eq!(text(&[0.0], &[1.0]), "1 means and 1 deviations for 2 channels");
        assert_eq!(text(&[0.5, 0.0], &[1.0, 0.0]), "channel 1 cannot be standardised by mean 0, deviation 0");
        assert!(text(&[f32::NAN, 0.0], &[1.0, 1.0]).starts_with("channel 0"));
        assert!(text(&[0.0, 0.0], &[1.0, f32::NAN]).starts_with("channel 1"));
        let range = colours().scale(f32::NAN, 1.0).unwrap_err().to_string();
        assert_eq!(range, "pixels cannot be scaled to NaN..1");
        let range = |low, high| Statistics::for_range(1, low, high).unwrap_err().to_string();
        assert_eq!(range(1.0, 1.0), "pixels cannot be scaled to 1..1");
        assert_eq!(range(f32::NEG_INFINITY, 1.0), "pixels cannot be scaled to -inf..1");
        let empty = Images::new([1, 2, 2], vec![], vec![], vec![]).unwrap();
        let empty = Statistics::of(&empty).unwrap_err().to_string();
        assert_eq!(empty, "a dataset without samples has no statistics");
    }
}
