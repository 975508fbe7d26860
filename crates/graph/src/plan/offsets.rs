//! Offsets of the buffers in the arena.

use super::buffers::Buffer;
use ocelli_tensor::Size;
use std::cmp::Reverse;

/// Gives every buffer an offset such that those in use at the same time do not overlap, and returns the length of the
/// arena; `None` if that cannot be addressed.
///
/// Largest first is within 1–5 % of the bound on real networks; first fit in order of execution can be 39 % worse, and now
/// and then is better. Both are tried and the shorter one kept.
pub(super) fn assign(buffers: &mut [Buffer]) -> Option<usize> {
    let by_execution: Vec<usize> = (0..buffers.len()).collect();
    let mut by_size = by_execution.clone();
    by_size.sort_by_key(|&i| Reverse(buffers[i].len));
    let first_fit = place(buffers, &by_execution)?;
    let largest_first = place(buffers, &by_size)?;
    if first_fit < largest_first {
        return place(buffers, &by_execution);
    }
    Some(largest_first)
}

/// Places buffers in the given order, each at the lowest offset that is free for all its life.
fn place(buffers: &mut [Buffer], order: &[usize]) -> Option<usize> {
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    let mut busy: Vec<(usize, usize)> = Vec::new();
    let mut end = 0usize;
    for &i in order {
        let this = buffers[i].clone();
        busy.clear();
        let overlapping = |other: &&Buffer| other.first <= this.last && this.first <= other.last;
        busy.extend(
            placed.iter().map(|&j| &buffers[j]).filter(overlapping).map(|other| (other.start, other.start + other.len)),
        );
        busy.sort_unstable();
        let mut start = 0usize;
        for &(low, high) in &busy {
            if (Size::from(start) + this.len).get()? <= low {
                break;
            }
            start = start.max(high);
        }
        end = end.max((Size::from(start) + this.len).get()?);
        buffers[i].start = start;
        placed.push(i);
    }
    // A slice never spans more than isize::MAX bytes.
    (end <= isize::MAX as usize / size_of::<f32>()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(first: usize, last: usize, len: usize) -> Buffer {
        Buffer { first, last, len, start: 0 }
    }

    #[test]
    fn buffers_alive_together_never_overlap() {
        let mut state = 1u64;
        let mut draw = |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        for _ in 0..50 {
            let mut buffers: Vec<_> =
                (0..40).map(|i| buffer(i, i + draw(10) as usize, 16 * (1 + draw(20) as usize))).collect();
            let len = assign(&mut buffers).unwrap();
            for (i, a) in buffers.iter().enumerate() {
                assert!(a.start + a.len <= len);
                for b in &buffers[i + 1..] {
                    let together = a.first <= b.last && b.first <= a.last;
                    let disjoint = a.start + a.len <= b.start || b.start + b.len <= a.start;
                    assert!(!together || disjoint);
                }
            }
        }
    }

    #[test]
    fn storage_is_used_again() {
        let mut chain = vec![buffer(0, 1, 64), buffer(1, 2, 64), buffer(2, 3, 64), buffer(3, 4, 64)];
        assert_eq!(assign(&mut chain), Some(128));
    }
}
