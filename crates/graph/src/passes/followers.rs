//! The matcher of the fusions: which call follows another, and what it is.

use crate::{
    Call, Graph, ValueId, ValueInfo,
    ops::{ActivationOp, Arithmetic},
};
use ocelli_kernels::elementwise::Unary;
use std::any::Any;

/// For each value the number of the only call that reads it, if that reads it once and nothing else needs it.
pub(super) struct SoleReaders(Vec<Option<usize>>);

impl SoleReaders {
    /// Finds the readers of all values, of which `kept` are needed by others than calls.
    pub(super) fn new(graph: &Graph, kept: &[ValueId]) -> SoleReaders {
        let mut readers = vec![None; graph.values.len()];
        let mut readings = vec![0; graph.values.len()];
        for (at, call) in graph.calls.iter().enumerate() {
            for &id in &call.inputs {
                readings[id] += 1;
                readers[id] = Some(at);
            }
        }
        kept.iter().for_each(|&id| readings[id] += 2);
        readers.iter_mut().zip(readings).filter(|(_, readings)| *readings != 1).for_each(|(reader, _)| *reader = None);
        SoleReaders(readers)
    }

    /// The only reader of a value.
    pub(super) fn sole_reader(&self, id: ValueId) -> Option<usize> {
        self.0[id]
    }
}

/// Returns true if a call is a ReLU.
pub(super) fn is_relu(call: &Call) -> bool {
    let op: &dyn Any = &*call.op;
    op.downcast_ref::<ActivationOp>() == Some(&ActivationOp(Unary::Relu))
}

/// The value that a call adds to `y`, if it is an addition of two values of one shape.
pub(super) fn addend(values: &[ValueInfo], call: &Call, y: ValueId) -> Option<ValueId> {
    let op: &dyn Any = &*call.op;
    let other = call.inputs.iter().copied().find(|id| *id != y)?;
    let adds = op.downcast_ref() == Some(&Arithmetic::Add) && values[other].shape == values[y].shape;
    adds.then_some(other)
}
