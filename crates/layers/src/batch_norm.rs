//! Batch normalisation.

use crate::Init;
use ocelli_graph::{
    Initializer, Layer, Node, Shape,
    ops::{BatchNormOp, BatchNormParameters, Fill},
};
use std::sync::Arc;

/// Normalises each channel over the batch and all pixels, then scales and shifts it (Ioffe and Szegedy 2015).
///
/// In training, mean and variance are those of the batch, and each step moves the running ones towards them. In inference,
/// and in objectives that are made after the layer was [frozen](ocelli_graph::Model::freeze), they are the running ones.
/// A training batch has to have two or more numbers a channel.
///
/// # Shapes
/// `[N, H, W, C]` or `[N, C]`, to the same.
///
/// # Parameters
/// `weight` and `bias` `[C]`, learnt unless [`affine(false)`](BatchNorm::affine) was said; `running_mean` and `running_var`
/// `[C]`, states. They begin as 1, 0, 0 and 1.
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
    affine: bool,
    weight_init: Arc<dyn Initializer>,
    bias_init: Arc<dyn Initializer>,
}

impl Default for BatchNorm {
    fn default() -> BatchNorm {
        BatchNorm::new()
    }
}

impl BatchNorm {
    /// With ε = 10⁻⁵ and momentum 0.1, as in PyTorch.
    pub fn new() -> BatchNorm {
        BatchNorm {
            epsilon: 1e-5,
            momentum: 0.1,
            affine: true,
            weight_init: Arc::new(Init::Constant(1.0)),
            bias_init: Arc::new(Init::Constant(0.0)),
        }
    }

    /// What is added to the variance.
    pub fn epsilon(mut self, epsilon: f32) -> BatchNorm {
        self.epsilon = epsilon;
        self
    }

    /// The share of each batch in the running statistics: `running = (1 − momentum) running + momentum batch`, with the
    /// unbiased variance of the batch. (Other libraries call `1 − momentum` by this name.)
    pub fn momentum(mut self, momentum: f32) -> BatchNorm {
        self.momentum = momentum;
        self
    }

    /// Whether normalised values are scaled and shifted by learnt numbers.
    pub fn affine(mut self, affine: bool) -> BatchNorm {
        self.affine = affine;
        self
    }

    /// Where the first scales come from; ones unless said otherwise. Zeros in the last normalisation of a residual block
    /// make the block the identity at first (Goyal et al. 2017).
    pub fn weight_init(mut self, init: impl Initializer + 'static) -> BatchNorm {
        self.weight_init = Arc::new(init);
        self
    }

    /// Where the first shifts come from; zeros unless said otherwise.
    pub fn bias_init(mut self, init: impl Initializer + 'static) -> BatchNorm {
        self.bias_init = Arc::new(init);
        self
    }
}

impl Layer for BatchNorm {
    fn forward(&self, x: &Node) -> Node {
        let (trace, channels) = (x.trace(), [x.shape().channels()]);
        let factor = |name: &str, init: &Arc<dyn Initializer>, constant: f32| match self.affine {
            true => trace.parameter_from(name, channels, init.clone()),
            false => constants(x, channels, constant),
        };
        let (weight, bias) = (factor("weight", &self.weight_init, 1.0), factor("bias", &self.bias_init, 0.0));
        let running_mean = trace.state("running_mean", channels, Init::Constant(0.0));
        let running_variance = trace.state("running_var", channels, Init::Constant(1.0));
        let parameters = BatchNormParameters {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_variance: &running_variance,
        };
        x.batch_norm(BatchNormOp::new(self.epsilon, self.momentum), parameters)
    }
}

/// A number for each channel that nothing learns.
fn constants(x: &Node, channels: [usize; 1], value: f32) -> Node {
    x.trace().call(Arc::new(Fill { value, shape: Shape::from(channels) }), &[]).swap_remove(0)
}
