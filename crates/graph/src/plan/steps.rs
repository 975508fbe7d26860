//! Turns calls into steps: every operand gets its place.

use super::{
    CompiledCall, Location, OperandLocation, PlanStep, Slot, StepOperand,
    buffers::{Layout, Sequence},
};
use crate::{ValueId, ValueSource};
use std::{collections::HashMap, ops::Range};

/// Builder of the steps of a sequence.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    sequence: Sequence<'a>,
    layout: &'a Layout,
    /// Index of each constant that the sequence reads.
    constants: &'a HashMap<ValueId, usize>,
    /// Index of each parameter in the model.
    parameters: &'a HashMap<String, usize>,
    /// The inputs that were read so far.
    pub(super) inputs: Vec<String>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        sequence: Sequence<'a>,
        layout: &'a Layout,
        constants: &'a HashMap<ValueId, usize>,
        parameters: &'a HashMap<String, usize>,
    ) -> Steps<'a> {
        Steps { sequence, layout, constants, parameters, inputs: Vec::new() }
    }

    pub(super) fn all(&mut self) -> Vec<PlanStep> {
        let calls = self.sequence.calls.iter().enumerate();
        calls.filter(|(_, compiled)| !compiled.call.op.is_view()).map(|(at, _)| self.step(at)).collect()
    }

    /// The location and sizes of a value of the plan, to be read afterwards.
    pub(super) fn slot(&mut self, id: ValueId) -> Slot {
        Slot { location: self.locate(id), shape: self.shape(id) }
    }

    fn shape(&self, id: ValueId) -> Vec<usize> {
        self.sequence.values[id].shape.at(self.sequence.batch)
    }

    fn locate(&mut self, id: ValueId) -> Location {
        let storage = self.sequence.storage[id];
        match &self.sequence.values[storage].source {
            ValueSource::Parameter(path) => Location::Parameter(self.parameters[path]),
            ValueSource::Input(name) => {
                let known = self.inputs.iter().position(|known| known == name);
                Location::Input(known.unwrap_or_else(|| {
                    self.inputs.push(name.clone());
                    self.inputs.len() - 1
                }))
            }
            ValueSource::Call => {
                let len = self.sequence.values[id].shape.len(self.sequence.batch);
                match self.layout.range(storage, len) {
                    Some(range) => Location::Arena(range),
                    None => Location::Constant(self.constant(storage)),
                }
            }
        }
    }

    fn constant(&self, storage: ValueId) -> usize {
        *self.constants.get(&storage).expect("operands come before results, among the constants or here")
    }

    fn step(&mut self, at: usize) -> PlanStep {
        let Sequence { values, storage, accumulated, prepared, batch, .. } = self.sequence;
        let CompiledCall { call, compiled } = &self.sequence.calls[at];
        let len = |id: ValueId| values[id].shape.len(batch);
        let result = |&id: &ValueId| self.layout.range(id, len(id)).expect("each result has a buffer");
        let (form, workspace) = (self.layout.prepared(at), self.layout.workspace(at));
        let (prepares, has_workspace) = (form.is_some(), workspace.is_some());
        // pieces that the step writes
        let mut pieces: Vec<Range<usize>> = call.outputs.iter().map(result).chain(workspace).chain(form).collect();
        // places of the operands, with the pieces that only they add
        let mut operands = Vec::with_capacity(call.inputs.len());
        for (i, &id) in call.inputs.iter().enumerate() {
            let location = match prepared.get(&call.outputs[0]) {
                Some(&(operand, form)) if operand == i => OperandLocation::Prepared(self.constant(form)),
                _ => match self.locate(id) {
                    Location::Parameter(number) => OperandLocation::Parameter(number),
                    Location::Input(number) => OperandLocation::Input(number),
                    Location::Constant(number) => OperandLocation::Constant(number),
                    Location::Arena(range) if range == pieces[0] => OperandLocation::FirstResult,
                    Location::Arena(range) => {
                        let known = pieces.iter().position(|piece| *piece == range);
                        OperandLocation::Piece(known.unwrap_or_else(|| {
                            pieces.push(range);
                            pieces.len() - 1
                        }))
                    }
                },
            };
            operands.push(StepOperand { location, shape: self.shape(id), value: storage[id] });
        }
        PlanStep {
            op: call.op.clone(),
            compiled: compiled.clone(),
            path: call.path.clone(),
            operands,
            output_shapes: call.outputs.iter().map(|&id| self.shape(id)).collect(),
            outputs: call.outputs.clone(),
            pieces,
            has_workspace,
            prepares,
            sum: accumulated.get(&call.outputs[0]).map(|&sum| storage[sum]),
        }
    }
}
