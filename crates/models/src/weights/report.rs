//! The report of a loader on every name in the file and the model.

use super::{DType, Metadata, error::shown};
use ocelli_tensor::ShapeText;
use std::fmt;

/// Maximum number of differences that are listed one by one.
const TOLD: usize = 10;
/// Number of examples of each kind when there are more differences.
const SHOWN: usize = 3;

/// A parameter whose tensor in the file has another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// The parameter's path.
    pub path: String,
    /// The shape that the file should have, in the order of its axes.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub got: Vec<usize>,
}

/// A report on loading weights: which parameters were loaded and which names did not match. Names of the file are those
/// after the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters that were loaded.
    pub loaded: Vec<String>,
    /// Parameters and tensors that were left out on request, and counters that only other libraries keep
    /// (`num_batches_tracked`).
    pub left_out: Vec<String>,
    /// Parameters that the file does not have.
    pub missing: Vec<String>,
    /// Tensors that the model does not have.
    pub unexpected: Vec<String>,
    /// Parameters whose tensors have another shape.
    pub wrong_shape: Vec<WrongShape>,
    /// Parameters whose tensors have an element type that cannot be read, with that type.
    pub unreadable: Vec<(String, DType)>,
    /// Paths to which the rules map several tensors.
    pub ambiguous: Vec<String>,
    /// Parameters that were loaded and have values that are NaN or infinite.
    pub not_finite: Vec<String>,
    /// Beginnings that rules replace and no name has.
    pub unused: Vec<String>,
    /// The metadata of the file.
    pub metadata: Metadata,
}

impl LoadReport {
    /// Returns true if everything selected was loaded with finite values and nothing is left over. Rules may be unused.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.wrong_shape.is_empty()
            && self.unreadable.is_empty()
            && self.ambiguous.is_empty()
            && self.not_finite.is_empty()
    }

    /// Returns one clause for each difference and for each unused rule, separated by semicolons; empty if there is
    /// none. Many differences are summarised as counts with the first of each kind: the fields of the report have all
    /// of them.
    pub fn differences(&self) -> String {
        let all = if self.count() <= TOLD { self.each() } else { self.first_of_each_kind() };
        let unused = self.unused.iter().map(|from| format!("no name begins with \"{from}\", which was to be replaced"));
        all.into_iter().chain(unused).collect::<Vec<_>>().join("; ")
    }

    fn count(&self) -> usize {
        let paths = [&self.missing, &self.unexpected, &self.ambiguous, &self.not_finite];
        paths.map(Vec::len).iter().sum::<usize>() + self.wrong_shape.len() + self.unreadable.len()
    }

    /// Formats `17 of 161 parameters fit; ` if there are too many differences to list each.
    pub(super) fn score(&self) -> String {
        if self.count() <= TOLD {
            return String::new();
        }
        let fit = self.loaded.len();
        let all = fit + self.missing.len() + self.wrong_shape.len() + self.unreadable.len() + self.ambiguous.len();
        format!("{fit} of {all} parameters fit; ")
    }

    fn each(&self) -> Vec<String> {
        let wrong = self.wrong_shape.iter().map(WrongShape::to_string);
        let unreadable =
            self.unreadable.iter().map(|(path, dtype)| format!("{} holds {dtype}, which cannot be read", shown(path)));
        let missing = self.missing.iter().map(|path| format!("{} is missing", shown(path)));
        let unexpected = self.unexpected.iter().map(|name| format!("{} is unexpected", shown(name)));
        let ambiguous = self.ambiguous.iter().map(|path| format!("several tensors are called {}", shown(path)));
        let not_finite =
            self.not_finite.iter().map(|path| format!("{} has values that are NaN or infinite", shown(path)));
        wrong.chain(unreadable).chain(missing).chain(unexpected).chain(ambiguous).chain(not_finite).collect()
    }

    fn first_of_each_kind(&self) -> Vec<String> {
        let unreadable = |(path, dtype): &(String, DType)| format!("{} ({dtype})", shown(path));
        let kinds = [
            first(&self.wrong_shape, "of another shape", WrongShape::to_string),
            first(&self.unreadable, "that cannot be read", unreadable),
            first(&self.missing, "missing", |path| shown(path)),
            first(&self.unexpected, "unexpected", |path| shown(path)),
            first(&self.ambiguous, "that several tensors are called", |path| shown(path)),
            first(&self.not_finite, "with values that are NaN or infinite", |path| shown(path)),
        ];
        kinds.into_iter().flatten().collect()
    }
}

/// Formats a list as `161 missing: bn1.bias, bn1.weight, conv1.weight and 158 more`.
fn first<T>(list: &[T], kind: &str, text: impl Fn(&T) -> String) -> Option<String> {
    let shown = list.iter().take(SHOWN).map(text).collect::<Vec<_>>().join(", ");
    match list.len() {
        0 => None,
        count if count > SHOWN => Some(format!("{count} {kind}: {shown} and {} more", count - SHOWN)),
        count => Some(format!("{count} {kind}: {shown}")),
    }
}

/// Writes `fc.weight is [10, 512], expected [5, 512]`.
impl fmt::Display for WrongShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongShape { path, expected, got } = self;
        write!(f, "{} is {}, expected {}", shown(path), ShapeText(got), ShapeText(expected))
    }
}

/// Writes `60 loaded, 2 left out; fc.weight is [10, 512], expected [5, 512]`.
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
