//! Checks that results can be written before they are computed.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

/// Returns an error that names the file if it cannot be written. An existing file is not changed, and no new one is
/// left behind.
pub fn check_writable(path: &Path) -> Result<(), String> {
    let is_new = !path.exists();
    let probe = || {
        OpenOptions::new().create(true).append(true).open(path)?;
        if is_new { fs::remove_file(path) } else { Ok(()) }
    };
    probe().map_err(|error| format!("{}: {error}", path.display()))
}
