//! Transposed convolution.

use crate::{Init, Pair};
use ocelli_graph::{
    AxisRole::{Inputs, KernelHeight, KernelWidth, Outputs},
    Initializer, Layer, Node,
    ops::ConvTranspose2dOp,
};
use ocelli_kernels::conv::{Conv2dSettings, Padding};
use std::sync::Arc;

/// Transposed convolution, the adjoint of a convolution, with which decoders enlarge images.
///
/// # Shapes
/// `[N, H, W, in]` → `[N, H', W', channels]` with
/// `H' = (H − 1)·stride − padding + dilation·(kernel − 1) + 1 + output_padding`.
///
/// # Parameters
/// `weight` `[kernel_h, kernel_w, channels / groups, in]`, `bias` `[channels]`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{ConvTranspose2d, Padding};
/// let twice = ConvTranspose2d::new(16, 4).stride(2).padding(Padding::uniform(1));
/// let model = Model::build(|x| x.apply("up", &twice), [14, 14, 32], 0)?;
/// assert_eq!(model.summary().rows[0].output, "[N, 28, 28, 16]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    channels: usize,
    kernel: Pair,
    settings: Conv2dSettings,
    output_padding: Pair,
    bias: bool,
    weight_init: Arc<dyn Initializer>,
    bias_init: Arc<dyn Initializer>,
}

impl ConvTranspose2d {
    /// Makes a layer of `channels` output channels, filters of `kernel` pixels (`3`, or `[1, 7]` for rows and columns),
    /// stride 1, no padding, with a bias.
    pub fn new(channels: usize, kernel: impl Into<Pair>) -> ConvTranspose2d {
        ConvTranspose2d {
            channels,
            kernel: kernel.into(),
            settings: Conv2dSettings::default(),
            output_padding: Pair { h: 0, w: 0 },
            bias: true,
            weight_init: Arc::new(Init::default()),
            bias_init: Arc::new(Init::Constant(0.0)),
        }
    }

    /// Sets the stride: pixels of the result from one pixel of the input to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> ConvTranspose2d {
        let stride = stride.into();
        (self.settings.stride_h, self.settings.stride_w) = (stride.h, stride.w);
        self
    }

    /// Sets the pixels that are removed from the border of the result: the zeros around it that the convolution would
    /// see. Not [`Padding::Same`].
    pub fn padding(mut self, padding: Padding) -> ConvTranspose2d {
        self.settings.padding = padding;
        self
    }

    /// Sets the rows and columns that the result has more at the bottom and right, less than the stride: the
    /// convolution maps all these sizes to the same one.
    pub fn output_padding(mut self, pixels: impl Into<Pair>) -> ConvTranspose2d {
        self.output_padding = pixels.into();
        self
    }

    /// Sets the dilation: pixels from one tap of the filter to the next.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> ConvTranspose2d {
        let dilation = dilation.into();
        (self.settings.dilation_h, self.settings.dilation_w) = (dilation.h, dilation.w);
        self
    }

    /// Sets the number of groups of channels, which do not see each other.
    pub fn groups(mut self, groups: usize) -> ConvTranspose2d {
        self.settings.groups = groups;
        self
    }

    /// Sets whether a bias is added to each output channel.
    pub fn bias(mut self, bias: bool) -> ConvTranspose2d {
        self.bias = bias;
        self
    }

    /// Sets the initialiser of the weights; the default is Glorot uniform.
    pub fn weight_init(mut self, init: impl Initializer + 'static) -> ConvTranspose2d {
        self.weight_init = Arc::new(init);
        self
    }

    /// Sets the initialiser of the biases; the default is zeros.
    pub fn bias_init(mut self, init: impl Initializer + 'static) -> ConvTranspose2d {
        self.bias_init = Arc::new(init);
        self
    }

    /// Describes in a sentence what is wrong with the settings; the operation checks the sizes.
    fn mistake(&self, x: &Node) -> Option<String> {
        let channels = x.shape().channels();
        let groups = self.settings.groups;
        if self.channels == 0 || self.kernel.h == 0 || self.kernel.w == 0 {
            return Some(format!("{} filters of {}×{} pixels", self.channels, self.kernel.h, self.kernel.w));
        }
        if groups == 0 {
            return Some("groups must be at least 1, got 0".into());
        }
        if !channels.is_multiple_of(groups) {
            let expected = format!("a number of input channels on axis C that groups = {groups} divides");
            return Some(format!("expected {expected}, got {channels} in {}", x.description()));
        }
        let outputs = self.channels;
        let wrong = !outputs.is_multiple_of(groups);
        wrong.then(|| format!("groups = {groups} does not divide the {outputs} output channels"))
    }
}

impl Layer for ConvTranspose2d {
    fn forward(&self, x: &Node) -> Node {
        let (trace, channels) = (x.trace(), x.shape().channels());
        if x.shape().rank() == 4
            && let Some(mistake) = self.mistake(x)
        {
            return trace.fail("ConvTranspose2d", mistake);
        }
        let Pair { h, w } = self.kernel;
        // The filter is that of the convolution whose adjoint this is: its inputs are the outputs here.
        let inputs = self.channels / self.settings.groups.max(1);
        let axes = ([KernelHeight, KernelWidth, Inputs, Outputs], [h, w, inputs, channels]);
        let weight = trace.parameter_from("weight", axes, self.weight_init.clone());
        let op = ConvTranspose2dOp::new(self.settings, [self.output_padding.h, self.output_padding.w]);
        let y = x.conv_transpose2d(op, &weight);
        if !self.bias {
            return y;
        }
        y + trace.parameter_from("bias", ([Outputs], [self.channels]), self.bias_init.clone())
    }
}
