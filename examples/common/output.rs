//! Whether results can be written, before what goes into them is computed.

use std::{fs::OpenOptions, path::Path};

/// Whether a file can be written; it is made if there is none, and left as it is if there is.
pub fn check_writable(path: &Path) -> Result<(), String> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map(|_| ()).map_err(|error| format!("{}: {error}", path.display()))
}
