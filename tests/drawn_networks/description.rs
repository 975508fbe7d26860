//! A drawn network as data, so that a failure can be printed, read and built again.

/// A network of one input with a loss.
#[derive(Clone, Debug)]
pub struct Network {
    /// The number that it was drawn from; the numbers in its parameters and inputs come from it too.
    pub number: u64,
    /// Sizes of one sample.
    pub sample: Vec<usize>,
    /// Samples in a batch.
    pub batch: usize,
    /// What follows the input, in order.
    pub parts: Vec<Part>,
    /// What is minimised.
    pub loss: Loss,
}

/// A part of a network: a function of one value.
#[derive(Clone, Debug)]
pub enum Part {
    Convolution(Convolution),
    Transposed(Transposed),
    Pool(Pool),
    AdaptivePool([usize; 2]),
    /// Images with so many times as many pixels in each direction.
    Upsampling {
        factor: usize,
        smooth: bool,
    },
    /// Images of another size.
    Resizing {
        size: [usize; 2],
        smooth: bool,
    },
    Pad {
        edge: Edge,
        left: usize,
        right: usize,
        top: usize,
        bottom: usize,
    },
    Normalisation {
        kind: Normalisation,
        affine: bool,
    },
    SubSampling(usize),
    Function(Function),
    Dropout(f32),
    Dense {
        features: usize,
        bias: bool,
    },
    RadialBasis(usize),
    MatrixProduct(usize),
    /// A product of each sample's matrices with themselves.
    OwnProduct(OwnProduct),
    /// The Gram matrix of the channels.
    Gram,
    Inception(Inception),
    Bottleneck {
        inner: usize,
        channels: usize,
        stride: usize,
        groups: usize,
    },
    Arithmetic {
        operator: Operator,
        side: Side,
        other: Other,
    },
    Concatenation {
        axis: usize,
        side: Side,
        other: Vec<Part>,
    },
    Stacking {
        axis: usize,
        side: Side,
        other: Vec<Part>,
    },
    Slice {
        axis: usize,
        start: usize,
        len: usize,
    },
    SplitBatch {
        part: usize,
        parts: usize,
    },
    Reduction {
        axes: Vec<usize>,
        kind: Reduction,
        reduced: Reduced,
    },
    Flatten,
    Reshape(Vec<usize>),
    Residual {
        body: Vec<Part>,
        shortcut: Shortcut,
        stride: usize,
    },
    /// The same parameters applied twice, one after the other.
    Twice(Vec<Part>),
    Recomputed(Vec<Part>),
}

