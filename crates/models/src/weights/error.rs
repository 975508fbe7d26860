//! What can go wrong with a weight file.

use super::LoadReport;

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
    /// A parameter that was to be saved is NaN or infinite, as training that diverged leaves it. Nothing was written.
    #[error("{path}: was not written, because {name} holds {value}; a network with such weights has no results")]
    Broken {
        /// The file.
        path: String,
        /// The path of the parameter.
        name: String,
        /// The number.
        value: f32,
    },
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
    #[error("{path}: {}{}", entry_text(wanted.as_deref()), found.join(", "))]
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
    /// Weights that were loaded are NaN or infinite, as training that diverged leaves them.
    #[error("{path}: {}; a network with such weights has no results", report.differences())]
    NotFinite {
        /// The file.
        path: String,
        /// What was loaded, and which of it is not finite.
        report: Box<LoadReport>,
    },
}

/// Why a name is refused, and what to do about it.
fn refusal_text(global: &str) -> &'static str {
    let is_tensor =
        ["torch._utils.", "torch._tensor.", "torch.storage."].iter().any(|module| global.starts_with(module));
    if is_tensor || (global.starts_with("torch.") && global.ends_with("Storage")) {
        "for a tensor of a kind that cannot be read, such as complex, float8, quantised or sparse; from Python, convert it to \
         float32 before it is saved"
    } else {
        "which no state dict needs; from Python, save model.state_dict() instead of the model"
    }
}

fn entry_text(wanted: Option<&str>) -> String {
    match wanted {
        Some(wanted) => format!("holds no state dict \"{wanted}\" but "),
        None => "holds several state dicts, of which one has to be chosen: ".into(),
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
    pub(super) fn at(self, path: &str) -> WeightsError {
        let path = path.to_string();
        match self {
            Failure::Io(source) => WeightsError::Io { path, source },
            Failure::Broken(reason) => WeightsError::Format { path, reason },
            Failure::Refused(global) => WeightsError::Refused { path, global },
            Failure::Entry { wanted, found } => WeightsError::Entry { path, wanted, found },
        }
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
