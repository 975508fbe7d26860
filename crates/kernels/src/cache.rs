//! The properties of a machine's caches that kernels rely on.

use ocelli_simd::MOST_LANES;

/// Elements of a cache line.
pub(crate) const LINE: usize = 16;

// Loops over lines go through them in whole vectors.
const _: () = assert!(LINE.is_multiple_of(MOST_LANES), "a line is made of whole vectors of any set");

/// Prefetch distance, in elements, of a kernel that reads memory once (8 KiB): some 300 ns at the speed of memory,
/// three of its latencies.
pub(crate) const AHEAD: usize = 2048;

/// Rounds a length up to an odd number of cache lines. Rows that are read across lie so far apart: an even number would
/// leave some sets of the first-level cache empty and fill others twice.
pub(crate) fn odd_lines(numbers: usize) -> usize {
    (numbers.div_ceil(LINE) | 1) * LINE
}
