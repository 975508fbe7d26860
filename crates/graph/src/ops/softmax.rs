//! Softmax and its logarithm over the last axis.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::softmax::{log_softmax, log_softmax_backward, softmax, softmax_backward};
use std::ops::RangeInclusive;

/// Computes `e^x[c] / Σ e^x[k]` over the last axis, or its logarithm. Backward keeps the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftmaxOp {
    /// The probabilities.
    Plain,
    /// Their logarithms.
    Log,
}

/// The gradient of [`SoftmaxOp`]. Operands: `dy`, `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoftmaxBackward(
    /// The softmax or its logarithm.
    pub SoftmaxOp,
);

impl Op for SoftmaxOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        if x[0].rank() == 0 { Err(Fault::Rank { input: 0, expected: "[…, classes]" }) } else { same_shape(x) }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, classes) = (k.source(0), k.shape(0).last().copied().unwrap_or(1));
            match op {
                SoftmaxOp::Plain => softmax(x, k.output(0), classes),
                SoftmaxOp::Log => log_softmax(x, k.output(0), classes),
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(SoftmaxBackward(*self), &[g.dy(), g.y(0)]))]
    }

    fn kind(&self) -> String {
        match self {
            SoftmaxOp::Plain => "Softmax".into(),
            SoftmaxOp::Log => "LogSoftmax".into(),
        }
    }
}

impl Op for SoftmaxBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (dy, y, classes) = (k.source(0), k.input(1), k.shape(0).last().copied().unwrap_or(1));
            match op.0 {
                SoftmaxOp::Plain => softmax_backward(y, dy, k.output(0), classes),
                SoftmaxOp::Log => log_softmax_backward(y, dy, k.output(0), classes),
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

impl Node {
    /// Computes softmax probabilities over the last axis.
    #[track_caller]
    pub fn softmax(&self) -> Node {
        Node::call(SoftmaxOp::Plain, &[self])
    }

    /// Computes the logarithms of softmax probabilities over the last axis.
    #[track_caller]
    pub fn log_softmax(&self) -> Node {
        Node::call(SoftmaxOp::Log, &[self])
    }
}