#[derive(Clone, Debug)]
pub struct Convolution {
    pub channels: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub groups: usize,
    pub flipped: bool,
    pub bias: bool,
    /// A connection table in which output `o` sees the inputs `i` with `(i + o) % skip != 0`.
    pub skip: Option<usize>,
    pub algorithm: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Transposed {
    pub channels: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub output_padding: [usize; 2],
    pub groups: usize,
    pub bias: bool,
}

/// Channels of the branches; the second number of a pair is that of a 1×1 convolution before it.
#[derive(Clone, Copy, Debug)]
pub struct Inception {
    pub conv1: usize,
    pub conv3: [usize; 2],
    pub conv5: usize,
    pub pool: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub enum OwnProduct {
    /// `xᵀ·x`.
    Columns,
    /// `softmax(x·xᵀ)·x`.
    Attention,
}

#[derive(Clone, Copy, Debug)]
pub enum Padding {
    Valid,
    Same,
    Explicit { top: usize, bottom: usize, left: usize, right: usize },
}

#[derive(Clone, Debug)]
pub struct Pool {
    pub kind: PoolKind,
    pub window: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub ceil: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PoolKind {
    Max,
    AverageWithPadding,
    AverageOfPixels,
}

#[derive(Clone, Copy, Debug)]
pub enum Edge {
    Reflected,
    Replicated,
    Zeros,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalisation {
    Batch,
    Group(usize),
    Instance,
    Layer,
    ResponseOfSum(usize),
    ResponseOfMean(usize),
}

/// An elementwise function, or one of the last axis. Those that are not defined everywhere, or grow without bound, come with
/// what keeps them where they are defined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    Relu,
    LeakyRelu,
    Elu,
    Sigmoid,
    Tanh,
    ScaledTanh,
    Silu,
    HardSigmoid,
    HardSwish,
    Gelu,
    GeluTanh,
    /// `tanh(x)²`.
    Square,
    /// `√(x² + ½)`.
    Sqrt,
    Abs,
    /// `e^tanh(x)`.
    Exp,
    /// `ln(x² + 1)`.
    Ln,
    Scale(f32),
    Shift(f32),
    /// `1 / (x² + 1)`.
    Reciprocal,
    /// Between −1 and 1.
    Clamp,
    /// `x` where it is positive, by a comparison.
    Masked,
    /// The last axis divided by its length, if that is a tenth or more.
    L2Normalised,
    Softmax,
    LogSoftmax,
    /// The user's own: `x + x² / 4`.
    Own,
    /// The same with a derivative that is a tenth too large. It is never drawn.
    Mistaken,
}

#[derive(Clone, Copy, Debug)]
pub enum Operator {
    Add,
    Sub,
    Mul,
    /// By `other² + ½`.
    Div,
    Maximum,
    Minimum,
}

/// Which operand the value itself is.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Left,
    Right,
}

/// The other operand of arithmetic.
#[derive(Clone, Debug)]
pub enum Other {
    Number(f32),
    /// A parameter of this shape.
    Parameter(Vec<usize>),
    /// What these parts make of the value.
    Parts(Vec<Part>),
}

#[derive(Clone, Copy, Debug)]
pub enum Reduction {
    Sum,
    Mean,
}

/// What becomes of an axis that was summed.
#[derive(Clone, Copy, Debug)]
pub enum Reduced {
    Removed,
    /// It stays with size 1.
    One,
}

#[derive(Clone, Copy, Debug)]
pub enum Shortcut {
    Identity,
    ZeroPad,
    Projection,
    PooledProjection,
}

/// What is minimised, of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    MeanSquare,
    /// The sum of the output times fixed numbers.
    Weighted,
    SquaredError,
    Huber,
    Logistic,
    CrossEntropy {
        smoothing: f32,
        weighted: bool,
    },
    MaximumAPosteriori,
    /// The squared distance to one-hot labels.
    OneHot,
}

impl Loss {
    /// Returns true if each sample has a label.
    pub fn has_labels(self) -> bool {
        matches!(self, Loss::CrossEntropy { .. } | Loss::MaximumAPosteriori | Loss::OneHot)
    }
}

impl Network {
    /// Returns true if any part of the network, at any depth, is as `is` says.
    pub fn any(&self, mut is: impl FnMut(&Part) -> bool) -> bool {
        any(&self.parts, &mut is)
    }

    /// Returns true if what comes out for one sample depends on the others even in inference, or if the first axis does
    /// not stay the samples.
    pub fn mixes_samples(&self) -> bool {
        self.any(|part| match part {
            Part::Concatenation { axis, .. } | Part::Slice { axis, .. } => *axis == 0,
            Part::SplitBatch { .. } => true,
            Part::Reduction { axes, .. } => axes.contains(&0),
            _ => false,
        })
    }
}

fn any(parts: &[Part], is: &mut dyn FnMut(&Part) -> bool) -> bool {
    parts.iter().any(|part| {
        is(part)
            || match part {
                Part::Arithmetic { other: Other::Parts(inner), .. }
                | Part::Concatenation { other: inner, .. }
                | Part::Stacking { other: inner, .. }
                | Part::Residual { body: inner, .. }
                | Part::Twice(inner)
                | Part::Recomputed(inner) => any(inner, is),
                _ => false,
            }
    })
}
