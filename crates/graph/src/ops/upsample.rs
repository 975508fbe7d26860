//! Resizing of images.

use super::{expect_rank, four};
use crate::{Compiled, Dim, Fault, Grads, Node, Op, Reach, Request, Shape};
use ocelli_kernels::interpolate::{Interpolation, InterpolationGeometry, interpolate_backward, interpolate_forward};
use ocelli_tensor::Size;
use std::ops::RangeInclusive;

/// Resizes an image, each pixel the nearest one or interpolated between four. Both images cover the same area, as in
/// PyTorch's `interpolate` with `align_corners=False`.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`.
///
/// Backward keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpolate {
    /// Method of interpolation.
    pub interpolation: Interpolation,
    /// Height and width of the result.
    pub size: [usize; 2],
}

/// The adjoint of [`Interpolate`] for an image of this shape. Operand: `dy`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InterpolateBackward {
    /// The interpolation.
    pub interpolate: Interpolate,
    /// Shape of the input.
    pub shape: Shape,
}

impl Interpolate {
    fn geometry(&self, sizes: &[usize]) -> Result<InterpolationGeometry, Fault> {
        let geometry = InterpolationGeometry::new(self.interpolation, four(sizes), self.size);
        geometry.map_err(|error| Fault::Setting(error.to_string()))
    }
}

impl Op for Interpolate {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        self.geometry(&x[0].at(1))?;
        let (dims, [height, width]) = (x[0].dims(), self.size);
        Ok(vec![Shape::new([dims[0], Dim::Fixed(height), Dim::Fixed(width), dims[3]])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let geometry = self.geometry(&request.operands[0])?;
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            interpolate_forward(&geometry, x, k.output(0));
        }))
    }

    /// Largest number of pixels of `x` that one of the result is interpolated from. Their distance is taken for a whole
    /// number of pixels.
    fn reach(&self, x: &[&Shape]) -> Reach {
        let [_, height, width, _] = four(&x[0].at(1));
        let pixels = if self.interpolation == Interpolation::Nearest { 1 } else { 2 };
        let stride = [(height, self.size[0]), (width, self.size[1])].map(|(from, to)| (from / to.max(1)).max(1));
        Reach::Window { size: [pixels.min(height), pixels.min(width)], stride }
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let backward = InterpolateBackward { interpolate: *self, shape: g.x(0).shape() };
        vec![Some(Node::call(backward, &[g.dy()]))]
    }
}

impl Op for InterpolateBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let geometry = self.interpolate.geometry(&request.results[0])?;
        Ok(Compiled::new(move |k| {
            let (dy, accumulate) = (k.input(0), k.accumulate());
            interpolate_backward(&geometry, dy, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    /// Enlarges images to `factor` times as many pixels in each direction: `[N, H, W, C]` →
    /// `[N, factor·H, factor·W, C]`.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor, ops::Interpolation};
    /// let model = Model::build(|x| x.upsample(2, Interpolation::Bilinear), [1, 2, 1], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 1, 2, 1], vec![0.0, 4.0])?)?;
    /// assert_eq!(y.shape(), [1, 2, 4, 1]);
    /// assert_eq!(y.data()[..4], [0.0, 1.0, 3.0, 4.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn upsample(&self, factor: usize, interpolation: Interpolation) -> Node {
        let shape = self.shape();
        let sizes = [shape.dims().get(1), shape.dims().get(2)].map(|dim| dim.and_then(|dim| dim.fixed()));
        match sizes.map(|size| (Size::from(size.unwrap_or(1)) * factor).get()) {
            [Some(height), Some(width)] => self.resized([height, width], interpolation),
            _ => {
                self.trace().fail("Interpolate", format!("{shape} enlarged {factor} times overflows the address space"))
            }
        }
    }

    /// Resizes images to another height and width: `[N, H, W, C]` → `[N, height, width, C]`. See [`Interpolation`] for
    /// the pixels that a smaller image is made of.
    #[track_caller]
    pub fn resized(&self, [height, width]: [usize; 2], interpolation: Interpolation) -> Node {
        Node::call(Interpolate { interpolation, size: [height, width] }, &[self])
    }
}
