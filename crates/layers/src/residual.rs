//! Residual connections.

use crate::{BatchNorm, Conv2d, Distribution, Init};
use ocelli_graph::{Axis, Dim, Layer, Node, Shape};
use ocelli_kernels::pool::{CountPadding, PoolSettings};

/// The branch that is added to the result of a residual block (He et al. 2015, section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// The input, which must have the shape of the result.
    Identity,
    /// Option A: every `stride`-th pixel of the input in both directions, with channels of zeros added, half of them
    /// before and half after. No parameters.
    ZeroPad,
    /// Option B: a 1×1 convolution without bias and a batch normalisation, where the shapes differ; elsewhere the input.
    /// Frozen (`Model::freeze`) it is a fixed projection.
    Projection,
}

impl Shortcut {
    /// Makes a layer of the shortcut, to `channels` channels and one pixel in every `stride`.
    pub fn to(self, channels: usize, stride: usize) -> ShortcutLayer {
        ShortcutLayer { shortcut: self, channels, stride, weight_init: Init::He(Distribution::Normal) }
    }
}

/// A [`Shortcut`] to a given number of channels.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, channels]`. With stride 1 and `C = channels` it is the identity.
///
/// # Parameters
/// A projection has `0.weight` `[1, 1, C, channels]` and the parameters of the normalisation below `1`.
#[derive(Clone, Copy, Debug)]
pub struct ShortcutLayer {
    shortcut: Shortcut,
    channels: usize,
    stride: usize,
    weight_init: Init,
}

impl ShortcutLayer {
    /// Sets the initialiser of a projection's weights; the default is He normal.
    pub fn weight_init(mut self, init: Init) -> ShortcutLayer {
        self.weight_init = init;
        self
    }

    /// Takes every `stride`-th pixel: windows of one pixel.
    fn sampled(&self, x: &Node) -> Node {
        if self.stride == 1 {
            return x.clone();
        }
        x.avg_pool(PoolSettings::square(1).stride(self.stride), CountPadding::Include)
    }

    fn zero_padded(&self, x: &Node) -> Node {
        let given = x.channels();
        let Some(missing) = self.channels.checked_sub(given) else {
            let expected =
                format!("at most {} channels on axis C (zeros are added, none is taken away)", self.channels);
            let reason = format!("expected {expected}, got {given} in {}", x.description());
            return x.trace().fail("Shortcut", reason);
        };
        let x = self.sampled(x);
        let zeros = |channels: usize| {
            let mut dims = x.shape().dims().to_vec();
            dims.pop();
            dims.push(Dim::Fixed(channels));
            x.trace().filled(0.0, Shape::new(dims))
        };
        let before = missing / 2;
        let parts =
            [(before > 0).then(|| zeros(before)), Some(x.clone()), (missing > 0).then(|| zeros(missing - before))];
        Node::concat(&parts.iter().flatten().collect::<Vec<_>>(), Axis::C)
    }
}

impl Layer for ShortcutLayer {
    fn forward(&self, x: &Node) -> Node {
        if self.shortcut == Shortcut::Identity || (self.stride == 1 && x.channels() == self.channels) {
            return x.clone();
        }
        if self.shortcut == Shortcut::ZeroPad {
            return self.zero_padded(x);
        }
        let conv = Conv2d::new(self.channels, 1).stride(self.stride).bias(false).weight_init(self.weight_init);
        x.apply("0", conv).apply("1", BatchNorm::new())
    }

    fn kind(&self) -> String {
        "Shortcut".into()
    }
}

/// Residual block, `relu(f(x) + shortcut(x))` (He et al. 2015, eq. 1).
///
/// # Shapes
/// The shapes of the body `f`, whose result must have the shape of the shortcut's.
///
/// # Parameters
/// The parameters of the body; a projection has its parameters below `shortcut`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Activation, Conv2d, Residual, Sequential, Shortcut};
/// let body = Sequential::new()
///     .then(Conv2d::new(32, 3).same().stride(2))
///     .then(Activation::Relu)
///     .then(Conv2d::new(32, 3).same());
/// let model = Model::from_layer(Residual::new(body).stride(2).shortcut(Shortcut::ZeroPad), [28, 28, 16], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 14, 14, 32]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Residual<L> {
    body: L,
    shortcut: Shortcut,
    stride: usize,
}

impl<L: Layer> Residual<L> {
    /// Makes a block that adds the input to the result of the body.
    pub fn new(body: L) -> Residual<L> {
        Residual { body, shortcut: Shortcut::Identity, stride: 1 }
    }

    /// Sets the shortcut.
    pub fn shortcut(mut self, shortcut: Shortcut) -> Residual<L> {
        self.shortcut = shortcut;
        self
    }

    /// Sets the stride of the body, in input pixels per pixel of the result.
    pub fn stride(mut self, stride: usize) -> Residual<L> {
        self.stride = stride;
        self
    }
}

impl<L: Layer> Layer for Residual<L> {
    fn forward(&self, x: &Node) -> Node {
        let y = self.body.forward(x);
        let shortcut = x.apply("shortcut", self.shortcut.to(y.channels(), self.stride));
        (y + shortcut).relu()
    }

    fn kind(&self) -> String {
        "Residual".into()
    }
}
