//! Parallel branches.

use ocelli_graph::{Axis, Layer, Node};
use std::fmt;

/// Applies several layers to the same input and concatenates their results along the channels.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', sum of the branches' channels]`; the branches must agree on `H'` and `W'`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Branches, Conv2d, MaxPool2d};
/// let layer = Branches::new().then(Conv2d::new(8, 1)).then(MaxPool2d::new(3).stride(1).padding(1));
/// let model = Model::from_layer(layer, [6, 6, 3], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 6, 6, 11]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Default)]
pub struct Branches {
    branches: Vec<(String, Box<dyn Layer + Send + Sync>)>,
}

impl Branches {
    /// Makes a layer without branches; at least one must be added before it is applied.
    pub fn new() -> Branches {
        Branches::default()
    }

    /// Adds a branch, called by its position: `0`, `1`, ….
    pub fn then(self, branch: impl Layer + Send + Sync + 'static) -> Branches {
        let position = self.branches.len();
        self.named(position, branch)
    }

    /// Adds a branch with a name.
    pub fn named(mut self, name: impl fmt::Display, branch: impl Layer + Send + Sync + 'static) -> Branches {
        self.branches.push((name.to_string(), Box::new(branch)));
        self
    }
}

impl Layer for Branches {
    fn forward(&self, x: &Node) -> Node {
        let results: Vec<Node> = self.branches.iter().map(|(name, branch)| x.apply(name, branch)).collect();
        if results.is_empty() {
            return x.trace().fail("Branches", "there are no branches");
        }
        Node::concat(&results.iter().collect::<Vec<_>>(), Axis::C)
    }
}

impl fmt::Debug for Branches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.branches.iter().map(|(name, branch)| (name, branch.kind()))).finish()
    }
}
