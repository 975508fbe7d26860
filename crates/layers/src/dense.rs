//! Fully connected layers.

use crate::{
    Init,
    initial::{BiasInit, UniformByFanIn},
};
use ocelli_graph::{AxisRole::Outputs, Initializer, Layer, Node, ParameterShape, ops::LinearOp};
use std::sync::Arc;

/// `y = x·w + b`.
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
    /// A layer of `features` units with a bias.
    pub fn new(features: usize) -> Dense {
        Dense {
            features,
            bias: true,
            weight_init: Arc::new(Init::default()),
            bias_init: BiasInit::Given(Arc::new(Init::Constant(0.0))),
        }
    }

    /// Whether a number is added to each unit.
    pub fn bias(mut self, bias: bool) -> Dense {
        self.bias = bias;
        self
    }

    /// Where the first weights come from; Glorot uniform unless said otherwise.
    pub fn weight_init(mut self, init: impl Initializer + 'static) -> Dense {
        self.weight_init = Arc::new(init);
        self
    }

    /// Where the first biases come from; zeros unless said otherwise.
    pub fn bias_init(mut self, init: impl Initializer + 'static) -> Dense {
        self.bias_init = BiasInit::Given(Arc::new(init));
        self
    }

    /// PyTorch's first values: weights and biases uniform in `±1 / √fan_in`.
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
