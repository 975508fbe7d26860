//! Values of a graph by name and by kind.

use crate::{Call, Error, Graph, Op, Result, ValueId, ValueInfo, ValueSource, ops::ActivationOp};
use ocelli_kernels::elementwise::Unary;
use ocelli_tensor::ElementKind;
use std::sync::Arc;

impl Graph {
    /// Finds the values of several names.
    ///
    /// # Errors
    /// [`Error::Unknown`] for the first name that does not exist.
    pub(crate) fn find_all(&self, names: &[&str]) -> Result<Vec<ValueId>> {
        let find = |name: &&str| {
            self.find(name).ok_or_else(|| Error::Unknown { name: name.to_string(), known: self.names_beside(name) })
        };
        names.iter().map(find).collect()
    }

    /// Name of the first input.
    pub(crate) fn first_input(&self) -> Option<&str> {
        self.values.iter().find_map(|value| match &value.source {
            ValueSource::Input(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns false for labels, which are never differentiated.
    pub(crate) fn is_differentiable(&self, id: ValueId) -> bool {
        self.values[id].kind == ElementKind::F32
    }

    /// Adds a call that copies a value, so that a step can show an input or a parameter, which no kernel writes.
    pub(crate) fn copy_of(&mut self, id: ValueId) -> ValueId {
        let (copy, op) = (self.values.len(), ActivationOp(Unary::Scale(1.0)));
        self.values.push(ValueInfo { source: ValueSource::Call, ..self.values[id].clone() });
        let (kind, path) = (op.kind(), String::new());
        self.calls.push(Call { op: Arc::new(op), inputs: vec![id], outputs: vec![copy], path, kind });
        copy
    }
}
