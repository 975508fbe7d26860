//! The operands, results and memory that a kernel sees.

use crate::Key;
use ocelli_kernels::{Accumulate, elementwise::Source};
use smallvec::SmallVec;

/// Largest number of operands, and of results, that needs no allocation.
const INLINE: usize = 16;

pub(crate) type KernelInputs<'a> = SmallVec<[Operand<'a>; INLINE]>;
pub(crate) type KernelOutputs<'a> = SmallVec<[Output<'a>; INLINE]>;

/// Storage of an operand's elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data<'a> {
    F32(&'a [f32]),
    U32(&'a [u32]),
    /// The storage of the first result.
    InPlace,
    /// The form that the kernel requested, in place of the operand itself.
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
    pub(crate) inputs: KernelInputs<'a>,
    pub(crate) outputs: KernelOutputs<'a>,
    pub(crate) workspace: &'a mut [f32],
    pub(crate) accumulate: Accumulate,
    pub(crate) key: Key,
}

impl<'a> KernelContext<'a> {
    /// Number of operands.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Returns true if there are no operands.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Elements of operand `i`.
    ///
    /// # Panics
    /// If the operation declared that operand to be integers or to be overwritten in place, or requested it in a
    /// prepared form: a mistake in the operation, whatever the data are.
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

    /// Storage to read operand `i` from: its own slice, or the first result if that took over its storage.
    pub fn source(&self, i: usize) -> Source<'a> {
        match self.inputs[i].data {
            Data::InPlace => Source::InPlace,
            _ => Source::Slice(self.input(i)),
        }
    }

    /// Sizes of operand `i`.
    pub fn shape(&self, i: usize) -> &'a [usize] {
        self.inputs[i].shape
    }

    /// Sizes of result `i`.
    pub fn output_shape(&self, i: usize) -> &'a [usize] {
        self.outputs[i].shape
    }

    /// Elements of result `i`, to write. They hold arbitrary values, or the sum so far where
    /// [`accumulate`](KernelContext::accumulate) is `Add`.
    pub fn output(&mut self, i: usize) -> &mut [f32] {
        self.outputs[i].data
    }

    /// The first result and the workspace.
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

    /// The form of the operand that the kernel requested [prepared](crate::Compiled::with_prepared), in place of the
    /// operand, whose own elements the plan may not have kept.
    pub fn prepared(&self) -> Option<&'a [f32]> {
        self.inputs.iter().find_map(|operand| match operand.data {
            Data::Prepared(data) => Some(data),
            _ => None,
        })
    }

    /// Returns `Set` if the first result is to be overwritten and `Add` if it is to be added to, which only happens if
    /// the operation [accumulates](crate::Op::accumulates).
    pub fn accumulate(&self) -> Accumulate {
        self.accumulate
    }

    /// Key of this step's random draws.
    pub fn key(&self) -> Key {
        self.key
    }
}
