//! The graph of a network, as data.

use crate::{AxisRole, Dim, ElementKind, Initializer, Op, ParameterAxis, Reach, Shape, ops::ReshapeOp};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Index of a value in its graph.
pub type ValueId = usize;

/// Origin of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueSource {
    /// A tensor of the batch, by its name.
    Input(String),
    /// A parameter of the model, by its path.
    Parameter(String),
    /// The result of a call.
    Call,
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Its shape.
    pub shape: Shape,
    /// Element type of the value.
    pub kind: ElementKind,
    /// Origin of the value.
    pub source: ValueSource,
    /// The origin in words, for messages: `input "input"`, `3.bn2 (BatchNorm)`.
    pub origin: String,
}

impl ValueInfo {
    /// Describes the shape and the origin, for messages: `[N, 8, 8, 3] from input "input"`.
    pub fn description(&self) -> String {
        format!("{} from {}", self.shape, self.origin)
    }
}

/// An operation applied to values.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation.
    pub op: Arc<dyn Op>,
    /// Its operands.
    pub inputs: Vec<ValueId>,
    /// Its results.
    pub outputs: Vec<ValueId>,
    /// The path of the layer that made it.
    pub path: String,
    /// Name of that layer, or of the operation.
    pub kind: String,
}

/// The way in which a parameter changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterRole {
    /// Learnt by gradients.
    Trained,
    /// Changed by updates of the training plan (running statistics) or not at all (fixed codes).
    State,
}

/// A parameter as the network describes it.
#[derive(Clone, Debug)]
pub struct ParameterSpec {
    /// Its value in the graph.
    pub value: ValueId,
    /// Initialiser of the parameter.
    pub initializer: Arc<dyn Initializer>,
    /// The way in which it changes.
    pub role: ParameterRole,
    /// Roles and sizes of its axes, as its layer declares them.
    pub axes: Vec<ParameterAxis>,
}

/// A traced network: values, calls in order of execution, names.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Every value.
    pub values: Vec<ValueInfo>,
    /// Every call, operands before results.
    pub calls: Vec<Call>,
    /// Values by name: inputs, layers' results, and activations given a name by [`Node::named`](crate::Node::named).
    pub names: BTreeMap<String, ValueId>,
    /// Parameters by path.
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// States that a training step updates, by path, and the values that they take at its end.
    pub updates: Vec<(String, ValueId)>,
    /// Paths of layers whose inner activations a training step recomputes for backward (activation checkpointing); see
    /// [`crate::Recomputed`].
    pub recomputed: BTreeSet<String>,
}

impl Graph {
    /// Finds a value by name: a named value, or a parameter by its path.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.get(name).copied().or_else(|| self.parameters.get(name).map(|spec| spec.value))
    }

    /// Path of the state that a value is; `None` if it is no state.
    pub(crate) fn state_path(&self, id: ValueId) -> Option<String> {
        let ValueSource::Parameter(path) = &self.values[id].source else { return None };
        self.parameters.get(path).filter(|spec| spec.role == ParameterRole::State).map(|_| path.clone())
    }

    /// Returns false for inputs, parameters and views of them: no kernel writes their elements.
    pub(crate) fn is_computed(&self, id: ValueId) -> bool {
        let call = self.calls.iter().find(|call| call.outputs.contains(&id));
        call.is_some_and(|call| !call.op.is_view() || self.is_computed(call.inputs[0]))
    }

    /// The role that the features of rows `[N, features]` have as inputs of a dense layer.
    pub(crate) fn input_role(&self, rows: ValueId) -> AxisRole {
        let mut id = rows;
        if self.values[rows].shape.rank() != 2 {
            return AxisRole::Inputs;
        }
        // Calls are in order of execution: one walk back meets every producer.
        let mut calls = self.calls.iter().rev();
        while let Some(call) = calls.find(|call| call.outputs.first() == Some(&id)) {
            let operands = self.shapes(&call.inputs);
            let op: &dyn Any = &*call.op;
            if let [image] = operands[..]
                && let &[Dim::Batch(_), Dim::Fixed(height), Dim::Fixed(width), Dim::Fixed(channels)] = image.dims()
                && op.is::<ReshapeOp>()
                && height * width > 1
            {
                return AxisRole::FlattenedInputs { height, width, channels };
            }
            // Each feature of an elementwise result is that of any operand with the same shape.
            let same = operands.iter().position(|operand| **operand == self.values[rows].shape);
            match same.filter(|_| call.op.reach(&operands) == Reach::Point) {
                Some(operand) => id = call.inputs[operand],
                None => break,
            }
        }
        AxisRole::Inputs
    }

    /// Lists the names that exist, for messages.
    pub(crate) fn known_names(&self) -> String {
        /// More names than this would drown the message.
        const SHOWN: usize = 40;
        let mut names: Vec<_> = self.names.keys().take(SHOWN).map(String::as_str).collect();
        if self.names.len() > SHOWN {
            names.push("…");
        }
        names.join(", ")
    }

    /// Shapes of the given values.
    pub(crate) fn shapes(&self, ids: &[ValueId]) -> Vec<&Shape> {
        ids.iter().map(|&id| &self.values[id].shape).collect()
    }
}
