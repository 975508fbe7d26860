//! What the kernels know of a machine's caches.

use ocelli_simd::MOST_LANES;

/// Numbers of a cache line.
pub(crate) const LINE: usize = 16;

// Loops over lines go through them in whole vectors.
const _: () = assert!(LINE.is_multiple_of(MOST_LANES), "a line is made of whole vectors of any set");

/// How far ahead a kernel that goes through memory once asks for numbers (8 KiB): some 300 ns at the speed of memory, three
/// of its latencies.
pub(crate) const AHEAD: usize = 2048;

/// The odd number of cache lines that holds so many numbers. Rows that are read across lie so far apart: an even one would
/// leave some sets of the first-level cache empty and fill others twice.
pub(crate) fn odd_lines(numbers: usize) -> usize {
    (numbers.div_ceil(LINE) | 1) * LINE
}
