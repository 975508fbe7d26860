//! The trace: a network while it is being described.

use crate::{
    BuildError, Call, Dim, ElementKind, Fault, Graph, Initializer, Node, Op, ParameterRole, ParameterShape,
    ParameterSpec, Shape, ValueId, ValueInfo, ValueSource, contract, part,
};
use std::{cell::RefCell, collections::HashMap, panic::Location, rc::Rc, sync::Arc};

/// One layer that is being described.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Path of its activations.
    pub(crate) path: String,
    /// Path of its parameters: other than `path` inside a shared layer.
    pub(crate) parameters: String,
    /// Name of the layer; empty for a plain function.
    pub(crate) kind: String,
    pub(crate) location: &'static Location<'static>,
    /// True if parameters that exist already are meant: the second use of a shared layer.
    pub(crate) reuse: bool,
}

#[derive(Debug, Default)]
struct State {
    graph: Graph,
    scopes: Vec<Scope>,
    /// The first mistake. From then on every node is poisoned.
    error: Option<BuildError>,
    closed: bool,
    /// True if the graph was described before: that of an objective, whose parameters are those of the model.
    continues: bool,
    /// Paths that were applied, and the places in the source.
    applied: HashMap<String, &'static Location<'static>>,
    /// Parameter paths of shared layers, by their identity.
    shared: HashMap<u64, String>,
    /// Number of sizes that poisoned nodes gave.
    growing_sizes: usize,
}

/// A network while it is being described: makes inputs and parameters, and finds activations by name.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<RefCell<State>>);

pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.into() } else { format!("{parent}.{name}") }
}

/// Writes the error for a parameter that is requested in the description of a loss.
fn not_of_the_model(path: &str, exists: bool) -> String {
    if exists {
        return format!("{path} is a parameter of the network; a loss reads it by `trace.tap(\"{path}\")`");
    }
    format!(
        "{path} is made in a loss, which has no parameters of its own; describe its layer in the network, give the result a name \
         (`named`), and let the loss `tap` that"
    )
}

impl Trace {
    /// Gives access to the state, all of it through here; `f` must not touch the trace.
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    /// Continues a graph that was closed. It gets no new parameters: the model has memory for those that it was built
    /// with.
    pub(crate) fn reopen(graph: Graph) -> Trace {
        Trace(Rc::new(RefCell::new(State { graph, continues: true, ..State::default() })))
    }

    /// Continues a graph that gets further layers. What they return is its new `output`.
    pub(crate) fn extend(mut graph: Graph) -> Trace {
        graph.names.remove("output");
        Trace(Rc::new(RefCell::new(State { graph, ..State::default() })))
    }

    /// Number of values so far.
    pub(crate) fn size(&self) -> usize {
        self.read(|graph| graph.values.len())
    }

    /// Forgets what was described since there were `before` values and `value` is not computed of. Returns the node of that
    /// value; others that were made since then are no longer to be used.
    pub(crate) fn keep_only(&self, value: ValueId, before: usize) -> Node {
        let id = self.with(|state| {
            let mut needed = part::computing(&state.graph, &[value], None);
            needed[..before].fill(true);
            let (graph, places) = part::kept(&state.graph, &needed);
            state.graph = graph;
            places[value]
        });
        Node::new(self.clone(), id)
    }

    /// Ends the description. Nodes that outlive it are poisoned.
    pub(crate) fn close(&self) -> Result<Graph, BuildError> {
        self.with(|state| {
            state.closed = true;
            match state.error.take() {
                Some(error) => Err(error),
                None => Ok(std::mem::take(&mut state.graph)),
            }
        })
    }

    pub(crate) fn read<R>(&self, f: impl FnOnce(&Graph) -> R) -> R {
        self.with(|state| f(&state.graph))
    }

