//! The values that a run of a plan leaves: one way to read them, wherever they lie.

use crate::{
    Plan, Tensor, ValueId,
    execute::{Constants, Given},
    plan::Location,
};

/// The memory after a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Results<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) arena: &'a [f32],
    pub(crate) constants: &'a Constants,
    /// The parameters by number, as far as the reader has them.
    pub(crate) parameters: &'a [Tensor],
}

/// The elements of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elements<'a> {
    F32(&'a [f32]),
    U32(&'a [u32]),
}

impl<'a> Results<'a> {
    /// Returns the elements of a root; `input` gives the plan's inputs by number. `None` if the value is no root, and for an input or a
    /// parameter that the reader does not have.
    pub(crate) fn read(&self, id: ValueId, input: impl FnOnce(usize) -> Option<Given<'a>>) -> Option<Elements<'a>> {
        Some(match &self.plan.roots.get(&id)?.location {
            Location::Arena(range) => Elements::F32(&self.arena[range.clone()]),
            Location::Constant(number) => Elements::F32(self.constants.get(*number)),
            Location::Parameter(number) => Elements::F32(self.parameters.get(*number)?.data()),
            Location::Input(number) => match input(*number)? {
                Given::F32(tensor) => Elements::F32(tensor.data()),
                Given::U32(labels) => Elements::U32(labels.data()),
            },
        })
    }

    /// Copies a root to a new tensor, labels as `f32`; `None` as for [`read`](Results::read).
    pub(crate) fn tensor(&self, id: ValueId, input: impl FnOnce(usize) -> Option<Given<'a>>) -> Option<Tensor> {
        let mut tensor = Tensor::zeros(&self.plan.roots.get(&id)?.shape[..]);
        match self.read(id, input)? {
            Elements::F32(elements) => tensor.data_mut().copy_from_slice(elements),
            Elements::U32(labels) => {
                tensor.data_mut().iter_mut().zip(labels).for_each(|(element, &label)| *element = label as f32);
            }
        }
        Some(tensor)
    }
}

impl<'a> Elements<'a> {
    /// The elements, unless they are labels.
    pub(crate) fn f32(self) -> Option<&'a [f32]> {
        match self {
            Elements::F32(elements) => Some(elements),
            Elements::U32(_) => None,
        }
    }
}
