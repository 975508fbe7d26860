//! Batch normalisation.

use crate::{
    Init,
    affine::{Affine, normalisation_settings},
};
use ocelli_graph::{
    AxisRole, Layer, Node,
    ops::{BatchNormOp, BatchNormParameters},
};

/// Normalises each channel over the batch and all pixels, then scales and shifts it (Ioffe and Szegedy 2015).
///
/// In training, mean and variance are those of the batch, and each step moves the running ones towards them. In
/// inference, and in objectives that are made after the layer was [frozen](ocelli_graph::Model::freeze), they are the
/// running ones. A training batch must have two or more values per channel.
///
/// # Shapes
/// `[N, H, W, C]` or `[N, C]`; the result has the same shape.
///
/// # Parameters
/// `weight` and `bias` `[C]`, learnt unless [`affine(false)`](BatchNorm::affine) is set; `running_mean` and
/// `running_var` `[C]`, states. Their initial values are 1, 0, 0 and 1.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{BatchNorm, Conv2d};
/// let network = |x: &ocelli_graph::Node| x.apply("conv", Conv2d::new(8, 3).bias(false)).apply("bn", BatchNorm::new()).relu();
/// let model = Model::build(network, [28, 28, 1], 0)?;
/// assert!(model.parameters().value("bn.running_var").is_some());
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    epsilon: f32,
    momentum: f32,
    affine: Affine,
}

impl Default for BatchNorm {
    fn default() -> BatchNorm {
        BatchNorm::new()
    }
}

impl BatchNorm {
    /// Makes a normalisation with ε = 10⁻⁵ and momentum 0.1, as in PyTorch.
    pub fn new() -> BatchNorm {
        BatchNorm { epsilon: 1e-5, momentum: 0.1, affine: Affine::default() }
    }

    /// Sets the weight of each batch in the running statistics: `running = (1 − momentum) running + momentum batch`,
    /// with the unbiased variance of the batch. (Other libraries call `1 − momentum` by this name.)
    pub fn momentum(mut self, momentum: f32) -> BatchNorm {
        self.momentum = momentum;
        self
    }
}

normalisation_settings!(BatchNorm);

impl Layer for BatchNorm {
    fn forward(&self, x: &Node) -> Node {
        let (trace, axes) = (x.trace(), ([AxisRole::Features], [x.shape().channels()]));
        let (weight, bias) = self.affine.parameters_for(x);
        let running_mean = trace.state("running_mean", axes, Init::Constant(0.0));
        let running_variance = trace.state("running_var", axes, Init::Constant(1.0));
        let parameters = BatchNormParameters {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_variance: &running_variance,
        };
        x.batch_norm(BatchNormOp::new(self.epsilon, self.momentum), parameters)
    }
}
