//! Fully connected layers.

use crate::{
    Init,
    initial::{BiasInit, UniformByFanIn},
};
use ocelli_graph::{AxisRole::Outputs, Initializer, Layer, Node, ParameterShape, ops::LinearOp};
use std::sync::Arc;

/// Fully connected layer, `y = x·w + b`.
///
/// # Shapes
/// `[N, in]` → `[N, features]`.
///
/// # Parameters
/// `weight` `[in, features]`, `bias` `[features]`.
#[derive(Clone, Debug)]
pub struct Dense {
    features: usize,
    bias: bool,
    weight_init: Arc<dyn Initializer>,
    bias_init: BiasInit,
}

impl Dense {
    /// Makes a layer of `features` units with a bias.
    pub fn new(features: usize) -> Dense {
        Dense {
            features,
            bias: true,
            weight_init: Arc::new(Init::default()),
            bias_init: BiasInit::Given(Arc::new(Init::Constant(0.0))),
        }
    }

    /// Sets whether a bias is added to each unit.
    pub fn bias(mut self, bias: bool) -> Dense {
        self.bias = bias;
        self
    }

    /// Sets the initialiser of the weights; the default is Glorot uniform.
    pub fn weight_init(mut self, init: impl Initializer + 'static) -> Dense {
        self.weight_init = Arc::new(init);
        self
    }

    /// Sets the initialiser of the biases; the default is zeros.
    pub fn bias_init(mut self, init: impl Initializer + 'static) -> Dense {
        self.bias_init = BiasInit::Given(Arc::new(init));
        self
    }

    /// Sets PyTorch's initialisation: weights and biases uniform in `±1 / √fan_in`.
    pub fn pytorch_init(mut self) -> Dense {
        self.weight_init = Arc::new(UniformByFanIn);
        self.bias_init = BiasInit::UniformByFanIn;
        self
    }
}

impl Layer for Dense {
    fn forward(&self, x: &Node) -> Node {
        let trace = x.trace();
        if self.features == 0 {
            return trace.fail("Dense", "a layer of 0 units");
        }
        let axes = ParameterShape::from(([x.input_role(), Outputs], [x.shape().channels(), self.features]));
        let bias_init = self.bias_init.beside(&axes.axes());
        let w = trace.parameter_from("weight", axes, self.weight_init.clone());
        if !self.bias {
            return Node::call(LinearOp, &[x, &w]);
        }
        let b = trace.parameter_from("bias", ([Outputs], [self.features]), bias_init);
        Node::call(LinearOp, &[x, &w, &b])
    }
}
