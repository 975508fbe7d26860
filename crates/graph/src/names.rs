//! Advice for a name that does not exist.

use crate::{Call, Graph};
use std::collections::BTreeSet;

impl Graph {
    /// Lists the names that exist, for a message about `name`, which is none of them, and says how to name the
    /// operation that was probably meant.
    pub(crate) fn names_beside(&self, name: &str) -> String {
        let known = self.known_names();
        self.advice(name).map_or(known.clone(), |advice| format!("{known}; {advice}"))
    }

    /// Says how to get `name`, if there is an operation that it sounds like (`features.relu`, `relu2`), or one without
    /// a name in the layer that it begins with.
    fn advice(&self, name: &str) -> Option<String> {
        let (scope, last) = name.rsplit_once('.').unwrap_or(("", name));
        let named: BTreeSet<_> = self.names.values().collect();
        let has_name = |call: &&Call| call.outputs.iter().any(|id| named.contains(id));
        let sounds = |call: &&Call| sound(&call.op.kind()) == sound(last);
        let within = |call: &&Call| call.path == scope;
        let unnamed = || self.calls.iter().filter(|call| !has_name(call));
        // In order: the same kind at that place; the result of the layer itself; the same kind elsewhere; any kind at
        // that place.
        if let Some(call) = unnamed().filter(within).find(sounds) {
            return Some(naming(call, last));
        }
        if let Some(call) = self.calls.iter().filter(within).filter(|_| !scope.is_empty()).find(sounds) {
            let (result, _) = self.names.iter().find(|(_, id)| call.outputs.contains(id))?;
            return Some(format!("the {} in \"{scope}\" is called \"{result}\"", call.op.kind()));
        }
        let call = unnamed().find(sounds).or_else(|| unnamed().filter(|_| !scope.is_empty()).find(within))?;
        Some(naming(call, last))
    }
}

/// Reduces a name to what is compared: `max_pool1` and `MaxPool2d` sound alike.
fn sound(name: &str) -> String {
    let name = name.to_lowercase();
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_').trim_end_matches("2d");
    word.chars().filter(|c| c.is_alphabetic()).collect()
}

/// Says how the result of a call without a name gets one.
fn naming(call: &Call, name: &str) -> String {
    let (kind, path) = (call.op.kind(), crate::trace::join(&call.path, name));
    let place = if call.path.is_empty() { String::new() } else { format!(" in \"{}\"", call.path) };
    format!("a {kind}{place} has no name; `.named(\"{name}\")` behind it calls it \"{path}\"")
}
