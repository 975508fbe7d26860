//! Values side by side along an axis.

use super::equal;
use crate::{Axis, Dim, Fault, Grads, Node, Op, Operands, Shape, ops::Slice};
use ocelli_kernels::Accumulate;
use ocelli_kernels::copy::{BlockCopy, copy_blocks};

/// Operands side by side along an axis: the branches of an Inception block, two towers as one batch of `2N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    axis: usize,
}

impl Op for Concat {
    fn is_same(&self, other: &dyn Op) -> bool {
        equal(self, other)
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
            let sum = match (dims[self.axis], other.dims().get(self.axis)) {
                (Dim::Fixed(a), Some(Dim::Fixed(b))) => Dim::Fixed(a + b),
                (Dim::Batch(a), Some(Dim::Batch(b))) => Dim::Batch(a + b),
                _ => return Err(Fault::Unequal { left: 0, right: i }),
            };
            if elsewhere(x[0]) != elsewhere(other) {
                return Err(Fault::UnequalBeside { left: 0, right: i, axis: self.axis });
            }
            dims[self.axis] = sum;
        }
        Ok(vec![Shape::new(dims)])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let inner: usize = k.output_shape(0)[self.axis + 1..].iter().product();
        let row = k.output_shape(0)[self.axis] * inner;
        let mut offset = 0;
        for i in 0..k.len() {
            let block = k.shape(i)[self.axis] * inner;
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
        Ok(())
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let mut start = Dim::Fixed(0);
        (0..g.operands())
            .map(|i| {
                let (shape, from) = (g.x(i).shape(), start);
                let len = shape.dims()[self.axis];
                start = match (start, len) {
                    (Dim::Fixed(0), Dim::Batch(b)) => Dim::Batch(b),
                    (Dim::Batch(a), Dim::Batch(b)) => Dim::Batch(a + b),
                    (a, b) => Dim::Fixed(a.at(1) + b.at(1)),
                };
                g.want(i, || Node::call(Slice::new(self.axis, from, len), &[g.dy()]))
            })
            .collect()
    }
}

impl Node {
    /// These values side by side along an axis. At least one.
    ///
    /// ```
    /// use ocelli_graph::{Axis, Model, Node};
    /// let model = Model::build(|x| Node::concat(&[x, &x.relu()], Axis::C), [2, 2, 3], 0)?;
    /// assert_eq!(model.graph().values.last().unwrap().shape.to_string(), "[N, 2, 2, 6]");
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is none.
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
