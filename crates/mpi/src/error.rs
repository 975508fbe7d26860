//! The error of this crate.

/// An error of training on several processes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model refused a network, a batch or a step.
    #[error(transparent)]
    Model(#[from] ocelli::graph::Error),
    /// Training, its settings or its files failed.
    #[error(transparent)]
    Train(#[from] ocelli::train::Error),
    /// The data could not be read.
    #[error(transparent)]
    Data(#[from] ocelli::data::Error),
    /// MPI was started before, or not at all.
    #[error("MPI could not be started in this process; was it started before?")]
    Start,
    /// The processes hold different parameters.
    #[error("processes 0 and {rank} have different parameters after epoch {epoch}: their machines compute differently")]
    Apart {
        /// The process that differs.
        rank: usize,
        /// The epoch, counted from 1.
        epoch: u64,
    },
    /// A checkpoint that does not fit the run, or cannot be sent to the other processes.
    #[error("the checkpoint: {0}")]
    Checkpoint(String),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