    pub(crate) fn is_same(&self, other: &Trace) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.with(|state| state.error.is_some() || state.closed)
    }

    /// Returns true if a mistake was found in the description. Nodes made from here on have no effect; whoever describes
    /// a network from data can stop.
    pub fn has_failed(&self) -> bool {
        self.with(|state| state.error.is_some())
    }

    pub(crate) fn poisoned(&self) -> Node {
        Node::new(self.clone(), None)
    }

    pub(crate) fn node(&self, id: ValueId) -> Node {
        Node::new(self.clone(), Some(id))
    }

    /// Returns 1, 2, 3, …: the sizes of a poisoned node, so that a user's loop on a size ends and nothing divides by
    /// zero.
    pub(crate) fn growing_size(&self) -> usize {
        self.with(|state| {
            state.growing_sizes += 1;
            state.growing_sizes
        })
    }

    /// Records the first mistake, in a sentence, and returns a poisoned node. `kind` names the operation; the layer
    /// that is being described takes its place if there is one.
    pub fn fail(&self, kind: &str, reason: impl Into<String>) -> Node {
        self.fail_at(kind, reason.into(), None)
    }

    pub(crate) fn fail_at(&self, kind: &str, reason: String, at: Option<&'static Location<'static>>) -> Node {
        self.with(|state| {
            let scope = state.scopes.last();
            let error = BuildError {
                path: scope.map_or(String::new(), |scope| scope.path.clone()),
                kind: scope.map(|scope| &scope.kind).filter(|kind| !kind.is_empty()).map_or(kind, |k| k).to_string(),
                reason,
                location: scope.map(|scope| scope.location).or(at),
            };
            if !state.closed {
                state.error.get_or_insert(error);
            }
        });
        self.poisoned()
    }

    pub(crate) fn push_scope(&self, scope: Scope) {
        self.with(|state| state.scopes.push(scope));
    }

    pub(crate) fn pop_scope(&self) {
        self.with(|state| state.scopes.pop());
    }

    /// Returns the scope in which something called `name` would be applied, and the place where that name was applied
    /// before.
    pub(crate) fn enter(
        &self,
        name: &str,
        kind: String,
        sharing: Option<(u64, &str)>,
        location: &'static Location<'static>,
    ) -> (Scope, Option<&'static Location<'static>>) {
        self.with(|state| {
            let outer = state.scopes.last();
            let outer_path = outer.map_or("", |scope| &scope.path);
            let outer_parameters = outer.map_or("", |scope| &scope.parameters);
            let mut reuse = outer.is_some_and(|scope| scope.reuse);
            let path = join(outer_path, name);
            let mut parameters = join(outer_parameters, name);
            if let Some((id, shared)) = sharing {
                let fresh = join(outer_parameters, shared);
                reuse |= state.shared.contains_key(&id);
                parameters = state.shared.entry(id).or_insert(fresh).clone();
            }
            let before = state.applied.insert(path.clone(), location);
            (Scope { path, parameters, kind, location, reuse }, before)
        })
    }

    fn add_value(&self, shape: Shape, kind: ElementKind, source: ValueSource, origin: String) -> ValueId {
        self.with(|state| {
            state.graph.values.push(ValueInfo { shape, kind, source, origin });
            state.graph.values.len() - 1
        })
    }

    /// Gives the value a name; an error if another value has it.
    pub(crate) fn put_name(&self, id: ValueId, path: String) -> Node {
        let taken = self.with(|state| *state.graph.names.entry(path.clone()).or_insert(id) != id);
        if taken {
            return self.fail("named", format!("\"{path}\" is already the name of a value"));
        }
        self.node(id)
    }

    /// Adds an input of either kind.
    pub(crate) fn add_input(&self, name: &str, shape: Shape, kind: ElementKind) -> Node {
        if self.is_dead() {
            return self.poisoned();
        }
        if let Some(existing) = self.read(|graph| graph.names.get(name).copied()) {
            let same = self.read(|graph| {
                let value = &graph.values[existing];
                value.source == ValueSource::Input(name.into()) && value.shape == shape && value.kind == kind
            });
            if same {
                return self.node(existing);
            }
            return self.fail("input", format!("\"{name}\" is already the name of a value"));
        }
        if let Some(objection) = shape.objection() {
            return self.fail("input", format!("\"{name}\" of shape {shape} {objection}"));
        }
        let id = self.add_value(shape, kind, ValueSource::Input(name.into()), format!("input \"{name}\""));
        self.put_name(id, name.into())
    }

    /// Adds an input of the network, read from the batch under `name`. A second request with the same shape returns the
    /// same node. Sizes are those of a sample, as for [`Model::build`](crate::Model::build): `[4]` is `[N, 4]`. A
    /// [`Shape`] is taken as it is, for an input without a batch axis or with `2N` samples.
    ///
    /// ```
    /// use ocelli_graph::{Batch, Model, Shape, Tensor};
    /// let model = Model::trace(0, |t| t.input("x", [2]) * t.input("scale", Shape::from([2])))?;
    /// let x = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
    /// let batch = Batch::new().with("x", x).with("scale", Tensor::from(vec![10.0, 100.0]));
    /// assert_eq!(model.run(&batch, &["output"])?[0].data(), [10.0, 200.0, 30.0, 400.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn input(&self, name: &str, shape: impl crate::InputShape) -> Node {
        self.add_input(name, shape.into_shape(), ElementKind::F32)
    }

    /// Adds an input of integer labels, one per sample: `[N]`.
    pub fn labels(&self, name: &str) -> Node {
        self.add_input(name, Shape::new([Dim::Batch(1)]), ElementKind::U32)
    }

    /// Adds an input of integer labels, as many per sample as `shape` has: `[N, H, W]` for a label of every pixel.
    pub fn label_map(&self, name: &str, shape: impl crate::InputShape) -> Node {
        self.add_input(name, shape.into_shape(), ElementKind::U32)
    }

    /// Finds the activation called `name`: a layer's path, or the name given by [`named`](Node::named).
    pub fn tap(&self, name: &str) -> Node {
        if self.is_dead() {
            return self.poisoned();
        }
        match self.read(|graph| graph.find(name)) {
            Some(id) => self.node(id),
            None => {
                let known = self.read(|graph| graph.names_beside(name));
                self.fail("tap", format!("nothing is called \"{name}\"; there are: {known}"))
            }
        }
    }

    /// The result of the network, called `output`.
    pub fn output(&self) -> Node {
        self.tap("output")
    }

    /// Adds a parameter to the layer that is being described, learnt by gradients.
    ///
    /// Its shape may declare the role of each axis ([`AxisRole`](crate::AxisRole)); of a shared layer, the roles of the
    /// first use count.
    pub fn parameter(&self, name: &str, shape: impl Into<ParameterShape>, init: impl Initializer + 'static) -> Node {
        self.parameter_from(name, shape, Arc::new(init))
    }

    /// Adds a parameter, like [`Trace::parameter`], with an initialiser that is shared.
    pub fn parameter_from(&self, name: &str, shape: impl Into<ParameterShape>, init: Arc<dyn Initializer>) -> Node {
        self.add_parameter(name, shape.into(), init, ParameterRole::Trained)
    }

    /// Adds a parameter that no gradient changes: running statistics, fixed codes. See [`Trace::update`].
    pub fn state(&self, name: &str, shape: impl Into<ParameterShape>, init: impl Initializer + 'static) -> Node {
        self.add_parameter(name, shape.into(), Arc::new(init), ParameterRole::State)
    }

    fn add_parameter(
        &self,
        name: &str,
        declared: ParameterShape,
        init: Arc<dyn Initializer>,
        role: ParameterRole,
    ) -> Node {
        let shape = declared.shape.clone();
        if self.is_dead() {
            return self.poisoned();
        }
        // refuse shapes that no parameter can have
        if shape.dims().iter().any(|dim| dim.fixed().is_none()) {
            return self.fail("parameter", format!("{name} of shape {shape} depends on the batch size"));
        }
        if let Some(objection) = shape.objection().or_else(|| declared.objection()) {
            return self.fail("parameter", format!("{name} of shape {shape} {objection}"));
        }
        // find the path, and a parameter that has it already
        let (path, reuse) = self.with(|state| match state.scopes.last() {
            Some(scope) => (join(&scope.parameters, name), scope.reuse),
            None => (name.to_string(), false),
        });
        let existing = self.read(|graph| graph.parameters.get(&path).map(|spec| spec.value));
        if self.with(|state| state.continues) {
            return self.fail("parameter", not_of_the_model(&path, existing.is_some()));
        }
        // reuse the parameter of a shared layer, or make a new one
        match existing {
            Some(id) if reuse => {
                let node = self.node(id);
                let first = node.shape();
                if first == shape {
                    return node;
                }
                self.fail("Shared", format!("the shared parameter {path} is {first}, this use needs {shape}"))
            }
            Some(_) => self.fail("parameter", format!("{path} already exists")),
            None => {
                let source = ValueSource::Parameter(path.clone());
                let value = self.add_value(shape, ElementKind::F32, source, format!("parameter {path}"));
                let spec = ParameterSpec { value, initializer: init, role, axes: declared.axes() };
                self.with(|state| state.graph.parameters.insert(path, spec));
                self.node(value)
            }
        }
    }

    /// Makes `state` take the value `new` at the end of a training step. A layer applied twice chains its updates.
    ///
    /// It is a mistake if `state` was not made by [`Trace::state`], or if `new` has another shape.
    pub fn update(&self, state: &Node, new: &Node) {
        let (Some(old), Some(new_id)) = (state.id(), new.id()) else { return };
        if self.is_dead() {
            return;
        }
        if ![state, new].iter().all(|node| node.trace().is_same(self)) {
            self.fail("update", "the state and its new value come from two different networks");
            return;
        }
        let (old_shape, new_shape) = (state.shape(), new.shape());
        if old_shape != new_shape {
            self.fail("update", format!("the state is {old_shape}, its new value {new_shape}"));
            return;
        }
        let Some(path) = self.read(|graph| graph.state_path(old)) else {
            let description = state.description();
            self.fail("update", format!("expected a state, which `Trace::state` makes, got {description}"));
            return;
        };
        // A value that is not computed has no buffer to take the new state from: a copy is made.
        let new_id = if self.read(|graph| graph.is_computed(new_id)) { Some(new_id) } else { new.scale(1.0).id() };
        self.with(|inner| inner.graph.updates.extend(new_id.map(|id| (path, id))));
    }

    /// Marks the layer that is being described for activation checkpointing.
    pub(crate) fn recompute_layer(&self) {
        let path = self.path();
        self.with(|state| state.graph.recomputed.insert(path));
    }

    /// The path of the layer that is being described.
    pub fn path(&self) -> String {
        self.with(|state| state.scopes.last().map_or(String::new(), |scope| scope.path.clone()))
    }

    /// Applies an operation to nodes, and returns its results.
    #[track_caller]
    pub fn call(&self, op: Arc<dyn Op>, x: &[&Node]) -> Vec<Node> {
        let (outputs, at) = (op.outputs().max(1), Location::caller());
        let failed = |reason: String| vec![self.fail_at(&op.kind(), reason, Some(at)); outputs];
        let ids: Option<Vec<ValueId>> = x.iter().map(|node| node.id()).collect();
        let Some(ids) = ids.filter(|_| !self.is_dead()) else {
            return vec![self.poisoned(); outputs];
        };
        if x.iter().any(|node| !node.trace().is_same(self)) {
            return failed("operands come from two different networks".into());
        }
        for (i, &id) in ids.iter().enumerate() {
            let (kind, expected) = (self.read(|graph| graph.values[id].kind), op.operand_kind(i));
            if kind != expected {
                let origin = self.read(|graph| graph.values[id].origin.clone());
                return failed(format!("expected {expected}, got {kind} from {origin}"));
            }
        }
        let shapes: Vec<Shape> = x.iter().map(|node| node.shape()).collect();
        match contract::infer(&*op, &shapes.iter().collect::<Vec<_>>()) {
            Ok(results) => self.add_call(op, ids, results),
            Err(fault) => failed(self.sentence(&fault, &ids)),
        }
    }

    fn add_call(&self, op: Arc<dyn Op>, inputs: Vec<ValueId>, results: Vec<Shape>) -> Vec<Node> {
        let (path, kind) = self.with(|state| match state.scopes.last() {
            Some(scope) if !scope.kind.is_empty() => (scope.path.clone(), scope.kind.clone()),
            Some(scope) => (scope.path.clone(), op.kind()),
            None => (String::new(), op.kind()),
        });
        let origin = if path.is_empty() { kind.clone() } else { format!("{path} ({kind})") };
        let add = |shape| self.add_value(shape, ElementKind::F32, ValueSource::Call, origin.clone());
        let outputs: Vec<ValueId> = results.into_iter().map(add).collect();
        let call = Call { op, inputs, outputs: outputs.clone(), path, kind };
        self.with(|state| state.graph.calls.push(call));
        outputs.into_iter().map(|id| self.node(id)).collect()
    }

    /// Writes a fault with the shapes and origins of its operands.
    fn sentence(&self, fault: &Fault, ids: &[ValueId]) -> String {
        self.read(|graph| {
            let value = |operand: usize| &graph.values[ids[operand]];
            let from = |operand: usize| value(operand).description();
            let unequal = |left: usize, right: usize, beside: Option<usize>| {
                let axes = value(left).shape.differences(&value(right).shape, beside);
                let axes: Vec<_> = axes.iter().map(|(axis, a, b)| format!("axis {axis} ({a} and {b})")).collect();
                let on = if axes.is_empty() { String::new() } else { format!(" on {}", axes.join(", ")) };
                format!("shapes differ{on}: {} and {}", from(left), from(right))
            };
            match fault {
                Fault::Size { input, axis, expected, what, got } => {
                    format!("expected {expected} {what} on axis {axis}, got {got} in {}", from(*input))
                }
                Fault::Rank { input, expected } => format!("expected {expected}, got {}", from(*input)),
                Fault::Unequal { left, right } => unequal(*left, *right, None),
                Fault::UnequalBeside { left, right, axis } => unequal(*left, *right, Some(*axis)),
                Fault::Operand { input, expected, got } => {
                    format!("expected {expected}, got {got} in {}", from(*input))
                }
                Fault::Setting(sentence) | Fault::Data(sentence) => sentence.clone(),
            }
        })
    }
}
