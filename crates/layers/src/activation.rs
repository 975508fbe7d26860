//! Activations as layers.

use ocelli_graph::{Layer, Node};
use serde::{Deserialize, Serialize};

/// An elementwise function or a softmax as a layer, for [`Sequential`](crate::Sequential); in a function `x.relu()`
/// reads better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// ReLU, `max(x, 0)`.
    Relu,
    /// ReLU6, `min(max(x, 0), 6)`.
    Relu6,
    /// Leaky ReLU: `x` where positive, this slope times `x` elsewhere.
    LeakyRelu(f32),
    /// ELU: `x` where positive, this factor times `eˣ − 1` elsewhere.
    Elu(f32),
    /// Logistic sigmoid, `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// Hyperbolic tangent, `tanh(x)`.
    Tanh,
    /// Scaled tanh, `1.7159·tanh(2x/3)` (LeCun et al. 1998).
    ScaledTanh,
    /// SiLU, `x·sigmoid(x)`.
    Silu,
    /// GELU, `x·Φ(x)`.
    Gelu,
    /// Mish, `x·tanh(ln(1 + eˣ))` (Misra 2019).
    Mish,
    /// Hard sigmoid, `min(max(x + 3, 0), 6) / 6` (Howard et al. 2019).
    HardSigmoid,
    /// Hard swish, `x·min(max(x + 3, 0), 6) / 6` (Howard et al. 2019).
    HardSwish,
    /// Softmax probabilities over the last axis.
    Softmax,
    /// Logarithms of softmax probabilities over the last axis.
    LogSoftmax,
}

impl Layer for Activation {
    fn forward(&self, x: &Node) -> Node {
        match *self {
            Activation::Relu => x.relu(),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Elu(alpha) => x.elu(alpha),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => x.tanh(),
            Activation::ScaledTanh => x.scaled_tanh(),
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu(),
            Activation::Mish => x.mish(),
            Activation::HardSigmoid => x.hard_sigmoid(1.0 / 6.0, 0.5),
            Activation::HardSwish => x.hard_swish(),
            Activation::Softmax => x.softmax(),
            Activation::LogSoftmax => x.log_softmax(),
        }
    }

    fn kind(&self) -> String {
        let name = format!("{self:?}");
        name.split('(').next().unwrap_or(&name).to_string()
    }
}
