//! The error of this crate.

use crate::ElementKind;

/// An error while a tensor is created, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The number of elements does not match the shape.
    #[error("{got} values do not fill the shape {shape}, which needs {expected}")]
    Length {
        /// The requested shape, as text.
        shape: String,
        /// The number of elements of that shape.
        expected: usize,
        /// The number of elements given.
        got: usize,
    },
    /// The sizes of a shape multiply to more elements than a machine can address.
    #[error("the shape {0} holds more values than can be addressed")]
    TooLarge(String),
    /// A file does not have the expected format.
    #[error("{what}: {reason}")]
    Format {
        /// The file, or a description of the source.
        what: String,
        /// The reason.
        reason: String,
    },
    /// The batch has no tensor of this name.
    #[error("the batch has no \"{name}\"; it holds {known}")]
    Missing {
        /// The requested name.
        name: String,
        /// The names that the batch holds.
        known: String,
    },
    /// The tensor of this name has another element type.
    #[error("\"{name}\" holds {got}, expected {expected}")]
    Kind {
        /// The requested name.
        name: String,
        /// The requested element type.
        expected: ElementKind,
        /// The element type of the tensor.
        got: ElementKind,
    },
    /// The operating system refused a read or a write.
    #[error("{what}: {source}")]
    Io {
        /// The file.
        what: String,
        /// The reason of the operating system.
        source: std::io::Error,
    },
}

/// A result whose error is this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
