//! The inverted residual of mobile networks.

use crate::{Activation, BatchNorm, ConvNorm, Padding, SqueezeExcitation};
use ocelli_graph::{Layer, Node};

/// A residual block that is wide inside and narrow at its ends: a 1×1 convolution to more channels, a depthwise convolution among
/// these, perhaps [`SqueezeExcitation`], and a 1×1 convolution to few channels without an activation (Sandler et al. 2018,
/// section 3.3). Without a stride, and between equal numbers of channels, the input is added. Where the inside is no wider than
/// the input the first convolution is left out.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, channels]`.
///
/// # Parameters
/// Those of each step, a [`ConvNorm`] or a [`SqueezeExcitation`], below `block.0`, `block.1`, …; see [`BlockNames`].
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Activation, InvertedResidual, SqueezeExcitation};
/// let block = InvertedResidual::new(96, 24).kernel(5).stride(2).activation(Activation::Silu).squeeze(SqueezeExcitation::new(4));
/// let model = Model::from_layer(block, [56, 56, 16], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 28, 28, 24]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct InvertedResidual {
    inner: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
    activation: Activation,
    squeeze: Option<SqueezeExcitation>,
    norm: BatchNorm,
    drop: f32,
    names: BlockNames,
}

/// The names of the steps of an [`InvertedResidual`], which differ between published networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockNames {
    /// Those of MobileNetV3 and EfficientNet: every step below `block.0`, `block.1`, ….
    #[default]
    Block,
    /// Those of MobileNetV2: below `conv.0`, `conv.1`; the last convolution and its normalisation are steps of their own,
    /// `conv.2` and `conv.3`.
    Conv,
    /// Those of networks from TensorFlow: `_expand_conv` and `_bn0`, `_depthwise_conv` and `_bn1`, `_se`, `_project_conv` and
    /// `_bn2`, beside each other; with TensorFlow's padding, [`Padding::Same`].
    TensorFlow,
}

impl InvertedResidual {
    /// Makes a block through `inner` channels to `channels`: a 3×3 depthwise convolution, ReLU6 inside, stride 1.
    pub fn new(inner: usize, channels: usize) -> InvertedResidual {
        InvertedResidual {
            inner,
            channels,
            kernel: 3,
            stride: 1,
            activation: Activation::Relu6,
            squeeze: None,
            norm: BatchNorm::new(),
            drop: 0.0,
            names: BlockNames::default(),
        }
    }

    /// Sets the size of the depthwise filter, in pixels.
    pub fn kernel(mut self, kernel: usize) -> InvertedResidual {
        self.kernel = kernel;
        self
    }

    /// Sets the stride of the depthwise convolution, in input pixels per pixel of the result.
    pub fn stride(mut self, stride: usize) -> InvertedResidual {
        self.stride = stride;
        self
    }

    /// Sets the activation behind the first two convolutions.
    pub fn activation(mut self, activation: Activation) -> InvertedResidual {
        self.activation = activation;
        self
    }

    /// Sets the gates behind the depthwise convolution; the default is none.
    pub fn squeeze(mut self, squeeze: impl Into<Option<SqueezeExcitation>>) -> InvertedResidual {
        self.squeeze = squeeze.into();
        self
    }

    /// Sets the normalisation behind each convolution.
    pub fn norm(mut self, norm: BatchNorm) -> InvertedResidual {
        self.norm = norm;
        self
    }

    /// Sets the probability with which a sample takes the shortcut alone while training (Huang et al. 2016); 0 by default.
    /// Blocks without a shortcut never drop.
    pub fn stochastic_depth(mut self, probability: f32) -> InvertedResidual {
        self.drop = probability;
        self
    }

    /// Sets the names of the block's steps.
    pub fn names(mut self, names: BlockNames) -> InvertedResidual {
        self.names = names;
        self
    }

    fn unit(&self, channels: usize, kernel: usize) -> ConvNorm {
        ConvNorm::new(channels, kernel).norm(self.norm.clone())
    }

    /// The first convolution, if the inside is wider than the input.
    fn expansion(&self, x: &Node) -> Option<ConvNorm> {
        (self.inner != x.channels()).then(|| self.unit(self.inner, 1).activation(self.activation))
    }

    fn depthwise(&self) -> ConvNorm {
        self.unit(self.inner, self.kernel).groups(self.inner).stride(self.stride).activation(self.activation)
    }

    fn projection(&self) -> ConvNorm {
        self.unit(self.channels, 1)
    }

    /// Applies the steps under their numbers.
    fn numbered(&self, x: &Node) -> Node {
        let mut steps: Vec<Box<dyn Layer>> = Vec::new();
        if let Some(expansion) = self.expansion(x) {
            steps.push(Box::new(expansion));
        }
        steps.push(Box::new(self.depthwise()));
        if let Some(squeeze) = self.squeeze {
            steps.push(Box::new(squeeze));
        }
        let y = steps.iter().enumerate().fold(x.clone(), |x, (step, layer)| x.apply(step, layer));
        let last = steps.len();
        match self.names {
            BlockNames::Conv => self.projection().apply_as(&y, last, last + 1),
            BlockNames::Block | BlockNames::TensorFlow => y.apply(last, self.projection()),
        }
    }

    /// Applies the steps under TensorFlow's names.
    fn named_by_tensorflow(&self, x: &Node) -> Node {
        let y = self.expansion(x).map_or(x.clone(), |layer| layer.apply_as(x, "_expand_conv", "_bn0"));
        let depthwise = self.depthwise().padding(Padding::Same);
        let y = depthwise.apply_as(&y, "_depthwise_conv", "_bn1");
        let y = self.squeeze.map_or(y.clone(), |squeeze| y.apply("_se", squeeze));
        self.projection().apply_as(&y, "_project_conv", "_bn2")
    }
}

impl Layer for InvertedResidual {
    fn forward(&self, x: &Node) -> Node {
        let y = match self.names {
            BlockNames::Block => x.scope("block", |x| self.numbered(x)),
            BlockNames::Conv => x.scope("conv", |x| self.numbered(x)),
            BlockNames::TensorFlow => self.named_by_tensorflow(x),
        };
        if self.stride != 1 || x.channels() != self.channels {
            return y;
        }
        let y = if self.drop == 0.0 { y } else { y.stochastic_depth(self.drop) };
        y + x
    }
}
