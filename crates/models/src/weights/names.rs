//! From the names in a file to the paths in a model.

use super::WeightFile;
use ocelli_graph::Model;
use std::collections::BTreeMap;

/// What other programs wrap whole networks in.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// Whether `path` is `above` or below it, by whole segments. Everything is below `""`.
pub(super) fn is_below(path: &str, above: &str) -> bool {
    rest_below(path, above).is_some()
}

/// What follows `above` in `path`, without the dot between them.
fn rest_below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    if above.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(above)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// The names in a file by the paths that they stand for.
#[derive(Debug)]
pub(super) struct Names {
    by_path: BTreeMap<String, Vec<String>>,
    /// What rules are to replace and no name begins with.
    pub(super) unused: Vec<String>,
}

impl Names {
    pub(super) fn of(file: &WeightFile, model: &Model, rules: &[(String, String)]) -> Names {
        let mut names: Vec<(&str, String)> = file.tensors().map(|(name, _)| (name, name.to_string())).collect();
        let mut taken_off = Vec::new();
        while let Some(wrapper) = wrapper(&names, model) {
            taken_off.push(wrapper);
            for (_, path) in &mut names {
                *path = renamed(path, wrapper, "");
            }
        }
        let mut by_path: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Who strips a wrapper that was taken off has what was wanted.
        let mut used: Vec<bool> = rules.iter().map(|(from, _)| taken_off.contains(&from.as_str())).collect();
        for (name, path) in names {
            let path = rules.iter().zip(&mut used).fold(path, |path, ((from, to), used)| {
                *used |= is_below(&path, from);
                renamed(&path, from, to)
            });
            by_path.entry(path).or_default().push(name.to_string());
        }
        let unused = rules.iter().zip(used).filter(|(_, used)| !used).map(|((from, _), _)| from.clone()).collect();
        Names { by_path, unused }
    }

    /// Every path.
    pub(super) fn paths(&self) -> impl Iterator<Item = &String> {
        self.by_path.keys()
    }

    /// The names in the file that stand for `path`.
    pub(super) fn at(&self, path: &str) -> &[String] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }
}

/// A wrapper that all names are strictly below and no parameter of the model is.
fn wrapper(names: &[(&str, String)], model: &Model) -> Option<&'static str> {
    let wraps = |wrapper: &&str| {
        let below = |path: &str| rest_below(path, wrapper).is_some_and(|rest| !rest.is_empty());
        !names.is_empty()
            && names.iter().all(|(_, path)| below(path))
            && !model.parameters().iter().any(|(parameter, _)| below(&parameter.path))
    };
    WRAPPERS.into_iter().find(|wrapper| wraps(wrapper))
}

/// The path with `from` at its beginning replaced by `to`; the same path if it is not below `from` or nothing would be left.
fn renamed(path: &str, from: &str, to: &str) -> String {
    match rest_below(path, from) {
        Some("") if to.is_empty() => path.into(),
        Some("") => to.into(),
        Some(rest) if to.is_empty() => rest.into(),
        Some(rest) => format!("{to}.{rest}"),
        None => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_by_whole_segments() {
        for (path, from, to, expected) in [
            ("backbone.conv.weight", "backbone", "", "conv.weight"),
            ("fc.weight", "fc", "head.0", "head.0.weight"),
            ("fc2.weight", "fc", "head", "fc2.weight"),
            ("fc", "fc", "head", "head"),
            ("fc", "fc", "", "fc"),
            ("fc.weight", "", "net", "net.fc.weight"),
            ("a.b.c", "a.b", "x", "x.c"),
        ] {
            assert_eq!(renamed(path, from, to), expected, "{path}: {from} → {to}");
        }
        assert!(is_below("a.b", "a") && is_below("a", "a") && is_below("a", "") && !is_below("ab", "a"));
    }
}
