//! Two-dimensional convolution.

use crate::{
    Init, Pair,
    initial::{BiasInit, UniformByFanIn},
};
use ocelli_graph::{
    Axis,
    AxisRole::{Connections, Inputs, KernelHeight, KernelWidth, Outputs},
    Initializer, Layer, Node, ParameterShape,
    ops::{self, ConnectionTable, Conv2dOp},
};
use ocelli_kernels::conv::{Conv2dSettings, ConvMode, Padding};
use std::sync::Arc;

/// Two-dimensional convolution; cross-correlation unless [`mode`](Conv2d::mode) says otherwise.
///
/// # Shapes
/// `[N, H, W, in]` → `[N, H', W', channels]` with `H' = ⌊(H + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1`.
///
/// # Parameters
/// `weight` `[kernel_h, kernel_w, in / groups, channels]` (with a connection table `[kernel_h, kernel_w, connections]`),
/// `bias` `[channels]`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Conv2d, Padding};
/// let model = Model::build(|x| x.apply("conv", Conv2d::new(64, 7).stride(2).padding(Padding::uniform(3))), [224, 224, 3], 0)?;
/// assert_eq!(model.summary().rows[0].output, "[N, 112, 112, 64]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d {
    channels: usize,
    kernel: Pair,
    settings: Conv2dSettings,
    bias: bool,
    table: Option<Arc<ConnectionTable>>,
    expected_channels: Option<usize>,
    algorithm: Option<String>,
    weight_init: Arc<dyn Initializer>,
    bias_init: BiasInit,
}

impl Conv2d {
    /// Makes a layer of `channels` filters of `kernel` pixels (`3`, or `[1, 7]` for rows and columns), stride 1, no
    /// padding, with a bias.
    pub fn new(channels: usize, kernel: impl Into<Pair>) -> Conv2d {
        Conv2d {
            channels,
            kernel: kernel.into(),
            settings: Conv2dSettings::default(),
            bias: true,
            table: None,
            expected_channels: None,
            algorithm: None,
            weight_init: Arc::new(Init::default()),
            bias_init: BiasInit::Given(Arc::new(Init::Constant(0.0))),
        }
    }

    /// Sets the stride: pixels from one window to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Conv2d {
        let stride = stride.into();
        (self.settings.stride_h, self.settings.stride_w) = (stride.h, stride.w);
        self
    }

    /// Sets the padding: zeros around the image.
    pub fn padding(mut self, padding: Padding) -> Conv2d {
        self.settings.padding = padding;
        self
    }

    /// Pads so that the size is kept at stride 1: [`Padding::Same`].
    pub fn same(self) -> Conv2d {
        self.padding(Padding::Same)
    }

    /// Sets the dilation: pixels from one tap of the filter to the next.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Conv2d {
        let dilation = dilation.into();
        (self.settings.dilation_h, self.settings.dilation_w) = (dilation.h, dilation.w);
        self
    }

    /// Sets the number of groups of channels, which do not see each other.
    pub fn groups(mut self, groups: usize) -> Conv2d {
        self.settings.groups = groups;
        self
    }

    /// Sets cross-correlation or true convolution.
    pub fn mode(mut self, mode: ConvMode) -> Conv2d {
        self.settings.mode = mode;
        self
    }

    /// Sets whether a bias is added to each output channel.
    pub fn bias(mut self, bias: bool) -> Conv2d {
        self.bias = bias;
        self
    }

    /// Connects each output map only to the input maps that a table lists. Cannot be combined with groups.
    pub fn connections(mut self, table: ConnectionTable) -> Conv2d {
        self.table = Some(Arc::new(table));
        self
    }

    /// Makes another number of input channels an error: for weights that are loaded.
    pub fn expect_channels(mut self, channels: usize) -> Conv2d {
        self.expected_channels = Some(channels);
        self
    }

    /// Forces an algorithm by its name, for the forward and both backward passes. It is an error of the build if it
    /// does not support the convolution, and of the plan of an objective if it lacks a backward pass that is needed.
    pub fn algorithm(mut self, name: impl Into<String>) -> Conv2d {
        self.algorithm = Some(name.into());
        self
    }

    /// Sets the initialiser of the weights; the default is Glorot uniform.
    pub fn weight_init(mut self, init: impl Initializer + 'static) -> Conv2d {
        self.weight_init = Arc::new(init);
        self
    }

    /// Sets the initialiser of the biases; the default is zeros.
    pub fn bias_init(mut self, init: impl Initializer + 'static) -> Conv2d {
        self.bias_init = BiasInit::Given(Arc::new(init));
        self
    }

    /// Sets PyTorch's initialisation: weights and biases uniform in `±1 / √fan_in`.
    pub fn pytorch_init(mut self) -> Conv2d {
        self.weight_init = Arc::new(UniformByFanIn);
        self.bias_init = BiasInit::UniformByFanIn;
        self
    }

    /// Axes of the weights: those of a filter, or a window for each connection of the table.
    fn weight_axes(&self, x: &Node) -> ParameterShape {
        let Pair { h, w } = self.kernel;
        if let Some(table) = &self.table {
            let connections = Connections { inputs: table.inputs(), outputs: table.outputs() };
            return ([KernelHeight, KernelWidth, connections], [h, w, table.len()]).into();
        }
        let channels = self.expected_channels.unwrap_or_else(|| x.shape().channels());
        let inputs = channels / self.settings.groups.max(1);
        ([KernelHeight, KernelWidth, Inputs, Outputs], [h, w, inputs, self.channels]).into()
    }

    /// Describes in a sentence what is wrong with the settings; the operation checks the sizes.
    fn mistake(&self, x: &Node) -> Option<String> {
        let groups = self.settings.groups;
        let channels = x.shape().size(Axis::C);
        if self.channels == 0 || self.kernel.h == 0 || self.kernel.w == 0 {
            return Some(format!("{} filters of {}×{} pixels", self.channels, self.kernel.h, self.kernel.w));
        }
        if groups == 0 {
            return Some("groups must be at least 1, got 0".into());
        }
        if let Some(channels) = channels.filter(|channels| channels % groups != 0) {
            let expected = format!("a number of input channels on axis C that groups = {groups} divides");
            return Some(format!("expected {expected}, got {channels} in {}", x.description()));
        }
        let table = self.table.as_ref()?;
        if groups != 1 || table.outputs() != self.channels {
            let outputs = table.outputs();
            return Some(format!(
                "a connection table of {outputs} output maps for {} in {groups} groups",
                self.channels
            ));
        }
        None
    }
}

impl Layer for Conv2d {
    fn forward(&self, x: &Node) -> Node {
        if x.shape().rank() == 4
            && let Some(mistake) = self.mistake(x)
        {
            return x.trace().fail("Conv2d", mistake);
        }
        let axes = self.weight_axes(x);
        let bias_init = self.bias_init.beside(&axes.axes());
        let weight = x.trace().parameter_from("weight", axes, self.weight_init.clone());
        let w = match &self.table {
            Some(table) => Node::call(ops::Connections(table.clone()), &[&weight]),
            None => weight,
        };
        let op = Conv2dOp {
            algorithm: self.algorithm.clone(),
            connected: self.table.as_ref().map(|table| table.len()),
            ..Conv2dOp::new(self.settings)
        };
        if !self.bias {
            return Node::call(op, &[x, &w]);
        }
        let b = x.trace().parameter_from("bias", ([Outputs], [self.channels]), bias_init);
        Node::call(op, &[x, &w, &b])
    }
}
