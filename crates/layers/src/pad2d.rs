//! Padding by reflection, replication or zeros.

use ocelli_graph::{Layer, Node};
use ocelli_kernels::pad::{PadMode, PadSettings};
use serde::{Deserialize, Serialize};

/// Pads images beyond their edges, before a convolution or a pooling without padding of its own.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, top + H + bottom, left + W + right, C]`.
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

/// Widths of the padding on each side of an image, in pixels: one number for all four, `[rows, columns]` for both sides
/// of an axis, or `[left, right, top, bottom]`, the order of PyTorch's padding layers.
///
/// ```
/// use ocelli_layers::Sides;
/// assert_eq!(Sides::from([0, 1, 2, 3]), Sides { left: 0, right: 1, top: 2, bottom: 3 });
/// assert_eq!(Sides::from([2, 1]), Sides { left: 1, right: 1, top: 2, bottom: 2 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
}

impl From<usize> for Sides {
    fn from(pixels: usize) -> Sides {
        Sides::from([pixels; 4])
    }
}

impl From<[usize; 2]> for Sides {
    fn from([rows, columns]: [usize; 2]) -> Sides {
        Sides { left: columns, right: columns, top: rows, bottom: rows }
    }
}

impl From<[usize; 4]> for Sides {
    fn from([left, right, top, bottom]: [usize; 4]) -> Sides {
        Sides { left, right, top, bottom }
    }
}

impl Pad2d {
    /// Pads by the mirror image, in which the edge is not repeated; fewer pixels on each side than the image has.
    pub fn reflect(pixels: impl Into<Sides>) -> Pad2d {
        Pad2d::by(PadMode::Reflect, pixels.into())
    }

    /// Pads by repeating the edge.
    pub fn replicate(pixels: impl Into<Sides>) -> Pad2d {
        Pad2d::by(PadMode::Replicate, pixels.into())
    }

    /// Pads by zeros. [`Conv2d`](crate::Conv2d) has a padding of its own, which costs nothing.
    pub fn zeros(pixels: impl Into<Sides>) -> Pad2d {
        Pad2d::by(PadMode::Zero, pixels.into())
    }

    fn by(mode: PadMode, Sides { left, right, top, bottom }: Sides) -> Pad2d {
        Pad2d(PadSettings { mode, top, bottom, left, right })
    }
}

impl Layer for Pad2d {
    fn forward(&self, x: &Node) -> Node {
        x.pad(self.0)
    }
}
