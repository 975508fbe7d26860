//! What can go wrong between a file and a batch.

/// Why samples could not be read, prepared or batched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not what it should be.
    #[error("{file}: {reason}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused a read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The files of a dataset are in none of the places where they were looked for.
    #[error("{what} not found in {places}; {remedy}")]
    NotFound {
        /// The dataset or the file.
        what: String,
        /// Where it was looked for.
        places: String,
        /// Where to get it.
        remedy: String,
    },
    /// A sample beyond the end was asked for.
    #[error("sample {index} of a dataset of {len}")]
    Index {
        /// The sample asked for.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// The memory for a sample has the wrong length.
    #[error("room for {got} numbers, but a sample has {expected}")]
    Room {
        /// How many numbers a sample has.
        expected: usize,
        /// How many there was room for.
        got: usize,
    },
    /// A setting that cannot be meant, or pixels, labels and class names that do not belong together.
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
        /// What the panic said.
        message: String,
    },
    /// A tensor could not be made.
    #[error(transparent)]
    Tensor(#[from] ocelli_tensor::Error),
}

impl Error {
    /// A file that is not what it should be.
    pub(crate) fn format(file: &std::path::Path, reason: impl Into<String>) -> Error {
        Error::Format { file: file.display().to_string(), reason: shortened(&reason.into(), MAX_REASON) }
    }

    /// A read that the system refused.
    pub(crate) fn io(file: &std::path::Path, source: std::io::Error) -> Error {
        Error::Io { file: file.display().to_string(), source }
    }
}

/// Characters of a reason, at the most: it may quote what a file holds.
const MAX_REASON: usize = 400;

/// A text of at most `limit` characters, with a mark where more were left out.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
