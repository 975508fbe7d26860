//! The part of a plan that computes constants before the first run.

use super::{
    CompiledCall, PlanStep, Planning,
    buffers::{Layout, Sequence},
    steps::Steps,
};
use crate::{
    Source, ValueId, ValueInfo,
    passes::{Constants, recipes},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// A constant of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    value: ValueId,
    /// Key of its computation: constants with equal recipes are equal, in all plans of a model. One without is of its
    /// plan alone.
    pub(crate) recipe: Option<Arc<str>>,
}

/// The calls that compute the constants of a plan, all of them or some.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    values: Vec<ValueInfo>,
    calls: Vec<CompiledCall>,
    /// The value whose storage each value uses: itself unless it is a view.
    storage: Vec<ValueId>,
    constants: Vec<Constant>,
    /// Index of each parameter in the model.
    parameters: HashMap<String, usize>,
    batch: usize,
    all: Part,
}

/// Some constants, laid out in memory of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// The steps that compute them.
    pub(crate) steps: Vec<PlanStep>,
    /// Range of the memory that holds each of them afterwards.
    pub(crate) places: Vec<Range<usize>>,
    /// Length of the memory, in elements.
    pub(crate) len: usize,
    /// Largest number of elements that are alive at one step.
    pub(super) bound: usize,
}

impl Ahead {
    /// Lays out the constant part; `None` if the sizes cannot be addressed. The first `known` values are those of the
    /// network before any pass.
    pub(super) fn new(
        values: &[ValueInfo],
        part: &Constants,
        storage: &[ValueId],
        known: usize,
        planning: Planning<'_>,
    ) -> Option<Ahead> {
        let recipes = recipes(&part.calls, known);
        let mut met = HashSet::new();
        let kept = part.kept.iter().map(|&id| storage[id]);
        let computed = kept.filter(|&id| matches!(values[id].source, Source::Call) && met.insert(id));
        let constants = computed
            .map(|value| Constant { value, recipe: recipes.get(&value).map(|recipe| recipe.as_str().into()) })
            .collect();
        let mut ahead = Ahead {
            values: values.to_vec(),
            calls: part.calls.clone(),
            storage: storage.to_vec(),
            constants,
            parameters: planning.parameters.clone(),
            batch: planning.batch,
            all: Part::default(),
        };
        let numbers: Vec<usize> = (0..ahead.constants.len()).collect();
        ahead.all = ahead.lay_out(&numbers)?;
        Some(ahead)
    }

    /// The constants, by index.
    pub(crate) fn constants(&self) -> &[Constant] {
        &self.constants
    }

    /// Index of each constant, by its value.
    pub(super) fn numbers(&self) -> HashMap<ValueId, usize> {
        self.constants.iter().enumerate().map(|(number, constant)| (constant.value, number)).collect()
    }

    /// The part that computes all constants.
    pub(crate) fn all(&self) -> &Part {
        &self.all
    }

    /// The part that computes the constants with these indices, in ascending order.
    pub(crate) fn some(&self, numbers: &[usize]) -> Cow<'_, Part> {
        if numbers.len() == self.constants.len() {
            return Cow::Borrowed(&self.all);
        }
        Cow::Owned(self.lay_out(numbers).expect("some constants can be addressed where all can"))
    }

    fn lay_out(&self, numbers: &[usize]) -> Option<Part> {
        let wanted: Vec<ValueId> = numbers.iter().map(|&number| self.constants[number].value).collect();
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
        let places = wanted.iter().map(place).collect();
        Some(Part { steps, places, len: layout.len(), bound: layout.bound() })
    }
}
