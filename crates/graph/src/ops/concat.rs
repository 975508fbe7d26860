//! Concatenation of values along an axis.

use crate::{Axis, Compiled, Dim, Fault, Grads, Node, Op, Request, Shape, ops::Slice};
use ocelli_kernels::Accumulate;
use ocelli_kernels::copy::{BlockCopy, copy_blocks};
use ocelli_tensor::Size;
use std::ops::RangeInclusive;

/// Concatenates operands along an axis: the branches of an Inception block, two towers as one batch of `2N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concat {
    /// Index of the axis.
    pub axis: usize,
}

impl Op for Concat {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let mut dims = x[0].dims().to_vec();
        if self.axis >= dims.len() {
            return Err(Fault::Setting(format!("there is no axis {} in {}", self.axis, x[0])));
        }
        for (i, other) in x.iter().enumerate().skip(1) {
            let elsewhere = |shape: &Shape| {
                let axes = shape.dims().iter().enumerate().filter(|(axis, _)| *axis != self.axis);
                axes.map(|(_, dim)| *dim).collect::<Vec<_>>()
            };
            let beside = other.dims().get(self.axis).and_then(|&dim| side_by_side(dims[self.axis], dim));
            let sum = beside.ok_or(Fault::Unequal { left: 0, right: i })?;
            if elsewhere(x[0]) != elsewhere(other) {
                return Err(Fault::UnequalBeside { left: 0, right: i, axis: self.axis });
            }
            dims[self.axis] = sum;
        }
        Ok(vec![Shape::new(dims)])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let inner: usize = k.output_shape(0)[op.axis + 1..].iter().product();
            let row = k.output_shape(0)[op.axis] * inner;
            let mut offset = 0;
            for i in 0..k.len() {
                let block = k.shape(i)[op.axis] * inner;
                let (x, count) = (k.input(i), k.input(i).len().checked_div(block).unwrap_or(0));
                let copy = BlockCopy {
                    block,
                    count,
                    source_offset: 0,
                    source_stride: block,
                    destination_offset: offset,
                    destination_stride: row,
                };
                copy_blocks(&copy, x, k.output(0), Accumulate::Set);
                offset += block;
            }
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let lengths: Vec<Dim> = (0..g.operands()).map(|i| g.x(i).shape().dims()[self.axis]).collect();
        let none = if matches!(lengths[0], Dim::Batch(_)) { Dim::Batch(0) } else { Dim::Fixed(0) };
        let starts = lengths.iter().scan(none, |end, &len| {
            let start = *end;
            *end = side_by_side(start, len)?;
            Some(start)
        });
        let parts = starts.zip(&lengths).enumerate();
        parts.map(|(i, (start, &len))| g.want(i, || Node::call(Slice::new(self.axis, start, len), &[g.dy()]))).collect()
    }
}

/// Returns the length of an axis along which two values are concatenated; `None` if only one of them grows with the
/// batch.
fn side_by_side(a: Dim, b: Dim) -> Option<Dim> {
    // A sum that is too large becomes a length that no shape may have.
    let sum = |a: usize, b: usize| (Size::from(a) + b).get().unwrap_or(usize::MAX);
    match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => Some(Dim::Fixed(sum(a, b))),
        (Dim::Batch(a), Dim::Batch(b)) => Some(Dim::Batch(sum(a, b))),
        _ => None,
    }
}

impl Node {
    /// Concatenates values along an axis. There must be at least one.
    ///
    /// ```
    /// use ocelli_graph::{Axis, Model, Node};
    /// let model = Model::build(|x| Node::concat(&[x, &x.relu()], Axis::C), [2, 2, 3], 0)?;
    /// assert_eq!(model.graph().values.last().unwrap().shape.to_string(), "[N, 2, 2, 6]");
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `values` is empty.
    #[track_caller]
    pub fn concat(values: &[&Node], axis: Axis) -> Node {
        let shape = values[0].shape();
        match axis.index(shape.rank()) {
            Some(axis) => Node::call(Concat { axis }, values),
            None if values[0].id().is_none() => values[0].clone(),
            None => values[0].trace().fail("Concat", format!("there is no axis {axis} in {shape}")),
        }
    }
}
