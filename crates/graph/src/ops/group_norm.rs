//! Group and instance normalisation.

use super::batch_norm::check_normalised;
use crate::{Axis, Compiled, Dim, Fault, Grads, KernelContext, Node, Op, Request, Shape};
use ocelli_kernels::group_norm::{
    GroupNorm, GroupStatistics, GroupSums, group_norm_backward_data, group_norm_backward_sums, group_norm_forward,
    group_norm_statistics,
};
use ocelli_tensor::Size;
use std::{ops::RangeInclusive, sync::Arc};

/// Computes `y = w (x − μ) / √(σ² + ε) + b` with mean and variance over the pixels of a sample and a group of
/// neighbouring channels (Wu and He 2018). One channel a group is instance normalisation (Ulyanov, Vedaldi and
/// Lempitsky 2016).
///
/// # Shapes
/// `x` `[N, …, C]`, `w` and `b` `[C]` → `y` of the shape of `x`, then mean and variance, each `[N, C]`.
///
/// Backward keeps `x`, mean and variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormOp {
    /// The number of groups, which divides the channels.
    pub groups: usize,
    /// `ε`
    pub epsilon: f32,
}

/// Computes the sums over pixels for `dw` and `db`, each `[N, C]`. Operands: `x`, `dy`, `w`, `b`, mean and variance.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GroupNormBackwardSums(
    /// The normalisation.
    pub GroupNormOp,
);

/// Computes `dx`. Operands: those of [`GroupNormBackwardSums`], and its results.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GroupNormBackwardData(
    /// The normalisation.
    pub GroupNormOp,
);

impl GroupNormOp {
    fn norm<'a>(&self, shape: &[usize], gamma: &'a [f32], beta: &'a [f32]) -> GroupNorm<'a> {
        let pixels = shape.get(1..shape.len() - 1).map_or(1, |sizes| sizes.iter().product());
        GroupNorm { groups: self.groups, pixels, gamma, beta, epsilon: self.epsilon }
    }
}

impl Op for GroupNormOp {
    fn operands(&self) -> RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        check_normalised(x, self.epsilon)?;
        let (dims, channels, groups) = (x[0].dims(), x[0].channels(), self.groups);
        if groups == 0 {
            return Err(Fault::Setting("groups must be at least 1, got 0".into()));
        }
        if !channels.is_multiple_of(groups) {
            let expected = format!("a number of channels on axis C that groups = {groups} divides");
            return Err(Fault::Operand { input: 0, expected, got: channels.to_string() });
        }
        let of_sample: Size = dims[1..].iter().map(|dim| dim.checked_at(1)).product();
        if of_sample.get().is_some_and(|count| count / groups < 2) {
            let expected = "at least two values per group".into();
            return Err(Fault::Operand { input: 0, expected, got: "one".into() });
        }
        let statistics = Shape::new([dims[0], Dim::Fixed(channels)]);
        Ok(vec![x[0].clone(), statistics.clone(), statistics])
    }

    fn outputs(&self) -> usize {
        3
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, norm) = (k.input(0), op.norm(k.shape(0), k.input(1), k.input(2)));
            let [y, mean, variance] = k.outputs();
            group_norm_statistics(&norm, x, mean, variance);
            group_norm_forward(
                &norm,
                GroupStatistics { mean, variance },
                ocelli_kernels::elementwise::Source::Slice(x),
                y,
            );
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let mut operands = vec![g.x(0), g.dy(), g.x(1), g.x(2), g.y(1), g.y(2)];
        let sums = g.x(0).trace().call(Arc::new(GroupNormBackwardSums(*self)), &operands);
        operands.extend(&sums);
        vec![
            g.want(0, || Node::call(GroupNormBackwardData(*self), &operands)),
            g.want(1, || sums[0].sum_over(&[Axis::N])),
            g.want(2, || sums[1].sum_over(&[Axis::N])),
        ]
    }
}

impl Op for GroupNormBackwardSums {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[4].clone(), x[5].clone()])
    }

    fn outputs(&self) -> usize {
        2
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let norm = op.0.norm(k.shape(0), k.input(2), k.input(3));
            let (operands, statistics) = ((k.input(0), k.input(1)), statistics(k));
            let [products, gradients] = k.outputs();
            group_norm_backward_sums(&norm, statistics, operands, products, gradients);
        }))
    }
}

impl Op for GroupNormBackwardData {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let norm = op.0.norm(k.shape(0), k.input(2), k.input(3));
            let (operands, statistics) = ((k.input(0), k.input(1)), statistics(k));
            let sums = GroupSums { products: k.input(6), gradients: k.input(7) };
            group_norm_backward_data(&norm, statistics, sums, operands, k.output(0));
        }))
    }
}

/// Reads mean and variance from the operands of a backward operation.
fn statistics<'a>(k: &KernelContext<'a>) -> GroupStatistics<'a> {
    GroupStatistics { mean: k.input(4), variance: k.input(5) }
}

impl Node {
    /// Normalises the pixels and channels of each sample and group, then scales and shifts each channel.
    #[track_caller]
    pub fn group_norm(&self, op: GroupNormOp, weight: &Node, bias: &Node) -> Node {
        self.trace().call(Arc::new(op), &[self, weight, bias]).swap_remove(0)
    }
}
