//! A network drawn from a number. Each part is chosen for the shape that the network has so far, so that most networks can
//! be built; some have sizes that no network should have.

use crate::{
    build::{Convolutions, Parts},
    description::{
        Convolution, Edge, Function, Inception, Loss, Network, Normalisation, Operator, Other, OwnProduct, Padding,
        Part, Pool, PoolKind, Reduced, Reduction, Shortcut, Side, Transposed,
    },
};
use ocelli::{
    graph::{Dim, Graph, Shape},
    tensor::{Key, Stream},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Sizes at which arithmetic goes wrong first.
const EXTREME: [usize; 12] = [
    0,
    1,
    usize::MAX,
    usize::MAX - 1,
    usize::MAX / 2,
    usize::MAX / 2 + 1,
    1 << 61,
    (1 << 62) + 1,
    1 << 33,
    1 << 32,
    u32::MAX as usize,
    1 << 31,
];

/// Draws the network of this number.
pub fn draw(number: u64) -> Network {
    let mut stream = Key::new(number).with("drawn network").stream();
    let extreme = stream.below(6) == 0;
    let mut drawing = Drawing { stream, sample: Vec::new(), parts: Vec::new(), extreme };
    drawing.sample = drawing.first_sizes();
    let batch = drawing.one_of(&[1, 1, 2, 2, 2, 3, 3, 3, 3, 5, 5, 5, 32]);
    for _ in 0..1 + drawing.below(6) {
        drawing.any_part(2);
    }
    if drawing.chance(2) {
        drawing.classifier();
    }
    let loss = drawing.loss();
    Network { number, sample: drawing.sample, batch, parts: drawing.parts, loss }
}

struct Drawing {
    stream: Stream,
    sample: Vec<usize>,
    /// What there is up to the value that is drawn for: inside of a part, everything that leads there.
    parts: Vec<Part>,
    /// Returns true if some sizes are to be extreme.
    extreme: bool,
}

impl Drawing {
    fn below(&mut self, bound: usize) -> usize {
        self.stream.below(bound.max(1))
    }

    /// One time in so many.
    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// A usual size, or now and then an extreme one.
    fn size(&mut self, usual: usize) -> usize {
        if self.extreme && self.chance(12) { self.one_of(&EXTREME) } else { usual }
    }

    fn first_sizes(&mut self) -> Vec<usize> {
        let mut sizes = match self.below(32) {
            0 => vec![],
            1 => vec![self.between(1, 5), self.between(1, 5)],
            2..10 => vec![self.one_of(&[1, 2, 3, 7, 16, 17, 40, 130])],
            10..13 => vec![self.between(12, 36), self.between(12, 36), self.one_of(&[1, 3, 8, 16, 20])],
            _ => vec![self.between(1, 9), self.between(1, 9), self.one_of(&[1, 2, 3, 4, 6, 8, 16])],
        };
        for size in &mut sizes {
            *size = self.size(*size);
        }
        if self.chance(40) && !sizes.is_empty() {
            let axis = self.below(sizes.len());
            sizes[axis] = 0;
        }
        sizes
    }

    /// The shape of the value that is drawn for; `None` once there is a mistake. What panics here panics again, and with more
    /// to say, when the finished network is checked.
    fn shape(&self) -> Option<Shape> {
        let traced = || {
            let graph = Graph::from_layer(Parts(&self.parts, Convolutions::AsDescribed), &self.sample).ok()?;
            Some(graph.values[graph.find("output")?].shape.clone())
        };
        catch_unwind(AssertUnwindSafe(traced)).ok().flatten()
    }

    /// The sizes for one sample.
    fn sizes(&self) -> Option<Vec<usize>> {
        let shape = self.shape()?;
        shape
            .dims()
            .iter()
            .all(|dim| dim.fixed().is_some() || *dim == Dim::Batch(1) || *dim == Dim::Batch(2))
            .then(|| shape.at(1))
    }

    /// Draws parts in place, and takes them off again: the inside of another part.
    fn inside(&mut self, draw: impl FnOnce(&mut Drawing)) -> Vec<Part> {
        let outside = self.parts.len();
        draw(self);
        self.parts.split_off(outside)
    }

    /// Adds a part of any kind; `depth` parts may be within each other.
    fn any_part(&mut self, depth: usize) {
        let Some(sizes) = self.sizes() else { return };
        let part = match self.below(14) {
            0..6 if sizes.len() == 4 => self.image_part(&sizes),
            0..4 if sizes.len() == 2 => self.row_part(),
            6 | 7 if depth > 0 => self.compound(&sizes, depth),
            8..11 => self.arithmetic(&sizes),
            11 => self.shape_part(&sizes),
            _ => self.keeping_part(),
        };
        self.parts.push(part);
    }

    /// A part that keeps the shape.
    fn keeping_part(&mut self) -> Part {
        let sizes = self.sizes().unwrap_or_default();
        let channels = sizes.last().copied().unwrap_or(1);
        match (sizes.len(), self.below(8)) {
            (4, 0..2) => self.keeping_convolution(channels, [1, 1]),
            (2 | 4, 2..4) => Part::Normalisation { kind: self.normalisation(channels), affine: !self.chance(4) },
            (2, 0) => Part::Dense { features: channels, bias: !self.chance(3) },
            (_, 4) => Part::Dropout(self.one_of(&[0.0, 0.2, 0.5])),
            _ => Part::Function(self.function()),
        }
    }

    fn keeping_parts(&mut self, most: usize) {
        for _ in 0..1 + self.below(most) {
            let part = self.keeping_part();
            self.parts.push(part);
        }
    }

    fn normalisation(&mut self, channels: usize) -> Normalisation {
        let groups = self.divisor(channels);
        let size = self.between(1, 5);
        let size = self.size(size);
        let kinds = [
            Normalisation::Batch,
            Normalisation::Batch,
            Normalisation::Group(groups),
            Normalisation::Instance,
            Normalisation::Layer,
            Normalisation::ResponseOfSum(size),
            Normalisation::ResponseOfMean(size),
        ];
        self.one_of(&kinds)
    }

    fn function(&mut self) -> Function {
        let number = self.stream.between(-2.0, 2.0);
        let functions = [
            Function::Relu,
            Function::Relu,
            Function::Relu,
            Function::LeakyRelu,
            Function::Elu,
            Function::Sigmoid,
            Function::Tanh,
            Function::ScaledTanh,
            Function::Silu,
            Function::HardSigmoid,
            Function::HardSwish,
            Function::Gelu,
            Function::GeluTanh,
            Function::Square,
            Function::Sqrt,
            Function::Abs,
            Function::Exp,
            Function::Ln,
            Function::Scale(number),
            Function::Shift(number),
            Function::Reciprocal,
            Function::Clamp,
            Function::Masked,
            Function::L2Normalised,
            Function::Softmax,
            Function::LogSoftmax,
            Function::Own,
        ];
        self.one_of(&functions)
    }

    /// A number that divides, seldom one that does not.
    fn divisor(&mut self, of: usize) -> usize {
        let divisors: Vec<usize> = (1..=of.min(64)).filter(|divisor| of.is_multiple_of(*divisor)).collect();
        let divisor = if divisors.is_empty() { 1 } else { self.one_of(&divisors) };
        let odd = if self.chance(60) { divisor + 1 } else { divisor };
        self.size(odd)
    }

    fn keeping_convolution(&mut self, channels: usize, stride: [usize; 2]) -> Part {
        let kernel = self.one_of(&[[1, 1], [3, 3], [3, 3], [3, 3], [5, 5], [2, 2], [1, 3], [4, 1]]);
        let groups = if self.chance(3) { self.divisor(channels) } else { 1 };
        let padding = Padding::Same;
        let (dilation, flipped, bias, skip, algorithm) = ([1, 1], self.chance(12), !self.chance(4), None, None);
        let convolution =
            Convolution { channels, kernel, stride, dilation, padding, groups, flipped, bias, skip, algorithm };
        Part::Convolution(convolution)
    }

    fn image_part(&mut self, sizes: &[usize]) -> Part {
        match self.below(16) {
            12 => self.enlarged_or_reduced(sizes),
            13 => Part::Gram,
            14 => self.inception(),
            15 => self.bottleneck(sizes),
            0..5 => self.convolution(sizes),
            5 => self.transposed(sizes),
            6..9 => self.pool(sizes),
            9 => {
                let out = [self.between(1, 4), self.between(1, 4)];
                Part::AdaptivePool(out.map(|out| self.size(out)))
            }
            10 => self.pad(sizes),
            _ => Part::SubSampling(if self.chance(2) { 1 } else { self.size(2) }),
        }
    }

    fn enlarged_or_reduced(&mut self, sizes: &[usize]) -> Part {
        let smooth = self.chance(2);
        if self.chance(2) {
            let factor = self.between(1, 3);
            return Part::Upsampling { factor: self.size(factor), smooth };
        }
        let size = [0, 1].map(|axis| self.between(1, sizes[1 + axis].saturating_add(3).min(12)));
        Part::Resizing { size: size.map(|pixels| self.size(pixels)), smooth }
    }

    fn inception(&mut self) -> Part {
        let mut channels = || {
            let channels = self.between(1, 9);
            self.size(channels)
        };
        let (conv1, conv3, conv5, pool) = (channels(), [channels(), channels()], channels(), channels());
        let pool = if self.chance(3) { None } else { Some(pool) };
        Part::Inception(Inception { conv1, conv3, conv5, pool })
    }

    fn bottleneck(&mut self, sizes: &[usize]) -> Part {
        let groups = if self.chance(3) { 2 } else { 1 };
        let inner = groups * self.between(1, 4);
        let channels = if self.chance(2) { sizes[3] } else { self.between(1, 20) };
        let stride = self.between(1, 2);
        Part::Bottleneck { inner, channels: self.size(channels), stride: self.size(stride), groups: self.size(groups) }
    }

    fn explicit_padding(&mut self) -> Padding {
        let mut side = || {
            let pixels = self.below(3);
            self.size(pixels)
        };
        Padding::Explicit { top: side(), bottom: side(), left: side(), right: side() }
    }

    fn convolution(&mut self, sizes: &[usize]) -> Part {
        let channels = sizes[3];
        let padding = match self.below(3) {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => self.explicit_padding(),
        };
        let padded = |sides: usize| match padding {
            Padding::Valid | Padding::Same => 0,
            Padding::Explicit { top, bottom, left, right } => {
                [top.saturating_add(bottom), left.saturating_add(right)][sides]
            }
        };
        let mut dilation = [1, 1];
        let kernel = [0, 1].map(|axis| {
            let room = sizes[1 + axis].saturating_add(padded(axis)).max(1);
            let kernel = self.between(1, 5).min(room);
            if kernel > 1 && self.chance(4) {
                let most = if matches!(padding, Padding::Same) { 3 } else { (room - 1) / (kernel - 1) };
                dilation[axis] = self.between(1, most.min(3));
            }
            self.size(kernel)
        });
        let kernel = if self.chance(3) { [kernel[0].min(kernel[1]); 2] } else { kernel };
        let groups = if self.chance(2) { 1 } else { self.divisor(channels) };
        let skip = (groups == 1 && self.chance(12)).then(|| self.between(2, 3));
        let each = self.one_of(&[1, 1, 2, 3, 4, 5, 8, 16, 17]);
        let outputs = each * groups.clamp(1, 64);
        let outputs = if outputs > 48 { groups } else { outputs };
        let stride = [0, 1].map(|_| {
            let stride = self.one_of(&[1, 1, 1, 2, 2, 3, 4]);
            self.size(stride)
        });
        let names =
            [None, None, None, None, None, Some("implicit"), Some("im2col"), Some("winograd2"), Some("depthwise")];
        Part::Convolution(Convolution {
            channels: self.size(outputs),
            kernel,
            stride: if self.chance(3) { [stride[0]; 2] } else { stride },
            dilation: dilation.map(|dilation| self.size(dilation)),
            padding,
            groups,
            flipped: self.chance(12),
            bias: !self.chance(4),
            skip,
            algorithm: self.one_of(&names),
        })
    }

    fn transposed(&mut self, sizes: &[usize]) -> Part {
        let groups = if self.chance(2) { 1 } else { self.divisor(sizes[3]) };
        let kernel = [self.between(1, 4), self.between(1, 4)];
        let stride = [self.between(1, 3), self.between(1, 3)];
        let padding = if self.chance(2) { Padding::Valid } else { self.explicit_padding() };
        let output_padding = [0, 1].map(|axis| if self.chance(3) { self.below(stride[axis]) } else { 0 });
        Part::Transposed(Transposed {
            channels: groups.min(16) * self.between(1, 3),
            kernel: kernel.map(|kernel| self.size(kernel)),
            stride: stride.map(|stride| self.size(stride)),
            dilation: if self.chance(4) { [2, 1] } else { [1, 1] },
            padding,
            output_padding: output_padding.map(|pixels| self.size(pixels)),
            groups,
            bias: !self.chance(4),
        })
    }

    fn pool(&mut self, sizes: &[usize]) -> Part {
        let window = [0, 1].map(|axis| self.between(1, 4).min(sizes[1 + axis]).max(1));
        let padding = window.map(|window| if self.chance(3) { self.between(0, window / 2) } else { 0 });
        let stride = window.map(|window| if self.chance(2) { window } else { self.between(1, 3) });
        let kinds = [PoolKind::Max, PoolKind::Max, PoolKind::AverageWithPadding, PoolKind::AverageOfPixels];
        Part::Pool(Pool {
            kind: self.one_of(&kinds),
            window: window.map(|window| self.size(window)),
            stride: stride.map(|stride| self.size(stride)),
            padding: padding.map(|pixels| self.size(pixels)),
            ceil: self.chance(3),
        })
    }

    fn pad(&mut self, sizes: &[usize]) -> Part {
        let edge = self.one_of(&[Edge::Reflected, Edge::Replicated, Edge::Zeros]);
        let mut side = |axis: usize| {
            let most = if matches!(edge, Edge::Reflected) { sizes[axis].saturating_sub(1).min(3) } else { 3 };
            let pixels = self.between(0, most);
            self.size(pixels)
        };
        Part::Pad { edge, left: side(2), right: side(2), top: side(1), bottom: side(1) }
    }

    fn row_part(&mut self) -> Part {
        let features = self.one_of(&[1, 2, 3, 5, 10, 16, 17, 33, 64]);
        let features = self.size(features);
        match self.below(6) {
            0 => Part::RadialBasis(features),
            1 => Part::MatrixProduct(features),
            _ => Part::Dense { features, bias: !self.chance(4) },
        }
    }

    /// A part that changes the shape and knows nothing of images.
    fn shape_part(&mut self, sizes: &[usize]) -> Part {
        let axes = sizes.len();
        if let Some(Dim::Batch(2)) = self.shape().and_then(|shape| shape.dims().first().copied())
            && !self.chance(4)
        {
            return Part::SplitBatch { part: self.below(2), parts: 2 };
        }
        match self.below(8) {
            6 if axes > 2 => Part::OwnProduct(self.one_of(&[OwnProduct::Columns, OwnProduct::Attention])),
            7 if axes > 0 => {
                let axis = self.between(1, axes);
                let other = self.inside(|drawing| drawing.keeping_parts(2));
                Part::Stacking { axis: self.size(axis), side: self.one_of(&[Side::Left, Side::Right]), other }
            }
            0 if axes > 1 => {
                let axis = self.between(1, axes - 1);
                let start = self.below(sizes[axis]);
                let len = self.between(1, sizes[axis].saturating_sub(start).max(1));
                Part::Slice { axis: self.size(axis), start: self.size(start), len: self.size(len) }
            }
            1 | 2 if axes > 0 => self.reduction(axes),
            3 => self.reshape(sizes),
            4 => Part::SplitBatch { part: self.below(2), parts: self.between(1, 2) },
            _ => Part::Flatten,
        }
    }

    /// A sum or mean over some axes, seldom over the samples.
    fn reduction(&mut self, axes: usize) -> Part {
        let first = usize::from(!self.chance(6));
        let mut chosen: Vec<usize> = (first..axes).filter(|_| self.chance(2)).collect();
        if chosen.is_empty() {
            chosen.push(axes - 1);
        }
        Part::Reduction {
            axes: chosen,
            kind: self.one_of(&[Reduction::Sum, Reduction::Mean]),
            reduced: self.one_of(&[Reduced::Removed, Reduced::One]),
        }
    }

    /// The same elements under another shape: two axes as one, or one taken apart.
    fn reshape(&mut self, sizes: &[usize]) -> Part {
        let mut sample = sizes.get(1..).unwrap_or_default().to_vec();
        match (sample.len(), self.below(3)) {
            (1, 1 | 2) => {
                let rows = self.divisor(sample[0]);
                let columns = self.divisor(sample[0] / rows.max(1));
                let channels = sample[0] / rows.max(1) / columns.max(1);
                sample = vec![rows, columns, channels];
            }
            (2..=4, 0) => {
                let last = sample.pop().unwrap_or(1);
                if let Some(before) = sample.last_mut() {
                    *before = before.saturating_mul(last);
                }
            }
            (0 | 1, _) | (2, 1) => sample.insert(0, 1),
            _ => sample.swap(0, 1),
        }
        Part::Reshape(sample.into_iter().map(|size| self.size(size)).collect())
    }

    fn arithmetic(&mut self, sizes: &[usize]) -> Part {
        Part::Arithmetic {
            operator: self.one_of(&[
                Operator::Add,
                Operator::Sub,
                Operator::Mul,
                Operator::Div,
                Operator::Maximum,
                Operator::Minimum,
            ]),
            side: self.one_of(&[Side::Left, Side::Right]),
            other: self.other(sizes),
        }
    }

    fn other(&mut self, sizes: &[usize]) -> Other {
        let axes = sizes.len();
        match self.below(10) {
            0 => Other::Number(self.one_of(&[-1.5, -0.5, 0.5, 1.0, 2.0])),
            1..4 => {
                // Some of the last axes, each as it is or repeated; one that is 1 in the value may be longer.
                let with_samples = self.chance(4);
                let trailing = self.between(0, axes.saturating_sub(usize::from(!with_samples)));
                let shape: Vec<usize> = sizes[axes - trailing..].to_vec();
                let repeated = |size: usize, drawing: &mut Drawing| match size {
                    1 if drawing.chance(4) => 3,
                    size if drawing.chance(3) => usize::from(size > 0),
                    size => drawing.size(size),
                };
                Other::Parameter(shape.into_iter().map(|size| repeated(size, self)).collect())
            }
            4 => Other::Parts(Vec::new()),
            5 | 6 if axes > 0 => {
                let mut reduction = self.reduction(axes);
                if let Part::Reduction { reduced, .. } = &mut reduction
                    && !self.chance(8)
                {
                    *reduced = Reduced::One;
                }
                Other::Parts(vec![reduction])
            }
            7 if axes > 1 => {
                let axis = self.between(1, axes - 1);
                Other::Parts(vec![Part::Slice { axis, start: self.below(sizes[axis]), len: 1 }])
            }
            _ => Other::Parts(self.inside(|drawing| drawing.keeping_parts(2))),
        }
    }

    /// A part made of parts.
    fn compound(&mut self, sizes: &[usize], depth: usize) -> Part {
        let keeping = |drawing: &mut Drawing| drawing.inside(|drawing| drawing.keeping_parts(2));
        match self.below(6) {
            0 => Part::Twice(keeping(self)),
            1 => Part::Recomputed(self.inside(|drawing| (0..2).for_each(|_| drawing.any_part(depth - 1)))),
            2 | 3 if sizes.len() == 4 => self.residual(sizes),
            2 => Part::Residual { body: keeping(self), shortcut: Shortcut::Identity, stride: 1 },
            _ => {
                let axis = if sizes.len() > 1 && !self.chance(4) { self.between(1, sizes.len() - 1) } else { 0 };
                let wider = axis == 3 && self.chance(2);
                let other = self.inside(|drawing| {
                    drawing.keeping_parts(2);
                    if wider {
                        let channels = drawing.between(1, 9);
                        let part = drawing.keeping_convolution(channels, [1, 1]);
                        drawing.parts.push(part);
                    }
                });
                Part::Concatenation { axis, side: self.one_of(&[Side::Left, Side::Right]), other }
            }
        }
    }

    fn residual(&mut self, sizes: &[usize]) -> Part {
        let shortcut =
            self.one_of(&[Shortcut::Identity, Shortcut::ZeroPad, Shortcut::Projection, Shortcut::PooledProjection]);
        let stride = if matches!(shortcut, Shortcut::Identity) { 1 } else { self.between(1, 2) };
        let channels = match shortcut {
            Shortcut::Identity => sizes[3],
            _ => sizes[3].saturating_add(self.below(4)),
        };
        let body = self.inside(|drawing| {
            let mut first = drawing.keeping_convolution(channels, [stride; 2]);
            if let Part::Convolution(convolution) = &mut first {
                convolution.groups = 1;
            }
            drawing.parts.push(first);
            drawing.keeping_parts(3);
        });
        Part::Residual { body, shortcut, stride }
    }

    /// Makes rows of a few classes of whatever there is.
    fn classifier(&mut self) {
        match self.sizes().map(|sizes| sizes.len()) {
            Some(4) if self.chance(2) => {
                self.parts.push(Part::Reduction { axes: vec![1, 2], kind: Reduction::Mean, reduced: Reduced::Removed });
            }
            Some(2) => (),
            Some(_) => self.parts.push(Part::Flatten),
            None => return,
        }
        let features = self.between(1, 10);
        let features = self.size(features);
        self.parts.push(Part::Dense { features, bias: true });
    }

    fn loss(&mut self) -> Loss {
        let smoothing = self.one_of(&[0.0, 0.1]);
        let mut losses = vec![Loss::MeanSquare, Loss::Weighted, Loss::SquaredError, Loss::Huber, Loss::Logistic];
        let shape = self.shape().unwrap_or_default();
        if shape.dims().first() == Some(&Dim::Batch(1)) && shape.rank() == 2 {
            let weighted = self.chance(2);
            losses.extend([Loss::CrossEntropy { smoothing, weighted }; 3]);
            losses.extend([Loss::MaximumAPosteriori, Loss::OneHot]);
        }
        self.one_of(&losses)
    }
}
