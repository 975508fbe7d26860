//! Values of a graph while it is read.

use crate::{
    constant::Array,
    layout::{Layout, usual_order},
};
use ocelli_graph::{Dim, Node, Shape, ops::ReshapeOp};
use std::rc::Rc;

/// A value of the file's graph.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Known now.
    Known(Known),
    /// Computed when the network runs.
    Symbol(Symbol),
}

/// A constant and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub array: Rc<Array>,
    /// The name of the value in the file: that of the parameter, should it become one.
    pub name: Rc<str>,
    /// True for initialisers of the file, which training may change.
    pub learnt: bool,
}

/// A node of the network and the axes that the file speaks of.
#[derive(Clone, Debug)]
pub(crate) struct Symbol {
    pub node: Node,
    pub layout: Layout,
}

impl Symbol {
    /// A node whose axes are those of the file in the given order.
    pub fn ordered(node: Node, order: &[usize]) -> Symbol {
        let shape = node.shape();
        let mut dims = vec![Dim::Fixed(1); order.len()];
        order.iter().zip(shape.dims()).for_each(|(&axis, &dim)| dims[axis] = dim);
        Symbol { layout: Layout::ordered(&dims, order), node }
    }

    /// A node whose axes lie as they usually do: `[N, H, W, C]` for an image.
    pub fn usual(node: Node) -> Symbol {
        let order = usual_order(node.shape().rank());
        Symbol::ordered(node, &order)
    }

    /// The same axes, computed elementwise.
    pub fn with_node(&self, node: Node) -> Symbol {
        Symbol { node, layout: self.layout.clone() }
    }

    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// The node with one axis for each of the file's, in this order.
    pub fn arranged(&self, order: &[usize]) -> Node {
        let arrangement = self.layout.arrangement(order);
        let node = match &arrangement.permutation {
            Some(axes) => shaped(&self.node, &self.layout.factors).permuted(axes),
            None => self.node.clone(),
        };
        shaped(&node, &arrangement.sizes)
    }

    /// The node with one axis for each of the file's, in the order in which they lie, and that order.
    pub fn in_its_order(&self) -> (Node, Vec<usize>) {
        let order = self.layout.order();
        (self.arranged(&order), order)
    }

    /// The same value with leading axes of size 1 up to this many.
    pub fn lifted(&self, rank: usize) -> Symbol {
        let missing = rank.saturating_sub(self.rank());
        let mut layout = self.layout.clone();
        layout.axes.splice(0..0, vec![Vec::new(); missing]);
        Symbol { node: self.node.clone(), layout }
    }

    /// The same elements with axes of these sizes. Elements move only where the file's order demands it.
    pub fn reshaped(&self, dims: &[Dim]) -> Symbol {
        match self.layout.reshaped(dims) {
            Some(layout) => Symbol { node: self.node.clone(), layout },
            None => {
                let whole: Vec<usize> = (0..self.rank()).collect();
                let node = shaped(&self.arranged(&whole), dims);
                Symbol::ordered(node, &(0..dims.len()).collect::<Vec<_>>())
            }
        }
    }
}

/// Returns the node under another shape, or itself if it has that shape.
pub(crate) fn shaped(node: &Node, dims: &[Dim]) -> Node {
    let shape = Shape::new(dims);
    if node.shape() == shape { node.clone() } else { Node::call(ReshapeOp { shape }, &[node]) }
}
