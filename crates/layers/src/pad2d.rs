//! Padding by what a picture shows.

use crate::Pair;
use ocelli_graph::{Layer, Node};
use ocelli_kernels::pad::{PadMode, PadSettings};
use serde::{Deserialize, Serialize};

/// Continues pictures beyond their edges, before a convolution without padding of its own.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H + 2·rows, W + 2·columns, C]`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::{Conv2d, Pad2d};
/// let model = Model::build(|x| x.apply("pad", Pad2d::reflect(1)).apply("conv", Conv2d::new(8, 3)), [28, 28, 1], 0)?;
/// assert_eq!(model.summary().rows[1].output, "[N, 28, 28, 8]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pad2d(PadSettings);

impl Pad2d {
    /// By the mirror image, in which the edge is not repeated; fewer pixels on each side than the picture has.
    pub fn reflect(pixels: impl Into<Pair>) -> Pad2d {
        Pad2d::by(PadMode::Reflect, pixels.into())
    }

    /// By the edge.
    pub fn replicate(pixels: impl Into<Pair>) -> Pad2d {
        Pad2d::by(PadMode::Replicate, pixels.into())
    }

    fn by(mode: PadMode, Pair { h, w }: Pair) -> Pad2d {
        Pad2d(PadSettings { mode, top: h, bottom: h, left: w, right: w })
    }
}

impl Layer for Pad2d {
    fn forward(&self, x: &Node) -> Node {
        x.pad(self.0)
    }
}
