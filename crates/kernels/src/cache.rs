//! The properties of a machine's caches that kernels rely on.

use ocelli_simd::MOST_LANES;
use ocelli_simd::machine::Caches;

/// Elements of a cache line.
pub(crate) const LINE: usize = 16;

// Loops over lines go through them in whole vectors.
const _: () = assert!(LINE.is_multiple_of(MOST_LANES), "a line is made of whole vectors of any set");

/// Returns the elements that the second-level cache of a core holds. Blocks are bounded on both sides: smaller ones are
/// mostly overhead, and larger ones too few for many threads.
pub(crate) fn second_level() -> usize {
    caches().second_level.clamp(256 << 10, 2 << 20) / size_of::<f32>()
}

/// Returns the elements that the last-level cache holds.
pub(crate) fn last_level() -> usize {
    caches().last_level / size_of::<f32>()
}

/// Distance above which rows are not read across, and the addresses that a way of a second-level cache holds, both in elements.
const FAR_ACROSS: usize = 1536;
const WAY: usize = (64 << 10) / size_of::<f32>();

/// Returns true if a block of `rows` rows, `distance` elements apart, can be read across where it lies: some elements of each row,
/// then the neighbours of these. If not, it is to be copied: at some distances the rows share few sets of the caches, and from one
/// and a half pages on it was slower by a sixth at any (a processor with 2 MiB of second-level cache).
pub(crate) fn reads_across(rows: usize, distance: usize) -> bool {
    // In the half of the ways that is not the right operand's and the result's.
    let (places, ways) = (WAY >> distance.trailing_zeros().min(WAY.trailing_zeros()), second_level() / WAY / 2);
    distance <= FAR_ACROSS && rows.div_ceil(places) <= ways
}

fn caches() -> Caches {
    #[cfg(test)]
    if let Some(caches) = testing::GIVEN.get() {
        return caches;
    }
    Caches::current()
}

/// Prefetch distance, in elements, of a kernel that reads memory once (8 KiB): some 300 ns at the speed of memory,
/// three of its latencies.
pub(crate) const AHEAD: usize = 2048;

/// Rounds a length up to an odd number of cache lines. Rows that are read across lie so far apart: an even number would
/// leave some sets of the first-level cache empty and fill others twice.
pub(crate) fn odd_lines(numbers: usize) -> usize {
    (numbers.div_ceil(LINE) | 1) * LINE
}

/// Other machines' caches for tests.
#[cfg(test)]
pub(crate) mod testing {
    use ocelli_simd::machine::Caches;
    use std::cell::Cell;

    thread_local! {
        pub(super) static GIVEN: Cell<Option<Caches>> = const { Cell::new(None) };
    }

    /// Runs `f` on a thread that believes in other caches, and all tasks of `f` with it.
    pub(crate) fn on_other_caches<T: Send>(second_level: usize, last_level: usize, f: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
        pool.install(|| {
            GIVEN.set(Some(Caches { second_level, last_level, ..Caches::ASSUMED }));
            f()
        })
    }
}
