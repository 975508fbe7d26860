//! Helpers of the tests against reference values.

use std::path::{Path, PathBuf};

/// The file `path` in the folder that an environment variable names, or else beside the repository. The files are not part
/// of it: where one is absent, this says so.
pub fn file(variable: &str, beside: &str, path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(beside), PathBuf::from);
    let path = folder.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no reference values at {}", path.display());
    None
}

/// `‖got − expected‖ / ‖expected‖`
pub fn relative_error(got: &[f32], expected: impl ExactSizeIterator<Item = f64>) -> f64 {
    assert_eq!(got.len(), expected.len());
    let (mut difference, mut norm) = (0.0, 0.0);
    for (got, expected) in got.iter().zip(expected) {
        difference += (f64::from(*got) - expected).powi(2);
        norm += expected.powi(2);
    }
    (difference / norm.max(1e-30)).sqrt()
}
