//! Errors: faults that an operation finds, errors of `build`, errors of running.

use crate::{Dim, Precision};
use ocelli_tensor::{Axis, ElementKind};
use std::{fmt, panic::Location};

/// A fault that an operation finds. The trace adds the path and the origin of the operand.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An axis of an operand has the wrong size.
    Size {
        /// Index of the operand.
        input: usize,
        /// The axis.
        axis: Axis,
        /// The size it should have.
        expected: usize,
        /// Name of the things counted, such as "input channels".
        what: &'static str,
        /// The size it has.
        got: Dim,
    },
    /// An operand has the wrong number of axes.
    Rank {
        /// Index of the operand.
        input: usize,
        /// The shape it should have, as text: `"[N, H, W, C]"`.
        expected: &'static str,
    },
    /// Two operands should have the same shape, or shapes that can be broadcast.
    Unequal {
        /// One operand.
        left: usize,
        /// The other operand.
        right: usize,
    },
    /// Two operands should have the same sizes on every axis but one, along which they are concatenated.
    UnequalBeside {
        /// One operand.
        left: usize,
        /// The other operand.
        right: usize,
        /// Index of that axis.
        axis: usize,
    },
    /// An operand has an axis that the operation cannot use, in words.
    Operand {
        /// Index of the operand.
        input: usize,
        /// The expected value, as a noun phrase: "3 or more pixels (the filter) on axis H".
        expected: String,
        /// The actual value, as a noun phrase: "2".
        got: String,
    },
    /// A setting of the operation or layer makes no sense, in a sentence.
    Setting(String),
    /// The data break a rule, in a sentence: a label out of range.
    Data(String),
}

/// Writes a fault without its place: the trace and the executor write better sentences.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Size { input, axis, expected, what, got } => {
                write!(f, "expected {expected} {what} on axis {axis} of operand {input}, got {got}")
            }
            Fault::Rank { input, expected } => write!(f, "expected {expected} as operand {input}"),
            Fault::Unequal { left, right } | Fault::UnequalBeside { left, right, .. } => {
                write!(f, "operands {left} and {right} have different shapes")
            }
            Fault::Operand { input, expected, got } => write!(f, "expected {expected} of operand {input}, got {got}"),
            Fault::Setting(sentence) | Fault::Data(sentence) => f.write_str(sentence),
        }
    }
}

/// The first mistake in a description of a network.
///
/// Reads as `features.3.conv (Conv2d): expected 64 input channels on axis C, got 3 in [N, 8, 8, 3] from input "input"`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}({kind}): {reason}", if path.is_empty() { String::new() } else { format!("{path} ") })]
pub struct BuildError {
    /// The path of the layer, empty at the top.
    pub path: String,
    /// Name of the layer, or of the operation where there is no layer.
    pub kind: String,
    /// The mistake, with the axis, both sizes and where the operand came from.
    pub reason: String,
    /// Place in the source where the layer was applied.
    pub location: Option<&'static Location<'static>>,
}

