//! Gradients of a score with respect to the pixels.

use super::{AT_ONCE, Attribution, Rules};
use crate::{Error, Result};
use ocelli_graph::{Key, Tensor};

impl Attribution<'_> {
    /// Saliency (Simonyan, Vedaldi and Zisserman 2013, section 3): the largest magnitude of the score's gradient among the
    /// channels of each pixel, `[H, W]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another image or class than the network has, [`Error::Graph`] if it cannot be run.
    pub fn saliency(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        self.check_image(image)?;
        let input = self.input.clone();
        let gradient = self.gradient(Rules::Own, &input, image, class)?.gradient;
        largest_magnitude(&gradient)
    }

    /// SmoothGrad (Smilkov et al. 2017): the mean saliency `[H, W]` of so many images with Gaussian noise, whose deviation is
    /// `noise` times the range of the image's values; the paper advises 0.1 to 0.2.
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`], and [`Error::Invalid`] for no samples.
    pub fn smooth_grad(
        &mut self,
        image: &Tensor,
        class: usize,
        noise: f32,
        samples: usize,
        key: Key,
    ) -> Result<Tensor> {
        self.check_image(image)?;
        if samples == 0 {
            return Err(Error::Invalid("SmoothGrad is a mean over at least one sample".into()));
        }
        let (low, high) = range(image.data());
        let deviation = noise * (high - low);
        let [height, width, channels] = self.sample;
        let (input, mut mean) = (self.input.clone(), Tensor::zeros([height, width]));
        for first in (0..samples).step_by(AT_ONCE) {
            let count = AT_ONCE.min(samples - first);
            let mut noisy = Tensor::try_zeros([count, height, width, channels])?;
            for (number, values) in noisy.data_mut().chunks_exact_mut(image.len()).enumerate() {
                let mut stream = key.at((first + number) as u64).stream();
                values.iter_mut().zip(image.data()).for_each(|(value, x)| *value = x + deviation * stream.normal());
            }
            let gradients = self.gradient(Rules::Own, &input, &noisy, class)?.gradient;
            for number in 0..count {
                let map = largest_magnitude(&gradients.rows(number..number + 1))?;
                let share = 1.0 / samples as f32;
                mean.data_mut().iter_mut().zip(map.data()).for_each(|(mean, value)| *mean += share * value);
            }
        }
        Ok(mean)
    }

    /// Guided backpropagation (Springenberg et al. 2015): the gradient `[H, W, C]` of the score with ReLUs that pass on what
    /// is positive where their argument was positive.
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`].
    pub fn guided_backpropagation(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        self.input_gradient(Rules::Guided, image, class)
    }

    /// The deconvolutional network (Zeiler and Fergus 2013) from the score of a class, `[H, W, C]`.
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`].
    pub fn deconvnet(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        self.input_gradient(Rules::Deconvnet, image, class)
    }

    fn input_gradient(&mut self, rules: Rules, image: &Tensor, class: usize) -> Result<Tensor> {
        self.check_image(image)?;
        let input = self.input.clone();
        let gradient = self.gradient(rules, &input, image, class)?.gradient;
        Ok(gradient.reshape(self.sample)?)
    }
}

/// Smallest and largest value.
fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
}

/// Returns the largest magnitude among the channels of an image `[1, H, W, C]` or `[H, W, C]`, as `[H, W]`.
pub(super) fn largest_magnitude(image: &Tensor) -> Result<Tensor> {
    let &[.., height, width, channels] = image.shape() else {
        return Err(Error::Invalid("expected an image [H, W, C]".into()));
    };
    let largest = |pixel: &[f32]| pixel.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    Ok(Tensor::from_vec([height, width], image.data().chunks_exact(channels.max(1)).map(largest).collect())?)
}
