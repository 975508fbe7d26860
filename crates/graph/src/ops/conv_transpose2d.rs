//! Transposed convolution.

use super::conv2d::Conv2dBackwardFilter;
use super::{Conv2dOp, expect_rank, weight_sizes, work};
use crate::{Axis, Compiled, Dim, Fault, Grads, Node, Op, Reach, Request, Shape};
use ocelli_kernels::conv::{Conv2dSettings, Padding, geometry::span};
use ocelli_tensor::Size;
use std::ops::RangeInclusive;

/// Transposed convolution, the adjoint of a convolution (Zeiler et al. 2010; Dumoulin and Visin 2016, chapter 4): `y`
/// is what the gradient of the convolution's input would be if `x` were that of its output. With a stride it enlarges
/// images.
///
/// # Shapes
/// `[N, H, W, in]`, `[kernel_h, kernel_w, out / groups, in]` → `[N, H', W', out]` with
/// `H' = (H − 1)·stride − padding + dilation·(kernel − 1) + 1 + output_padding`.
///
/// Backward keeps `x`; the gradients are a convolution, and the filter gradient of a convolution.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConvTranspose2dOp {
    /// The convolution of which this is the adjoint: it maps `y` to `x`.
    pub convolution: Conv2dOp,
    /// Rows and columns that are added at the bottom and right to the smallest result.
    pub output_padding: [usize; 2],
}

/// The settings of a transposed convolution along one axis.
struct Extent {
    axis: Axis,
    size: Option<usize>,
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: [usize; 2],
    output_padding: usize,
}

impl Extent {
    /// Computes the size of the result.
    fn enlarged(&self) -> Result<usize, Fault> {
        let Extent { axis, stride, output_padding, padding: [before, after], .. } = *self;
        if output_padding >= stride.max(1) {
            let sentence = format!("an output padding of {output_padding} on axis {axis} is not less than the stride");
            return Err(Fault::Setting(sentence));
        }
        let left = || {
            let steps = (Size::from(self.size?) - 1) * stride;
            let whole = steps + span(self.kernel, self.dilation)? + output_padding;
            (whole - (Size::from(before) + after)).get()
        };
        left().filter(|&left| left > 0).ok_or_else(|| {
            Fault::Setting(format!("no pixel is left on axis {axis} when {before} and {after} are taken off"))
        })
    }
}

impl ConvTranspose2dOp {
    /// Makes the adjoint of the convolution with these settings. If its strides make several sizes of the result
    /// possible, `output_padding` adds rows and columns at the bottom and right to the smallest.
    pub fn new(settings: Conv2dSettings, output_padding: [usize; 2]) -> ConvTranspose2dOp {
        ConvTranspose2dOp { convolution: Conv2dOp::new(settings), output_padding }
    }

    /// Computes height and width of the result.
    fn sizes(&self, x: &Shape, [kernel_h, kernel_w]: [usize; 2]) -> Result<[usize; 2], Fault> {
        let s = &self.convolution.settings;
        let (vertical, horizontal) = match s.padding {
            Padding::Valid => ([0; 2], [0; 2]),
            Padding::Explicit { top, bottom, left, right } => ([top, bottom], [left, right]),
            Padding::Same => {
                let sentence = "the padding of a transposed convolution must be numbers of pixels, not Padding::Same";
                return Err(Fault::Setting(sentence.into()));
            }
        };
        let rows = Extent {
            axis: Axis::H,
            size: x.size(Axis::H),
            kernel: kernel_h,
            stride: s.stride_h,
            dilation: s.dilation_h,
            padding: vertical,
            output_padding: self.output_padding[0],
        };
        let columns = Extent {
            axis: Axis::W,
            size: x.size(Axis::W),
            kernel: kernel_w,
            stride: s.stride_w,
            dilation: s.dilation_w,
            padding: horizontal,
            output_padding: self.output_padding[1],
        };
        Ok([rows.enlarged()?, columns.enlarged()?])
    }
}

impl Op for ConvTranspose2dOp {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let w = weight_sizes(x, 1, 4, "a filter [kernel_h, kernel_w, out / groups, in]")?;
        let (dims, channels) = (x[0].dims(), w[3]);
        if dims[3] != Dim::Fixed(channels) {
            let (what, got) = ("input channels", dims[3]);
            return Err(Fault::Size { input: 0, axis: Axis::C, expected: channels, what, got });
        }
        let [height, width] = self.sizes(x[0], [w[0], w[1]])?;
        // Too many channels become a shape that the trace refuses.
        let out = (Size::from(w[2]) * self.convolution.settings.groups).get().unwrap_or(usize::MAX);
        let y = Shape::new([dims[0], Dim::Fixed(height), Dim::Fixed(width), Dim::Fixed(out)]);
        self.convolution.checked_geometry(&y.at(1), &w)?;
        Ok(vec![y])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        self.convolution.compile_backward_data(request, 1, 0)
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn macs(&self, x: &[&Shape], _: &[&Shape]) -> u64 {
        let w = x[1].at(1);
        work(&[x[0].len(1), w[0], w[1], w[2]])
    }

    /// Largest number of pixels of `x` that one of the result sees. Their own distance, a fraction of a pixel, is taken
    /// for one.
    fn reach(&self, x: &[&Shape]) -> Reach {
        let (w, s) = (x[1].at(1), &self.convolution.settings);
        let pixels = |kernel, dilation, stride: usize| span(kernel, dilation).unwrap_or(kernel).div_ceil(stride.max(1));
        let size = [pixels(w[0], s.dilation_h, s.stride_h), pixels(w[1], s.dilation_w, s.stride_w)];
        Reach::Window { size, stride: [1; 2] }
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (x, w, dy) = (g.x(0), g.x(1), g.dy());
        let filter = || Conv2dBackwardFilter { conv: self.convolution.clone(), filter: w.shape() };
        vec![g.want(0, || Node::call(self.convolution.clone(), &[dy, w])), g.want(1, || Node::call(filter(), &[dy, x]))]
    }
}

impl Node {
    /// Applies a transposed convolution with a filter `[kernel_h, kernel_w, out / groups, in]`.
    #[track_caller]
    pub fn conv_transpose2d(&self, op: ConvTranspose2dOp, w: &Node) -> Node {
        Node::call(op, &[self, w])
    }
}
