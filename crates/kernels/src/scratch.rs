//! Scratch memory of a thread: blocks of operands that are packed, used and forgotten within one task.
//!
//! A thread keeps its buffer from call to call, so that nothing is allocated once it is as large as the largest block.
//! It is bounded: a kernel cuts its work so that a block fits a cache, not a tensor.

use std::cell::Cell;

use ocelli_tensor::Arena;

thread_local! {
    static BUFFER: Cell<Option<Arena>> = const { Cell::new(None) };
}

/// Calls `f` with `len` numbers of any content, aligned to 64 bytes.
///
/// A task that runs inside `f` on the same thread (rayon may hand it one while it waits) gets a buffer of its own.
pub(crate) fn with<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let kept = BUFFER.take().filter(|arena| arena.len() >= len);
    let mut arena = kept.unwrap_or_else(|| Arena::new(len));
    let result = f(&mut arena.as_mut_slice()[..len]);
    // A nested call may have left a larger one.
    let larger = BUFFER.take().filter(|nested| nested.len() > arena.len());
    BUFFER.set(Some(larger.unwrap_or(arena)));
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
