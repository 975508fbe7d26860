//! Files that operating systems leave beside images.

/// Names of the files and folders that macOS and Windows create for themselves.
const NOTES: [&str; 3] = ["__MACOSX", "Thumbs.db", "desktop.ini"];

/// Returns true if the file or folder of this name does not belong to a dataset: hidden files (`._1.png`, `.DS_Store`)
/// and files of the operating system. Folders and archives are read without them.
pub(crate) fn is_clutter(name: &str) -> bool {
    let hidden = name.starts_with('.') && !matches!(name, "." | "..");
    hidden || NOTES.iter().any(|note| name.eq_ignore_ascii_case(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_systems_are_told_from_images() {
        for name in ["._1.png", ".DS_Store", "__MACOSX", "Thumbs.db", "thumbs.db", "desktop.ini", ".cache"] {
            assert!(is_clutter(name), "{name}");
        }
        for name in [".", "..", "cat", "1.png", "MACOSX", "_1.png", ""] {
            assert!(!is_clutter(name), "{name}");
        }
    }
}
