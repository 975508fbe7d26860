//! A description applied to nodes, through what users have.

use crate::description::{
    Convolution, Edge, Function, Inception, Loss, Network, Normalisation, Operator, Other, OwnProduct, Padding, Part,
    Pool, PoolKind, Reduced, Reduction, Shortcut, Side, Transposed,
};
use ocelli::{
    graph::{Constant, Shape, ops::Interpolation},
    layers::{self, Bottleneck, ConnectionTable, ConvMode, CountPadding, RadialBasis, SubSampling},
    losses::maximum_a_posteriori,
    prelude::*,
    tensor::Axis,
};

/// Distances of the loss of LeNet-5 are kept near this constant.
const PENALTY: f32 = 2.0;

/// How the convolutions of a network are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Convolutions {
    /// As the description says.
    AsDescribed,
    /// All by their definition.
    ByDefinition,
}

/// Parts as a layer. Each has its number as its name.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a>(pub &'a [Part], pub Convolutions);

impl Layer for Parts<'_> {
    fn forward(&self, x: &Node) -> Node {
        let parts = self.0.iter().enumerate();
        parts.fold(x.clone(), |x, (i, part)| x.apply(i, func(|x: &Node| apply(part, self.1, x))))
    }
}

impl Network {
    /// The network as a layer.
    pub fn layer(&self, convolutions: Convolutions) -> Parts<'_> {
        Parts(&self.parts, convolutions)
    }

    /// The loss of the network that `trace` holds.
    pub fn loss(&self, trace: &Trace) -> Node {
        let output = trace.output();
        let rows = if output.shape().rank() > 2 { output.flatten() } else { output.clone() };
        let labels = || trace.labels("labels");
        let target = || trace.input("target", output.shape());
        match self.loss {
            Loss::MeanSquare => output.square().mean(),
            Loss::Weighted => (&output * target()).sum(),
            Loss::SquaredError => mse(&output, &target()),
            Loss::Huber => huber(&output, &target(), 1.0),
            Loss::Logistic => logistic_cross_entropy(&output, &target().sigmoid()),
            Loss::CrossEntropy { smoothing, weighted } => {
                let loss = CrossEntropy::new().label_smoothing(smoothing);
                let weights = |classes: usize| (0..classes).map(|i| 0.5 + (i % 3) as f32).collect::<Vec<_>>();
                let classes = rows.shape().channels();
                if weighted { loss.class_weights(weights(classes)) } else { loss }.loss(&rows, &labels())
            }
            Loss::MaximumAPosteriori => maximum_a_posteriori(&rows, &labels(), PENALTY),
            Loss::OneHot => mse(&rows, &labels().one_hot(rows.shape().channels())),
        }
    }
}

fn apply(part: &Part, convolutions: Convolutions, x: &Node) -> Node {
    let parts = |inner| Parts(inner, convolutions);
    match part {
        Part::Convolution(convolution) => convolved(convolution, convolutions, x),
        Part::Transposed(transposed) => x.apply("up", transposed_convolution(transposed)),
        Part::Pool(pool) => pooled(pool, x),
        Part::AdaptivePool(out) => x.apply("pool", AdaptiveAvgPool2d::new(*out)),
        Part::Upsampling { factor, smooth } => x.upsample(*factor, interpolation(*smooth)),
        Part::Resizing { size, smooth } => x.resized(*size, interpolation(*smooth)),
        Part::Pad { edge, left, right, top, bottom } => {
            let sides = [*left, *right, *top, *bottom];
            x.apply(
                "pad",
                match edge {
                    Edge::Reflected => Pad2d::reflect(sides),
                    Edge::Replicated => Pad2d::replicate(sides),
                    Edge::Zeros => Pad2d::zeros(sides),
                },
            )
        }
        Part::Normalisation { kind, affine } => normalised(*kind, *affine, x),
        Part::SubSampling(size) => x.apply("sub", SubSampling::new(*size)),
        Part::Function(f) => function(*f, x),
        Part::Dropout(probability) => x.apply("drop", Dropout(*probability)),
        Part::Dense { features, bias } => x.apply("dense", Dense::new(*features).bias(*bias)),
        Part::RadialBasis(codes) => {
            let len = codes.saturating_mul(x.shape().channels()).min(1 << 16);
            x.apply("codes", RadialBasis::new(*codes, vec![0.0; len]))
        }
        Part::MatrixProduct(columns) => {
            x.matmul(&x.trace().parameter("matrix", [x.shape().channels(), *columns], Constant(0.0)))
        }
        Part::OwnProduct(OwnProduct::Columns) => x.transposed_matmul(x),
        Part::OwnProduct(OwnProduct::Attention) => x.matmul_transposed(x).softmax().matmul(x),
        Part::Gram => x.gram(),
        Part::Inception(inception) => x.apply("inception", inception_block(inception, convolutions)),
        Part::Bottleneck { inner, channels, stride, groups } => {
            x.apply("bottleneck", Bottleneck::new(*inner, *channels).stride(*stride).groups(*groups))
        }
        Part::Arithmetic { operator, side, other } => arithmetic(*operator, *side, other, convolutions, x),
        Part::Concatenation { axis, side, other } => {
            let other = x.apply("other", parts(other));
            let both = in_order(*side, x, &other);
            Node::concat(&both, Axis::Index(*axis))
        }
        Part::Stacking { axis, side, other } => {
            let other = x.apply("other", parts(other));
            Node::stack(&in_order(*side, x, &other), Axis::Index(*axis))
        }
        Part::Slice { axis, start, len } => x.slice(Axis::Index(*axis), *start..start.saturating_add(*len)),
        Part::SplitBatch { part, parts } => x.split_batch(*part, *parts),
        Part::Reduction { axes, kind, reduced } => reduction(axes, *kind, *reduced, x),
        Part::Flatten => x.flatten(),
        Part::Reshape(sample) => x.reshape(sample),
        Part::Residual { body, shortcut, stride } => {
            let shortcut = match shortcut {
                Shortcut::Identity => layers::Shortcut::Identity,
                Shortcut::ZeroPad => layers::Shortcut::ZeroPad,
                Shortcut::Projection => layers::Shortcut::Projection,
                Shortcut::PooledProjection => layers::Shortcut::PooledProjection,
            };
            x.apply("residual", Residual::new(parts(body)).shortcut(shortcut).stride(*stride))
        }
        Part::Twice(body) => {
            let shared = Shared::new("shared", parts(body));
            x.apply("first", &shared).apply("second", &shared)
        }
        Part::Recomputed(body) => x.apply("again", Recomputed(parts(body))),
    }
}

