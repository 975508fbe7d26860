//! What may stand beside a node in an operation of two operands.

use crate::{Node, Shape};

/// A node, or a number that is the same everywhere: `x.maximum(&y)`, `x.maximum(0.0)`.
pub trait NodeOrNumber {
    /// This as an operand beside `x`.
    fn beside(self, x: &Node) -> Node;
}

impl NodeOrNumber for Node {
    fn beside(self, _: &Node) -> Node {
        self
    }
}

impl NodeOrNumber for &Node {
    fn beside(self, _: &Node) -> Node {
        self.clone()
    }
}

impl NodeOrNumber for f32 {
    #[track_caller]
    fn beside(self, x: &Node) -> Node {
        if x.id().is_none() { x.clone() } else { x.trace().filled(self, Shape::default()) }
    }
}
