//! The larger and the smaller of two values.

use super::{
    NodeOrNumber,
    arithmetic::{compile_broadcast, joined},
};
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::broadcast::compare::{self, extremum, extremum_share};
use std::ops::RangeInclusive;

/// Computes `max(a, b)` or `min(a, b)`, with broadcasting as in [`Arithmetic`](super::Arithmetic). NaN where either is
/// NaN.
///
/// Backward keeps both operands. The gradient goes to the operand that is the result, and half of it to each if they
/// are equal, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtremumOp(
    /// Maximum or minimum.
    pub compare::Extremum,
);

/// Computes the share of the gradient that goes to the first operand: 1, ½ or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtremumShare(
    /// Maximum or minimum.
    pub compare::Extremum,
);

impl Op for ExtremumOp {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        joined(x).map(|shape| vec![shape])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let which = self.0;
        compile_broadcast(request, move |geometry, a, b, y| extremum(which, geometry, a, b, y))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (a, b, dy) = (g.x(0), g.x(1), g.dy());
        let share = Node::call(ExtremumShare(self.0), &[a, b]);
        let da = g.want(0, || (dy * &share).sum_to(&a.shape()));
        let db = g.want(1, || (dy * (1.0 - &share)).sum_to(&b.shape()));
        vec![da, db]
    }

    fn kind(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl Op for ExtremumShare {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        joined(x).map(|shape| vec![shape])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let which = self.0;
        compile_broadcast(request, move |geometry, a, b, y| extremum_share(which, geometry, a, b, y))
    }
}

impl Node {
    /// Computes the larger of this and another value or number, with broadcasting. Where they are equal, each gets half
    /// of the gradient.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.maximum(x.square()).maximum(0.5), [3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![-2.0, 0.1, 0.75])?)?;
    /// assert_eq!(y.data(), [4.0, 0.5, 0.75]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn maximum(&self, other: impl NodeOrNumber) -> Node {
        Node::call(ExtremumOp(compare::Extremum::Maximum), &[self, &other.beside(self)])
    }

    /// Computes the smaller of this and another value or number, with broadcasting. Where they are equal, each gets
    /// half of the gradient.
    #[track_caller]
    pub fn minimum(&self, other: impl NodeOrNumber) -> Node {
        Node::call(ExtremumOp(compare::Extremum::Minimum), &[self, &other.beside(self)])
    }
}
