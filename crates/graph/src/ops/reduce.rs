//! Sums and means over axes, and their adjoint.

use super::expect_few_axes;
use crate::{Axis, Compiled, Dim, Fault, Grads, KernelContext, Node, Op, Request, Shape};
use ocelli_kernels::reduce::{Reduction, spread, sum};
use std::ops::RangeInclusive;

/// Computes a sum or a mean over axes, which are removed. The divisor of a mean may depend on the batch size and is
/// computed when the operation is compiled.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReduceOp {
    /// Indices of the reduced axes, ascending.
    pub axes: Vec<usize>,
    /// Sum or mean.
    pub kind: ReduceKind,
}

/// The reduction of the elements along the removed axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceKind {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
}

/// The adjoint of [`ReduceOp`]: writes every element of the small shape to all the positions that were summed into it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// The reduction.
    pub reduce: ReduceOp,
    /// The shape of its operand.
    pub shape: Shape,
}

impl ReduceOp {
    fn geometry(&self, sizes: &[usize]) -> Result<Reduction, Fault> {
        let too_many = || Fault::Setting(format!("{} axes are more than the kernels handle", sizes.len()));
        Reduction::new(sizes, &self.axes).ok_or_else(too_many)
    }

    /// Factor of each sum.
    fn factor(&self, sizes: &[usize]) -> f32 {
        match self.kind {
            ReduceKind::Sum => 1.0,
            ReduceKind::Mean => {
                let count: usize = self.axes.iter().map(|&axis| sizes[axis]).product();
                1.0 / count.max(1) as f32
            }
        }
    }
}

impl Op for ReduceOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let dims = x[0].dims();
        expect_few_axes(dims.len())?;
        if let Some(&axis) = self.axes.iter().find(|&&axis| axis >= dims.len()) {
            return Err(Fault::Operand { input: 0, expected: format!("an axis {axis}"), got: "none".into() });
        }
        let kept = dims.iter().enumerate().filter(|(axis, _)| !self.axes.contains(axis)).map(|(_, dim)| *dim);
        Ok(vec![Shape::new(kept.collect::<Vec<Dim>>())])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let sizes = &request.operands[0];
        let (geometry, factor) = (self.geometry(sizes)?, self.factor(sizes));
        let scratch = geometry.scratch();
        let kernel = move |k: &mut KernelContext<'_>| {
            let (x, accumulate) = (k.input(0), k.accumulate());
            sum(&geometry, x, k.output(0), factor, accumulate);
        };
        Ok(Compiled::new(kernel).with_scratch(scratch))
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(Spread { reduce: self.clone(), shape: g.x(0).shape() }, &[g.dy()]))]
    }

    fn reach(&self, x: &[&Shape]) -> crate::Reach {
        let spatial = x[0].rank() == 4 && self.axes.iter().any(|axis| [1, 2].contains(axis));
        if spatial || self.axes.len() == x[0].rank() { crate::Reach::Everything } else { crate::Reach::Point }
    }

    fn kind(&self) -> String {
        format!("{:?}", self.kind)
    }
}

impl Op for Spread {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let sizes = &request.results[0];
        let (geometry, factor) = (self.reduce.geometry(sizes)?, self.reduce.factor(sizes));
        Ok(Compiled::new(move |k| {
            let (dy, accumulate) = (k.input(0), k.accumulate());
            spread(&geometry, dy, k.output(0), factor, accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    #[track_caller]
    fn reduce(&self, axes: &[Axis], kind: ReduceKind) -> Node {
        let shape = self.shape();
        let mut numbers = Vec::new();
        for &axis in axes {
            match axis.index(shape.rank()) {
                Some(number) => numbers.push(number),
                None if self.id().is_none() => return self.clone(),
                None => return self.trace().fail("Reduce", format!("there is no axis {axis} in {shape}")),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Node::call(ReduceOp { axes: numbers, kind }, &[self])
    }

    fn all_axes(&self) -> Vec<Axis> {
        (0..self.shape().rank()).map(Axis::Index).collect()
    }

    /// Sums over some axes, which are removed.
    #[track_caller]
    pub fn sum_over(&self, axes: &[Axis]) -> Node {
        self.reduce(axes, ReduceKind::Sum)
    }

    /// Averages over some axes, which are removed.
    #[track_caller]
    pub fn mean_over(&self, axes: &[Axis]) -> Node {
        self.reduce(axes, ReduceKind::Mean)
    }

    /// Sums all elements to a scalar.
    #[track_caller]
    pub fn sum(&self) -> Node {
        self.reduce(&self.all_axes(), ReduceKind::Sum)
    }

    /// Averages all elements to a scalar.
    #[track_caller]
    pub fn mean(&self) -> Node {
        self.reduce(&self.all_axes(), ReduceKind::Mean)
    }

    /// Averages each channel: `[N, H, W, C]` → `[N, C]`.
    #[track_caller]
    pub fn global_avg_pool(&self) -> Node {
        self.mean_over(&[Axis::H, Axis::W])
    }

    /// Sums over every axis that was repeated when `shape` was broadcast to this one: the adjoint of broadcasting.
    #[track_caller]
    pub(crate) fn sum_to(&self, shape: &Shape) -> Node {
        let own = self.shape();
        if own == *shape || self.id().is_none() {
            return self.clone();
        }
        let missing = own.rank() - shape.rank();
        let repeated = |axis: &usize| match axis.checked_sub(missing) {
            Some(axis_there) => shape.dims()[axis_there] != own.dims()[*axis],
            None => true,
        };
        let axes: Vec<Axis> = (0..own.rank()).filter(repeated).map(Axis::Index).collect();
        let sums = self.sum_over(&axes);
        if sums.shape() == *shape {
            return sums;
        }
        Node::call(super::ReshapeOp { shape: shape.clone() }, &[&sums])
    }
}
