//! Layers that only change the shape.

use ocelli_graph::{Layer, Node};
use serde::{Deserialize, Serialize};

/// Flattens each sample to a row: `[N, H, W, C]` → `[N, H·W·C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten;

impl Layer for Flatten {
    fn forward(&self, x: &Node) -> Node {
        x.flatten()
    }
}

/// Gives each sample another shape: `[N, …]` → `[N] + shape`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshape(
    /// Shape of a sample of the result.
    pub Vec<usize>,
);

impl Layer for Reshape {
    fn forward(&self, x: &Node) -> Node {
        x.reshape(&self.0)
    }
}
