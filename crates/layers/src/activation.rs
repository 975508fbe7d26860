//! Activations as layers.

use ocelli_graph::{Layer, Node};
use serde::{Deserialize, Serialize};

/// An elementwise function as a layer, for [`Sequential`](crate::Sequential); in a function `x.relu()` reads better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, this slope times `x` elsewhere.
    LeakyRelu(f32),
    /// `x` where positive, this factor times `eˣ − 1` elsewhere.
    Elu(f32),
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `1.7159·tanh(2x/3)` (LeCun et al. 1998).
    ScaledTanh,
    /// `x·sigmoid(x)`.
    Silu,
    /// `x·Φ(x)`.
    Gelu,
    /// Probabilities over the last axis.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
}

impl Layer for Activation {
    fn forward(&self, x: &Node) -> Node {
        match *self {
            Activation::Relu => x.relu(),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Elu(alpha) => x.elu(alpha),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => x.tanh(),
            Activation::ScaledTanh => x.scaled_tanh(),
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu(),
            Activation::Softmax => x.softmax(),
            Activation::LogSoftmax => x.log_softmax(),
        }
    }

    fn kind(&self) -> String {
        let name = format!("{self:?}");
        name.split('(').next().unwrap_or(&name).to_string()
    }
}
