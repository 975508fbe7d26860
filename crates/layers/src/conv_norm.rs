//! A convolution with its normalisation and activation.

use crate::{Activation, BatchNorm, Conv2d, Init, Padding, Pair};
use ocelli_graph::{Layer, Node};
use std::fmt::Display;

/// A convolution without bias, a batch normalisation and perhaps an activation: the unit that networks since MobileNet are made
/// of. Padding keeps the size at stride 1: PyTorch's unless set otherwise, half of the filter on each side.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, channels]` for filters of odd size.
///
/// # Parameters
/// Torchvision's: `0.weight` `[kernel_h, kernel_w, C / groups, channels]`, and those of the normalisation below `1`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Activation, ConvNorm};
/// let first = ConvNorm::new(32, 3).stride(2).activation(Activation::Relu6);
/// let model = Model::from_layer(first, [224, 224, 3], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 112, 112, 32]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvNorm {
    channels: usize,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    groups: usize,
    norm: BatchNorm,
    activation: Option<Activation>,
}

impl ConvNorm {
    /// Makes a layer of `channels` filters of `kernel` pixels, stride 1, without an activation.
    pub fn new(channels: usize, kernel: impl Into<Pair>) -> ConvNorm {
        let kernel = kernel.into();
        let Pair { h, w } = kernel;
        ConvNorm {
            channels,
            kernel,
            stride: 1.into(),
            padding: Padding::Explicit { top: h / 2, bottom: h / 2, left: w / 2, right: w / 2 },
            groups: 1,
            norm: BatchNorm::new(),
            activation: None,
        }
    }

    /// Sets the stride: pixels from one window to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> ConvNorm {
        self.stride = stride.into();
        self
    }

    /// Sets the padding, such as TensorFlow's [`Padding::Same`], which puts an odd pixel at the end.
    pub fn padding(mut self, padding: Padding) -> ConvNorm {
        self.padding = padding;
        self
    }

    /// Sets the number of groups of channels, which do not see each other; as many as there are channels make the convolution
    /// depthwise.
    pub fn groups(mut self, groups: usize) -> ConvNorm {
        self.groups = groups;
        self
    }

    /// Sets the normalisation; the default is [`BatchNorm::new`].
    pub fn norm(mut self, norm: BatchNorm) -> ConvNorm {
        self.norm = norm;
        self
    }

    /// Sets the activation; the default is none.
    pub fn activation(mut self, activation: impl Into<Option<Activation>>) -> ConvNorm {
        self.activation = activation.into();
        self
    }

    /// Applies the layer with the convolution called `conv` and the normalisation called `norm`.
    pub fn apply_as(&self, x: &Node, conv: impl Display, norm: impl Display) -> Node {
        let Pair { h, w } = self.kernel;
        // PyTorch's He normal initialisation over the outputs: fan_out = kernel · channels / groups.
        let fan_out = h.saturating_mul(w).saturating_mul(self.channels) / self.groups.max(1);
        let layer = Conv2d::new(self.channels, self.kernel)
            .stride(self.stride)
            .padding(self.padding)
            .groups(self.groups)
            .bias(false)
            .weight_init(Init::Normal((2.0 / fan_out.max(1) as f32).sqrt()));
        let y = x.apply(conv, layer).apply(norm, self.norm.clone());
        self.activation.map_or(y.clone(), |activation| activation.forward(&y))
    }
}

impl Layer for ConvNorm {
    fn forward(&self, x: &Node) -> Node {
        self.apply_as(x, 0, 1)
    }
}