/// Errors of building and running a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description of the network or of its objective is wrong.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A name that does not exist.
    #[error("nothing is called \"{name}\"; there are: {known}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The names that exist, and how to name an operation that sounds like the requested one.
        known: String,
    },
    /// The batch lacks an input.
    #[error("input \"{name}\" is missing from the batch, which holds {known}")]
    MissingInput {
        /// The name of the input.
        name: String,
        /// Names of the tensors that the batch holds.
        known: String,
    },
    /// An input has the wrong shape.
    #[error("input \"{name}\" has the shape {got}, expected {expected}{}", batch.map_or(String::new(), |n| format!(" with N = {n}")))]
    InputShape {
        /// The name of the input.
        name: String,
        /// The shape it should have.
        expected: String,
        /// The shape it has.
        got: String,
        /// The batch size, where the inputs determine one.
        batch: Option<usize>,
    },
    /// An input holds no samples.
    #[error("input \"{name}\" holds no samples: its shape is {got}")]
    EmptyBatch {
        /// The name of the input.
        name: String,
        /// The shape it has.
        got: String,
    },
    /// An input holds the wrong kind of element.
    #[error("input \"{name}\" holds {got}, expected {expected}")]
    InputKind {
        /// The name of the input.
        name: String,
        /// The kind it should hold.
        expected: ElementKind,
        /// The kind it holds.
        got: ElementKind,
    },
    /// An input holds NaN or an infinite value.
    #[error("input \"{name}\" holds {value} at {index}")]
    NotFinite {
        /// The name of the input.
        name: String,
        /// The value.
        value: f32,
        /// Its index, such as `[3, 0, 5, 1]`.
        index: String,
    },
    /// Every input is finite, but the loss is not.
    #[error("the loss is {loss} although every input is finite: {hint}")]
    Diverged {
        /// The loss.
        loss: f32,
        /// The usual cause.
        hint: String,
    },
    /// The loss is finite, but a gradient or a new state of the same step is not. Nothing was updated.
    #[error("{what} holds {value} although the loss is {loss}: {hint}")]
    BrokenUpdate {
        /// Description of the tensor that holds the value, such as "the gradient of conv1.weight".
        what: String,
        /// The value.
        value: f32,
        /// The loss.
        loss: f32,
        /// The operation that produced the value, and a remedy.
        hint: String,
    },
    /// The loss of an objective depends on nothing that a gradient is requested for.
    #[error("the objective trains nothing: {0}")]
    NothingToTrain(String),
    /// An objective was requested of a model at a precision that has no gradients.
    #[error(
        "Precision::{0:?} rounds the weights and is for inference alone: make objectives of the model at Precision::Fast or Precision::Strict, and set Precision::{0:?} when it is trained"
    )]
    InferenceOnly(Precision),
    /// A network cannot be cut or changed at the requested place.
    #[error("the part from \"{from}\" to \"{to}\": {reason}")]
    Part {
        /// The name of the activation that it begins with.
        from: String,
        /// The name of its result.
        to: String,
        /// The reason.
        reason: String,
    },
    /// Parameters were frozen or unfrozen after the objective was made.
    #[error("parameter {path} was {} after the objective was made, which does not follow: make the objective again", if *frozen { "frozen" } else { "unfrozen" })]
    FrozenSince {
        /// The path of the first such parameter.
        path: String,
        /// True if it is frozen now.
        frozen: bool,
    },
    /// A plan has an operation without a kernel: a setting that only planning can refuse, such as an algorithm that
    /// does not support a backward pass, or an operation that a backend does not know.
    #[error("{path}({kind}): {reason}")]
    Compile {
        /// The path of the layer with a space behind it, empty at the top.
        path: String,
        /// The operation.
        kind: String,
        /// The mistake.
        reason: String,
    },
    /// An operation refused its data.
    #[error("{path}({kind}): {reason}")]
    Kernel {
        /// The path of the layer with a space behind it, empty at the top.
        path: String,
        /// The operation.
        kind: String,
        /// The mistake.
        reason: String,
    },
    /// A parameter was given a value of another shape.
    #[error("parameter {path} has the shape {expected}, got {got}")]
    ParameterShape {
        /// The path of the parameter.
        path: String,
        /// Its shape.
        expected: String,
        /// The shape given.
        got: String,
    },
    /// An objective was used with a model that it was not made from.
    #[error("this objective was made from a model with other parameters: {0}")]
    ForeignModel(String),
    /// A plan was requested for no samples.
    #[error("a plan is for one sample or more, got 0")]
    NoSamples,
    /// The system cannot provide the memory.
    #[error("{what} needs {bytes} bytes, which the system does not give")]
    OutOfMemory {
        /// Purpose of the memory.
        what: String,
        /// Size of the memory, in bytes.
        bytes: usize,
    },
    /// The plan would need more memory than can be addressed.
    #[error("a batch of {0} needs more memory than can be addressed")]
    TooLarge(usize),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
