//! The part of a plan that computes constants before the first run.

use super::{
    CompiledCall, PlanStep, Planning,
    buffers::{Layout, Sequence},
    steps::Steps,
};
use crate::{
    ValueId, ValueInfo, ValueSource,
    passes::{ConstantPart, recipes},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// A constant of a plan.
#[derive(Clone, Debug)]
pub(crate) struct PlannedConstant {
    value: ValueId,
    /// Key of its computation: constants with equal recipes are equal, in all plans of a model. One without is of its
    /// plan alone.
    pub(crate) recipe: Option<Arc<str>>,
}

/// The calls that compute the constants of a plan, all of them or some.
#[derive(Clone, Debug)]
pub(crate) struct ConstantPlan {
    values: Vec<ValueInfo>,
    calls: Vec<CompiledCall>,
    /// The value whose storage each value uses: itself unless it is a view.
    storage: Vec<ValueId>,
    constants: Vec<PlannedConstant>,
    /// Index of each parameter in the model.
    parameters: HashMap<String, usize>,
    batch: usize,
    all: ConstantLayout,
}

/// Some constants, laid out in memory of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConstantLayout {
    /// The steps that compute them.
    pub(crate) steps: Vec<PlanStep>,
    /// Range of the memory that holds each of them afterwards.
    pub(crate) ranges: Vec<Range<usize>>,
    /// Length of the memory, in elements.
    pub(crate) len: usize,
    /// Largest number of elements that are alive at one step.
    pub(super) bound: usize,
}

impl ConstantPlan {
    /// Lays out the constant part; `None` if the sizes cannot be addressed. The first `known` values are those of the
    /// network before any pass.
    pub(super) fn new(
        values: &[ValueInfo],
        part: &ConstantPart,
        storage: &[ValueId],
        known: usize,
        planning: Planning<'_>,
    ) -> Option<ConstantPlan> {
        let recipes = recipes(&part.calls, known);
        let mut met = HashSet::new();
        let kept = part.kept.iter().map(|&id| storage[id]);
        let computed = kept.filter(|&id| matches!(values[id].source, ValueSource::Call) && met.insert(id));
        let constants = computed
            .map(|value| PlannedConstant { value, recipe: recipes.get(&value).map(|recipe| recipe.as_str().into()) })
            .collect();
        let mut constants = ConstantPlan {
            values: values.to_vec(),
            calls: part.calls.clone(),
            storage: storage.to_vec(),
            constants,
            parameters: planning.parameters.clone(),
            batch: planning.batch,
            all: ConstantLayout::default(),
        };
        let indices: Vec<usize> = (0..constants.constants.len()).collect();
        constants.all = constants.lay_out(&indices)?;
        Some(constants)
    }

    /// The constants, by index.
    pub(crate) fn list(&self) -> &[PlannedConstant] {
        &self.constants
    }

    /// Index of each constant, by its value.
    pub(super) fn indices(&self) -> HashMap<ValueId, usize> {
        self.constants.iter().enumerate().map(|(index, constant)| (constant.value, index)).collect()
    }

    /// The part that computes all constants.
    pub(crate) fn all(&self) -> &ConstantLayout {
        &self.all
    }

    /// The part that computes the constants with these indices, in ascending order.
    pub(crate) fn some(&self, indices: &[usize]) -> Cow<'_, ConstantLayout> {
        if indices.len() == self.constants.len() {
            return Cow::Borrowed(&self.all);
        }
        Cow::Owned(self.lay_out(indices).expect("some constants can be addressed where all can"))
    }

    fn lay_out(&self, indices: &[usize]) -> Option<ConstantLayout> {
        let wanted: Vec<ValueId> = indices.iter().map(|&index| self.constants[index].value).collect();
        let mut needed: HashSet<ValueId> = wanted.iter().copied().collect();
        let mut calls: Vec<CompiledCall> = Vec::new();
        for compiled in self.calls.iter().rev().filter(|_| !wanted.is_empty()) {
            if compiled.call.outputs.iter().any(|id| needed.contains(id)) {
                needed.extend(&compiled.call.inputs);
                calls.push(compiled.clone());
            }
        }
        calls.reverse();
        let none = (HashMap::new(), HashMap::new(), HashMap::new());
        let sequence = Sequence {
            values: &self.values,
            calls: &calls,
            storage: &self.storage,
            roots: &wanted,
            accumulated: &none.0,
            prepared: &none.1,
            batch: self.batch,
        };
        let layout = Layout::new(sequence)?;
        let steps = Steps::new(sequence, &layout, &none.2, &self.parameters).all();
        let len = |id: ValueId| self.values[id].shape.len(self.batch);
        let place = |&id: &ValueId| layout.range(id, len(id)).expect("each result has a buffer");
        let ranges = wanted.iter().map(place).collect();
        Some(ConstantLayout { steps, ranges, len: layout.len(), bound: layout.bound() })
    }
}
