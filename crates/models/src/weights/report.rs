//! What became of each name when weights were loaded.

use super::Metadata;
use ocelli_tensor::ShapeText;
use std::fmt;

/// A parameter whose tensor in the file has another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// The parameter's path.
    pub path: String,
    /// The shape that the file should have, in the order of its axes.
    pub expected: Vec<usize>,
    /// The shape that it has.
    pub got: Vec<usize>,
}

/// What became of each name when weights were loaded. Names of the file are as the rules changed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters that were loaded.
    pub loaded: Vec<String>,
    /// Parameters and tensors that were left out as asked for, and counters that only other libraries keep
    /// (`num_batches_tracked`).
    pub left_out: Vec<String>,
    /// Parameters that the file does not have.
    pub missing: Vec<String>,
    /// Tensors that the model does not have.
    pub unexpected: Vec<String>,
    /// Parameters whose tensors have another shape.
    pub wrong_shape: Vec<WrongShape>,
    /// Parameters whose tensors hold numbers that cannot be read, with their kind.
    pub unreadable: Vec<(String, super::DType)>,
    /// Paths that several tensors have by the rules.
    pub ambiguous: Vec<String>,
    /// What the file says of itself.
    pub metadata: Metadata,
}

impl LoadReport {
    /// Whether everything that was to be loaded was, and nothing was left over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.wrong_shape.is_empty()
            && self.unreadable.is_empty()
            && self.ambiguous.is_empty()
    }

    /// One clause for each difference, separated by semicolons; empty if there is none.
    pub fn differences(&self) -> String {
        let wrong = self.wrong_shape.iter().map(|WrongShape { path, expected, got }| {
            format!("{path} is {}, expected {}", ShapeText(got), ShapeText(expected))
        });
        let unreadable =
            self.unreadable.iter().map(|(path, dtype)| format!("{path} holds {dtype}, which cannot be read"));
        let missing = self.missing.iter().map(|path| format!("{path} is missing"));
        let unexpected = self.unexpected.iter().map(|name| format!("{name} is unexpected"));
        let ambiguous = self.ambiguous.iter().map(|path| format!("several tensors are called {path}"));
        let all = wrong.chain(unreadable).chain(missing).chain(unexpected).chain(ambiguous);
        all.collect::<Vec<_>>().join("; ")
    }
}

/// `60 loaded, 2 left out; fc.weight is [10, 512], expected [5, 512]`
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} loaded", self.loaded.len())?;
        if !self.left_out.is_empty() {
            write!(f, ", {} left out", self.left_out.len())?;
        }
        let differences = self.differences();
        if differences.is_empty() { Ok(()) } else { write!(f, "; {differences}") }
    }
}
