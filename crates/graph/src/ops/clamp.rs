//! Values kept within bounds.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::elementwise::{self, Bounds};
use std::ops::RangeInclusive;

/// Computes `min(max(x, low), high)`. Backward keeps the operand; the gradient passes where it is within the bounds or
/// on one of them, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClampOp {
    /// Lower bound; −∞ for none.
    pub low: f32,
    /// Upper bound; ∞ for none.
    pub high: f32,
}

/// The gradient of [`ClampOp`]. Operands: `dy`, `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ClampBackward(
    /// The bounds.
    pub ClampOp,
);

impl ClampOp {
    fn bounds(&self) -> Result<Bounds, Fault> {
        let ClampOp { low, high } = *self;
        Bounds::new(low, high).ok_or_else(|| Fault::Setting(format!("there is no number from {low} to {high}")))
    }
}

impl Op for ClampOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        self.bounds()?;
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let bounds = self.bounds()?;
        Ok(Compiled::new(move |k| {
            let x = k.source(0);
            elementwise::clamp(bounds, x, k.output(0));
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(ClampBackward(*self), &[g.dy(), g.x(0)]))]
    }
}

impl Op for ClampBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let bounds = self.0.bounds()?;
        Ok(Compiled::new(move |k| {
            let (dy, x) = (k.source(0), k.input(1));
            elementwise::clamp_backward(bounds, x, dy, k.output(0));
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

impl Node {
    /// Clamps each element to the bounds. The gradient is 1 within the bounds and on them, and 0 beyond.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.clamp(0.0, 6.0), [3], 0)?; // ReLU6
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![-1.0, 4.0, 7.0])?)?;
    /// assert_eq!(y.data(), [0.0, 4.0, 6.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn clamp(&self, low: f32, high: f32) -> Node {
        Node::call(ClampOp { low, high }, &[self])
    }
}
