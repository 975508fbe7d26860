//! Powers.

use super::{NodeOrNumber, arithmetic::joined};
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use std::ops::RangeInclusive;

/// Computes `a` to the power of `b`, with broadcasting as in [`Arithmetic`](super::Arithmetic).
///
/// Backward keeps both operands and the result. The gradient of `b` is NaN where `a` is negative, and so is the power of
/// a negative number that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Power;

impl Op for Power {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        joined(x).map(|shape| vec![shape])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let sizes = request.results[0].clone();
        let strides = [0, 1].map(|operand| broadcast_strides(&request.operands[operand], &sizes));
        Ok(Compiled::new(move |k| {
            let (a, b) = (k.input(0), k.input(1));
            let mut index = vec![0; sizes.len()];
            for y in k.output(0) {
                let [i, j] = [0, 1].map(|x: usize| index.iter().zip(&strides[x]).map(|(i, s)| i * s).sum::<usize>());
                *y = a[i].powf(b[j]);
                for (index, &size) in index.iter_mut().zip(&sizes).rev() {
                    *index += 1;
                    if *index < size {
                        break;
                    }
                    *index = 0;
                }
            }
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (a, b, dy) = (g.x(0), g.x(1), g.dy());
        vec![
            g.want(0, || (dy * &(b * &a.power(&(b - 1.0)))).sum_to(&a.shape())),
            g.want(1, || (dy * &(g.y(0) * &a.ln())).sum_to(&b.shape())),
        ]
    }
}

/// Strides of an operand along the axes of the result: 0 where it is repeated.
fn broadcast_strides(operand: &[usize], result: &[usize]) -> Vec<usize> {
    let missing = result.len() - operand.len();
    let stride = |axis: usize| match operand[axis] {
        1 => 0,
        _ => operand[axis + 1..].iter().product(),
    };
    (0..result.len()).map(|axis| axis.checked_sub(missing).map_or(0, stride)).collect()
}

impl Node {
    /// Raises each element to a power: a number, or a node that is broadcast.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.power(1.5), [2], 0)?;
    /// assert_eq!(model.predict(&Tensor::from_vec([1, 2], vec![4.0, 9.0])?)?.data(), [8.0, 27.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn power(&self, exponent: impl NodeOrNumber) -> Node {
        Node::call(Power, &[self, &exponent.beside(self)])
    }
}
