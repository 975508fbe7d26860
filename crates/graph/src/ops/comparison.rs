//! Comparisons as masks of ones and zeros.

use super::{
    NodeOrNumber,
    arithmetic::{compile_broadcast, joined},
};
use crate::{Compiled, Fault, Node, Op, Request, Shape};
use ocelli_kernels::broadcast::compare::{self, compare};
use std::ops::RangeInclusive;

/// Computes a mask: 1 where a comparison of two values is true and 0 elsewhere, with broadcasting as in
/// [`Arithmetic`](super::Arithmetic). With NaN all comparisons are false but "not equal".
///
/// No gradient passes: the result does not change where the operands change a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComparisonOp(
    /// The comparison.
    pub compare::Comparison,
);

impl Op for ComparisonOp {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        joined(x).map(|shape| vec![shape])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let comparison = self.0;
        compile_broadcast(request, move |geometry, a, b, y| compare(comparison, geometry, a, b, y))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn has_gradient(&self, _: usize) -> bool {
        false
    }

    fn kind(&self) -> String {
        format!("{:?}", self.0)
    }
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident = $comparison:ident;)*) => {
        impl Node { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self, other: impl NodeOrNumber) -> Node {
                Node::call(ComparisonOp(compare::Comparison::$comparison), &[self, &other.beside(self)])
            }
        )* }
    };
}

comparisons! {
    /// Returns 1 where this is greater than another value or number, 0 elsewhere; with broadcasting and without a
    /// gradient.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x * x.greater(0.5), [3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![0.25, 0.5, 2.0])?)?;
    /// assert_eq!(y.data(), [0.0, 0.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    greater = Greater;
    /// Returns 1 where this is greater than another value or number or equal to it, 0 elsewhere; with broadcasting and
    /// without a gradient.
    greater_or_equal = GreaterOrEqual;
    /// Returns 1 where this is less than another value or number, 0 elsewhere; with broadcasting and without a
    /// gradient.
    less = Less;
    /// Returns 1 where this is less than another value or number or equal to it, 0 elsewhere; with broadcasting and
    /// without a gradient.
    less_or_equal = LessOrEqual;
    /// Returns 1 where this is equal to another value or number, 0 elsewhere; with broadcasting and without a gradient.
    equal = Equal;
    /// Returns 1 where this differs from another value or number, 0 elsewhere; with broadcasting and without a
    /// gradient.
    not_equal = NotEqual;
}
