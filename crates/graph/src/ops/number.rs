//! The second operand of an operation: a node or a number.

use crate::{Node, Shape};

/// A node or a number, as the second operand of an operation: `x.maximum(&y)`, `x.maximum(0.0)`.
pub trait NodeOrNumber {
    /// Returns the operand as a node beside `x`.
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
