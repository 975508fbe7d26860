//! Finds the state dict in a pickled object.

use crate::weights::{
    Metadata,
    budget::{Budget, Exhausted},
    error::Failure,
    pickle::{Global, Object, Pickle, PickleValue, TensorRef},
};
use std::{borrow::Cow, cmp::Reverse};

/// Usual names of state dicts in checkpoints, the most usual first.
const USUAL: [&str; 8] = ["state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"];
/// Number of these names, from the first, that mean a state dict whatever lies beside it.
const UNMISTAKABLE: usize = 2;
/// Depth up to which nested dicts are searched.
const MAX_DEPTH: usize = 4;
/// Maximum number of state dicts that are told apart.
const MAX_CANDIDATES: usize = 64;
/// Longest key in bytes that leads to a state dict.
const MAX_KEY: usize = 256;
/// Longest text in bytes that is kept as metadata.
const MAX_TEXT: usize = 4096;

/// The tensors of a state dict in the order of their names, and the numbers and texts that lie beside it.
pub(super) struct StateDict<'a> {
    pub(super) tensors: Vec<(Cow<'a, str>, &'a TensorRef)>,
    pub(super) metadata: Metadata,
}

/// The parts of a dict, a list or a tuple.
#[derive(Clone, Copy)]
enum Parts<'a> {
    Dict(&'a [(PickleValue, PickleValue)]),
    Sequence(&'a [PickleValue]),
}

/// The name of a part: a key of a dict, or an index in a list.
#[derive(Clone, Copy)]
enum EntryKey<'a> {
    Text(&'a str),
    Index(usize),
}

impl<'a> EntryKey<'a> {
    fn name(self) -> Cow<'a, str> {
        match self {
            EntryKey::Text(text) => text.into(),
            EntryKey::Index(index) => index.to_string().into(),
        }
    }
}

impl<'a> Parts<'a> {
    fn from_object(object: &'a Object) -> Option<Parts<'a>> {
        match object {
            Object::Dict(entries) => Some(Parts::Dict(entries)),
            Object::List(items) => Some(Parts::Sequence(items)),
            Object::Tuple(items) => Some(Parts::Sequence(items)),
            _ => None,
        }
    }

    /// Iterates over the parts whose key is a text or an index.
    fn iter<'p>(self, pickle: &'p Pickle) -> impl Iterator<Item = (EntryKey<'p>, PickleValue)> + use<'a, 'p> {
        let (entries, items) = match self {
            Parts::Dict(entries) => (entries, &[][..]),
            Parts::Sequence(items) => (&[][..], items),
        };
        let entries = entries.iter().filter_map(|&(key, value)| Some((EntryKey::Text(pickle.text(key)?), value)));
        let items = items.iter().scan(0, |place, &item| {
            let key = EntryKey::Index(*place);
            *place += if let PickleValue::Skipped(count) = item { count } else { 1 };
            Some((key, item))
        });
        entries.chain(items)
    }
}

/// A dict that can be reached from the root, or the list that the root is.
struct Reached<'a> {
    parts: Parts<'a>,
    /// Its parent by number, and its key there.
    parent: Option<(usize, EntryKey<'a>)>,
    depth: usize,
}

/// A dict that holds tensors.
struct Candidate {
    /// The index among the reached dicts.
    number: usize,
    /// The keys that lead to it, joined by dots.
    path: String,
    tensors: usize,
    /// The number of its tensors that are not single values.
    arrays: usize,
}

/// A tensor, if its elements can be read.
enum Entry<'a> {
    Tensor(&'a TensorRef),
    Unreadable(Global),
}

fn entry(pickle: &Pickle, value: PickleValue) -> Option<Entry<'_>> {
    match (value, pickle.object(value)) {
        (PickleValue::Unreadable(global), _) => Some(Entry::Unreadable(global)),
        (_, Some(Object::Tensor(tensor))) => Some(Entry::Tensor(tensor)),
        _ => None,
    }
}

