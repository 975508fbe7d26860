//! Scratch memory of a thread: blocks of operands that are packed, used and forgotten within one task.
//!
//! A thread keeps its buffers from call to call, so that nothing is allocated once they are as large as the largest
//! blocks. They are bounded: a kernel cuts its work so that a block fits a cache, not a tensor.

use std::cell::RefCell;

use ocelli_tensor::Arena;

/// A buffer has at least so many numbers (4 MiB): an arena of that size lies on huge pages, where blocks of a few hundred
/// KiB need no more than one entry of the first-level TLB.
const LEAST: usize = 1 << 20;

thread_local! {
    /// The buffers that nobody uses now, that of the outermost call on top.
    static BUFFERS: RefCell<Vec<Arena>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `len` numbers of any content, aligned to 64 bytes.
///
/// Calls may be nested: within a kernel, or because rayon hands this thread another task while it waits inside `f`.
pub(crate) fn with<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let kept = BUFFERS.with_borrow_mut(Vec::pop).filter(|arena| arena.len() >= len);
    let mut arena = kept.unwrap_or_else(|| Arena::new(len.max(LEAST)));
    let result = f(&mut arena.as_mut_slice()[..len]);
    BUFFERS.with_borrow_mut(|buffers| buffers.push(arena));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_apart_and_aligned() {
        with(100, |outer| {
            outer.fill(1.0);
            with(200, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|x| *x == 1.0));
            assert_eq!(outer.as_ptr().align_offset(64), 0);
        });
        with(200, |again| assert_eq!(again.len(), 200));
    }
}
