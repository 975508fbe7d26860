//! The beginning of a network as a layer.

use crate::{Layer, Node};

/// A layer up to one of its activations: what comes behind is not described, and has no parameters. A trunk for features of
/// a published network, whose names stay what they are.
///
/// ```
/// use ocelli_graph::{Constant, Model, Node, Until, func};
/// let scale = |x: &Node| x * x.trace().parameter("weight", [3], Constant(2.0));
/// let network = move |x: &Node| x.scope("a", scale).scope("b", scale);
/// let model = Model::from_layer(Until::new(func(network), "a"), [3], 0)?;
/// assert!(model.parameters().value("a.weight").is_some() && model.parameters().len() == 1);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
///
/// A name that the layer has not is an error of the build.
#[derive(Clone, Debug)]
pub struct Until<L> {
    layer: L,
    activation: String,
}

impl<L: Layer> Until<L> {
    /// Cuts `layer` behind the activation called `activation`, a path within it.
    pub fn new(layer: L, activation: impl Into<String>) -> Until<L> {
        Until { layer, activation: activation.into() }
    }
}

impl<L: Layer> Layer for Until<L> {
    fn forward(&self, x: &Node) -> Node {
        let trace = x.trace();
        let before = trace.size();
        self.layer.forward(x);
        let y = trace.tap(&crate::trace::join(&trace.path(), &self.activation));
        match y.id() {
            Some(id) => trace.keep_only(id, before),
            None => y,
        }
    }

    fn kind(&self) -> String {
        self.layer.kind()
    }
}
