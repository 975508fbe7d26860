//! Dropout.

use ocelli_graph::{Layer, Node};
use serde::{Deserialize, Serialize};

/// Sets each element to zero with a probability while training and scales the others so that the mean stays; the
/// identity in inference (Srivastava et al. 2014).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout(
    /// The probability, in `[0, 1)`.
    pub f32,
);

impl Layer for Dropout {
    fn forward(&self, x: &Node) -> Node {
        x.dropout(self.0)
    }
}
