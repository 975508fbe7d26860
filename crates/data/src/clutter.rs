//! Files that systems leave beside pictures.

/// Names under which macOS and Windows keep notes of their own.
const NOTES: [&str; 3] = ["__MACOSX", "Thumbs.db", "desktop.ini"];

/// Returns true for the name of a file or folder that holds nothing of a dataset: what is hidden (`._1.png`, `.DS_Store`),
/// and notes of a system. Folders and archives are read without them.
pub(crate) fn is_clutter(name: &str) -> bool {
    let hidden = name.starts_with('.') && !matches!(name, "." | "..");
    hidden || NOTES.iter().any(|note| name.eq_ignore_ascii_case(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_systems_are_told_from_pictures() {
        for name in ["._1.png", ".DS_Store", "__MACOSX", "Thumbs.db", "thumbs.db", "desktop.ini", ".cache"] {
            assert!(is_clutter(name), "{name}");
        }
        for name in [".", "..", "cat", "1.png", "MACOSX", "_1.png", ""] {
            assert!(!is_clutter(name), "{name}");
        }
    }
}
