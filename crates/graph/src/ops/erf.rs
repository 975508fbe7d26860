//! The error function.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::elementwise::Source;
use std::{f64::consts::PI, ops::RangeInclusive};

/// Computes the error function `erf x = 2/√π ∫₀ˣ e^(−t²) dt` (Abramowitz and Stegun 1964, 7.1.1). Backward keeps the
/// operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erf;

/// Beyond this magnitude the error function is ±1 in `f32`.
const SATURATED: f64 = 4.0;

/// Computes the error function by a series whose terms are all of one sign (7.1.6), so that nothing cancels.
fn erf(x: f32) -> f32 {
    let x = f64::from(x);
    if x.is_nan() || x.abs() >= SATURATED {
        return if x.is_nan() { f32::NAN } else { x.signum() as f32 };
    }
    let (mut term, mut sum, mut odd) = (x, x, 3.0);
    while term.abs() > 1e-12 * sum.abs() {
        term *= 2.0 * x * x / odd;
        sum += term;
        odd += 2.0;
    }
    (2.0 / PI.sqrt() * (-x * x).exp() * sum) as f32
}

impl Op for Erf {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let x = k.source(0);
            let y = k.output(0);
            match x {
                Source::InPlace => y.iter_mut().for_each(|y| *y = erf(*y)),
                Source::Slice(x) => y.iter_mut().zip(x).for_each(|(y, x)| *y = erf(*x)),
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let slope = (2.0 / PI.sqrt()) as f32;
        vec![Some(g.dy() * &(g.x(0).square() * -1.0).exp().scale(slope))]
    }
}

impl Node {
    /// Applies the error function to each element.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.erf(), [3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![0.0, 0.5, -9.0])?)?;
    /// assert_eq!(y.data(), [0.0, 0.520_499_9, -1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn erf(&self) -> Node {
        Node::call(Erf, &[self])
    }
}
