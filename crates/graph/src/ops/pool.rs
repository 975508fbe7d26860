//! Pooling.

use super::{expect_rank, four};
use crate::{Axis, Compiled, Dim, Fault, Grads, Mode, Node, Op, Reach, Request, Shape};
use ocelli_kernels::pool::{
    AdaptiveGeometry, CountPadding, PoolError, PoolGeometry, PoolSettings, adaptive_backward, adaptive_forward,
    average_backward, average_forward, max_backward, max_forward,
};
use std::{ops::RangeInclusive, sync::Arc};

/// Computes the maximum of each window and channel.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`. In training a second result of the same shape holds the position of the maximum
/// in its window: that is all that backward needs, so neither operand nor result is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MaxPoolOp {
    /// The window.
    pub settings: PoolSettings,
    /// Says if the positions of the maxima are kept as a second result.
    pub argmax: Argmax,
}

/// Says if the positions of maxima are returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argmax {
    /// They are the second result, for backward.
    Kept,
    /// They are not computed: in inference.
    Dropped,
}

/// The gradient of [`MaxPoolOp`]. Operands: `dy`, positions of the maxima.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MaxPoolBackward {
    /// The window.
    pub settings: PoolSettings,
    /// Shape of the input.
    pub input: Shape,
}

/// Computes the mean of each window and channel. Backward keeps nothing.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AvgPoolOp {
    /// The window.
    pub settings: PoolSettings,
    /// Says if padding counts as zeros in the mean.
    pub count: CountPadding,
}

/// The gradient of [`AvgPoolOp`]. Operands: `dy`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AvgPoolBackward {
    /// The pooling.
    pub pool: AvgPoolOp,
    /// Shape of the input.
    pub input: Shape,
}

/// Computes means over windows that divide the image as evenly as possible into a given number.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, out_h, out_w, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveAvgPoolOp {
    /// Rows of the result.
    pub out_h: usize,
    /// Columns of the result.
    pub out_w: usize,
}

/// The gradient of [`AdaptiveAvgPoolOp`]. Operands: `dy`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdaptiveAvgPoolBackward {
    /// Shape of the input.
    pub input: Shape,
}

/// Makes the geometry for sizes that were checked when the network was traced; the batch size can only make them too
/// large.
fn geometry(settings: &PoolSettings, sizes: &[usize]) -> Result<PoolGeometry, Fault> {
    PoolGeometry::new(*settings, four(sizes)).map_err(|error| Fault::Setting(error.to_string()))
}

fn adaptive_geometry(out: [usize; 2], sizes: &[usize]) -> Result<AdaptiveGeometry, Fault> {
    AdaptiveGeometry::new(out, four(sizes)).map_err(|error| Fault::Setting(error.to_string()))
}

fn infer(settings: &PoolSettings, x: &[&Shape]) -> Result<Shape, Fault> {
    expect_rank(x, 0, 4, "[N, H, W, C]")?;
    let g = PoolGeometry::new(*settings, four(&x[0].at(1))).map_err(|error| match error {
        PoolError::LargeWindow { axis, kernel, .. } => {
            let axis = if axis == 'H' { Axis::H } else { Axis::W };
            let got = x[0].dim(axis).unwrap_or(Dim::Fixed(0));
            Fault::Size { input: 0, axis, expected: kernel, what: "or more pixels (the window)", got }
        }
        other => Fault::Setting(other.to_string()),
    })?;
    let dims = x[0].dims();
    Ok(Shape::new([dims[0], Dim::Fixed(g.out_h), Dim::Fixed(g.out_w), dims[3]]))
}

fn window(settings: &PoolSettings) -> Reach {
    Reach::Window { size: [settings.kernel_h, settings.kernel_w], stride: [settings.stride_h, settings.stride_w] }
}

