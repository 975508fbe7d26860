//! Large allocations that fail with an error instead of ending the process.

use crate::{Error, Result};
use ocelli_tensor::Arena;
use std::hint::black_box;

/// Smallest allocation, in bytes, that is tried beforehand: where the system cannot provide even this much, nothing
/// works. Allocators that learn from what is freed where to take it from, as glibc's does up to 32 MiB, do not learn
/// from these.
const LARGE_BYTES: usize = 64 << 20;

/// Returns an error if the system cannot provide `bytes` bytes in one piece for `what`. Systems that promise more than
/// they have may still run out when the memory is written.
pub(crate) fn ask_for(what: &str, bytes: usize) -> Result<()> {
    if bytes < LARGE_BYTES {
        return Ok(());
    }
    let mut memory: Vec<u8> = Vec::new();
    let given = memory.try_reserve_exact(bytes);
    // The compiler may leave out an allocation that nobody reads.
    black_box(&mut memory);
    given.map_err(|_| Error::OutOfMemory { what: what.into(), bytes })
}

/// Allocates an arena of `len` elements.
pub(crate) fn arena(len: usize) -> Result<Arena> {
    ask_for("the arena of a plan", len.saturating_mul(size_of::<f32>()))?;
    Ok(Arena::new(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        assert!(arena(1 << 20).is_ok());
        let error = arena(isize::MAX as usize / 4).unwrap_err().to_string();
        assert_eq!(error, "the arena of a plan needs 9223372036854775804 bytes, which the system does not give");
        assert!(arena(usize::MAX).is_err());
    }
}
