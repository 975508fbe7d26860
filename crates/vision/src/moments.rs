//! Adam on values that are no parameters of a model: pixels, or what pixels are made of.

use crate::{Result, resize};
use ocelli_graph::Tensor;
use ocelli_kernels::optimizer::{AdamStep, GradientTransform, WeightDecay, adam};

/// The state of Adam (Kingma and Ba 2014, algorithm 1), as tensors, so that those of an image can be resampled.
pub(crate) struct Moments {
    mean: Tensor,
    square: Tensor,
    /// Decays of the two moments.
    betas: [f32; 2],
    steps: i32,
}

impl Moments {
    /// Makes the state before the first step, for values of this shape.
    pub(crate) fn new(shape: impl Into<Vec<usize>>, betas: [f32; 2]) -> Moments {
        let zeros = Tensor::zeros(shape.into());
        Moments { mean: zeros.clone(), square: zeros, betas, steps: 0 }
    }

    /// Resamples the moments of an image `[1, H, W, C]`.
    pub(crate) fn resampled(self, size: [usize; 2]) -> Result<Moments> {
        // Linear interpolation keeps squares from falling below 0.
        Ok(Moments { mean: resize(&self.mean, size)?, square: resize(&self.square, size)?, ..self })
    }

    /// Changes `x` by one step.
    pub(crate) fn step(&mut self, x: &mut [f32], gradient: &[f32], rate: f32) {
        self.steps = self.steps.saturating_add(1);
        let [beta1, beta2] = self.betas;
        let step = AdamStep {
            learning_rate: rate,
            beta1,
            beta2,
            bias_correction1: 1.0 - beta1.powi(self.steps),
            bias_correction2: 1.0 - beta2.powi(self.steps),
            epsilon: 1e-8,
            weight_decay: WeightDecay::None,
            gradient: GradientTransform::default(),
        };
        adam(x, gradient, self.mean.data_mut(), self.square.data_mut(), &step);
    }
}
