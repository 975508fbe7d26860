//! The two convolutions of a residual block.

use crate::{Conv2d, Distribution, Init, Normalisation, Padding};
use ocelli_graph::{Layer, Node};

/// The body of a residual block of two 3×3 convolutions (He et al. 2015, fig. 2). A normalisation follows each, and a ReLU
/// the first; [`Residual`](crate::Residual) adds the shortcut and the last ReLU.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, channels]`.
///
/// # Parameters
/// Torchvision's: `conv1.weight` `[3, 3, C, channels]` and those of the normalisation `bn1`; `conv2.weight`
/// `[3, 3, channels, channels]`, `bn2`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{BasicBlock, Residual, Shortcut};
/// // The first block of the second stage of ResNet-18.
/// let block = Residual::new(BasicBlock::new(128).stride(2)).stride(2).shortcut(Shortcut::Projection);
/// let summary = Model::from_layer(block, [56, 56, 64], 0)?.summary();
/// assert_eq!(summary.rows.last().unwrap().output, "[N, 28, 28, 128]");
/// assert_eq!(summary.trained, 230_144);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BasicBlock {
    channels: usize,
    stride: usize,
    normalisation: Normalisation,
    weight_init: fn(usize, usize) -> Init,
}

impl BasicBlock {
    /// Makes a block of `channels` filters in each convolution.
    pub fn new(channels: usize) -> BasicBlock {
        BasicBlock {
            channels,
            stride: 1,
            normalisation: Normalisation::Batch,
            weight_init: |_, _| Init::He(Distribution::Normal),
        }
    }

    /// Sets the stride of the first convolution, in input pixels per pixel of the result.
    pub fn stride(mut self, stride: usize) -> BasicBlock {
        self.stride = stride;
        self
    }

    /// Sets the normalisation after each convolution.
    pub fn normalisation(mut self, normalisation: Normalisation) -> BasicBlock {
        self.normalisation = normalisation;
        self
    }

    /// Sets the initialiser of a convolution's weights, by its channels and the size of its filter; the default is He
    /// normal.
    pub fn weight_init(mut self, init: fn(usize, usize) -> Init) -> BasicBlock {
        self.weight_init = init;
        self
    }
}

impl Layer for BasicBlock {
    fn forward(&self, x: &Node) -> Node {
        let init = (self.weight_init)(self.channels, 3);
        let conv = || Conv2d::new(self.channels, 3).padding(Padding::uniform(1)).weight_init(init);
        let y = self.normalisation.convolve(x, ["conv1", "bn1"], conv().stride(self.stride)).relu();
        self.normalisation.convolve(&y, ["conv2", "bn2"], conv())
    }
}
