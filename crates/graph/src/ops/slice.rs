//! Slices of a value along an axis.

use crate::{Axis, Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::Accumulate;
use ocelli_kernels::copy::{BlockCopy, copy_blocks};
use ocelli_tensor::Size;
use std::ops::{Range, RangeInclusive};

/// Takes a range of entries of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// Index of the axis.
    pub axis: usize,
    /// Index of the first entry.
    pub start: Dim,
    /// Number of entries.
    pub len: Dim,
}

/// The adjoint of [`Slice`]: zeros outside of the slice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SliceBackward {
    /// The slice.
    pub slice: Slice,
    /// Shape of the value that was sliced.
    pub shape: Shape,
}

impl Slice {
    pub(crate) fn new(axis: usize, start: Dim, len: Dim) -> Slice {
        Slice { axis, start, len }
    }

    /// Returns true if an axis of this length has all the entries, whatever the batch size is.
    fn is_within(&self, whole: Dim) -> bool {
        let end = |n: usize| (self.start.checked_at(n) + self.len.checked_at(n)).get();
        [1, 2].iter().all(|&n| end(n).is_some_and(|end| end <= whole.at(n)))
    }

    /// Computes the blocks of the slice in a whole of these sizes. The batch size follows from the sizes of the first
    /// axis.
    fn blocks(&self, whole: &[usize], part: &[usize]) -> BlockCopy {
        let inner: usize = whole[self.axis + 1..].iter().product();
        let outer: usize = whole[..self.axis].iter().product();
        let batch = match self.len {
            Dim::Batch(multiple) => part[self.axis] / multiple,
            Dim::Fixed(_) => 1,
        };
        let block = part[self.axis] * inner;
        BlockCopy {
            block,
            count: outer,
            source_offset: self.start.at(batch) * inner,
            source_stride: whole[self.axis] * inner,
            destination_offset: 0,
            destination_stride: block,
        }
    }
}

impl Op for Slice {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let mut dims = x[0].dims().to_vec();
        let whole = dims.get(self.axis).copied();
        if self.len.at(1) == 0 || !whole.is_some_and(|whole| self.is_within(whole)) {
            let axis = Axis::named(self.axis, x[0].rank());
            let expected = format!("{} entries from {} on axis {axis}", self.len, self.start);
            let got = whole.map_or("none".to_string(), |whole| whole.to_string());
            return Err(Fault::Operand { input: 0, expected, got });
        }
        dims[self.axis] = self.len;
        Ok(vec![Shape::new(dims)])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let blocks = op.blocks(k.shape(0), k.output_shape(0));
            let (x, accumulate) = (k.input(0), k.accumulate());
            copy_blocks(&blocks, x, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(SliceBackward { slice: *self, shape: g.x(0).shape() }, &[g.dy()]))]
    }
}

impl Op for SliceBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let there = op.slice.blocks(k.output_shape(0), k.shape(0));
            let back = BlockCopy {
                source_offset: there.destination_offset,
                source_stride: there.destination_stride,
                destination_offset: there.source_offset,
                destination_stride: there.source_stride,
                ..there
            };
            let (dy, accumulate) = (k.input(0), k.accumulate());
            if accumulate == Accumulate::Set {
                k.output(0).fill(0.0);
            }
            copy_blocks(&back, dy, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    /// Takes a range of entries of an axis other than the batch.
    #[track_caller]
    pub fn slice(&self, axis: Axis, range: Range<usize>) -> Node {
        let shape = self.shape();
        let len = range.end.saturating_sub(range.start);
        match axis.index(shape.rank()) {
            Some(index) if shape.dims()[index].fixed().is_some() => {
                Node::call(Slice::new(index, Dim::Fixed(range.start), Dim::Fixed(len)), &[self])
            }
            _ if self.id().is_none() => self.clone(),
            Some(_) => self.trace().fail("Slice", format!("axis {axis} of {shape} is the batch; see `split_batch`")),
            None => self.trace().fail("Slice", format!("there is no axis {axis} in {shape}")),
        }
    }

    /// Takes part `part` of `parts` equal parts of a batch of `parts·N`: splits a concatenation along the batch.
    #[track_caller]
    pub fn split_batch(&self, part: usize, parts: usize) -> Node {
        match self.shape().dims().first() {
            Some(Dim::Batch(multiple)) if parts > 0 && multiple % parts == 0 => {
                let each = multiple / parts;
                // A start that is too large is beyond the end of every batch.
                let start = (Size::from(part) * each).get().unwrap_or(usize::MAX);
                Node::call(Slice::new(0, Dim::Batch(start), Dim::Batch(each)), &[self])
            }
            _ if self.id().is_none() => self.clone(),
            _ => {
                let shape = self.shape();
                self.trace().fail("Slice", format!("the batch of {shape} is not made of {parts} equal parts"))
            }
        }
    }
}
