//! Finds the state dict in what was pickled.

use crate::weights::{
    Metadata,
    error::Failure,
    pickle::{Object, ObjectId, Pickle, TensorRef, Value},
};
use std::collections::{BTreeMap, HashSet};

/// What state dicts are called in checkpoints, the most usual first.
const USUAL: [&str; 8] = ["state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"];
/// Dicts in dicts beyond this depth are not looked into.
const MAX_DEPTH: usize = 4;
/// More state dicts than this are not told apart.
const MAX_CANDIDATES: usize = 64;
/// Longer texts are no metadata, and longer keys lead to no state dict.
const MAX_TEXT: usize = 4096;

/// The tensors by name, and the numbers and texts that lie beside the state dict.
pub(super) type StateDict<'a> = (BTreeMap<&'a str, &'a TensorRef>, Metadata);

/// A dict that can be reached from the root.
struct Reached<'a> {
    entries: &'a [(Value, Value)],
    /// The dict that it is in, by number, and its key there.
    parent: Option<(usize, &'a str)>,
    depth: usize,
}

/// The state dict that the root is or holds; the one called `entry` if there are several.
pub(super) fn find<'a>(pickle: &'a Pickle, entry: Option<&str>) -> Result<StateDict<'a>, Failure> {
    let dict = |value: Value| match (value, pickle.object(value)) {
        (Value::Object(id), Some(Object::Dict(entries))) => Some((id, &entries[..])),
        _ => None,
    };
    let Some((root, entries)) = dict(pickle.root) else {
        return Err(Failure::Broken("it holds no dict of tensors".into()));
    };
    let mut reached = vec![Reached { entries, parent: None, depth: 0 }];
    let mut seen: HashSet<ObjectId> = HashSet::from([root]);
    let mut next = 0;
    while next < reached.len() {
        let Reached { entries, depth, .. } = reached[next];
        for &(key, value) in entries.iter().filter(|_| depth < MAX_DEPTH) {
            if let (Some(key), Some((id, entries))) =
                (pickle.text(key).filter(|key| key.len() <= MAX_TEXT), dict(value))
                && seen.insert(id)
            {
                reached.push(Reached { entries, parent: Some((next, key)), depth: depth + 1 });
            }
        }
        next += 1;
    }

    let path = |mut number: usize| {
        let mut keys = Vec::new();
        while let Some((parent, key)) = reached[number].parent {
            keys.push(key);
            number = parent;
        }
        keys.reverse();
        keys.join(".")
    };
    let holds_tensors = |number: &usize| reached[*number].entries.iter().any(|entry| tensor(pickle, *entry).is_some());
    let candidates: Vec<(usize, String)> =
        (0..reached.len()).filter(holds_tensors).take(MAX_CANDIDATES).map(|number| (number, path(number))).collect();
    let usual = || {
        let called = |name: &&str| {
            let is_called = |number: usize| reached[number].parent.is_some_and(|(_, key)| key == *name);
            candidates.iter().find(|(number, _)| is_called(*number))
        };
        USUAL.iter().find_map(called)
    };
    let chosen = match (entry, &candidates[..]) {
        (_, []) => return Err(Failure::Broken("it holds no dict of tensors".into())),
        (Some(entry), _) => candidates.iter().find(|(_, path)| path == entry),
        (None, [first]) | (None, [first @ (0, _), ..]) => Some(first),
        (None, _) => usual(),
    };
    let Some(&(chosen, _)) = chosen else {
        let found = candidates.iter().map(|(_, path)| format!("\"{path}\"")).collect();
        return Err(Failure::Entry { wanted: entry.map(str::to_string), found });
    };
    let mut tensors = BTreeMap::new();
    for &entry in reached[chosen].entries {
        match (tensor(pickle, entry), pickle.text(entry.0)) {
            (Some((name, tensor)), _) => drop(tensors.insert(name, tensor)),
            // The last one of equal keys counts.
            (None, Some(name)) => drop(tensors.remove(name)),
            (None, None) => {}
        }
    }
    Ok((tensors, metadata(pickle, reached[0].entries)))
}

fn tensor(pickle: &Pickle, (key, value): (Value, Value)) -> Option<(&str, &TensorRef)> {
    match pickle.object(value) {
        Some(Object::Tensor(tensor)) => Some((pickle.text(key)?, tensor)),
        _ => None,
    }
}

fn metadata(pickle: &Pickle, entries: &[(Value, Value)]) -> Metadata {
    let text = |value: Value| match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        _ => pickle.text(value).filter(|text| text.len() <= MAX_TEXT).map(str::to_string),
    };
    entries.iter().filter_map(|&(key, value)| Some((pickle.text(key)?.to_string(), text(value)?))).collect()
}
