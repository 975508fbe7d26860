//! What can go wrong with a tensor.

use crate::ElementKind;

/// Why a tensor could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data does not fill the shape.
    #[error("{got} numbers do not fill the shape {shape}, which needs {expected}")]
    Length {
        /// The shape asked for, as text.
        shape: String,
        /// How many numbers it holds.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// The sizes of a shape multiply to more than a machine can address.
    #[error("the shape {0} holds more numbers than can be addressed")]
    TooLarge(String),
    /// A file is not what it should be.
    #[error("{what}: {reason}")]
    Format {
        /// The file, or what stands for it.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The batch has no tensor of this name.
    #[error("the batch has no \"{name}\"; it holds {known}")]
    Missing {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The tensor of this name holds another kind of number.
    #[error("\"{name}\" holds {got}, expected {expected}")]
    Kind {
        /// The name asked for.
        name: String,
        /// The kind asked for.
        expected: ElementKind,
        /// The kind it holds.
        got: ElementKind,
    },
    /// The system refused a read or a write.
    #[error("{what}: {source}")]
    Io {
        /// The file.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
