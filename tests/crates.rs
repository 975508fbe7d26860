//! The layers of the workspace: a crate depends only on crates below it, and `unsafe` stays where it belongs.

use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// The page with the table of crates, which is held to here.
const PAGE: &str = include_str!("../docs/architecture.md");

/// Returns the crates of the table, each with those that it may depend on; `None` stands for all.
fn table() -> BTreeMap<String, Option<Vec<String>>> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `ocelli"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let (name, below) = (cells[0].split('`').next().expect("a name"), cells[cells.len() - 1]);
        let below = match below.trim_end_matches([' ', '|']) {
            "all" => None,
            "–" => Some(vec![]),
            "the root" => Some(vec!["ocelli".to_string()]),
            list => Some(list.split(", ").map(|short| format!("ocelli-{short}")).collect()),
        };
        (format!("ocelli{name}"), below)
    })
    .collect()
}

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
    let table = table();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), table.len(), "crates and rows of the table differ");
    for package in packages {
        let name = text(&package["name"]);
        let below = table.get(name).unwrap_or_else(|| panic!("{name} has no row in the table"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = text(&dependency["name"]);
            let allowed = below.as_ref().is_none_or(|below| below.iter().any(|allowed| allowed == on));
            assert!(!on.starts_with("ocelli") || allowed, "{name} depends on {on}, which is not below it");
        }
    }
}

#[test]
fn the_table_has_no_circle() {
    let table = table();
    let allowed = |name: &str| table[name].clone().unwrap_or_default();
    for name in table.keys() {
        let (mut reached, mut next) = (vec![], allowed(name));
        while let Some(below) = next.pop() {
            assert_ne!(below, *name, "{name} may depend on itself by way of others");
            if below != "ocelli" && !reached.contains(&below) {
                next.extend(allowed(&below));
                reached.push(below);
            }
        }
    }
}

#[test]
fn unsafe_is_forbidden_above_the_kernels() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package of the benchmarks has no library.
    for name in table().keys().filter(|name| *name != "ocelli-benches") {
        let folder = name.strip_prefix("ocelli-").map_or(root.to_path_buf(), |short| root.join("crates").join(short));
        let source = fs::read_to_string(folder.join("src/lib.rs")).expect("a library has a root");
        let forbids = source.contains("#![forbid(unsafe_code)]");
        let may_use = ["ocelli-simd", "ocelli-kernels"].contains(&name.as_str());
        assert_eq!(forbids, !may_use, "{name}");
    }
}
