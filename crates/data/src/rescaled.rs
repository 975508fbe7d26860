//! Pixels mapped to the range or the moments that a network expects.

use crate::{Dataset, Result, Statistics, statistics::out_of_range};

/// A dataset whose channels are each mapped by `y = factor·x + shift`; made by [`Dataset::scale`] and
/// [`Dataset::standardise`].
#[derive(Clone, Debug)]
pub struct Rescaled<D> {
    inner: D,
    /// Pair `(factor, shift)` of each channel.
    maps: Vec<(f32, f32)>,
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
        let statistics = Statistics::measure(&colours()).unwrap();
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
        let empty = Statistics::measure(&empty).unwrap_err().to_string();
        assert_eq!(empty, "a dataset without samples has no statistics");
    }
}
