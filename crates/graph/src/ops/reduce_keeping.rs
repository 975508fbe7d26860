//! Sums and means whose reduced axes are kept, with size 1.

use super::ReshapeOp;
use crate::{Axis, Dim, Node, Shape};

impl Node {
    /// Sums over some axes, which are kept with size 1, so that the result can be broadcast to the operand:
    /// `x / x.sum_keeping(&[Axis::C])`. Over the batch there is one result for all samples, `[1, …]`.
    ///
    /// ```
    /// use ocelli_graph::{Axis, Model};
    /// let model = Model::build(|x| x.sum_keeping(&[Axis::H, Axis::W]), [8, 8, 3], 0)?;
    /// let output = model.graph().find("output").unwrap();
    /// assert_eq!(model.graph().values[output].shape.to_string(), "[N, 1, 1, 3]");
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn sum_keeping(&self, axes: &[Axis]) -> Node {
        self.keeping(axes, self.sum_over(axes))
    }

    /// Averages over some axes, which are kept with size 1.
    #[track_caller]
    pub fn mean_keeping(&self, axes: &[Axis]) -> Node {
        self.keeping(axes, self.mean_over(axes))
    }

    /// Gives a reduction of this over `axes` these axes back, with size 1.
    #[track_caller]
    fn keeping(&self, axes: &[Axis], reduced: Node) -> Node {
        let mut dims = self.shape().dims().to_vec();
        for axis in axes.iter().filter_map(|axis| axis.index(dims.len())).collect::<Vec<_>>() {
            dims[axis] = Dim::Fixed(1);
        }
        Node::call(ReshapeOp { shape: Shape::new(dims) }, &[&reduced])
    }
}
