//! The error of this crate.

use std::{io, path::Path};

/// An error of training or of its files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model or its objective refused a network, a batch or a step.
    #[error(transparent)]
    Model(#[from] ocelli_graph::Error),
    /// A tensor or a file was refused.
    #[error(transparent)]
    Tensor(#[from] ocelli_tensor::Error),
    /// The data could not be read.
    #[error("the data: {0}")]
    Data(String),
    /// A gradient does not belong to the model.
    #[error("there is a gradient of {got} elements for {path}, which has {expected}")]
    Gradient {
        /// The path of the parameter.
        path: String,
        /// The elements of the parameter; 0 if there is no such parameter.
        expected: usize,
        /// The elements of the gradient.
        got: usize,
    },
    /// The norm of the gradients, which is to be clipped, is not finite. Nothing was updated.
    #[error("the gradient of {path} is not finite, or too large to be squared: lower the learning rate")]
    Exploded {
        /// The path of the parameter.
        path: String,
    },
    /// A gradient has an element that is NaN or infinite. Nothing was updated.
    #[error("the gradient of {path} holds {value}; nothing was updated")]
    NonFiniteGradient {
        /// The path of the parameter.
        path: String,
        /// The element.
        value: f32,
    },
    /// An update left NaN or infinity in the model or the optimiser. It was not written to a checkpoint.
    #[error(
        "{what} holds {value} after an update: lower the learning rate, and go on from the last checkpoint, which is whole"
    )]
    NonFiniteState {
        /// The place, such as "parameter conv1.weight".
        what: String,
        /// The element.
        value: f32,
    },
    /// An error at one batch.
    #[error("{place}: {source}")]
    AtBatch {
        /// The batch, such as "epoch 3, batch 17"; both are counted from 1.
        place: String,
        /// The error.
        source: Box<Error>,
    },
    /// Another run writes into the folder.
    #[error("{path}: is being written into by another run; wait for it, or take another folder")]
    FolderInUse {
        /// The folder.
        path: String,
    },
    /// The state of an optimiser does not belong to the model.
    #[error("the state of the optimiser for {path} has {got} elements, the parameter {expected}")]
    State {
        /// The path of the parameter.
        path: String,
        /// The elements of the parameter.
        expected: usize,
        /// The elements of the state.
        got: usize,
    },
    /// A file is not a checkpoint, or a damaged one, or of another run.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
    /// A setting is not possible.
    #[error("{0}")]
    Setting(String),
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Error {
        Error::Tensor(ocelli_tensor::Error::Io { what: path.display().to_string(), source })
    }

    pub(crate) fn nothing_to_train() -> Error {
        Error::Setting(
            "nothing is trained: there is no gradient for a parameter that is not frozen; `model.unfreeze(path)` leaves a \
             layer to be trained, and objectives are made after it"
                .into(),
        )
    }

    /// Adds the batch at which this error happened. The error of a setting is the same at every batch, and stays as it is.
    pub(crate) fn at(self, place: impl FnOnce() -> String) -> Error {
        match self {
            Error::Setting(_) | Error::AtBatch { .. } => self,
            error => Error::AtBatch { place: place(), source: Box::new(error) },
        }
    }
}

/// A result whose error is this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