fn interpolation(smooth: bool) -> Interpolation {
    if smooth { Interpolation::Bilinear } else { Interpolation::Nearest }
}

fn inception_block(inception: &Inception, convolutions: Convolutions) -> layers::Inception {
    let Inception { conv1, conv3: [conv3, before], conv5, pool } = *inception;
    layers::Inception::new(conv1, [before, conv3], conv5, pool).unit(move |channels, kernel| {
        let layer = Conv2d::new(channels, kernel).same();
        if convolutions == Convolutions::ByDefinition { layer.algorithm("naive") } else { layer }
    })
}

fn padding(padding: Padding) -> layers::Padding {
    match padding {
        Padding::Valid => layers::Padding::Valid,
        Padding::Same => layers::Padding::Same,
        Padding::Explicit { top, bottom, left, right } => layers::Padding::Explicit { top, bottom, left, right },
    }
}

fn convolved(c: &Convolution, convolutions: Convolutions, x: &Node) -> Node {
    let mode = if c.flipped { ConvMode::Convolution } else { ConvMode::CrossCorrelation };
    let layer = Conv2d::new(c.channels, c.kernel).stride(c.stride).dilation(c.dilation).groups(c.groups);
    let mut layer = layer.padding(padding(c.padding)).mode(mode).bias(c.bias);
    if let Some(skip) = c.skip {
        // No list is made for more channels than a network is run with.
        let (inputs, outputs) = (x.shape().channels().min(1 << 12), c.channels.min(1 << 12));
        let seen = |output: usize| (0..inputs).filter(move |input| !(input + output).is_multiple_of(skip));
        let maps: Vec<Vec<usize>> = (0..outputs).map(|output| seen(output).collect()).collect();
        let maps: Vec<&[usize]> = maps.iter().map(Vec::as_slice).collect();
        match ConnectionTable::new(inputs, &maps) {
            Ok(table) => layer = layer.connections(table),
            Err(error) => return x.trace().fail("ConnectionTable", error.to_string()),
        }
    }
    let algorithm = if convolutions == Convolutions::ByDefinition { Some("naive") } else { c.algorithm };
    if let Some(algorithm) = algorithm {
        layer = layer.algorithm(algorithm);
    }
    x.apply("conv", layer)
}

fn transposed_convolution(t: &Transposed) -> ConvTranspose2d {
    let layer = ConvTranspose2d::new(t.channels, t.kernel).stride(t.stride).dilation(t.dilation);
    layer.padding(padding(t.padding)).output_padding(t.output_padding).groups(t.groups).bias(t.bias)
}

fn pooled(pool: &Pool, x: &Node) -> Node {
    if pool.kind == PoolKind::Max {
        let layer = MaxPool2d::new(pool.window).stride(pool.stride).padding(pool.padding);
        return x.apply("pool", if pool.ceil { layer.ceil() } else { layer });
    }
    let included = pool.kind == PoolKind::AverageWithPadding;
    let count = if included { CountPadding::Include } else { CountPadding::Exclude };
    let layer = AvgPool2d::new(pool.window).stride(pool.stride).padding(pool.padding).count_padding(count);
    x.apply("pool", if pool.ceil { layer.ceil() } else { layer })
}

