//! Layers that only change the shape.

use ocelli_graph::{Layer, Node};
use serde::{Deserialize, Serialize};

/// Each sample as a row: `[N, H, W, C]` → `[N, H·W·C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten;

impl Layer for Flatten {
    fn forward(&self, x: &Node) -> Node {
        x.flatten()
    }
}

/// Each sample under another shape: `[N, …]` → `[N] + shape`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshape(
    /// The shape of a sample.
    pub Vec<usize>,
);

impl Layer for Reshape {
    fn forward(&self, x: &Node) -> Node {
        x.reshape(&self.0)
    }
}