/// Finds the state dict that the root is or holds; the one called `wanted` if there are several.
pub(super) fn find<'a>(
    pickle: &'a Pickle,
    wanted: Option<&str>,
    budget: &mut Budget,
) -> Result<StateDict<'a>, Failure> {
    let none = || Failure::Broken("it holds no dict of tensors".into());
    let reached = reach(pickle, budget)?;
    let candidates = candidates(pickle, &reached, budget)?;
    if candidates.is_empty() {
        return Err(none());
    }
    let Some(chosen) = choose(&reached, &candidates, wanted) else {
        let found = candidates.into_iter().map(|candidate| candidate.path).collect();
        return Err(Failure::Entry { wanted: wanted.map(str::to_string), found });
    };
    let tensors = tensors(pickle, reached[chosen.number].parts, budget)?;
    let metadata = reached.first().map_or(Ok(Metadata::new()), |root| metadata(pickle, root.parts, budget))?;
    Ok(StateDict { tensors, metadata })
}

/// Lists the root and the dicts that it leads to, each once, nearest first. Lists are searched only where the root is
/// one: those of checkpoints hold settings of optimisers.
fn reach<'a>(pickle: &'a Pickle, budget: &mut Budget) -> Result<Vec<Reached<'a>>, Exhausted> {
    let mut reached = Vec::new();
    let mut seen = flags(pickle, budget)?;
    if let (PickleValue::Object(root), Some(parts)) =
        (pickle.root, pickle.object(pickle.root).and_then(Parts::from_object))
    {
        seen[root] = true;
        budget.push(&mut reached, Reached { parts, parent: None, depth: 0 })?;
    }
    let mut next = 0;
    while let Some(&Reached { parts, depth, .. }) = reached.get(next) {
        let children = parts.iter(pickle).take_while(|_| depth < MAX_DEPTH);
        for (key, value) in children.filter(|(key, _)| !matches!(key, EntryKey::Text(text) if text.len() > MAX_KEY)) {
            let (PickleValue::Object(id), Some(child)) = (value, pickle.object(value).and_then(Parts::from_object))
            else {
                continue;
            };
            let is_led_to = matches!((child, parts), (Parts::Dict(_), _) | (_, Parts::Sequence(_)));
            if is_led_to && !seen[id] {
                seen[id] = true;
                budget.push(&mut reached, Reached { parts: child, parent: Some((next, key)), depth: depth + 1 })?;
            }
        }
        next += 1;
    }
    release_flags(seen, budget);
    Ok(reached)
}

/// Returns one flag for each object.
fn flags(pickle: &Pickle, budget: &mut Budget) -> Result<Vec<bool>, Exhausted> {
    budget.take_block(pickle.objects.len() as u64)?;
    Ok(vec![false; pickle.objects.len()])
}

fn release_flags(flags: Vec<bool>, budget: &mut Budget) {
    budget.release_block(flags.len() as u64);
}

