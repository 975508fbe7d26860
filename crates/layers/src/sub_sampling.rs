//! LeNet-5's trainable sub-sampling.

use crate::Init;
use ocelli_graph::{AxisRole, Initializer, Layer, Node};
use ocelli_kernels::pool::{CountPadding, PoolSettings};
use std::sync::Arc;

/// Sums each window, multiplies by a trained coefficient per channel and adds a trained bias per channel (LeCun et al.
/// 1998, section II-B). The squashing function comes after it and is not part of it.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H / size, W / size, C]`.
///
/// # Parameters
/// `weight` `[C]`, `bias` `[C]`.
#[derive(Clone, Debug)]
pub struct SubSampling {
    size: usize,
    weight_init: Arc<dyn Initializer>,
    bias_init: Arc<dyn Initializer>,
}

impl SubSampling {
    /// Makes windows of `size` by `size` pixels that do not overlap.
    pub fn new(size: usize) -> SubSampling {
        // With 1 / size² the layer starts as average pooling.
        let mean = Init::Constant(1.0 / area(size));
        SubSampling { size, weight_init: Arc::new(mean), bias_init: Arc::new(Init::Constant(0.0)) }
    }

    /// Sets the initialiser of the coefficients; the default is `1 / size²`.
    pub fn weight_init(mut self, init: impl Initializer + 'static) -> SubSampling {
        self.weight_init = Arc::new(init);
        self
    }

    /// Sets the initialiser of the biases; the default is zeros.
    pub fn bias_init(mut self, init: impl Initializer + 'static) -> SubSampling {
        self.bias_init = Arc::new(init);
        self
    }
}

/// Number of pixels of a window, as `f32`, in which the square of any size is representable.
fn area(size: usize) -> f32 {
    (size as f32).powi(2).max(1.0)
}

impl Layer for SubSampling {
    fn forward(&self, x: &Node) -> Node {
        let (trace, axes) = (x.trace(), ([AxisRole::Features], [x.shape().channels()]));
        let sums = x.avg_pool(PoolSettings::square(self.size), CountPadding::Include).scale(area(self.size));
        let w = trace.parameter_from("weight", axes, self.weight_init.clone());
        let b = trace.parameter_from("bias", axes, self.bias_init.clone());
        sums * w + b
    }
}
