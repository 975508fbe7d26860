//! The faults of an image, before its file is named.

use crate::{Error, error::shortened};
use std::path::Path;

/// The reason why bytes are not an image.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the file is empty")]
    Empty,
    #[error("not a PNG, JPEG, PNM or BMP image that can be read")]
    Unknown,
    #[error("the image ends too early")]
    Early,
    #[error("{0}")]
    Size(String),
    #[error("damaged image ({0})")]
    Damaged(String),
    #[error("{0} are not read")]
    Unsupported(&'static str),
}

impl Fault {
    pub(super) fn damaged(what: impl Into<String>) -> Fault {
        Fault::Damaged(what.into())
    }

    /// Makes the error of the file at `path`, whose name may come from an archive.
    pub(super) fn at(&self, path: &Path) -> Error {
        Error::Format { file: shortened(&path.display().to_string(), 300), reason: self.to_string() }
    }
}

/// A result with a [`Fault`].
pub(super) type Result<T> = std::result::Result<T, Fault>;
