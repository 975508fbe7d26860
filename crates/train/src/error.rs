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
    /// A gradient holds NaN or an infinite number; nothing was updated.
    #[error("the gradient of {path} holds {value}; nothing was updated")]
    BrokenGradient {
        /// The path of the parameter.
        path: String,
        /// The number.
        value: f32,
    },
    /// An update left NaN or an infinite number in the model or the optimiser; it was not written to a checkpoint.
    #[error(
        "{what} holds {value} after an update: lower the learning rate, and go on from the last checkpoint, which is whole"
    )]
    BrokenState {
        /// What holds it, such as "parameter conv1.weight".
        what: String,
        /// The number.
        value: f32,
    },
    /// Something failed at one batch.
    #[error("{place}: {source}")]
    AtBatch {
        /// Which one, such as "epoch 3, batch 17"; both are counted from 1.
        place: String,
        /// What failed.
        source: Box<Error>,
    },
    /// Another run writes into the folder.
    #[error("{path}: is being written into by another run; wait for it, or take another folder")]
    FolderInUse {
        /// The folder.
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

impl Error {
    pub(crate) fn nothing_to_train() -> Error {
        Error::Setting("nothing is trained: there is no gradient for a parameter that is not frozen".into())
    }

    /// This error with the batch that it happened at. What is wrong with a setting is so at every batch.
    pub(crate) fn at(self, place: impl FnOnce() -> String) -> Error {
        match self {
            Error::Setting(_) | Error::AtBatch { .. } => self,
            error => Error::AtBatch { place: place(), source: Box::new(error) },
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
