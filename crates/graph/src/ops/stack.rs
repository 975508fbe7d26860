//! Stacking of values of one shape along a new axis.

use super::{ReshapeOp, Slice};
use crate::{Axis, Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::{
    Accumulate,
    copy::{BlockCopy, copy_blocks},
};
use std::ops::RangeInclusive;

/// Stacks operands of one shape along a new axis, which is not the first: that is the batch.
///
/// # Shapes
/// `k` operands `[N, …]` → `[N, …, k, …]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stack {
    /// Index of the new axis in the result.
    pub axis: usize,
}

impl Op for Stack {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let mut dims = x[0].dims().to_vec();
        if self.axis == 0 || self.axis > dims.len() {
            let axis = Axis::named(self.axis, dims.len() + 1);
            let sentence = match self.axis {
                0 => format!("a new axis {axis} would push the samples of {} off the first place; see `concat`", x[0]),
                _ => format!("there is no place for a new axis {axis} in {}", x[0]),
            };
            return Err(Fault::Setting(sentence));
        }
        if let Some(right) = x.iter().position(|other| *other != x[0]) {
            // No axis is excepted: the index is beyond all axes.
            return Err(Fault::UnequalBeside { left: 0, right, axis: dims.len() });
        }
        dims.insert(self.axis, Dim::Fixed(x.len()));
        Ok(vec![Shape::new(dims)])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let block: usize = k.shape(0)[op.axis..].iter().product();
            let count = k.input(0).len().checked_div(block).unwrap_or(0);
            for i in 0..k.len() {
                let copy = BlockCopy {
                    block,
                    count,
                    source_offset: 0,
                    source_stride: block,
                    destination_offset: i * block,
                    destination_stride: k.len() * block,
                };
                let x = k.input(i);
                copy_blocks(&copy, x, k.output(0), Accumulate::Set);
            }
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let part = |i: usize| {
            let slice = Slice::new(self.axis, Dim::Fixed(i), Dim::Fixed(1));
            Node::call(ReshapeOp { shape: g.x(i).shape() }, &[&Node::call(slice, &[g.dy()])])
        };
        (0..g.operands()).map(|i| g.want(i, || part(i))).collect()
    }
}

impl Node {
    /// Stacks values of one shape along a new axis, counted as in the result: `[N, H, W]` three times along `Axis::C`
    /// is `[N, H, W, 3]`. The first axis is the batch and stays: [`Node::concat`] along it makes a batch of `kN`. There
    /// must be at least one value.
    ///
    /// ```
    /// use ocelli_graph::{Axis, Model, Node};
    /// let model = Model::build(|x| Node::stack(&[x, &x.relu()], Axis::Index(1)), [4, 5], 0)?;
    /// let output = model.graph().find("output").unwrap();
    /// assert_eq!(model.graph().values[output].shape.to_string(), "[N, 2, 4, 5]");
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `values` is empty.
    #[track_caller]
    pub fn stack(values: &[&Node], axis: Axis) -> Node {
        let shape = values[0].shape();
        match axis.index(shape.rank() + 1) {
            Some(axis) => Node::call(Stack { axis }, values),
            None if values[0].id().is_none() => values[0].clone(),
            None => values[0].trace().fail("Stack", format!("there is no place for a new axis {axis} in {shape}")),
        }
    }
}
