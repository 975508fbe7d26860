//! The error of this crate.

/// An error of a visualisation, a style transfer or a face verification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor could not be made, read or written.
    #[error(transparent)]
    Tensor(#[from] ocelli_tensor::Error),
    /// A network could not be described, planned or run.
    #[error(transparent)]
    Graph(#[from] ocelli_graph::Error),
    /// Weights could not be read.
    #[error(transparent)]
    Weights(#[from] ocelli_models::WeightsError),
    /// A network in one file could not be read or written.
    #[error(transparent)]
    Network(#[from] ocelli_models::NetworkError),
    /// Images could not be read, or samples not be drawn.
    #[error(transparent)]
    Data(#[from] ocelli_data::Error),
    /// A training failed, or a gallery could not be read or written.
    #[error(transparent)]
    Train(#[from] ocelli_train::Error),
    /// An argument cannot be used; the text says why.
    #[error("{0}")]
    Invalid(String),
}

/// A result whose error is this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
