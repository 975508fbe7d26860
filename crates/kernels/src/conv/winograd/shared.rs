//! Work shared among tasks.

use std::ops::Range;

/// Where tasks write: each its own tiles and channels, which interleave in memory, so that none can hold a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared(*mut f32);

// SAFETY: an address; those who write through it see to it that no two write the same number.
unsafe impl Send for Shared {}
// SAFETY: the same.
unsafe impl Sync for Shared {}

impl Shared {
    /// The place of all numbers of `data`, for as long as the caller keeps it borrowed.
    pub fn new(data: &mut [f32]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// The first number.
    pub fn first(self) -> *mut f32 {
        self.0
    }
}

/// Part `index` of `parts` nearly equal ones of `0..whole`.
pub(super) fn part(whole: usize, index: usize, parts: usize) -> Range<usize> {
    whole * index / parts..whole * (index + 1) / parts
}
