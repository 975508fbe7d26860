//! Prefetching of the next reads while a tile is computed.

use ocelli_simd::Isa;

use crate::cache::LINE;

/// Steps of the depth between two cache lines of a stream.
pub(crate) const UNROLL: usize = 4;

/// Elements that are prefetched to the second-level cache while a tile is computed, a cache line between some steps of
/// the depth. A core keeps track of some twenty lines that are on their way; of more at once the last ones wait, and
/// with them all that the tile itself reads. Prefetched before each tile, the 8 KiB of a panel cost as much time as
/// they saved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    next: *const f32,
    step: usize,
}

/// Streams of a tile.
pub(crate) type Streams = [Stream; 2];

/// In the place of streams where nothing is prefetched.
pub(crate) const NO_STREAMS: Streams = [Stream { next: std::ptr::null(), step: 0 }; 2];

impl Stream {
    #[inline(always)]
    fn of(numbers: &[f32], depth: usize) -> Self {
        Self { next: numbers.as_ptr(), step: (numbers.len() * UNROLL).div_ceil(depth).min(LINE) }
    }

    /// Streams `numbers` in the course of `depth` steps, from both halves at once; if the steps are too few, the first
    /// of each.
    #[inline(always)]
    pub fn over(numbers: &[f32], depth: usize) -> Streams {
        let (first, second) = numbers.split_at(numbers.len() / 2);
        [Self::of(first, depth), Self::of(second, depth)]
    }

    /// Streams the part of `numbers` for a tile that begins with row `first` and has `count` out of `rows`.
    #[inline(always)]
    pub fn part(numbers: &[f32], (first, count, rows): (usize, usize, usize), depth: usize) -> Streams {
        Self::over(&numbers[numbers.len() * first / rows..numbers.len() * (first + count) / rows], depth)
    }
}

/// Prefetches the lines that are due in [`UNROLL`] steps.
#[inline(always)]
pub(crate) fn fetch<I: Isa>(isa: I, streams: &mut Streams) {
    for stream in streams {
        isa.prefetch_second_level(stream.next);
        stream.next = stream.next.wrapping_add(stream.step);
    }
}
