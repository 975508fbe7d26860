//! Group and instance normalisation.

use crate::affine::{Affine, normalisation_settings};
use ocelli_graph::{Layer, Node, ops::GroupNormOp};

/// Normalises the pixels and channels of each sample and group of neighbouring channels, then scales and shifts each
/// channel (Wu and He 2018). It computes the same in training and inference, and for any batch size.
///
/// # Shapes
/// `[N, H, W, C]` or `[N, C]`; the result has the same shape.
///
/// # Parameters
/// `weight` and `bias` `[C]`, unless [`affine(false)`](GroupNorm::affine) is set.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    epsilon: f32,
    affine: Affine,
}

impl GroupNorm {
    /// Makes a normalisation of `groups` groups, which must divide the channels; with ε = 10⁻⁵.
    pub fn new(groups: usize) -> GroupNorm {
        GroupNorm { groups, epsilon: 1e-5, affine: Affine::default() }
    }
}

normalisation_settings!(GroupNorm);

impl Layer for GroupNorm {
    fn forward(&self, x: &Node) -> Node {
        let (weight, bias) = self.affine.parameters_for(x);
        x.group_norm(GroupNormOp { groups: self.groups, epsilon: self.epsilon }, &weight, &bias)
    }
}

/// Normalises the pixels of each sample and channel (Ulyanov, Vedaldi and Lempitsky 2016). It computes the same in
/// training and inference.
///
/// # Shapes
/// `[N, H, W, C]`; the result has the same shape.
///
/// # Parameters
/// None, or with [`affine(true)`](InstanceNorm::affine) `weight` and `bias` `[C]`.
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    epsilon: f32,
    affine: Affine,
}

impl Default for InstanceNorm {
    fn default() -> InstanceNorm {
        InstanceNorm::new()
    }
}

impl InstanceNorm {
    /// Makes a normalisation without scale and shift, as in PyTorch; with ε = 10⁻⁵.
    pub fn new() -> InstanceNorm {
        InstanceNorm { epsilon: 1e-5, affine: Affine { learnt: false, ..Affine::default() } }
    }
}

normalisation_settings!(InstanceNorm);

impl Layer for InstanceNorm {
    fn forward(&self, x: &Node) -> Node {
        let (weight, bias) = self.affine.parameters_for(x);
        x.group_norm(GroupNormOp { groups: x.shape().channels(), epsilon: self.epsilon }, &weight, &bias)
    }
}
