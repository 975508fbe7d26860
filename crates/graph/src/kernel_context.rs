//! What a kernel sees.

use crate::Key;
use ocelli_kernels::{Accumulate, elementwise::Source};
use smallvec::SmallVec;

/// Operands and results up to this number need no allocation.
const INLINE: usize = 16;

pub(crate) type Inputs<'a> = SmallVec<[Operand<'a>; INLINE]>;
pub(crate) type Outputs<'a> = SmallVec<[Output<'a>; INLINE]>;

/// Where an operand's numbers are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data<'a> {
    F32(&'a [f32]),
    U32(&'a [u32]),
    /// In the storage of the first result.
    InPlace,
    /// In the form that the kernel asked for, and no longer as they were.
    Prepared(&'a [f32]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) data: Data<'a>,
}

#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) data: &'a mut [f32],
}

/// The operands, results and scratch memory of one call of an operation.
///
/// Operands borrow the arena, not this value, so that `let x = k.input(0); let y = k.output(0);` works.
#[derive(Debug)]
pub struct KernelContext<'a> {
    pub(crate) inputs: Inputs<'a>,
    pub(crate) outputs: Outputs<'a>,
    pub(crate) workspace: &'a mut [f32],
    pub(crate) accumulate: Accumulate,
    pub(crate) key: Key,
}

impl<'a> KernelContext<'a> {
    /// How many operands there are.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there are no operands.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The numbers of operand `i`.
    ///
    /// # Panics
    /// If the operation declared that operand to be integers, to be overwritten in place, or to be prepared and it was: a
    /// mistake in the operation, whatever the data are.
    pub fn input(&self, i: usize) -> &'a [f32] {
        match self.inputs[i].data {
            Data::F32(data) => data,
            other => panic!("operand {i} is read as f32 but was declared as {other:?}"),
        }
    }

    /// The labels of operand `i`.
    ///
    /// # Panics
    /// If the operation declared that operand to be `f32`: a mistake in the operation.
    pub fn labels(&self, i: usize) -> &'a [u32] {
        match self.inputs[i].data {
            Data::U32(data) => data,
            other => panic!("operand {i} is read as labels but was declared as {other:?}"),
        }
    }

    /// Where to read operand `i`: its own slice, or the first result if that took over its storage.
    pub fn source(&self, i: usize) -> Source<'a> {
        match self.inputs[i].data {
            Data::InPlace => Source::InPlace,
            _ => Source::Slice(self.input(i)),
        }
    }

    /// The sizes of operand `i`.
    pub fn shape(&self, i: usize) -> &'a [usize] {
        self.inputs[i].shape
    }

    /// The sizes of result `i`.
    pub fn output_shape(&self, i: usize) -> &'a [usize] {
        self.outputs[i].shape
    }

    /// The numbers of result `i`, to write. They hold anything beforehand, or the sum so far where
    /// [`accumulate`](KernelContext::accumulate) is `Add`.
    pub fn output(&mut self, i: usize) -> &mut [f32] {
        self.outputs[i].data
    }

    /// The first result and the scratch memory.
    pub fn output_and_workspace(&mut self) -> (&mut [f32], &mut [f32]) {
        (self.outputs[0].data, self.workspace)
    }

    /// The first `K` results.
    ///
    /// # Panics
    /// If the operation has fewer results.
    pub fn outputs<const K: usize>(&mut self) -> [&mut [f32]; K] {
        let mut outputs = self.outputs.iter_mut().map(|output| &mut *output.data);
        std::array::from_fn(|_| outputs.next().expect("the operation declares as many results as its kernel writes"))
    }

    /// The form of the operand that the kernel wanted [prepared](crate::Compiled::with_prepared). It is there in the place of the
    /// operand, whose own elements the plan may not have kept.
    pub fn prepared(&self) -> Option<&'a [f32]> {
        self.inputs.iter().find_map(|operand| match operand.data {
            Data::Prepared(data) => Some(data),
            _ => None,
        })
    }

    /// Whether the first result is to be replaced or added to. `Add` only where the operation says that it accumulates.
    pub fn accumulate(&self) -> Accumulate {
        self.accumulate
    }

    /// The key of random draws in this step.
    pub fn key(&self) -> Key {
        self.key
    }
}
