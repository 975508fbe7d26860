//! Layer normalisation.

use crate::affine::{Affine, normalisation_settings};
use ocelli_graph::{Layer, Node};

/// Normalises over the last axis, then scales and shifts each element (Ba, Kiros and Hinton 2016): the features of a
/// sample, or the channels of a pixel, as in ConvNeXt. It computes the same in training and inference.
///
/// # Shapes
/// `[N, C]` or `[N, H, W, C]`; the result has the same shape.
///
/// # Parameters
/// `weight` and `bias` `[C]`, unless [`affine(false)`](LayerNorm::affine) is set.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    epsilon: f32,
    affine: Affine,
}

impl Default for LayerNorm {
    fn default() -> LayerNorm {
        LayerNorm::new()
    }
}

impl LayerNorm {
    /// Makes a normalisation with ε = 10⁻⁵.
    pub fn new() -> LayerNorm {
        LayerNorm { epsilon: 1e-5, affine: Affine::default() }
    }
}

normalisation_settings!(LayerNorm);

impl Layer for LayerNorm {
    fn forward(&self, x: &Node) -> Node {
        let (weight, bias) = self.affine.parameters_for(x);
        x.layer_norm(self.epsilon, &weight, &bias)
    }
}
