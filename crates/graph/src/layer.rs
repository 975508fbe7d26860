//! Layers: functions from one node to another, with settings.

use crate::{LayerFunction, Node, op::type_name};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A function from one node to another. A layer holds settings only; its parameters live in the model, under the path
/// at which it is applied.
///
/// Structs, references and boxes of them are layers; a function or closure becomes one by [`func`], or is used in place
/// by [`Node::scope`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer",
    label = "not a layer",
    note = "a function or closure becomes a layer by `func(…)`, or use `x.scope(name, |x| …)`",
    note = "a network that is a function goes to `Model::build(network, sample, seed)`"
)]
pub trait Layer {
    /// Describes the computation that this layer applies to `x`.
    fn forward(&self, x: &Node) -> Node;

    /// Name in messages and summaries; by default the name of its type. Empty for a layer that is only a function: its
    /// operations then go by their own names.
    fn kind(&self) -> String {
        type_name::<Self>()
    }

    /// Identity and parameter path of a [`Shared`] layer.
    #[doc(hidden)]
    fn sharing(&self) -> Option<(u64, &str)> {
        None
    }
}

macro_rules! forward_to_inner {
    ($($pointer:ty),*) => { $(
        impl<L: Layer + ?Sized> Layer for $pointer {
            fn forward(&self, x: &Node) -> Node {
                (**self).forward(x)
            }
            fn kind(&self) -> String {
                (**self).kind()
            }
            fn sharing(&self) -> Option<(u64, &str)> {
                (**self).sharing()
            }
        }
    )* };
}
forward_to_inner!(&L, Box<L>, Arc<L>);

/// A function used as a layer; made by [`func`].
#[derive(Clone, Copy, Debug)]
pub struct Func<F>(F);

/// Makes a layer of a function or closure.
///
/// ```
/// use ocelli_graph::{Layer, Model, Node, func};
/// fn twice(x: &Node) -> Node {
///     x + x
/// }
/// let model = Model::build(|x| x.apply("twice", func(twice)).apply("rest", func(|x| x.relu())), [3], 0)?;
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
pub fn func<F: LayerFunction>(f: F) -> Func<F> {
    Func(f)
}

impl<F: LayerFunction> Layer for Func<F> {
    fn forward(&self, x: &Node) -> Node {
        (self.0)(x)
    }

    fn kind(&self) -> String {
        String::new()
    }
}

/// A layer whose parameters are shared by every application of this value: Siamese towers, recurrent blocks.
///
/// `Shared::new("tower", net)` applied as `left` and `right` has the parameters `tower.conv.weight` and the activations
/// `left.conv` and `right.conv`.
#[derive(Debug)]
pub struct Shared<L> {
    id: u64,
    path: String,
    layer: L,
}

impl<L: Layer> Shared<L> {
    /// Shares the parameters of `layer`, which live below `path`.
    pub fn new(path: impl Into<String>, layer: L) -> Shared<L> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Shared { id: NEXT.fetch_add(1, Ordering::Relaxed), path: path.into(), layer }
    }
}

impl<L: Layer> Layer for Shared<L> {
    fn forward(&self, x: &Node) -> Node {
        self.layer.forward(x)
    }

    fn kind(&self) -> String {
        self.layer.kind()
    }

    fn sharing(&self) -> Option<(u64, &str)> {
        Some((self.id, &self.path))
    }
}

/// A layer whose inner activations a training step recomputes from the layer's input in backward instead of keeping
/// them (activation checkpointing, Chen et al. 2016): less memory for more time, with the same bits. The inputs and
/// results of the layer are kept. [`Model::recompute`](crate::Model::recompute) does the same for a layer by its path.
///
/// It covers the path at which it is applied and everything below. A recomputed layer inside another is part of it: the
/// outer one is recomputed as a whole.
///
/// ```
/// use ocelli_graph::{Mode, Model, Node, Recomputed, Wrt, func};
/// let block = |x: &Node| x.tanh().square().tanh().square().tanh();
/// let peak = |model: &Model| -> Result<usize, ocelli_graph::Error> {
///     let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), |t| t.output().mean())?;
///     Ok(objective.plan(model, 64)?.peak_bytes())
/// };
/// let kept = Model::build(|x| x.apply("a", func(block)).apply("b", func(block)), [100], 0)?;
/// let block = Recomputed(func(block));
/// let recomputed = Model::build(|x| x.apply("a", &block).apply("b", &block), [100], 0)?;
/// assert!(peak(&recomputed)? < peak(&kept)?);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Recomputed<L>(
    /// The layer.
    pub L,
);

impl<L: Layer> Layer for Recomputed<L> {
    fn forward(&self, x: &Node) -> Node {
        x.trace().recompute_layer();
        self.0.forward(x)
    }

    fn kind(&self) -> String {
        self.0.kind()
    }

    fn sharing(&self) -> Option<(u64, &str)> {
        self.0.sharing()
    }
}
