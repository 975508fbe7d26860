//! Every result is written whole or not at all: nothing but `write_atomically` makes a file, outside of tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The calls that make or overwrite a file.
const WRITERS: [&str; 8] = [
    "fs::write(",
    "File::create",
    "OpenOptions::new()",
    ".save(out",
    ".save(path",
    ".save_with_format(",
    "fs::copy(",
    "SVGBackend::new(",
];

/// The files that may, and why.
const ALLOWED: [(&str, &str); 4] = [
    ("crates/tensor/src/atomic.rs", "is `write_atomically`"),
    ("crates/train/src/trainer/log.rs", "appends a line in one write"),
    ("crates/train/src/run_folder.rs", "locks an empty file"),
    ("examples/common/output.rs", "looks whether a file can be written, and writes nothing"),
];

/// Every Rust file below a folder, without those of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && name != "target" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn results_are_written_atomically_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "crates", "examples"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    let mut allowed = 0;
    for file in files {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        if ALLOWED.iter().any(|(known, _)| *known == name) {
            allowed += 1;
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Unit tests stand at the end of their file.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let writer = WRITERS.iter().find(|writer| line.contains(**writer));
            assert!(writer.is_none(), "{name}:{}: {} in the place of write_atomically", number + 1, writer.unwrap());
        }
    }
    assert_eq!(allowed, ALLOWED.len(), "a file that may write is no longer there");
}
