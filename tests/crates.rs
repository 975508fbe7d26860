//! The layers of the workspace: a crate depends only on crates below it, and `unsafe` stays where it belongs.

use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// For each crate, what it may depend on: the table of `docs/architecture.md`.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("ocelli-simd", &[]),
    ("ocelli-tensor", &[]),
    ("ocelli-kernels", &["ocelli-simd", "ocelli-tensor"]),
    ("ocelli-graph", &["ocelli-simd", "ocelli-tensor", "ocelli-kernels"]),
    ("ocelli-layers", &["ocelli-simd", "ocelli-tensor", "ocelli-kernels", "ocelli-graph"]),
    ("ocelli-losses", &["ocelli-simd", "ocelli-tensor", "ocelli-kernels", "ocelli-graph", "ocelli-layers"]),
    (
        "ocelli-models",
        &[
            "ocelli-simd",
            "ocelli-tensor",
            "ocelli-kernels",
            "ocelli-graph",
            "ocelli-layers",
            "ocelli-losses",
            "ocelli-data",
        ],
    ),
    ("ocelli-data", &["ocelli-simd", "ocelli-tensor"]),
    ("ocelli-plot", &["ocelli-tensor", "ocelli-data"]),
    (
        "ocelli-train",
        &[
            "ocelli-simd",
            "ocelli-tensor",
            "ocelli-kernels",
            "ocelli-graph",
            "ocelli-layers",
            "ocelli-losses",
            "ocelli-data",
        ],
    ),
    (
        "ocelli-vision",
        &[
            "ocelli-simd",
            "ocelli-tensor",
            "ocelli-kernels",
            "ocelli-graph",
            "ocelli-layers",
            "ocelli-losses",
            "ocelli-models",
            "ocelli-data",
            "ocelli-train",
            "ocelli-plot",
        ],
    ),
    (
        "ocelli-onnx",
        &[
            "ocelli-simd",
            "ocelli-tensor",
            "ocelli-kernels",
            "ocelli-graph",
            "ocelli-layers",
            "ocelli-losses",
            "ocelli-models",
            "ocelli-data",
        ],
    ),
    (
        "ocelli",
        &[
            "ocelli-simd",
            "ocelli-tensor",
            "ocelli-kernels",
            "ocelli-graph",
            "ocelli-layers",
            "ocelli-losses",
            "ocelli-models",
            "ocelli-data",
            "ocelli-train",
            "ocelli-plot",
            "ocelli-vision",
            "ocelli-onnx",
        ],
    ),
    ("ocelli-benches", &["ocelli"]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a name")
}

#[test]
fn every_dependency_points_down() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), ALLOWED.len(), "a crate without a row in the table");
    for package in packages {
        let name = text(&package["name"]);
        let below = allowed.get(name).unwrap_or_else(|| panic!("{name} has no row in the table"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = text(&dependency["name"]);
            if on.starts_with("ocelli") {
                assert!(below.contains(&on), "{name} depends on {on}, which is not below it");
            }
        }
    }
}

#[test]
fn unsafe_is_forbidden_above_the_kernels() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package of the benchmarks has no library.
    for (name, _) in ALLOWED.into_iter().filter(|(name, _)| *name != "ocelli-benches") {
        let folder = name.strip_prefix("ocelli-").map_or(root.to_path_buf(), |short| root.join("crates").join(short));
        let source = fs::read_to_string(folder.join("src/lib.rs")).expect("a library has a root");
        let forbids = source.contains("#![forbid(unsafe_code)]");
        let may_use = ["ocelli-simd", "ocelli-kernels"].contains(&name);
        assert_eq!(forbids, !may_use, "{name}");
    }
}
