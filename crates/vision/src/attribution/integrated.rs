//! Integrated gradients.

use super::{AT_ONCE, Attribution, Rules};
use crate::{Error, Result};
use ocelli_graph::Tensor;

/// Number of points of the first try.
const FIRST_STEPS: usize = 32;

/// A map of integrated gradients, and how complete it is.
#[derive(Clone, Debug)]
pub struct IntegratedGradients {
    /// The share of each pixel in the difference of the scores, `[H, W]`; negative where a pixel speaks against the class.
    pub map: Tensor,
    /// The score of the image less that of the baseline, which the map sums to.
    pub difference: f32,
    /// Number of points on the way from the baseline to the image.
    pub steps: usize,
}

impl IntegratedGradients {
    /// Returns how far the sum of the map is from the difference of the scores, as a share of it.
    pub fn error(&self) -> f32 {
        let sum: f64 = self.map.data().iter().map(|value| f64::from(*value)).sum();
        ((sum - f64::from(self.difference)) / f64::from(self.difference).abs().max(1e-12)).abs() as f32
    }
}

impl Attribution<'_> {
    /// Integrated gradients (Sundararajan, Taly and Yan 2017, eq. 1): each pixel's difference from the baseline times the mean
    /// gradient on the straight way between the two, by the midpoint rule. The number of points is doubled, up to
    /// `most_steps`, until the map sums to the difference of the scores within 1 % (axiom *completeness*).
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`], and [`Error::Invalid`] for a baseline of another shape and no steps.
    pub fn integrated_gradients(
        &mut self,
        image: &Tensor,
        class: usize,
        baseline: &Tensor,
        most_steps: usize,
    ) -> Result<IntegratedGradients> {
        self.check_image(image)?;
        self.check_image(baseline)?;
        if most_steps == 0 {
            return Err(Error::Invalid("integrated gradients need at least one step".into()));
        }
        let input = self.input.clone();
        let mut score = |image: &Tensor| Ok::<_, Error>(self.gradient(Rules::Own, &input, image, class)?.scores[0]);
        let difference = score(image)? - score(baseline)?;
        let mut steps = FIRST_STEPS.min(most_steps);
        loop {
            let map = self.integrate(image, class, baseline, steps)?;
            let integrated = IntegratedGradients { map, difference, steps };
            if integrated.error() <= 0.01 || steps * 2 > most_steps {
                return Ok(integrated);
            }
            steps *= 2;
        }
    }

    fn integrate(&mut self, image: &Tensor, class: usize, baseline: &Tensor, steps: usize) -> Result<Tensor> {
        let [height, width, channels] = self.sample;
        let (input, mut sums) = (self.input.clone(), vec![0f64; image.len()]);
        for first in (0..steps).step_by(AT_ONCE) {
            let count = AT_ONCE.min(steps - first);
            let mut points = Tensor::try_zeros([count, height, width, channels])?;
            for (number, values) in points.data_mut().chunks_exact_mut(image.len()).enumerate() {
                let share = ((first + number) as f32 + 0.5) / steps as f32;
                for ((value, from), to) in values.iter_mut().zip(baseline.data()).zip(image.data()) {
                    *value = from + share * (to - from);
                }
            }
            let gradients = self.gradient(Rules::Own, &input, &points, class)?.gradient;
            for gradient in gradients.data().chunks_exact(image.len()) {
                sums.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        }
        let differences = image.data().iter().zip(baseline.data()).map(|(to, from)| f64::from(to - from));
        let shares: Vec<f64> =
            sums.iter().zip(differences).map(|(sum, difference)| sum / steps as f64 * difference).collect();
        let map = shares.chunks_exact(channels).map(|pixel| pixel.iter().sum::<f64>() as f32);
        Ok(Tensor::from_vec([height, width], map.collect())?)
    }
}
