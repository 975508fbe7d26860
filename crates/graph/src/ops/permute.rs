//! Axes in another order.

use super::expect_few_axes;
use crate::{Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::broadcast::MAX_RANK;
use std::ops::RangeInclusive;

/// Moves the elements so that the axes stand in another order. Nothing inside a network of this library needs it: layers
/// agree on `[N, H, W, C]`. It serves networks that were described in another layout.
///
/// # Shapes
/// Axis `i` of the result is axis `axes[i]` of the operand.
///
/// Backward keeps nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permute {
    /// For each axis of the result, the index of the axis of the operand.
    pub axes: Vec<usize>,
}

impl Permute {
    /// Returns the permutation that undoes this one.
    fn inverse(&self) -> Permute {
        let mut axes = vec![0; self.axes.len()];
        self.axes.iter().enumerate().for_each(|(to, &from)| axes[from] = to);
        Permute { axes }
    }
}

impl Op for Permute {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let dims = x[0].dims();
        expect_few_axes(dims.len())?;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..dims.len()) {
            let got = format!("{} axes", dims.len());
            return Err(Fault::Operand { input: 0, expected: format!("axes for the order {:?}", self.axes), got });
        }
        Ok(vec![Shape::new(self.axes.iter().map(|&axis| dims[axis]).collect::<Vec<Dim>>())])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        // axes in the order of the result, with sizes and with strides of the operand
        let sizes = &request.operands[0];
        let stride = |axis: usize| sizes[axis + 1..].iter().product::<usize>();
        let mut order = [(1, 0); MAX_RANK];
        let first = MAX_RANK - self.axes.len();
        for (place, &axis) in order[first..].iter_mut().zip(&self.axes) {
            *place = (sizes[axis], stride(axis));
        }
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            permute(order, x, k.output(0));
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(self.inverse(), &[g.dy()]))]
    }
}

/// Writes the elements of `x` in the order of axes that are given by size and stride.
fn permute(order: [(usize, usize); MAX_RANK], x: &[f32], y: &mut [f32]) {
    let (columns, step) = order[MAX_RANK - 1];
    let mut index = [0; MAX_RANK];
    for row in y.chunks_exact_mut(columns.max(1)) {
        let start: usize = index.iter().zip(&order).map(|(index, (_, stride))| index * stride).sum();
        row.iter_mut().enumerate().for_each(|(column, y)| *y = x[start + column * step]);
        // the next row, as an odometer counts
        for (index, &(size, _)) in index.iter_mut().zip(&order).rev().skip(1) {
            *index += 1;
            if *index < size {
                break;
            }
            *index = 0;
        }
    }
}

impl Node {
    /// Moves the elements so that axis `i` of the result is axis `axes[i]` of this. The samples stay the first axis.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.permuted(&[0, 2, 1]), [2, 3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?)?;
    /// assert_eq!(y.data(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn permuted(&self, axes: &[usize]) -> Node {
        Node::call(Permute { axes: axes.to_vec() }, &[self])
    }
}
