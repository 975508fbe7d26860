//! The errors of reading, preparing and batching samples.

/// An error of reading, preparing or batching samples.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content of a file is not valid.
    #[error("{file}: {reason}")]
    Format {
        /// The file.
        file: String,
        /// The fault in its content.
        reason: String,
    },
    /// The system failed to read a file.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The files of a dataset are in none of the places that were searched.
    #[error("{what} not found in {searched}; {remedy}")]
    NotFound {
        /// The dataset or the file.
        what: String,
        /// The folders that were searched.
        searched: String,
        /// A hint where to get it.
        remedy: String,
    },
    /// The index of a sample is out of range.
    #[error("sample {index} of a dataset of {len}")]
    Index {
        /// The requested index.
        index: usize,
        /// The number of samples.
        len: usize,
    },
    /// The output slice for a sample has the wrong length.
    #[error("room for {got} values, but a sample has {expected}")]
    Room {
        /// The number of values in a sample.
        expected: usize,
        /// The length of the slice.
        got: usize,
    },
    /// A setting is not valid, or pixels, labels and class names do not belong together.
    #[error("{0}")]
    Setting(String),
    /// A label has no class.
    #[error("sample {index} has the label {label}, but there are {classes} classes")]
    Label {
        /// The sample.
        index: usize,
        /// Its label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A dataset panicked while it wrote a sample.
    #[error("sample {index}: the dataset panicked: {message}")]
    Panic {
        /// The sample.
        index: usize,
        /// The message of the panic.
        message: String,
    },
    /// A tensor could not be made.
    #[error(transparent)]
    Tensor(#[from] ocelli_tensor::Error),
}

impl Error {
    /// Makes the error for a file whose content is not valid.
    pub(crate) fn format(file: &std::path::Path, reason: impl Into<String>) -> Error {
        Error::Format { file: file.display().to_string(), reason: shortened(&reason.into(), MAX_REASON) }
    }

    /// Makes the error for a read that the system refused.
    pub(crate) fn io(file: &std::path::Path, source: std::io::Error) -> Error {
        Error::Io { file: file.display().to_string(), source }
    }
}

/// Maximum number of characters of a reason, which may quote the content of a file.
const MAX_REASON: usize = 400;

/// Returns a text cut to at most `limit` characters, with a mark where characters are left out.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
