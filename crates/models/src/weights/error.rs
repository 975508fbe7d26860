//! What can go wrong with a weight file.

use super::{LoadReport, budget::Exhausted};

/// What can go wrong with a weight file.
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
    /// The file is no weight file, or a broken one.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's pickle names something that is none of the few things that state dicts need. Nothing was run.
    #[error("{path}: refers to {global}, {}", refusal_text(global))]
    Refused {
        /// The file.
        path: String,
        /// The name, with its module.
        global: String,
    },
    /// The file holds several state dicts and none that is clearly meant, or not the one that was asked for.
    #[error("{path}: {}", entry_text(wanted.as_deref(), found))]
    Entry {
        /// The file.
        path: String,
        /// What was asked for.
        wanted: Option<String>,
        /// What there is; `""` is the whole file.
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
    /// A path that was to be loaded or left out is in neither the model nor the file.
    #[error("{path}: nothing in the file or the model is at or below \"{below}\"")]
    Nothing {
        /// The file.
        path: String,
        /// The path.
        below: String,
    },
    /// The file's tensors are not those of the model; all differences at once.
    #[error("{path} does not fit the model: {}{}", report.score(), report.differences())]
    Mismatch {
        /// The file.
        path: String,
        /// What fits and what does not.
        report: Box<LoadReport>,
    },
    /// Weights that were loaded, or that were to be saved, are NaN or infinite, as training that diverged leaves them.
    #[error("{path}: {}; a network with such weights has no results", report.differences())]
    NotFinite {
        /// The file.
        path: String,
        /// What was loaded, and which parameters are not finite.
        report: Box<LoadReport>,
    },
}

/// Characters of a name in a message.
const SHOWN_NAME: usize = 100;
/// Characters of a reason.
const SHOWN_REASON: usize = 500;
/// State dicts that are named.
const SHOWN_ENTRIES: usize = 8;

/// A name from a file for a message: bounded, and without what would move the cursor of a terminal.
pub(crate) fn shown(name: &str) -> String {
    shortened(name, SHOWN_NAME)
}

/// A reason that may quote a file, for a message.
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

/// Why a name is refused, and what to do about it.
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

/// What went wrong, before the name of the file is known.
#[derive(Debug)]
pub(super) enum Failure {
    Io(std::io::Error),
    Broken(String),
    Refused(String),
    Entry { wanted: Option<String>, found: Vec<String> },
}

impl Failure {
    /// The same with the name of a part of the file in front of the reason.
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
