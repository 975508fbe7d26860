//! The folder of a run, into which one process at a time writes.

use crate::{Error, Result};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The file whose lock means that a run writes into its folder. It stays: a file that comes and goes could be locked twice.
const LOCK: &str = ".lock";

/// A folder locked against other runs for as long as this value, or a clone of it, lives.
///
/// The lock belongs to the process: the operating system releases it when that ends or is killed, so that nothing has to be
/// cleaned up before the run is resumed. On a file system without locks there is none.
///
/// ```
/// use ocelli_train::RunFolder;
/// let path = std::env::temp_dir().join(format!("ocelli-run-{}", std::process::id()));
/// let folder = RunFolder::open(&path)?;
/// assert!(RunFolder::open(&path).unwrap_err().to_string().contains("is being written into"));
/// drop(folder);
/// RunFolder::open(&path)?;
/// # std::fs::remove_dir_all(path).unwrap();
/// # Ok::<(), ocelli_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Kept open: closing it releases the lock.
    _lock: Arc<File>,
}

impl RunFolder {
    /// Locks a folder, and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::FolderInUse`] if another run, of this process or another one, has locked it; [`Error::Tensor`] if it cannot be
    /// created or written into.
    pub fn open(path: impl Into<PathBuf>) -> Result<RunFolder> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(|source| Error::io(&path, source))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::FolderInUse { path: path.display().to_string() }),
            Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                return Err(Error::io(&path, error));
            }
            _ => {}
        }
        Ok(RunFolder { path, _lock: Arc::new(lock) })
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs").join("a");
        let first = RunFolder::open(&path).unwrap();
        let error = RunFolder::open(&path).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{}: is being written into by another run; wait for it, or take another folder", path.display())
        );
        let clone = first.clone();
        drop(first);
        assert!(RunFolder::open(&path).is_err());
        assert_eq!(clone.join("x"), path.join("x"));
        drop(clone);
        RunFolder::open(&path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = RunFolder::open(folder.path().join("file").join("below")).unwrap_err().to_string();
        assert!(error.contains("below"), "{error}");
    }
}
