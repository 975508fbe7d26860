//! Atomic writes: a file is the old one or the new one, never half of each.

use crate::{Error, Result};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// The most symbolic links followed from a name to its file; as many as Linux follows.
const MOST_LINKS: usize = 40;

/// Writes a file atomically: a kill or a power cut at any moment leaves the old file or the new one.
///
/// The content goes into `.NAME.partial` beside the file, is flushed to the disk and then renamed. A missing folder is created.
///
/// A symbolic link stays, and what it points to is written. A new file has the permissions that the process's umask leaves, a
/// replaced one keeps its own. Writers of one file, in this process or another, take turns; a `.partial` that a killed
/// process left is used up by the next write. A target that is no regular file, such as a pipe or `/dev/stdout`, is written
/// directly.
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
    let target = followed(path)?;
    let old = match fs::metadata(&target) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A folder is refused here, before anything is written.
        let mut direct = BufWriter::new(OpenOptions::new().write(true).open(&target)?);
        write(&mut direct)?;
        return direct.flush();
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let partial = Partial::new(&target)?;
    let mut buffered = BufWriter::new(&partial.file);
    write(&mut buffered)?;
    buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    if let Some(old) = old {
        partial.file.set_permissions(old.permissions())?;
    }
    partial.file.sync_all()?;
    fs::rename(&partial.path, &target)?;
    // The new name is in the folder, which is a file of its own. The new file is there already: a folder that cannot be read,
    // or synchronised, is no reason to say that it is not.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Returns the path of the file at the end of a path's symbolic links.
fn followed(path: &Path) -> std::io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            // A relative link counts from the folder that it is in.
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(std::io::Error::other("too many symbolic links"))
}

/// The new file while it is written. It is locked, so that two writers do not mix, and removed when dropped.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    fn new(target: &Path) -> std::io::Result<Partial> {
        let name = target.file_name().ok_or_else(|| std::io::Error::other("not the name of a file"))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".partial");
        let path = target.with_file_name(hidden);
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            match file.lock() {
                // Some file systems have no locks; then two writers of one file are not told apart.
                Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
                _ => {}
            }
            // Whoever had the lock before may have renamed this file: then it is somebody's result.
            if is_still_at(&file, &path)? {
                file.set_len(0)?;
                return Ok(Partial { file, path });
            }
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if is_still_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns true if the path still names the open file.
#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere an open file cannot be renamed by others.
#[cfg(not(unix))]
fn is_still_at(_: &File, path: &Path) -> std::io::Result<bool> {
    path.try_exists()
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
    #[cfg(unix)]
    fn a_symbolic_link_stays_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(folder.path().join("below")).unwrap();
        std::os::unix::fs::symlink("below/../real", &link).unwrap();
        // First through a link that points to nothing yet.
        for text in ["new", "newer"] {
            write_atomically(&link, |file| file.write_all(text.as_bytes())).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(&real).unwrap(), text);
        }
        std::os::unix::fs::symlink("circle", folder.path().join("circle")).unwrap();
        let error = write_atomically(folder.path().join("circle"), |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("symbolic links"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn permissions_are_those_of_the_umask_or_of_the_old_file() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let (new, plain) = (folder.path().join("new"), folder.path().join("plain"));
        write_atomically(&new, |file| file.write_all(b"x")).unwrap();
        // Whatever the umask is, an ordinary file shows it.
        fs::write(&plain, b"x").unwrap();
        assert_eq!(mode(&new), mode(&plain));
        fs::set_permissions(&new, fs::Permissions::from_mode(0o640)).unwrap();
        write_atomically(&new, |file| file.write_all(b"y")).unwrap();
        assert_eq!(mode(&new), 0o640);
    }

    #[test]
    fn what_a_killed_process_left_is_used_up() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".x.partial"), b"half of a much longer file").unwrap();
        write_atomically(folder.path().join("x"), |file| file.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(folder.path().join("x")).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn writers_of_one_file_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write_atomically(path, |file| (0..100).try_for_each(|_| file.write_all(&[writer; 100])))
                            .unwrap();
                    }
                });
            }
        });
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), 10_000);
        assert!(whole.iter().all(|byte| *byte == whole[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_is_written_to_and_not_replaced() {
        write_atomically("/dev/null", |file| file.write_all(b"gone")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let error = write_atomically("/dev/full", |file| file.write_all(b"x")).unwrap_err().to_string();
        assert!(error.contains("/dev/full"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomically(folder.path(), |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("directory"), "{error}");
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
