//! Residual connections.

use crate::{Distribution, Init, Normalisation, Shortcut};
use ocelli_graph::{Layer, Node};

/// Residual block, `relu(f(x) + shortcut(x))` (He et al. 2015, eq. 1); without a shortcut `relu(f(x))`, the plain block that
/// the paper compares with.
///
/// # Shapes
/// The shapes of the body `f`, whose result must have the shape of the shortcut's.
///
/// # Parameters
/// The parameters of the body; a projection has its parameters below `shortcut`, or another name.
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
#[derive(Clone, Copy, Debug)]
pub struct Residual<L> {
    body: L,
    shortcut: Option<Shortcut>,
    stride: usize,
    name: &'static str,
    normalisation: Normalisation,
    weight_init: fn(usize, usize) -> Init,
}

impl<L: Layer> Residual<L> {
    /// Makes a block that adds the input to the result of the body.
    pub fn new(body: L) -> Residual<L> {
        Residual {
            body,
            shortcut: Some(Shortcut::Identity),
            stride: 1,
            name: "shortcut",
            normalisation: Normalisation::Batch,
            weight_init: |_, _| Init::He(Distribution::Normal),
        }
    }

    /// Sets the shortcut; `None` leaves it out.
    pub fn shortcut(mut self, shortcut: impl Into<Option<Shortcut>>) -> Residual<L> {
        self.shortcut = shortcut.into();
        self
    }

    /// Sets the stride of the body, in input pixels per pixel of the result.
    pub fn stride(mut self, stride: usize) -> Residual<L> {
        self.stride = stride;
        self
    }

    /// Sets the name below which a projection has its parameters, such as torchvision's `downsample`.
    pub fn shortcut_name(mut self, name: &'static str) -> Residual<L> {
        self.name = name;
        self
    }

    /// Sets the normalisation after a projection.
    pub fn normalisation(mut self, normalisation: Normalisation) -> Residual<L> {
        self.normalisation = normalisation;
        self
    }

    /// Sets the initialiser of a projection's weights, by its channels and the size of its filter, 1; the default is He
    /// normal.
    pub fn weight_init(mut self, init: fn(usize, usize) -> Init) -> Residual<L> {
        self.weight_init = init;
        self
    }
}

impl<L: Layer> Layer for Residual<L> {
    fn forward(&self, x: &Node) -> Node {
        let y = self.body.forward(x);
        let Some(shortcut) = self.shortcut else { return y.relu() };
        let channels = y.channels();
        let layer = shortcut.to(channels, self.stride).normalisation(self.normalisation);
        (y + x.apply(self.name, layer.weight_init((self.weight_init)(channels, 1)))).relu()
    }

    fn kind(&self) -> String {
        "Residual".into()
    }
}
