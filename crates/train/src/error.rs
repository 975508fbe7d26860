//! What can go wrong while training.

/// Why training, or its files, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model or its objective refused something.
    #[error(transparent)]
    Model(#[from] ocelli_graph::Error),
    /// Tensors or their files.
    #[error(transparent)]
    Tensor(#[from] ocelli_tensor::Error),
    /// The data could not be read.
    #[error("the data: {0}")]
    Data(String),
    /// A gradient does not belong to the model.
    #[error("there is a gradient of {got} numbers for {path}, which has {expected}")]
    Gradient {
        /// The path of the parameter.
        path: String,
        /// The numbers that it has; 0 if there is no such parameter.
        expected: usize,
        /// The numbers of the gradient.
        got: usize,
    },
    /// The gradient has no norm that it could be clipped to; nothing was updated.
    #[error("the gradient of {path} is not finite, or too large to be squared: lower the learning rate")]
    Exploded {
        /// The path of the parameter.
        path: String,
    },
    /// The state of an optimiser does not belong to the model.
    #[error("the state of the optimiser for {path} has {got} numbers, the parameter {expected}")]
    State {
        /// The path of the parameter.
        path: String,
        /// The numbers that it has.
        expected: usize,
        /// The numbers of the state.
        got: usize,
    },
    /// A file is no checkpoint, or a broken one.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(String),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
