//! The hard sigmoid and the hard swish: piecewise linear and quadratic stand-ins for the sigmoid and the SiLU.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::elementwise::Source;
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Computes `x · min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, section 5.2). Backward keeps the operand; its gradient is 0
/// below −3 and 1 above 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HardSwishOp;

/// The gradient of [`HardSwishOp`]. Operands: `dy`, `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HardSwishBackward;

/// Elements for one task of a thread. Vectorised by the compiler, a task is bound by memory.
const CHUNK: usize = 1 << 16;

fn value(x: f32) -> f32 {
    x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
}

fn derivative(x: f32) -> f32 {
    let within = x * (1.0 / 3.0) + 0.5;
    let above = if x > 3.0 { 1.0 } else { within };
    if x < -3.0 { 0.0 } else { above }
}

impl Op for HardSwishOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let x = k.source(0);
            let y = k.output(0).par_chunks_mut(CHUNK);
            match x {
                Source::InPlace => y.for_each(|y| y.iter_mut().for_each(|y| *y = value(*y))),
                Source::Slice(x) => y.zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = value(*x));
                }),
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(HardSwishBackward, &[g.dy(), g.x(0)]))]
    }
}

impl Op for HardSwishBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let (dy, x) = (k.source(0), k.input(1));
            let dx = k.output(0).par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
            match dy {
                Source::InPlace => dx.for_each(|(dx, x)| {
                    dx.iter_mut().zip(x).for_each(|(dx, x)| *dx *= derivative(*x));
                }),
                Source::Slice(dy) => dx.zip(dy.par_chunks(CHUNK)).for_each(|((dx, x), dy)| {
                    dx.iter_mut().zip(x).zip(dy).for_each(|((dx, x), dy)| *dx = dy * derivative(*x));
                }),
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

impl Node {
    /// Applies the hard swish, `x · min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, section 5.2).
    #[track_caller]
    pub fn hard_swish(&self) -> Node {
        Node::call(HardSwishOp, &[self])
    }

    /// Applies the hard sigmoid, `min(max(slope·x + offset, 0), 1)`, with slope 1/6 and offset ½ in MobileNetV3.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.hard_sigmoid(0.25, 0.5), [3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![-3.0, 1.0, 3.0])?)?;
    /// assert_eq!(y.data(), [0.0, 0.75, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn hard_sigmoid(&self, slope: f32, offset: f32) -> Node {
        self.scale(slope).shift(offset).clamp(0.0, 1.0)
    }
}
