//! The normalisation that follows the convolutions of a block.

use crate::{BatchNorm, Conv2d};
use ocelli_graph::Node;

/// The normalisation after each convolution of a [`BasicBlock`](crate::BasicBlock), a [`Bottleneck`](crate::Bottleneck) or
/// a projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalisation {
    /// A batch normalisation; the convolution has no bias, which its mean would take away.
    #[default]
    Batch,
    /// No normalisation; the convolution has a bias. Published weights into which normalisations were folded want it.
    Folded,
}

impl Normalisation {
    /// Applies `layer` under the name `conv`, with a bias or without, and the normalisation under the name `norm`.
    pub fn convolve(self, x: &Node, [conv, norm]: [&str; 2], layer: Conv2d) -> Node {
        match self {
            Normalisation::Batch => x.apply(conv, layer.bias(false)).apply(norm, BatchNorm::new()),
            Normalisation::Folded => x.apply(conv, layer.bias(true)),
        }
    }
}
