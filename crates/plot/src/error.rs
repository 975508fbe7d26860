//! The error of this crate.

/// An error of drawing or writing an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be written.
    #[error(transparent)]
    Tensor(#[from] ocelli_tensor::Error),
    /// There is nothing to draw, or it cannot be drawn.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn drawing(error: impl std::fmt::Display) -> Error {
        Error::Invalid(format!("the image cannot be drawn: {error}"))
    }
}

/// A result whose error is this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
