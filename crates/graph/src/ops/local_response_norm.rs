//! Local response normalisation.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::local_response::{LocalResponse, local_response_backward, local_response_forward};
use std::ops::RangeInclusive;

/// Computes `y[c] = x[c] / (k + α Σ x[j]²)^β` over neighbouring channels (Krizhevsky, Sutskever and Hinton 2012,
/// section 3.3).
///
/// # Shapes
/// `[N, …, C]` → `[N, …, C]`.
///
/// Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalResponseNormOp(
    /// The window and the constants.
    pub LocalResponse,
);

/// The gradient of [`LocalResponseNormOp`]. Operands: `x`, `dy`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LocalResponseNormBackward(
    /// The window and the constants.
    pub LocalResponse,
);

impl Op for LocalResponseNormOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let LocalResponse { size, alpha, beta, k } = self.0;
        let refuse = |sentence: String| Err(Fault::Setting(sentence));
        if x[0].rank() < 2 {
            return Err(Fault::Rank { input: 0, expected: "[N, C] or [N, H, W, C]" });
        }
        if size == 0 {
            return refuse("a sum over 0 channels".into());
        }
        if !(k > 0.0 && k.is_finite()) {
            return refuse(format!("k must be a positive number, got {k}"));
        }
        for (name, value) in [("alpha", alpha), ("beta", beta)] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(format!("{name} must be a number that is not negative, got {value}"));
            }
        }
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, channels) = (k.input(0), k.shape(0).last().copied().unwrap_or(1));
            local_response_forward(&op.0, x, k.output(0), channels);
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(LocalResponseNormBackward(self.0), &[g.x(0), g.dy()]))]
    }
}

impl Op for LocalResponseNormBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, dy, channels) = (k.input(0), k.input(1), k.shape(0).last().copied().unwrap_or(1));
            local_response_backward(&op.0, x, dy, k.output(0), channels);
        }))
    }
}

impl Node {
    /// Applies local response normalisation across channels.
    #[track_caller]
    pub fn local_response_norm(&self, norm: LocalResponse) -> Node {
        Node::call(LocalResponseNormOp(norm), &[self])
    }
}
