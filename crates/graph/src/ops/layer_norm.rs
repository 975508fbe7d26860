//! Layer normalisation.

use super::batch_norm::check_normalised;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Scratch, Shape};
use ocelli_kernels::layer_norm::{
    LayerNorm, layer_norm_backward_data, layer_norm_backward_parameters, layer_norm_forward, layer_norm_scratch,
};
use std::{ops::RangeInclusive, sync::Arc};

/// Computes `y = w (x − μ) / √(σ² + ε) + b` with mean and variance over the last axis (Ba, Kiros and Hinton 2016).
///
/// # Shapes
/// `x` `[N, …, C]`, `w` and `b` `[C]` → `y` of the shape of `x`.
///
/// Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormOp {
    /// `ε`
    pub epsilon: f32,
}

/// Computes `dx`. Operands: `x`, `dy`, `w`, `b`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LayerNormBackwardData(
    /// The normalisation.
    pub LayerNormOp,
);

/// Computes `dw` and `db`. Operands: those of [`LayerNormBackwardData`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LayerNormBackwardParameters(
    /// The normalisation.
    pub LayerNormOp,
);

impl LayerNormOp {
    fn norm<'a>(&self, gamma: &'a [f32], beta: &'a [f32]) -> LayerNorm<'a> {
        LayerNorm { gamma, beta, epsilon: self.epsilon }
    }
}

impl Op for LayerNormOp {
    fn operands(&self) -> RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        check_normalised(x, self.epsilon)?;
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, norm) = (k.source(0), op.norm(k.input(1), k.input(2)));
            layer_norm_forward(&norm, x, k.output(0));
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let operands = [g.x(0), g.dy(), g.x(1), g.x(2)];
        let trace = g.x(0).trace();
        let parameters = match g.wants(1) || g.wants(2) {
            true => trace.call(Arc::new(LayerNormBackwardParameters(*self)), &operands),
            false => Vec::new(),
        };
        vec![
            g.want(0, || Node::call(LayerNormBackwardData(*self), &operands)),
            g.want(1, || parameters[0].clone()),
            g.want(2, || parameters[1].clone()),
        ]
    }
}

impl Op for LayerNormBackwardData {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, dy, norm) = (k.input(0), k.input(1), op.0.norm(k.input(2), k.input(3)));
            layer_norm_backward_data(&norm, x, dy, k.output(0));
        }))
    }
}

impl Op for LayerNormBackwardParameters {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[2].clone(), x[3].clone()])
    }

    fn outputs(&self) -> usize {
        2
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let rows_and_columns = request.operands[0].split_last();
        let scratch = rows_and_columns
            .map_or(Scratch::NONE, |(&columns, rows)| layer_norm_scratch(rows.iter().product(), columns));
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, dy, norm) = (k.input(0), k.input(1), op.0.norm(k.input(2), k.input(3)));
            let [dw, db] = k.outputs();
            layer_norm_backward_parameters(&norm, x, dy, dw, db);
        })
        .with_scratch(scratch))
    }
}

impl Node {
    /// Normalises over the last axis, then scales and shifts each element.
    #[track_caller]
    pub fn layer_norm(&self, epsilon: f32, weight: &Node, bias: &Node) -> Node {
        Node::call(LayerNormOp { epsilon }, &[self, weight, bias])
    }
}
