//! Reshaping: the same elements under another shape, without a kernel.

use super::same_shape;
use crate::{Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use ocelli_tensor::Size;
use std::ops::RangeInclusive;

/// Gives the same elements another shape.
#[derive(Debug, Clone, PartialEq)]
pub struct ReshapeOp {
    /// The shape of the result.
    pub shape: Shape,
}

/// Returns the operand itself: dropout in inference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Identity;

impl Op for ReshapeOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        // If both lengths are equal for two batch sizes, they are equal for all: both are linear in N, or would be
        // refused here.
        if [1, 2].iter().any(|&n| x[0].checked_len(n) != self.shape.checked_len(n)) {
            let expected = format!("as many elements as {} has", self.shape);
            return Err(Fault::Operand { input: 0, expected, got: format!("{} a sample", x[0].len(1)) });
        }
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|_| ()))
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(ReshapeOp { shape: g.x(0).shape() }, &[g.dy()]))]
    }
}

impl Op for Identity {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|_| ()))
    }

    fn is_view(&self) -> bool {
        true
    }

    fn is_identity(&self, _: &Shape) -> bool {
        true
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(g.dy().clone())]
    }
}

impl Node {
    /// Gives each sample another shape: `[N, …]` → `[N] + sample`.
    #[track_caller]
    pub fn reshape(&self, sample: impl AsRef<[usize]>) -> Node {
        let batch = self.shape().dims().first().copied().unwrap_or(Dim::Fixed(1));
        let sample = sample.as_ref().iter().map(|&size| Dim::Fixed(size));
        Node::call(ReshapeOp { shape: Shape::new(std::iter::once(batch).chain(sample).collect::<Vec<_>>()) }, &[self])
    }

    /// Flattens each sample to a row: `[N, H, W, C]` → `[N, H·W·C]`, in the order rows, columns, channels.
    #[track_caller]
    pub fn flatten(&self) -> Node {
        let shape = self.shape();
        let features: Size = shape.dims().iter().skip(1).map(|dim| dim.checked_at(1)).product();
        self.reshape([features.get().unwrap_or(usize::MAX)])
    }
}
