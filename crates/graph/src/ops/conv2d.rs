//! Two-dimensional convolution.

use super::{Product, expect_bias, expect_rank, four, weight_sizes, work};
use crate::contract::counted;
use crate::{
    Axis, Compiled, Dim, Fault, Grads, KernelContext, Node, Op, Precision, PreparedOperand, Reach, Request, Shape,
};
use std::ops::RangeInclusive;

use ocelli_kernels::Epilogue;
use ocelli_kernels::conv::{self, Algorithm, Choice, Conv2dGeometry, Conv2dSettings, GeometryError, Pass, geometry};
use ocelli_tensor::Size;

/// Computes `y = conv(x, w) + b`, or without `b`.
///
/// # Shapes
/// `[N, H, W, in]`, `[kernel_h, kernel_w, in / groups, out]`, `[out]` → `[N, H', W', out]`.
///
/// Backward keeps `x`, not its patches.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dOp {
    /// Stride, padding, dilation, groups, mode.
    pub settings: Conv2dSettings,
    /// Name of the algorithm of all three passes; `None` chooses the cheapest for each. A named algorithm that does not
    /// support the convolution is an error: of the build for the forward pass, of the plan for a backward pass that a
    /// gradient needs. It is used at any precision.
    pub algorithm: Option<String>,
    /// Number of pairs of input and output channels that a connection table leaves, for the count of
    /// multiply-accumulates.
    pub connected: Option<usize>,
}

/// Computes `dx` from `w` and `dy`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conv2dBackwardData {
    /// The convolution.
    pub conv: Conv2dOp,
    /// The shape of its input.
    pub input: Shape,
}

/// Computes `dw` from `x` and `dy`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conv2dBackwardFilter {
    /// The convolution.
    pub conv: Conv2dOp,
    /// The shape of its filter.
    pub filter: Shape,
}

impl Conv2dOp {
    /// Makes a convolution with the default choice of algorithm.
    pub fn new(settings: Conv2dSettings) -> Conv2dOp {
        Conv2dOp { settings, algorithm: None, connected: None }
    }

    fn geometry(&self, x: &[usize], w: &[usize]) -> Result<Conv2dGeometry, GeometryError> {
        Conv2dGeometry::new(&self.settings, four(x), four(w))
    }

    /// Makes the geometry for shapes that were checked when the network was traced; the batch size can only make it too
    /// large.
    pub(super) fn checked_geometry(&self, x: &[usize], w: &[usize]) -> Result<Conv2dGeometry, Fault> {
        self.geometry(x, w).map_err(|error| Fault::Setting(error.to_string()))
    }

    /// Chooses the algorithm of a pass: the named one, or the cheapest at this precision.
    fn choice(&self, g: &Conv2dGeometry, pass: Pass, precision: Precision) -> Result<Choice, Fault> {
        let Some(name) = &self.algorithm else { return Ok(conv::choose(g, pass, precision)) };
        let names = |fits: &dyn Fn(&dyn Algorithm) -> bool| {
            let names = conv::ALGORITHMS.iter().filter(|algorithm| fits(**algorithm)).map(|algorithm| algorithm.name());
            names.collect::<Vec<_>>().join(", ")
        };
        match conv::by_name(name) {
            Some(algorithm) if algorithm.supports(g, pass) => Ok(Choice::forced(name, precision, g, pass)),
            Some(_) => {
                let (what, fitting) = (described(g, pass), names(&|algorithm| algorithm.supports(g, pass)));
                Err(Fault::Setting(format!("the algorithm \"{name}\" does not support {what}; these do: {fitting}")))
            }
            None => {
                let known = names(&|_| true);
                Err(Fault::Setting(format!("no algorithm is called \"{name}\"; there are: {known}")))
            }
        }
    }

    /// Plans a pass for these sizes of the input and the filter: its geometry, and the algorithm that computes it.
    fn pass(&self, pass: Pass, x: &[usize], w: &[usize], precision: Precision) -> Result<ConvolutionPass, Fault> {
        let geometry = self.checked_geometry(x, w)?;
        let choice = self.choice(&geometry, pass, precision)?;
        Ok(ConvolutionPass { geometry, pass, choice })
    }

    /// Compiles the gradient of the convolution's input, from the filter and the gradient of its output, which are
    /// operands of these indices; it is set as, or added to, the first result.
    pub(super) fn compile_backward_data(
        &self,
        request: &Request<'_>,
        filter: usize,
        dy: usize,
    ) -> Result<Compiled, Fault> {
        let pass = self.pass(Pass::BackwardData, &request.results[0], &request.operands[filter], request.precision)?;
        let ConvolutionPass { geometry: g, choice: Choice { algorithm, .. }, .. } = pass;
        Ok(pass.compiled(Some(filter), move |k| {
            let (dy, accumulate) = (k.input(dy), k.accumulate());
            let filter = k.prepared().unwrap_or_else(|| k.input(filter));
            let (dx, workspace) = k.output_and_workspace();
            algorithm.backward_data(&g, dy, filter, dx, accumulate, workspace);
        }))
    }

