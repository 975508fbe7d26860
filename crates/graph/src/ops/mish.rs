//! The activation Mish.

use super::same_shape;
use crate::{Compiled, Fault, Grads, KernelContext, Node, Op, Request, Shape};
use ocelli_kernels::{announce_work, elementwise::Source};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Applies Mish, `x·tanh(ln(1 + eˣ))` (Misra 2019).
///
/// # Shapes
/// Any, to the same. Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mish;

/// The gradient of [`Mish`]. Operands: `dy`, `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MishBackward;

/// Number of elements that a task computes.
const PIECE: usize = 4096;

/// Returns `eˣ` and `tanh(ln(1 + eˣ))`. The latter is `n / (n + 2)` with `n = eˣ(eˣ + 2)`, which needs one exponential
/// and cancels nowhere; above 20 it rounds to 1.
fn exp_and_tanh(x: f32) -> (f32, f32) {
    let e = x.min(20.0).exp();
    let n = e * (e + 2.0);
    (e, n / (n + 2.0))
}

fn mish(x: f32) -> f32 {
    x * exp_and_tanh(x).1
}

/// Returns `t + x·σ(x)·(1 − t²)` with `t = tanh(ln(1 + eˣ))`.
fn derivative(x: f32) -> f32 {
    let (e, t) = exp_and_tanh(x);
    t + x * (e / (1.0 + e)) * (1.0 - t * t)
}

impl Op for Mish {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k: &mut KernelContext<'_>| {
            announce_work();
            match k.source(0) {
                Source::InPlace => {
                    k.output(0).par_chunks_mut(PIECE).for_each(|y| y.iter_mut().for_each(|y| *y = mish(*y)));
                }
                Source::Slice(x) => {
                    let pieces = k.output(0).par_chunks_mut(PIECE).zip(x.par_chunks(PIECE));
                    pieces.for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y = mish(*x)));
                }
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![g.want(0, || Node::call(MishBackward, &[g.dy(), g.x(0)]))]
    }
}

impl Op for MishBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k: &mut KernelContext<'_>| {
            announce_work();
            let (dy, x) = (k.input(0), k.input(1));
            let pieces = k.output(0).par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE)).zip(x.par_chunks(PIECE));
            pieces.for_each(|((dx, dy), x)| {
                dx.iter_mut().zip(dy).zip(x).for_each(|((dx, dy), x)| *dx = dy * derivative(*x));
            });
        }))
    }
}

impl Node {
    /// Applies Mish, `x·tanh(ln(1 + eˣ))` (Misra 2019).
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.mish(), [2], 0)?;
    /// assert_eq!(model.predict(&Tensor::from_vec([1, 2], vec![0.0, 50.0])?)?.data(), [0.0, 50.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn mish(&self) -> Node {
        Node::call(Mish, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Model, Tensor, check_gradients};

    #[test]
    fn mish_is_its_definition() {
        // 5,000 values from −100 to 100 need two tasks.
        let x: Vec<f32> = (0..5000).map(|i| (i as f32 - 2500.0) / 25.0).collect();
        let model = Model::build(|x| x.mish(), [5000], 0).unwrap();
        let y = model.predict(&Tensor::from_vec([1, 5000], x.clone()).unwrap()).unwrap();
        for (x, y) in x.iter().map(|x| f64::from(*x)).zip(y.data()) {
            let expected = x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh();
            assert!((f64::from(*y) - expected).abs() <= 2e-6 * expected.abs() + 1e-37, "{x}: {y}, {expected}");
        }
    }

    #[test]
    fn mish_has_its_gradient() {
        check_gradients(&Mish, &[Shape::batch(&[3, 4, 2])]).unwrap();
        assert_eq!([derivative(100.0), derivative(-200.0)], [1.0, 0.0]);
    }
}
