//! Rows divided by their Euclidean norms.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::l2_norm::{L2Norm, l2_norm_backward, l2_norm_forward};
use std::ops::RangeInclusive;

/// Computes `x / max(‖x‖, ε)` over the last axis, as `torch.nn.functional.normalize` does.
///
/// # Shapes
/// `[…, C]` → `[…, C]`.
///
/// Backward keeps `x`. Where the norm is not above `ε`, also at zero, the gradient is `dy / ε`: the divisor is constant
/// there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L2NormalisedOp {
    /// Smallest divisor of a row, above zero.
    pub epsilon: f32,
}

/// The gradient of [`L2NormalisedOp`]. Operands: `dy`, `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct L2NormalisedBackward(
    /// The normalisation.
    pub L2NormalisedOp,
);

impl L2NormalisedOp {
    fn geometry(&self, sizes: &[usize]) -> L2Norm {
        L2Norm { row: sizes.last().copied().unwrap_or(1), epsilon: self.epsilon }
    }
}

impl Op for L2NormalisedOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        // The reciprocal of ε is the gradient at zero.
        if !(self.epsilon.is_normal() && self.epsilon > 0.0) {
            return Err(Fault::Setting(format!("the epsilon {} is no positive number", self.epsilon)));
        }
        match x[0].dims().last().map(|dim| dim.fixed()) {
            Some(Some(_)) => same_shape(x),
            _ => Err(Fault::Rank { input: 0, expected: "[…, C]" }),
        }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, geometry) = (k.input(0), op.geometry(k.shape(0)));
            l2_norm_forward(&geometry, x, k.output(0));
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(L2NormalisedBackward(*self), &[g.dy(), g.x(0)]))]
    }

    fn kind(&self) -> String {
        "L2Normalised".into()
    }
}

impl Op for L2NormalisedBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (dy, x, geometry, accumulate) = (k.input(0), k.input(1), op.0.geometry(k.shape(1)), k.accumulate());
            l2_norm_backward(&geometry, x, dy, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    /// Divides each row along the last axis by its Euclidean norm, or by `epsilon` where that is larger: embeddings of
    /// length one. PyTorch's epsilon is `1e-12`. At a row of zeros the gradient is `dy / epsilon`.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.l2_normalised(1e-12), [2], 0)?;
    /// let y = model.predict(&Tensor::from_vec([2, 2], vec![3.0, -4.0, 0.0, 0.0])?)?;
    /// assert_eq!(y.data(), [0.6, -0.8, 0.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn l2_normalised(&self, epsilon: f32) -> Node {
        Node::call(L2NormalisedOp { epsilon }, &[self])
    }
}
