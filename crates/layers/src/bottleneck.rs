//! The bottleneck of deep residual networks.

use crate::{Conv2d, Distribution, Init, Normalisation, Padding};
use ocelli_graph::{Layer, Node};

/// The body of a residual block of three convolutions: 1×1 to few channels, 3×3 among these, 1×1 to many (He et al. 2015,
/// fig. 5 on the right). A normalisation follows each, and a ReLU the first two; [`Residual`](crate::Residual) adds the
/// shortcut and the last ReLU.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, channels]`.
///
/// # Parameters
/// Torchvision's: `conv1.weight` `[1, 1, C, inner]` and those of the normalisation `bn1`; `conv2.weight`
/// `[3, 3, inner / groups, inner]`, `bn2`; `conv3.weight` `[1, 1, inner, channels]`, `bn3`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Bottleneck, Residual, Shortcut};
/// // The first block of the second stage of ResNet-50.
/// let block = Residual::new(Bottleneck::new(128, 512).stride(2)).stride(2).shortcut(Shortcut::Projection);
/// let summary = Model::from_layer(block, [56, 56, 256], 0)?.summary();
/// assert_eq!(summary.rows.last().unwrap().output, "[N, 28, 28, 512]");
/// assert_eq!(summary.trained, 379_392);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Bottleneck {
    inner: usize,
    channels: usize,
    stride: usize,
    strided: Strided,
    groups: usize,
    normalisation: Normalisation,
    weight_init: fn(usize, usize) -> Init,
}

/// The convolution of a [`Bottleneck`] that has the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strided {
    /// The first 1×1, as published ("v1"): less work, but three of four pixels are not seen.
    First,
    /// The 3×3, as in torchvision ("v1.5").
    Middle,
}

impl Bottleneck {
    /// Makes a block through `inner` channels to `channels`, which are four times as many in ResNet-50.
    pub fn new(inner: usize, channels: usize) -> Bottleneck {
        Bottleneck {
            inner,
            channels,
            stride: 1,
            strided: Strided::Middle,
            groups: 1,
            normalisation: Normalisation::Batch,
            weight_init: |_, _| Init::He(Distribution::Normal),
        }
    }

    /// Sets the stride of the block, in input pixels per pixel of the result.
    pub fn stride(mut self, stride: usize) -> Bottleneck {
        self.stride = stride;
        self
    }

    /// Sets the convolution that has the stride; by default it is the 3×3.
    pub fn strided(mut self, strided: Strided) -> Bottleneck {
        self.strided = strided;
        self
    }

    /// Sets the number of groups of the 3×3 convolution (ResNeXt, Xie et al. 2016).
    pub fn groups(mut self, groups: usize) -> Bottleneck {
        self.groups = groups;
        self
    }

    /// Sets the normalisation after each convolution.
    pub fn normalisation(mut self, normalisation: Normalisation) -> Bottleneck {
        self.normalisation = normalisation;
        self
    }

    /// Sets the initialiser of a convolution's weights, by its channels and the size of its filter; the default is He
    /// normal.
    pub fn weight_init(mut self, init: fn(usize, usize) -> Init) -> Bottleneck {
        self.weight_init = init;
        self
    }

    fn conv(&self, channels: usize, kernel: usize) -> Conv2d {
        let init = (self.weight_init)(channels, kernel);
        Conv2d::new(channels, kernel).padding(Padding::uniform(kernel / 2)).weight_init(init)
    }
}

impl Layer for Bottleneck {
    fn forward(&self, x: &Node) -> Node {
        let [first, middle] = match self.strided {
            Strided::First => [self.stride, 1],
            Strided::Middle => [1, self.stride],
        };
        let convolve = |x: &Node, names, layer| self.normalisation.convolve(x, names, layer);
        let y = convolve(x, ["conv1", "bn1"], self.conv(self.inner, 1).stride(first)).relu();
        let middle = self.conv(self.inner, 3).stride(middle).groups(self.groups);
        let y = convolve(&y, ["conv2", "bn2"], middle).relu();
        convolve(&y, ["conv3", "bn3"], self.conv(self.channels, 1))
    }

    fn kind(&self) -> String {
        "Bottleneck".into()
    }
}
