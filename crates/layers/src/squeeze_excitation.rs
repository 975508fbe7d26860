//! Squeeze-and-excitation.

use crate::{Activation, Conv2d};
use ocelli_graph::{Axis, Layer, Node};

/// Scales each channel by a gate between 0 and 1, which two small layers make of the means of all channels (Hu et al. 2018,
/// section 3).
///
/// # Shapes
/// `[N, H, W, C]`; the result has the same shape.
///
/// # Parameters
/// Torchvision's, as 1×1 convolutions: `fc1.weight` `[1, 1, C, squeezed]`, `fc1.bias`, `fc2.weight` `[1, 1, squeezed, C]`,
/// `fc2.bias`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::SqueezeExcitation;
/// let model = Model::from_layer(SqueezeExcitation::new(8), [14, 14, 32], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 14, 14, 32]");
/// assert_eq!(model.parameters().trained_count(), 32 * 8 + 8 + 8 * 32 + 32);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SqueezeExcitation {
    squeezed: usize,
    activation: Activation,
    gate: Activation,
}

impl SqueezeExcitation {
    /// Makes a layer with `squeezed` channels between its two small layers, a ReLU behind the first and a sigmoid behind the
    /// second, as published.
    pub fn new(squeezed: usize) -> SqueezeExcitation {
        SqueezeExcitation { squeezed, activation: Activation::Relu, gate: Activation::Sigmoid }
    }

    /// Sets the activation behind the first small layer.
    pub fn activation(mut self, activation: Activation) -> SqueezeExcitation {
        self.activation = activation;
        self
    }

    /// Sets the activation that makes the gates.
    pub fn gate(mut self, gate: Activation) -> SqueezeExcitation {
        self.gate = gate;
        self
    }
}

impl Layer for SqueezeExcitation {
    fn forward(&self, x: &Node) -> Node {
        let conv = |channels| Conv2d::new(channels, 1).pytorch_init();
        let means = x.mean_keeping(&[Axis::H, Axis::W]);
        let squeezed = self.activation.forward(&means.apply("fc1", conv(self.squeezed)));
        x * self.gate.forward(&squeezed.apply("fc2", conv(x.channels())))
    }
}
