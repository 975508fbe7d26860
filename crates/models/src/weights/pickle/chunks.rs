//! A list that grows without moving.

use crate::weights::budget::{Budget, Exhausted};
use std::ops::{Index, IndexMut};

/// Items in one block.
const CHUNK: usize = 256;

/// A list in blocks of [`CHUNK`] items. A growing vector would hold its items twice, and a pickle's objects are most of
/// the memory that reading it takes.
#[derive(Debug)]
pub(crate) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Chunks<T> {
    pub(super) fn new() -> Chunks<T> {
        Chunks(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place / CHUNK)?.get(place % CHUNK)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// Appends an item, in memory that is taken from the budget. The first block grows to its size.
    pub(super) fn push(&mut self, item: T, budget: &mut Budget) -> Result<(), Exhausted> {
        match &mut self.0[..] {
            [first] if first.len() < CHUNK => budget.push(first, item),
            [.., last] if last.len() < CHUNK => {
                last.push(item);
                Ok(())
            }
            [] => {
                let mut first = Vec::new();
                budget.push(&mut first, item)?;
                budget.push(&mut self.0, first)
            }
            _ => {
                let mut chunk = budget.vector(CHUNK)?;
                chunk.push(item);
                budget.push(&mut self.0, chunk)
            }
        }
    }

    /// Returns the memory to the budget, and drops the items.
    pub(super) fn release(self, budget: &mut Budget) {
        let mut chunks = self.0;
        chunks.drain(..).for_each(|chunk| budget.release(chunk));
        budget.release(chunks);
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.0[place / CHUNK][place % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.0[place / CHUNK][place % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_in_their_order() {
        let mut budget = Budget::for_file(0);
        let mut list = Chunks::new();
        for i in 0..1000 {
            assert_eq!((list.len(), list.get(i)), (i, None));
            list.push(i, &mut budget).unwrap();
        }
        list[700] = 7;
        assert_eq!((list[699], list[700], list.iter().count()), (699, 7, 1000));
        list.release(&mut budget);
        assert!(budget.check(63 << 10).is_ok(), "everything was given back");
    }
}
