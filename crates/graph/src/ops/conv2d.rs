//! Two-dimensional convolution.

use super::{Product, equal, expect_bias, expect_rank, four, weight_sizes, work};
use crate::{Axis, Dim, Fault, Grads, Needed, Node, Op, Operands, Preparation, Reach, Scratch, Shape};
use std::{ops::RangeInclusive, sync::Arc};

use ocelli_kernels::Epilogue;
use ocelli_kernels::conv::{self, Choice, Conv2dGeometry, Conv2dSettings, GeometryError, Pass, Precision, geometry};
use ocelli_tensor::Size;

/// `y = conv(x, w) + b`, or without `b`.
///
/// # Shapes
/// `[N, H, W, in]`, `[kernel_h, kernel_w, in / groups, out]`, `[out]` → `[N, H', W', out]`.
///
/// Backward keeps `x`, not its patches.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dOp {
    /// Stride, padding, dilation, groups, mode.
    pub settings: Conv2dSettings,
    /// The algorithm, by name; the first that supports the geometry unless one is named.
    pub algorithm: Option<String>,
    /// Pairs of input and output channels that a connection table leaves, for the count of multiply-accumulates.
    pub connected: Option<usize>,
    /// Which algorithms may be chosen; the planner sets it.
    pub precision: Precision,
}

/// `dx` from `w` and `dy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dBackwardData {
    conv: Conv2dOp,
    input: Shape,
}

/// `dw` from `x` and `dy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dBackwardFilter {
    pub(super) conv: Conv2dOp,
    pub(super) filter: Shape,
}

impl Conv2dOp {
    /// With the default choice of algorithm.
    pub fn new(settings: Conv2dSettings) -> Conv2dOp {
        Conv2dOp { settings, algorithm: None, connected: None, precision: Precision::default() }
    }

    fn geometry(&self, x: &[usize], w: &[usize]) -> Result<Conv2dGeometry, GeometryError> {
        Conv2dGeometry::new(&self.settings, four(x), four(w))
    }

    /// For shapes that were checked when the network was traced; the batch size can only make it too large.
    pub(super) fn checked_geometry(&self, x: &[usize], w: &[usize]) -> Result<Conv2dGeometry, Fault> {
        self.geometry(x, w).map_err(|error| Fault::Setting(error.to_string()))
    }

    fn choice(&self, g: &Conv2dGeometry, pass: Pass) -> Choice {
        match &self.algorithm {
            Some(name) => Choice::forced(name, self.precision, g, pass),
            None => conv::choose(g, pass, self.precision),
        }
    }

    pub(super) fn workspace_of(&self, pass: Pass, x: &[usize], w: &[usize]) -> usize {
        self.geometry(x, w).map_or(0, |g| self.choice(&g, pass).algorithm.workspace(&g, pass))
    }

    pub(super) fn scratch_of(&self, pass: Pass, x: &[usize], w: &[usize]) -> Scratch {
        self.geometry(x, w).map_or(Scratch::NONE, |g| self.choice(&g, pass).algorithm.scratch(&g, pass))
    }

    /// The filter as the algorithm wants it, if that is not how it lies.
    pub(super) fn preparation_of(&self, pass: Pass, x: &[usize], w: &[usize], operand: usize) -> Option<Preparation> {
        let g = self.geometry(x, w).ok()?;
        let algorithm = self.choice(&g, pass).algorithm;
        let (len, form) = (algorithm.prepared_len(&g, pass), algorithm.name());
        (len > 0).then_some(Preparation { operand, len, form, needed: Needed::Always })
    }

    /// The first result `(+)=` the gradient of the convolution's input, from the filter and the gradient of its output, which
    /// are operands of these numbers.
    pub(super) fn backward_data(&self, k: &mut Operands<'_>, filter: usize, dy: usize) -> Result<(), Fault> {
        let g = self.checked_geometry(k.output_shape(0), k.shape(filter))?;
        let (dy, accumulate) = (k.input(dy), k.accumulate());
        let filter = k.prepared().unwrap_or_else(|| k.input(filter));
        let (dx, workspace) = k.output_and_workspace();
        self.choice(&g, Pass::BackwardData).algorithm.backward_data(&g, dy, filter, dx, accumulate, workspace);
        Ok(())
    }

