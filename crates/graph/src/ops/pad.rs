//! Padding of images.

use super::{expect_rank, four};
use crate::{Compiled, Dim, Fault, Grads, Node, Op, Reach, Request, Shape};
use ocelli_kernels::pad::{PadError, PadGeometry, PadMode, PadSettings, pad_backward, pad_forward};
use std::ops::RangeInclusive;

/// Pads images by their mirror image, by their edge or by zeros: before a convolution that should not see zeros, or
/// before an operation without padding of its own.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, top + H + bottom, left + W + right, C]`.
///
/// Backward keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PadOp(
    /// Mode and widths of the padding.
    pub PadSettings,
);

/// The gradient of [`PadOp`]. Operands: `dy`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PadBackward {
    /// The padding.
    pub pad: PadOp,
    /// Shape of the input.
    pub input: Shape,
}

impl PadOp {
    fn geometry(&self, x: &[usize]) -> Result<PadGeometry, Fault> {
        PadGeometry::new(&self.0, four(x)).map_err(|error| match error {
            PadError::TooFew { axis, pixels, padding } => {
                let least = match self.0.mode {
                    PadMode::Reflect => format!("{} or more pixels (to reflect them)", padding.saturating_add(1)),
                    // Zeros need no pixels.
                    PadMode::Replicate | PadMode::Zero => "1 or more pixels (to repeat them)".into(),
                };
                Fault::Operand { input: 0, expected: format!("{least} on axis {axis}"), got: pixels.to_string() }
            }
            PadError::Overflow => Fault::Setting(error.to_string()),
        })
    }
}

impl Op for PadOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let [_, height, width, _] = self.geometry(&x[0].at(1))?.output_shape();
        let dims = x[0].dims();
        Ok(vec![Shape::new([dims[0], Dim::Fixed(height), Dim::Fixed(width), dims[3]])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let g = self.geometry(&request.operands[0])?;
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            pad_forward(&g, x, k.output(0));
        }))
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Window { size: [1; 2], stride: [1; 2] }
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(PadBackward { pad: *self, input: g.x(0).shape() }, &[g.dy()]))]
    }
}

impl Op for PadBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.input.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let g = self.pad.geometry(&request.results[0])?;
        Ok(Compiled::new(move |k| {
            let dy = k.input(0);
            pad_backward(&g, dy, k.output(0));
        }))
    }
}

impl Node {
    /// Pads the image beyond its edges.
    #[track_caller]
    pub fn pad(&self, settings: PadSettings) -> Node {
        Node::call(PadOp(settings), &[self])
    }
}