    /// Turns a geometry error into a fault, with axis, sizes and origin if the operand is to blame.
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

/// One pass of a convolution, with its algorithm.
struct ConvolutionPass {
    geometry: Conv2dGeometry,
    pass: Pass,
    choice: Choice,
}

impl ConvolutionPass {
    /// Compiles the pass with this kernel, which reads operand `filter` in the form that the algorithm requires, if it
    /// requires one.
    fn compiled(
        self,
        filter: Option<usize>,
        kernel: impl Fn(&mut KernelContext<'_>) + Send + Sync + 'static,
    ) -> Compiled {
        let ConvolutionPass { geometry, pass, choice } = self;
        let algorithm = choice.algorithm;
        let len = algorithm.prepared_len(&geometry, pass);
        let prepare = move |w: &[f32], form: &mut [f32]| algorithm.prepare(&geometry, pass, w, form);
        let prepared = filter.filter(|_| len > 0);
        Compiled::new(kernel)
            .with_workspace(algorithm.workspace(&geometry, pass))
            .with_scratch(algorithm.scratch(&geometry, pass))
            .with_prepared(prepared.map(|filter| PreparedOperand::new(filter, len, algorithm.name(), prepare)))
            .with_note(choice.to_string())
    }
}

/// Describes a pass of a convolution:
/// `the forward pass of 5×5 filters, 3 to 8 channels, stride 2×2, dilation 1×1, in 1 group`.
fn described(g: &Conv2dGeometry, pass: Pass) -> String {
    let pass = match pass {
        Pass::Forward => "the forward pass",
        Pass::BackwardData => "the gradient of the input",
        Pass::BackwardFilter => "the gradient of the filter",
    };
    let Conv2dGeometry { kernel_h, kernel_w, in_c, out_c, stride_h, stride_w, dilation_h, dilation_w, groups, .. } = g;
    let groups = counted(*groups, "group");
    format!(
        "{pass} of {kernel_h}×{kernel_w} filters from {in_c} to {out_c} channels in {groups} with stride \
         {stride_h}×{stride_w} and dilation {dilation_h}×{dilation_w}"
    )
}

impl Op for Conv2dOp {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let filter = weight_sizes(x, 1, 4, "a filter [kernel_h, kernel_w, in / groups, out]")?;
        let g =
            self.geometry(&x[0].at(1), &filter).map_err(|error| Conv2dOp::fault(error, x[0], self.settings.groups))?;
        expect_bias(x, 2, g.out_c)?;
        if self.algorithm.is_some() {
            self.choice(&g, Pass::Forward, Precision::default())?;
        }
        Ok(vec![Shape::new([x[0].dims()[0], Dim::Fixed(g.out_h), Dim::Fixed(g.out_w), Dim::Fixed(g.out_c)])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        self.compile_product(request, |k| Epilogue::bias((k.len() > 2).then(|| k.input(2))))
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
    fn compile_product(
        &self,
        request: &Request<'_>,
        epilogue: impl for<'k> Fn(&KernelContext<'k>) -> Epilogue<'k> + Send + Sync + 'static,
    ) -> Result<Compiled, Fault> {
        let mut pass = self.pass(Pass::Forward, &request.operands[0], &request.operands[1], request.precision)?;
        // A filter that changes would be rounded for each call.
        if let (Precision::Bf16, true, Some(in_bf16)) =
            (request.precision, request.is_constant(1), pass.choice.algorithm.in_bf16())
        {
            pass.choice.algorithm = in_bf16;
        }
        let ConvolutionPass { geometry: g, choice: Choice { algorithm, .. }, .. } = pass;
        Ok(pass.compiled(Some(1), move |k| {
            let (x, epilogue) = (k.input(0), epilogue(k));
            let filter = k.prepared().unwrap_or_else(|| k.input(1));
            let (y, workspace) = k.output_and_workspace();
            algorithm.forward(&g, x, filter, &epilogue, y, workspace);
        }))
    }
}

impl Op for Conv2dBackwardData {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.input.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        self.conv.compile_backward_data(request, 0, 1)
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Op for Conv2dBackwardFilter {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.filter.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (x, filter) = (&request.operands[0], &request.results[0]);
        let pass = self.conv.pass(Pass::BackwardFilter, x, filter, request.precision)?;
        let ConvolutionPass { geometry: g, choice: Choice { algorithm, .. }, .. } = pass;
        Ok(pass.compiled(None, move |k| {
            let (x, dy, accumulate) = (k.input(0), k.input(1), k.accumulate());
            let (dw, workspace) = k.output_and_workspace();
            algorithm.backward_filter(&g, x, dy, dw, accumulate, workspace);
        }))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    /// Convolves with a filter `[kernel_h, kernel_w, in / groups, out]` and an optional bias `[out]`.
    #[track_caller]
    pub fn conv2d(&self, settings: Conv2dSettings, w: &Node, bias: Option<&Node>) -> Node {
        let operands: Vec<&Node> = [self, w].into_iter().chain(bias).collect();
        Node::call(Conv2dOp::new(settings), &operands)
    }
}