    /// Prepares that filter.
    pub(super) fn prepare_backward_data(&self, k: &mut Operands<'_>, filter: usize) -> Result<(), Fault> {
        let g = self.checked_geometry(k.output_shape(0), k.shape(filter))?;
        let w = k.input(filter);
        self.choice(&g, Pass::BackwardData).algorithm.prepare(&g, Pass::BackwardData, w, k.to_prepare());
        Ok(())
    }

    pub(super) fn explanation_of(&self, pass: Pass, x: &[usize], w: &[usize]) -> Option<String> {
        let g = self.geometry(x, w).ok()?;
        Some(self.choice(&g, pass).to_string())
    }

    /// The sentence for a user, with axis, sizes and origin where the operand is to blame.
    fn fault(error: GeometryError, x: &Shape, groups: usize) -> Fault {
        let axis_of = |axis| if axis == geometry::Axis::H { Axis::H } else { Axis::W };
        match error {
            GeometryError::Channels { filter, .. } => Fault::Size {
                input: 0,
                axis: Axis::C,
                expected: (Size::from(filter) * groups).get().unwrap_or(usize::MAX),
                what: "input channels",
                got: x.dims()[3],
            },
            GeometryError::FilterTooLarge { axis, span, .. } => Fault::Size {
                input: 0,
                axis: axis_of(axis),
                expected: span,
                what: "or more pixels (the filter)",
                got: x.dim(axis_of(axis)).unwrap_or(Dim::Fixed(0)),
            },
            other => Fault::Setting(other.to_string()),
        }
    }
}

impl Op for Conv2dOp {
    fn is_same(&self, other: &dyn Op) -> bool {
        equal(self, other)
    }

    fn operands(&self) -> RangeInclusive<usize> {
        2..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let filter = weight_sizes(x, 1, 4, "a filter [kernel_h, kernel_w, in / groups, out]")?;
        if let Some(name) = self.algorithm.as_deref().filter(|name| conv::by_name(name).is_none()) {
            let known: Vec<_> = conv::ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect();
            return Err(Fault::Setting(format!("no algorithm is called \"{name}\"; there are: {}", known.join(", "))));
        }
        let g =
            self.geometry(&x[0].at(1), &filter).map_err(|error| Conv2dOp::fault(error, x[0], self.settings.groups))?;
        expect_bias(x, 2, g.out_c)?;
        Ok(vec![Shape::new([x[0].dims()[0], Dim::Fixed(g.out_h), Dim::Fixed(g.out_w), Dim::Fixed(g.out_c)])])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let bias = (k.len() > 2).then(|| k.input(2));
        self.run(k, &Epilogue::bias(bias))
    }

