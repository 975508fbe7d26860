//! How work is divided.

use std::ops::Range;

/// Part `index` of `parts` nearly equal ones of `0..whole`.
pub(super) fn part(whole: usize, index: usize, parts: usize) -> Range<usize> {
    whole * index / parts..whole * (index + 1) / parts
}
