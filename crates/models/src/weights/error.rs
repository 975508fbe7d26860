//! The errors of reading and writing weight files.

use super::{LoadReport, budget::Exhausted};

/// An error of reading or writing a weight file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The system refused a read or a write.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] ocelli_tensor::Error),
    /// The file is not a weight file, or is damaged.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: String,
        /// The fault in the file.
        reason: String,
    },
    /// The pickle in the file names something other than the few things that state dicts need. Nothing was run.
    #[error("{path}: refers to {global}, {}", refusal_text(global))]
    Refused {
        /// The file.
        path: String,
        /// The name, with its module.
        global: String,
    },
    /// The file holds several state dicts and no obvious one, or not the requested one.
    #[error("{path}: {}", entry_text(wanted.as_deref(), found))]
    Entry {
        /// The file.
        path: String,
        /// The requested entry.
        wanted: Option<String>,
        /// The entries that exist; `""` is the whole file.
        found: Vec<String>,
    },
    /// The file has no tensor of this name.
    #[error("{path}: no tensor is called \"{name}\"")]
    Unknown {
        /// The file.
        path: String,
        /// The name.
        name: String,
    },
    /// A path to load or to leave out is in neither the model nor the file.
    #[error("{path}: nothing in the file or the model is at or below \"{below}\"")]
    Nothing {
        /// The file.
        path: String,
        /// The path.
        below: String,
    },
    /// The tensors of the file do not match the model; the report has all differences.
    #[error("{path} does not fit the model: {}{}", report.score(), report.differences())]
    Mismatch {
        /// The file.
        path: String,
        /// The tensors that match and those that do not.
        report: Box<LoadReport>,
    },
    /// Weights that were loaded, or were to be saved, are NaN or infinite, as after diverged training.
    #[error("{path}: {}; a network with such weights has no results", report.differences())]
    NotFinite {
        /// The file.
        path: String,
        /// The loaded parameters, and those that are not finite.
        report: Box<LoadReport>,
    },
}

/// Maximum number of characters of a name in a message.
const SHOWN_NAME: usize = 100;
/// Maximum number of characters of a reason.
const SHOWN_REASON: usize = 500;
/// Maximum number of state dicts that a message names.
const SHOWN_ENTRIES: usize = 8;

/// Returns a name from a file for a message: bounded, and without characters that move the cursor of a terminal.
pub(crate) fn shown(name: &str) -> String {
    shortened(name, SHOWN_NAME)
}

/// Returns a reason that may quote a file, bounded for a message.
pub(crate) fn shown_reason(reason: &str) -> String {
    shortened(reason, SHOWN_REASON)
}

fn shortened(text: &str, most: usize) -> String {
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut short: String = text.chars().take(most).map(printable).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// Returns the reason why a name is refused, and the remedy.
fn refusal_text(global: &str) -> &'static str {
    let is_tensor =
        ["torch._utils.", "torch._tensor.", "torch.storage."].iter().any(|module| global.starts_with(module));
    if is_tensor || (global.starts_with("torch.") && global.ends_with("Storage")) {
        "for a tensor of a kind that cannot be read, such as complex, float8, quantised or sparse; from Python, convert it to \
         float32 before it is saved"
    } else {
        "which no state dict needs; from Python, save model.state_dict() instead of the model or of what lies beside it"
    }
}

fn entry_text(wanted: Option<&str>, found: &[String]) -> String {
    let names: Vec<String> = found.iter().take(SHOWN_ENTRIES).map(|name| format!("\"{}\"", shown(name))).collect();
    let more =
        if found.len() > names.len() { format!(" and {} more", found.len() - names.len()) } else { String::new() };
    let names = names.join(", ") + &more;
    match wanted {
        Some(wanted) => format!("holds no state dict \"{}\" but {names}", shown(wanted)),
        None => format!(
            "holds several state dicts, of which one has to be chosen: {names} (WeightFile::open_entry opens the file at one)"
        ),
    }
}

/// A failure, before the name of the file is known.
#[derive(Debug)]
pub(super) enum Failure {
    Io(std::io::Error),
    Broken(String),
    Refused(String),
    Entry { wanted: Option<String>, found: Vec<String> },
}

impl Failure {
    /// Adds the name of a part of the file in front of the reason.
    pub(super) fn within(self, part: &str) -> Failure {
        match self {
            Failure::Broken(reason) => Failure::Broken(format!("{part}: {reason}")),
            other => other,
        }
    }

    pub(super) fn at(self, path: &str) -> WeightsError {
        let path = path.to_string();
        match self {
            Failure::Io(source) => WeightsError::Io { path, source },
            Failure::Broken(reason) => WeightsError::Format { path, reason: shown_reason(&reason) },
            Failure::Refused(global) => WeightsError::Refused { path, global },
            Failure::Entry { wanted, found } => WeightsError::Entry { path, wanted, found },
        }
    }
}

impl From<Exhausted> for Failure {
    fn from(exhausted: Exhausted) -> Failure {
        Failure::Broken(exhausted.to_string())
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure::Broken(reason)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Failure::Broken("the file ends too early".into()),
            _ => Failure::Io(error),
        }
    }
}
