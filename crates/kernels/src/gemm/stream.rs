//! Prefetching of the next reads while a tile is computed: a few cache lines with every few steps of the depth.
//!
//! A core keeps track of some twenty lines that are on their way. Of more at once the last ones wait, and with them all that the
//! tile itself reads: fetched in one go before each tile, the lines of the next block cost as much time as they saved.

use ocelli_simd::Isa;

use super::tile::panel_width;
use crate::cache::LINE;

/// Steps of the depth between two fetches of a tile.
pub(crate) const UNROLL: usize = 4;

/// Lines of [`Runs`] in a fetch.
const RUN_LINES: usize = 2;

/// Most streams of a panel.
const MOST_STREAMS: usize = 4;

/// Returns the number of streams of a panel: with a line of each in every fetch, two tiles bring the next panel.
const fn panel_streams<I: Isa>() -> usize {
    let streams = UNROLL * panel_width::<I>() / LINE / 2;
    if streams < MOST_STREAMS { streams } else { MOST_STREAMS }
}

/// Runs of neighbouring cache lines, at a fixed distance from one another, that are prefetched to the second-level cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    next: *const f32,
    /// Lines that are left of this run.
    left: usize,
    /// Lines of each run.
    lines: usize,
    /// Distance from the end of a run to the next one, in elements.
    gap: usize,
}

impl Runs {
    /// Runs of `lines` lines that begin `stride` elements apart.
    pub fn new(first: *const f32, lines: usize, stride: usize) -> Self {
        Self { next: first, left: lines, lines, gap: stride.wrapping_sub(lines * LINE) }
    }

    /// Leaves out some lines; returns the number of runs that end with them.
    #[inline(always)]
    pub fn skip(&mut self, lines: usize) -> usize {
        let done = self.lines - self.left + lines;
        let (runs, done) = (done / self.lines, done % self.lines);
        self.next = self.next.wrapping_add(lines * LINE).wrapping_add(runs.wrapping_mul(self.gap));
        self.left = self.lines - done;
        runs
    }

    /// Returns the number of lines that a tile of so many steps of the depth fetches.
    #[inline(always)]
    pub fn fetched(depth: usize) -> usize {
        depth / UNROLL * RUN_LINES
    }
}

/// Streams of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    /// Next elements of each part of a panel.
    panel: [*const f32; MOST_STREAMS],
    /// Elements of each part that a fetch brings, at most a line.
    step: usize,
    runs: Runs,
}

impl Streams {
    /// Streams that stay at an address which can be read: that of none would be looked up in the page table each time.
    #[inline(always)]
    pub fn still(place: *const f32) -> Self {
        Self { panel: [place; MOST_STREAMS], step: 0, runs: Runs::new(place, 1, 0) }
    }

    /// Streams the part of `numbers` for a tile of `depth` steps that begins with row `first` and has `count` out of
    /// `rows`: some equal pieces of it at once, and the first of each if the steps are too few.
    #[inline(always)]
    pub fn part<I: Isa>(numbers: &[f32], (first, count, rows): (usize, usize, usize), depth: usize) -> Self {
        let numbers = &numbers[numbers.len() * first / rows..numbers.len() * (first + count) / rows];
        let part = numbers.len() / panel_streams::<I>();
        let panel = std::array::from_fn(|i| numbers.as_ptr().wrapping_add(i * part));
        Self { panel, step: (part * UNROLL).div_ceil(depth).min(LINE), ..Self::still(numbers.as_ptr()) }
    }

    /// Adds runs of lines.
    #[inline(always)]
    pub(super) fn and(streams: Option<Self>, runs: Option<Runs>) -> Option<Self> {
        let Some(runs) = runs else { return streams };
        Some(Self { runs, ..streams.unwrap_or(Self::still(runs.next)) })
    }
}

/// Prefetches the lines that are due in [`UNROLL`] steps.
#[inline(always)]
pub(crate) fn fetch<I: Isa>(isa: I, streams: &mut Streams) {
    for next in &mut streams.panel[..panel_streams::<I>()] {
        isa.prefetch_second_level(*next);
        *next = next.wrapping_add(streams.step);
    }
    let runs = &mut streams.runs;
    for _ in 0..RUN_LINES {
        isa.prefetch_second_level(runs.next);
        runs.left -= 1;
        let ended = runs.left == 0;
        runs.next = runs.next.wrapping_add(LINE).wrapping_add(if ended { runs.gap } else { 0 });
        runs.left = if ended { runs.lines } else { runs.left };
    }
}
