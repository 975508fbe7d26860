//! Layers one after the other.

use ocelli_graph::{Layer, Node};
use std::fmt;

/// Applies layers one after the other, called `0`, `1`, … or by a name of their own.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer + Send + Sync>)>,
}

impl Sequential {
    /// Makes a sequence without layers: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// Adds a layer, called by its position.
    pub fn then(self, layer: impl Layer + Send + Sync + 'static) -> Sequential {
        let position = self.layers.len();
        self.named(position, layer)
    }

    /// Adds a layer with a name.
    pub fn named(mut self, name: impl fmt::Display, layer: impl Layer + Send + Sync + 'static) -> Sequential {
        self.layers.push((name.to_string(), Box::new(layer)));
        self
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Node) -> Node {
        self.layers.iter().fold(x.clone(), |x, (name, layer)| x.apply(name, layer))
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.layers.iter().map(|(name, layer)| (name, layer.kind()))).finish()
    }
}
