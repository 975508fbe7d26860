//! Files that are old or new, never half of each.

use crate::{Error, Result};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

/// Writes a file such that a kill or a power cut at any moment leaves the old file or the new one: into a temporary file
/// beside it, flushed to the disk, then renamed. Makes the folder if it is missing.
///
/// # Errors
/// [`Error::Io`] with the path; the old file is then still there.
///
/// ```
/// let folder = std::env::temp_dir().join(format!("ocelli-doc-{}", std::process::id()));
/// ocelli_tensor::write_atomically(folder.join("note.txt"), |file| file.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(folder.join("note.txt"))?, b"whole");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    attempt(path, write).map_err(|source| Error::Io { what: path.display().to_string(), source })
}

fn attempt(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    let mut buffered = BufWriter::new(temporary);
    write(&mut buffered)?;
    let temporary = buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    // Temporary files are private; what replaces an ordinary file is as readable as that.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).map_or(0o644, |old| old.permissions().mode());
        temporary.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    // The new name is in the folder, which is a file of its own.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = File::open(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join("x");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path().join("below")).unwrap().count(), 1);
        write_atomically(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn an_impossible_path_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, b"").unwrap();
        let error = write_atomically(blocked.join("x"), |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("file"), "{error}");
    }
}