impl Op for MaxPoolOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let shape = infer(&self.settings, x)?;
        Ok(vec![shape; self.outputs()])
    }

    fn outputs(&self) -> usize {
        if self.argmax == Argmax::Kept { 2 } else { 1 }
    }

    fn lower(&self, mode: Mode) -> Option<Arc<dyn Op>> {
        (mode == Mode::Infer && self.argmax == Argmax::Kept)
            .then(|| Arc::new(MaxPoolOp { argmax: Argmax::Dropped, ..*self }) as Arc<dyn Op>)
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let g = geometry(&self.settings, &request.operands[0])?;
        Ok(match self.argmax {
            Argmax::Kept => Compiled::new(move |k| {
                let x = k.input(0);
                let [y, argmax] = k.outputs();
                max_forward(&g, x, y, Some(argmax));
            }),
            Argmax::Dropped => Compiled::new(move |k| {
                let x = k.input(0);
                max_forward(&g, x, k.output(0), None);
            }),
        })
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        window(&self.settings)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        if self.argmax == Argmax::Dropped {
            // A gradient in inference mode: the maxima are found again in the operand.
            let again = MaxPoolOp { argmax: Argmax::Kept, ..*self };
            let results = g.x(0).trace().call(Arc::new(again), &[g.x(0)]);
            let backward = MaxPoolBackward { settings: self.settings, input: g.x(0).shape() };
            return vec![Some(Node::call(backward, &[g.dy(), &results[1]]))];
        }
        let backward = MaxPoolBackward { settings: self.settings, input: g.x(0).shape() };
        vec![Some(Node::call(backward, &[g.dy(), g.y(1)]))]
    }
}

impl Op for MaxPoolBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.input.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let g = geometry(&self.settings, &request.results[0])?;
        Ok(Compiled::new(move |k| {
            let (dy, argmax, accumulate) = (k.input(0), k.input(1), k.accumulate());
            max_backward(&g, dy, argmax, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Op for AvgPoolOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        infer(&self.settings, x).map(|shape| vec![shape])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (g, count) = (geometry(&self.settings, &request.operands[0])?, self.count);
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            average_forward(&g, count, x, k.output(0));
        }))
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        window(&self.settings)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(AvgPoolBackward { pool: *self, input: g.x(0).shape() }, &[g.dy()]))]
    }
}

impl Op for AvgPoolBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.input.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (g, count) = (geometry(&self.pool.settings, &request.results[0])?, self.pool.count);
        Ok(Compiled::new(move |k| {
            let (dy, accumulate) = (k.input(0), k.accumulate());
            average_backward(&g, count, dy, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Op for AdaptiveAvgPoolOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        adaptive_geometry([self.out_h, self.out_w], &x[0].at(1))?;
        let dims = x[0].dims();
        Ok(vec![Shape::new([dims[0], Dim::Fixed(self.out_h), Dim::Fixed(self.out_w), dims[3]])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let g = adaptive_geometry([self.out_h, self.out_w], &request.operands[0])?;
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            adaptive_forward(&g, x, k.output(0));
        }))
    }

    /// Windows of one pixel have themselves as their means.
    fn is_identity(&self, x: &Shape) -> bool {
        x.dims()[1..3] == [Dim::Fixed(self.out_h), Dim::Fixed(self.out_w)]
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(AdaptiveAvgPoolBackward { input: g.x(0).shape() }, &[g.dy()]))]
    }
}

impl Op for AdaptiveAvgPoolBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.input.clone()])
    }

    fn is_identity(&self, dy: &Shape) -> bool {
        *dy == self.input
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let out = &request.operands[0];
        let g = adaptive_geometry([out[1], out[2]], &request.results[0])?;
        Ok(Compiled::new(move |k| {
            let (dy, accumulate) = (k.input(0), k.accumulate());
            adaptive_backward(&g, dy, k.output(0), accumulate);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    /// Computes the maximum of each window and channel.
    #[track_caller]
    pub fn max_pool(&self, settings: PoolSettings) -> Node {
        let op = MaxPoolOp { settings, argmax: Argmax::Kept };
        self.trace().call(Arc::new(op), &[self]).swap_remove(0)
    }

    /// Computes the mean of each window and channel.
    #[track_caller]
    pub fn avg_pool(&self, settings: PoolSettings, count: CountPadding) -> Node {
        Node::call(AvgPoolOp { settings, count }, &[self])
    }

    /// Computes means over windows that divide the image as evenly as possible into `out_h` by `out_w`.
    #[track_caller]
    pub fn adaptive_avg_pool(&self, out_h: usize, out_w: usize) -> Node {
        Node::call(AdaptiveAvgPoolOp { out_h, out_w }, &[self])
    }
}