fn normalised(kind: Normalisation, affine: bool, x: &Node) -> Node {
    match kind {
        Normalisation::Batch => x.apply("norm", BatchNorm::new().affine(affine)),
        Normalisation::Group(groups) => x.apply("norm", GroupNorm::new(groups).affine(affine)),
        Normalisation::Instance => x.apply("norm", InstanceNorm::new().affine(affine)),
        Normalisation::Layer => x.apply("norm", LayerNorm::new().affine(affine)),
        Normalisation::ResponseOfSum(size) => x.apply("norm", LocalResponseNorm::of_sum(size).alpha(0.1)),
        Normalisation::ResponseOfMean(size) => x.apply("norm", LocalResponseNorm::of_mean(size).alpha(0.1)),
    }
}

fn function(f: Function, x: &Node) -> Node {
    match f {
        Function::Relu => x.relu(),
        Function::LeakyRelu => x.leaky_relu(0.1),
        Function::Elu => x.elu(1.0),
        Function::Sigmoid => x.sigmoid(),
        Function::Tanh => x.tanh(),
        Function::ScaledTanh => x.scaled_tanh(),
        Function::Silu => x.silu(),
        Function::HardSigmoid => x.hard_sigmoid(0.3, 0.5),
        Function::HardSwish => x.hard_swish(),
        Function::Gelu => x.gelu(),
        Function::GeluTanh => x.gelu_tanh(),
        Function::Square => x.tanh().square(),
        Function::Sqrt => x.square().shift(0.5).sqrt(),
        Function::Abs => x.abs(),
        Function::Exp => x.tanh().exp(),
        Function::Ln => x.square().shift(1.0).ln(),
        Function::Scale(factor) => x.scale(factor),
        Function::Shift(offset) => x.shift(offset),
        Function::Reciprocal => x.square().shift(1.0).reciprocal(),
        Function::Clamp => x.clamp(-1.0, 1.0),
        Function::Masked => x * x.greater(0.0),
        Function::L2Normalised => x.l2_normalised(0.1),
        Function::Softmax => x.softmax(),
        Function::LogSoftmax => x.log_softmax(),
        Function::Own => x.map("Own", |x| x + 0.25 * x * x, |x| 1.0 + 0.5 * x),
        Function::Mistaken => x.map("Mistaken", |x| x + 0.25 * x * x, |x| 1.1 * (1.0 + 0.5 * x)),
    }
}

/// The value and another in the order that the side says.
fn in_order<'a>(side: Side, x: &'a Node, other: &'a Node) -> [&'a Node; 2] {
    match side {
        Side::Left => [x, other],
        Side::Right => [other, x],
    }
}

fn arithmetic(operator: Operator, side: Side, other: &Other, convolutions: Convolutions, x: &Node) -> Node {
    let other = match other {
        Other::Number(number) => return with_number(operator, side, *number, x),
        Other::Parameter(shape) => x.trace().parameter("operand", Shape::from(&shape[..]), Constant(0.0)),
        Other::Parts(parts) => x.apply("other", Parts(parts, convolutions)),
    };
    let [a, b] = in_order(side, x, &other);
    match operator {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Div => a / (b.square() + 0.5),
        Operator::Maximum => a.maximum(b),
        Operator::Minimum => a.minimum(b),
    }
}

fn with_number(operator: Operator, side: Side, number: f32, x: &Node) -> Node {
    match (operator, side) {
        (Operator::Add, Side::Left) => x + number,
        (Operator::Add, Side::Right) => number + x,
        (Operator::Sub, Side::Left) => x - number,
        (Operator::Sub, Side::Right) => number - x,
        (Operator::Mul, Side::Left) => x * number,
        (Operator::Mul, Side::Right) => number * x,
        (Operator::Div, Side::Left) => x / number,
        (Operator::Div, Side::Right) => number / (x.square() + 0.5),
        (Operator::Maximum, _) => x.maximum(number),
        (Operator::Minimum, _) => x.minimum(number),
    }
}

fn reduction(axes: &[usize], kind: Reduction, reduced: Reduced, x: &Node) -> Node {
    let named: Vec<Axis> = axes.iter().copied().map(Axis::Index).collect();
    match (kind, reduced) {
        (Reduction::Sum, Reduced::Removed) => x.sum_over(&named),
        (Reduction::Mean, Reduced::Removed) => x.mean_over(&named),
        (Reduction::Sum, Reduced::One) => x.sum_keeping(&named),
        (Reduction::Mean, Reduced::One) => x.mean_keeping(&named),
    }
}