fn candidates(pickle: &Pickle, reached: &[Reached<'_>], budget: &mut Budget) -> Result<Vec<Candidate>, Exhausted> {
    let mut candidates = Vec::new();
    for (number, Reached { parts, .. }) in reached.iter().enumerate() {
        let is_array = |found: &Entry<'_>| !matches!(found, Entry::Tensor(tensor) if pickle.rank(tensor) == 0);
        let (mut tensors, mut arrays) = (0, 0);
        for found in parts.iter(pickle).filter_map(|(_, value)| entry(pickle, value)) {
            tensors += 1;
            arrays += usize::from(is_array(&found));
        }
        if tensors > 0 && candidates.len() < MAX_CANDIDATES {
            let path = path(reached, number);
            budget.take_text(&path)?;
            budget.push(&mut candidates, Candidate { number, path, tensors, arrays })?;
        }
    }
    Ok(candidates)
}

fn path(reached: &[Reached<'_>], mut number: usize) -> String {
    let mut keys = Vec::new();
    while let Some((parent, key)) = reached[number].parent {
        keys.push(key.name());
        number = parent;
    }
    keys.reverse();
    keys.join(".")
}

/// Selects the state dict called `wanted`. If `None`: the root, unless something in it is clearly the state dict and
/// the root's own tensors lie beside it; else the only one, or the one with the most usual name.
fn choose<'c>(reached: &[Reached<'_>], candidates: &'c [Candidate], wanted: Option<&str>) -> Option<&'c Candidate> {
    if let Some(wanted) = wanted {
        return candidates.iter().find(|candidate| candidate.path == wanted);
    }
    let is_called = |candidate: &Candidate, names: &[&str]| matches!(reached[candidate.number].parent, Some((_, EntryKey::Text(key))) if names.contains(&key));
    let inner = match candidates {
        [root, inner @ ..] if root.number == 0 => {
            let is_clear = |inner: &Candidate| inner.tensors > root.arrays || is_called(inner, &USUAL[..UNMISTAKABLE]);
            if !inner.iter().any(is_clear) {
                return Some(root);
            }
            inner
        }
        inner => inner,
    };
    match inner {
        [only] => Some(only),
        _ => USUAL.iter().find_map(|name| inner.iter().find(|candidate| is_called(candidate, &[name]))),
    }
}

/// Returns the last value of each key. Keys that are one object are compared as such: a long one may be the key of many
/// entries.
fn last_values<'a>(
    pickle: &Pickle,
    parts: Parts<'a>,
    budget: &mut Budget,
) -> Result<Vec<(PickleValue, PickleValue)>, Exhausted> {
    let mut last = Vec::new();
    let Parts::Dict(entries) = parts else { return Ok(last) };
    let mut seen = flags(pickle, budget)?;
    for &(key, value) in entries.iter().rev() {
        if let PickleValue::Object(id) = key
            && !std::mem::replace(&mut seen[id], true)
        {
            budget.push(&mut last, (key, value))?;
        }
    }
    release_flags(seen, budget);
    last.reverse();
    Ok(last)
}

fn tensors<'a>(
    pickle: &'a Pickle,
    parts: Parts<'a>,
    budget: &mut Budget,
) -> Result<Vec<(Cow<'a, str>, &'a TensorRef)>, Failure> {
    let entries = last_values(pickle, parts, budget)?;
    let parts = if let Parts::Dict(_) = parts { Parts::Dict(&entries) } else { parts };
    let mut named = Vec::new();
    for (place, (key, value)) in parts.iter(pickle).enumerate() {
        budget.push(&mut named, (key.name(), Reverse(place), value))?;
    }
    budget.release(entries);
    // The last one of equal keys counts.
    named.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    named.dedup_by(|later, kept| later.0 == kept.0);
    let mut tensors = Vec::new();
    for (name, _, value) in named.drain(..) {
        match entry(pickle, value) {
            Some(Entry::Tensor(tensor)) => budget.push(&mut tensors, (name, tensor))?,
            Some(Entry::Unreadable(global)) => return Err(Failure::Refused(global.name())),
            None => {}
        }
    }
    budget.release(named);
    Ok(tensors)
}

fn metadata(pickle: &Pickle, parts: Parts<'_>, budget: &mut Budget) -> Result<Metadata, Exhausted> {
    let text = |value: PickleValue| match value {
        PickleValue::Bool(value) => Some(value.to_string()),
        PickleValue::Int(value) => Some(value.to_string()),
        PickleValue::Float(value) => Some(value.to_string()),
        _ => pickle.text(value).filter(|text| text.len() <= MAX_TEXT).map(str::to_string),
    };
    let mut metadata = Metadata::new();
    for (key, value) in last_values(pickle, parts, budget)? {
        let key = pickle.text(key).filter(|key| key.len() <= MAX_TEXT);
        if let (Some(key), Some(value)) = (key, text(value)) {
            budget.take_entry(key, &value)?;
            metadata.insert(key.to_string(), value);
        }
    }
    Ok(metadata)
}
