//! A bounded store of the most recently used values.

/// A store of a bounded number of values by key; a new one replaces the least recently used.
///
/// A search goes through all of them: there are a few.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    most: usize,
    /// Values by key, the most recently used at the end.
    entries: Vec<(K, V)>,
}

impl<K: PartialEq, V> Recent<K, V> {
    /// An empty store for up to `most` values.
    pub(crate) fn new(most: usize) -> Recent<K, V> {
        Recent { most, entries: Vec::with_capacity(most) }
    }

    /// Returns the value of a key, which counts as used now.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        self.entries[at..].rotate_left(1);
        self.entries.last().map(|(_, value)| value)
    }

    /// Returns the value of a key without counting that as a use.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Takes the value of a key out.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Stores a value under its key, and replaces an earlier one.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.entries.retain(|(known, _)| *known != key);
        if self.entries.len() >= self.most {
            self.entries.remove(0);
        }
        self.entries.push((key, value));
    }

    /// Returns every value, the most recently used at the end.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Drops all values.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(2);
        recent.put(1, "one");
        recent.put(2, "two");
        assert_eq!(recent.get(&1), Some(&"one"));
        recent.put(3, "three");
        assert_eq!(recent.peek(&2), None);
        assert_eq!(recent.values().collect::<Vec<_>>(), [&"one", &"three"]);
        // A look is no use.
        assert_eq!(recent.peek(&1), Some(&"one"));
        recent.put(3, "drei");
        recent.put(4, "four");
        assert_eq!(recent.values().collect::<Vec<_>>(), [&"drei", &"four"]);
        assert_eq!((recent.take(&3), recent.take(&3)), (Some("drei"), None));
        recent.clear();
        assert_eq!(recent.get(&4), None);
    }
}