    fn preparation(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> Option<Preparation> {
        self.preparation_of(Pass::Forward, &x[0], &x[1], 1)
    }

    fn prepare(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let g = self.checked_geometry(k.shape(0), k.shape(1))?;
        let w = k.input(1);
        self.choice(&g, Pass::Forward).algorithm.prepare(&g, Pass::Forward, w, k.to_prepare());
        Ok(())
    }

    fn at_precision(&self, precision: Precision) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Conv2dOp { precision, ..self.clone() }))
    }

    fn explain(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> Option<String> {
        self.explanation_of(Pass::Forward, &x[0], &x[1])
    }

    fn workspace(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> usize {
        self.workspace_of(Pass::Forward, &x[0], &x[1])
    }

    fn scratch(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> Scratch {
        self.scratch_of(Pass::Forward, &x[0], &x[1])
    }

    fn macs(&self, x: &[&Shape], y: &[&Shape]) -> u64 {
        let w = x[1].at(1);
        let pixels = y[0].len(1) / w[3].max(1);
        match self.connected {
            Some(connected) => work(&[pixels, w[0], w[1], connected]),
            None => work(&[pixels, w[0], w[1], w[2], w[3]]),
        }
    }

    fn reach(&self, x: &[&Shape]) -> Reach {
        let (w, s) = (x[1].at(1), &self.settings);
        let span = |kernel, dilation| geometry::span(kernel, dilation).unwrap_or(kernel);
        Reach::Window { size: [span(w[0], s.dilation_h), span(w[1], s.dilation_w)], stride: [s.stride_h, s.stride_w] }
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (x, w, dy) = (g.x(0), g.x(1), g.dy());
        let data = || Conv2dBackwardData { conv: self.clone(), input: x.shape() };
        let filter = || Conv2dBackwardFilter { conv: self.clone(), filter: w.shape() };
        let mut gradients =
            vec![g.want(0, || Node::call(data(), &[w, dy])), g.want(1, || Node::call(filter(), &[x, dy]))];
        if g.operands() > 2 {
            gradients.push(g.want(2, || dy.sum_over(&[Axis::N, Axis::H, Axis::W])));
        }
        gradients
    }
}

impl Product for Conv2dOp {
    fn run(&self, k: &mut Operands<'_>, epilogue: &Epilogue<'_>) -> Result<(), Fault> {
        let g = self.checked_geometry(k.shape(0), k.shape(1))?;
        let x = k.input(0);
        let filter = k.prepared().unwrap_or_else(|| k.input(1));
        let (y, workspace) = k.output_and_workspace();
        self.choice(&g, Pass::Forward).algorithm.forward(&g, x, filter, epilogue, y, workspace);
        Ok(())
    }
}

impl Op for Conv2dBackwardData {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.input.clone()])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        self.conv.backward_data(k, 0, 1)
    }

    fn preparation(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> Option<Preparation> {
        self.conv.preparation_of(Pass::BackwardData, &y[0], &x[0], 0)
    }

    fn prepare(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        self.conv.prepare_backward_data(k, 0)
    }

    fn at_precision(&self, precision: Precision) -> Option<Arc<dyn Op>> {
        let conv = Conv2dOp { precision, ..self.conv.clone() };
        Some(Arc::new(Conv2dBackwardData { conv, input: self.input.clone() }))
    }

    fn explain(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> Option<String> {
        self.conv.explanation_of(Pass::BackwardData, &y[0], &x[0])
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn workspace(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> usize {
        self.conv.workspace_of(Pass::BackwardData, &y[0], &x[0])
    }

    fn scratch(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> Scratch {
        self.conv.scratch_of(Pass::BackwardData, &y[0], &x[0])
    }
}

impl Op for Conv2dBackwardFilter {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.filter.clone()])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let g = self.conv.checked_geometry(k.shape(0), k.output_shape(0))?;
        let (x, dy, accumulate) = (k.input(0), k.input(1), k.accumulate());
        let (dw, workspace) = k.output_and_workspace();
        self.conv.choice(&g, Pass::BackwardFilter).algorithm.backward_filter(&g, x, dy, dw, accumulate, workspace);
        Ok(())
    }

    fn at_precision(&self, precision: Precision) -> Option<Arc<dyn Op>> {
        let conv = Conv2dOp { precision, ..self.conv.clone() };
        Some(Arc::new(Conv2dBackwardFilter { conv, filter: self.filter.clone() }))
    }

    fn explain(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> Option<String> {
        self.conv.explanation_of(Pass::BackwardFilter, &x[0], &y[0])
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn workspace(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> usize {
        self.conv.workspace_of(Pass::BackwardFilter, &x[0], &y[0])
    }

    fn scratch(&self, x: &[Vec<usize>], y: &[Vec<usize>]) -> Scratch {
        self.conv.scratch_of(Pass::BackwardFilter, &x[0], &y[0])
    }
}

impl Node {
    /// Convolution with a filter `[kernel_h, kernel_w, in / groups, out]` and perhaps a bias `[out]`.
    #[track_caller]
    pub fn conv2d(&self, settings: Conv2dSettings, w: &Node, bias: Option<&Node>) -> Node {
        let operands: Vec<&Node> = [self, w].into_iter().chain(bias).collect();
        Node::call(Conv2dOp::new(settings), &operands)
    }
}
