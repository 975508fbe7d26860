//! Maps the names in a file to the paths in a model.

use super::WeightFile;
use ocelli_graph::Model;
use std::borrow::Cow;

/// The prefixes that other programs put before all names of a network.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// Returns true if `path` is `above` or below it, by whole segments. Everything is below `""`.
pub(super) fn is_below(path: &str, above: &str) -> bool {
    rest_below(path, above).is_some()
}

/// Returns the rest of `path` behind `above`, without the dot between them.
fn rest_below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    if above.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(above)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// The names in a file, by the paths that they stand for.
///
/// Paths borrow from the names wherever nothing was put in front of them: a name of a million wrappers is not copied
/// for each.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// Paths and names, in the order of the paths.
    by_path: Vec<(Cow<'a, str>, &'a str)>,
    /// The beginnings that rules replace and no name has.
    pub(super) unused: Vec<String>,
}

impl<'a> Names<'a> {
    pub(super) fn for_model(file: &'a WeightFile, model: &Model, rules: &[(String, String)]) -> Names<'a> {
        let mut names: Vec<(&str, &str)> = file.tensors().map(|(name, _)| (name, name)).collect();
        let taken_off = take_wrappers_off(&mut names, model);
        // A rule that strips a wrapper already stripped counts as used.
        let mut used: Vec<bool> = rules.iter().map(|(from, _)| taken_off.contains(&from.as_str())).collect();
        let apply = |(path, name): (&'a str, &'a str)| {
            let path = rules.iter().zip(&mut used).fold(Cow::Borrowed(path), |path, ((from, to), used)| {
                *used |= is_below(&path, from);
                renamed(path, from, to)
            });
            (path, name)
        };
        let mut by_path: Vec<_> = names.into_iter().map(apply).collect();
        by_path.sort();
        let unused = rules.iter().zip(used).filter(|(_, used)| !used).map(|((from, _), _)| from.clone()).collect();
        Names { by_path, unused }
    }

    /// Iterates over the paths, each once.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.chunk_by(|(a, _), (b, _)| a == b).map(|same| &*same[0].0)
    }

    /// Returns the names in the file that stand for `path`.
    pub(super) fn at(&self, path: &str) -> impl Iterator<Item = &'a str> {
        let start = self.by_path.partition_point(|(known, _)| **known < *path);
        self.by_path[start..].iter().take_while(move |(known, _)| *known == path).map(|(_, name)| *name)
    }
}

/// Strips the wrappers that all names are strictly below and no parameter of the model is, one by one. Returns those
/// stripped.
fn take_wrappers_off(names: &mut [(&str, &str)], model: &Model) -> Vec<&'static str> {
    let is_strictly_below = |path: &str, wrapper: &str| rest_below(path, wrapper).is_some_and(|rest| !rest.is_empty());
    let is_of_model =
        |wrapper| model.parameters().iter().any(|(parameter, _)| is_strictly_below(&parameter.path, wrapper));
    let wrappers: Vec<&str> = WRAPPERS.into_iter().filter(|wrapper| !is_of_model(wrapper)).collect();
    let mut taken_off = Vec::new();
    let wraps_all = |names: &[(&str, &str)], wrapper: &str| {
        !names.is_empty() && names.iter().all(|(path, _)| is_strictly_below(path, wrapper))
    };
    while let Some(&wrapper) = wrappers.iter().find(|wrapper| wraps_all(names, wrapper)) {
        names.iter_mut().for_each(|(path, _)| *path = rest_below(path, wrapper).unwrap_or(path));
        if !taken_off.contains(&wrapper) {
            taken_off.push(wrapper);
        }
    }
    taken_off
}

/// Replaces `from` at the beginning of a path by `to`; returns the same path if it is not below `from` or nothing would
/// be left.
fn renamed<'a>(path: Cow<'a, str>, from: &str, to: &str) -> Cow<'a, str> {
    match (rest_below(&path, from).map(str::len), to) {
        (None, _) | (Some(0), "") => path,
        (Some(0), to) => to.to_string().into(),
        (Some(rest), "") => {
            let skipped = path.len() - rest;
            match path {
                Cow::Borrowed(path) => Cow::Borrowed(&path[skipped..]),
                Cow::Owned(path) => path[skipped..].to_string().into(),
            }
        }
        (Some(rest), to) => format!("{to}.{}", &path[path.len() - rest..]).into(),
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
            assert_eq!(renamed(path.into(), from, to), expected, "{path}: {from} → {to}");
        }
        assert!(is_below("a.b", "a") && is_below("a", "a") && is_below("a", "") && !is_below("ab", "a"));
    }
}
