//! Entries of an axis by their indices.

use crate::{Axis, Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use std::ops::RangeInclusive;

/// Takes entries of an axis other than the batch, in any order and any number of times.
///
/// # Shapes
/// The axis has as many entries as there are indices; the others stay.
///
/// Backward keeps nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// Index of the axis.
    pub axis: usize,
    /// The entries that are taken.
    pub indices: Vec<usize>,
}

/// The adjoint of [`Gather`]: adds what comes back to each entry. Operand: `dy`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatherBackward {
    /// The selection.
    pub gather: Gather,
    /// Shape of the operand.
    pub shape: Shape,
}

impl Op for Gather {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let mut dims = x[0].dims().to_vec();
        let Some(&Dim::Fixed(size)) = dims.get(self.axis) else {
            return Err(Fault::Setting(format!("{} has no axis {} of a fixed size", x[0], self.axis)));
        };
        if let Some(index) = self.indices.iter().find(|&&index| index >= size) {
            let expected = format!("an entry {index} on axis {}", Axis::named(self.axis, dims.len()));
            return Err(Fault::Operand { input: 0, expected, got: format!("{size} entries") });
        }
        dims[self.axis] = Dim::Fixed(self.indices.len());
        Ok(vec![Shape::new(dims)])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (op, sizes) = (self.clone(), &request.operands[0]);
        let (size, block) = (sizes[self.axis], sizes[self.axis + 1..].iter().product::<usize>().max(1));
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            let parts = k.output(0).chunks_exact_mut(op.indices.len() * block).zip(x.chunks_exact(size * block));
            for (y, x) in parts {
                for (y, &index) in y.chunks_exact_mut(block).zip(&op.indices) {
                    y.copy_from_slice(&x[index * block..][..block]);
                }
            }
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let backward = GatherBackward { gather: self.clone(), shape: g.x(0).shape() };
        vec![Some(Node::call(backward, &[g.dy()]))]
    }
}

impl Op for GatherBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (op, sizes) = (self.gather.clone(), &request.results[0]);
        let (size, block) = (sizes[op.axis], sizes[op.axis + 1..].iter().product::<usize>().max(1));
        Ok(Compiled::new(move |k| {
            let dy = k.input(0);
            let dx = k.output(0);
            dx.fill(0.0);
            for (dx, dy) in dx.chunks_exact_mut(size * block).zip(dy.chunks_exact(op.indices.len() * block)) {
                for (dy, &index) in dy.chunks_exact(block).zip(&op.indices) {
                    dx[index * block..][..block].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
                }
            }
        }))
    }
}

impl Node {
    /// Takes entries of an axis other than the batch, in any order and any number of times.
    ///
    /// ```
    /// use ocelli_graph::{Axis, Model, Tensor};
    /// let model = Model::build(|x| x.gather(Axis::C, &[2, 0]), [3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![5.0, 6.0, 7.0])?)?;
    /// assert_eq!(y.data(), [7.0, 5.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn gather(&self, axis: Axis, indices: &[usize]) -> Node {
        let shape = self.shape();
        match axis.index(shape.rank()) {
            Some(axis) => Node::call(Gather { axis, indices: indices.to_vec() }, &[self]),
            None if self.id().is_none() => self.clone(),
            None => self.trace().fail("Gather", format!("there is no axis {axis} in {shape}")),
        }
    }
}
