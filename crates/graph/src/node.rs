//! Nodes: symbolic values of the network being described.

use crate::{Axis, AxisRole, Layer, LayerFunction, Op, Shape, Trace, ValueId, ValueInfo, func, trace::Scope};
use std::{fmt, panic::Location, sync::Arc};

/// A symbolic value of the network being described. Cloning copies a handle.
///
/// After the first mistake every new node is *poisoned*: it goes through every operation without effect, and
/// [`Model::build`](crate::Model::build) reports the mistake.
#[derive(Clone)]
pub struct Node {
    trace: Trace,
    id: Option<ValueId>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(_) => write!(f, "Node{}", self.shape()),
            None => write!(f, "Node(poisoned)"),
        }
    }
}

impl Node {
    pub(crate) fn new(trace: Trace, id: Option<ValueId>) -> Node {
        Node { trace, id }
    }

    /// The trace that this node belongs to.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Index of this value in the graph; `None` when poisoned.
    pub fn id(&self) -> Option<ValueId> {
        self.id
    }

    /// The shape; `[]` when poisoned.
    pub fn shape(&self) -> Shape {
        let shape = |id: ValueId| self.trace.read(|graph| graph.values.get(id).map(|value| value.shape.clone()));
        self.id.and_then(shape).unwrap_or_default()
    }

    /// Describes the shape and the origin of this value, as messages do: `[N, 8, 8, 3] from input "input"`; empty when
    /// poisoned. For a layer that refuses its input:
    /// `x.trace().fail("MyLayer", format!("…, got {}", x.description()))`.
    pub fn description(&self) -> String {
        let describe = |id: ValueId| self.trace.read(|graph| graph.values.get(id).map(ValueInfo::description));
        self.id.and_then(describe).unwrap_or_default()
    }

    /// Size of an axis. A poisoned node, or one without that axis, returns 1, 2, 3, …, so that a loop on a size ends.
    pub fn size(&self, axis: Axis) -> usize {
        self.shape().size(axis).unwrap_or_else(|| self.trace.growing_size())
    }

    /// Height in pixels of `[N, H, W, C]`.
    pub fn height(&self) -> usize {
        self.size(Axis::H)
    }

    /// Width in pixels of `[N, H, W, C]`.
    pub fn width(&self) -> usize {
        self.size(Axis::W)
    }

    /// Size of the last axis: channels or features.
    pub fn channels(&self) -> usize {
        self.size(Axis::C)
    }

    /// Returns the role that the features of rows `[N, features]` have for a layer which sums over them:
    /// [`AxisRole::FlattenedInputs`] if this is an image that was flattened, also with elementwise functions or dropout in
    /// between, and [`AxisRole::Inputs`] otherwise.
    pub fn input_role(&self) -> AxisRole {
        self.id.map_or(AxisRole::Inputs, |id| self.trace.read(|graph| graph.input_role(id)))
    }

    /// Applies an operation with one result to nodes, of which there is at least one.
    ///
    /// ```
    /// use ocelli_graph::{Model, Node, ops::ActivationOp};
    /// use ocelli_kernels::elementwise::Unary;
    /// let model = Model::build(|x| Node::call(ActivationOp(Unary::Abs), &[x]), [3], 0)?;
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `x` is empty.
    #[track_caller]
    pub fn call(op: impl Op, x: &[&Node]) -> Node {
        x[0].trace.call(Arc::new(op), x).swap_remove(0)
    }

    /// Applies a layer under `name`: its parameters and activations live below that path, which may be used once.
    #[track_caller]
    pub fn apply(&self, name: impl fmt::Display, layer: impl Layer) -> Node {
        self.apply_at(Location::caller(), &name, &layer)
    }

    /// Apart from [`apply`](Self::apply), which is compiled for every type of layer.
    fn apply_at(&self, location: &'static Location<'static>, name: &dyn fmt::Display, layer: &dyn Layer) -> Node {
        if self.id.is_none() || self.trace.is_dead() {
            return self.trace.poisoned();
        }
        let name = name.to_string();
        let (scope, before) = self.trace.enter(&name, layer.kind(), layer.sharing(), location);
        if name.is_empty() {
            return self.trace.fail("apply", "a layer needs a name");
        }
        if let Some(before) = before {
            let reason = format!(
                "the path \"{}\" is used at {before} and again at {location}; give one of them another name, or make both \
                 one `Shared` layer",
                scope.path
            );
            return self.trace.fail_at(&layer.kind(), reason, Some(location));
        }
        let path = scope.path.clone();
        self.trace.push_scope(scope);
        let y = layer.forward(self);
        self.trace.pop_scope();
        match y.id {
            Some(id) if !self.trace.is_dead() => self.trace.put_name(id, path),
            _ => y,
        }
    }

    /// Describes a named group of layers in place.
    ///
    /// ```
    /// use ocelli_graph::Model;
    /// let model = Model::build(|x| x.scope("block", |x| x.relu().named("active") * 2.0), [3], 0)?;
    /// assert!(model.graph().find("block.active").is_some());
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn scope(&self, name: impl fmt::Display, f: impl LayerFunction) -> Node {
        self.apply(name, func(f))
    }

    /// Gives this activation a name below the path of the layer that is being described, so that it can be requested.
    pub fn named(&self, name: &str) -> Node {
        let Some(id) = self.id.filter(|_| !self.trace.is_dead()) else {
            return self.trace.poisoned();
        };
        self.trace.put_name(id, crate::trace::join(&self.trace.path(), name))
    }

    /// Makes the scope in which the backward rule of a call is described.
    pub(crate) fn backward_scope(path: &str, kind: String) -> Scope {
        Scope { path: path.into(), parameters: String::new(), kind, location: Location::caller(), reuse: false }
    }
}
