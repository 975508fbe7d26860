//! Forward and backward-data: every destination gathers its taps.
//!
//! A step takes [`COLUMNS`] destinations and [`VECTORS`] vectors of channels, whose sums stay in registers while the taps
//! go by. Where neighbouring destinations read neighbouring sources, taps go by in runs of up to [`TAPS`], which are kept
//! in registers too: each vector of the source is then loaded once for all destinations and taps of the run.

use std::ops::Range;

use ocelli_simd::{Isa, Kernel, Stores};

use super::super::geometry::{Axis, Conv2dGeometry};
use super::axis::{Direction, Phase};
use crate::Accumulate;
use crate::cache::{AHEAD, LINE};
use crate::gemm::finish::{Destination, Finish, Rows, read, store};

/// Destinations of a step; with 2 vectors each, 8 sums cover the latency of the multiply-adds (4 cycles on 2 ports).
const COLUMNS: usize = 4;

/// Vectors of channels of a step: a cache line of AVX2, so that stores past the caches fill it at once.
const VECTORS: usize = 2;

/// Taps of a run: with 8 sums, 6 vectors of the filter and 2 of the source these are the 16 registers of AVX2.
const TAPS: usize = 3;

/// Runs that are summed before the sums go to memory: 11 × 11 taps have 44.
pub(super) const RUNS: usize = 64;

/// A band of whole rows of the destination, numbered through the batch, with all their channels.
pub(super) struct Band<'a> {
    pub g: &'a Conv2dGeometry,
    pub direction: Direction,
    /// Number of the first row.
    pub first_row: usize,
    pub source: &'a [f32],
    pub filter: &'a [f32],
    pub accumulate: Accumulate,
    pub finish: Finish,
    pub stores: Stores,
    pub destination: &'a mut [f32],
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (g, channels) = (self.g, self.g.out_c);
        let (source_size, (height, width)) = match self.direction {
            Direction::Forward => ((g.in_h, g.in_w), (g.out_h, g.out_w)),
            Direction::Backward => ((g.out_h, g.out_w), (g.in_h, g.in_w)),
        };
        let pixel_at = |image: usize, row: isize, column: isize| {
            let row = (image * source_size.0) as isize + row;
            self.source.as_ptr().wrapping_offset((row * source_size.1 as isize + column) * channels as isize)
        };
        let phases = (Phase::number(g, Axis::H, self.direction), Phase::number(g, Axis::W, self.direction));
        let row_len = width * channels;
        let mut runs = [Addresses::default(); RUNS];
        for (index, destination) in self.destination.chunks_exact_mut(row_len).enumerate() {
            let row = self.first_row + index;
            let (image, row_in_image) = (row / height, row % height);
            let rows = Phase::new(g, Axis::H, self.direction, row_in_image % phases.0);
            let q = row_in_image / phases.0;
            let row_taps = rows.taps_at(q);
            for phase in 0..phases.1 {
                let columns = Phase::new(g, Axis::W, self.direction, phase);
                let interior = columns.interior();
                let mut column = 0;
                while column < columns.count {
                    // Some columns that have the same taps.
                    let (same, column_taps) = if interior.contains(&column) {
                        (column..interior.end, 0..columns.taps)
                    } else {
                        (column..column + 1, columns.taps_at(column))
                    };
                    column = same.end;
                    let most = if columns.source_step == columns.source_tap { TAPS } else { 1 };
                    // Cut the columns' taps into runs.
                    let mut rest = Runs::new(row_taps.clone(), column_taps, most);
                    let first_new = rows.source(q, row_taps.end) - rows.source_step as isize;
                    let mut step = Step {
                        runs: &mut runs,
                        count: 0,
                        channels,
                        source_step: columns.source_step * channels,
                        filter_step: columns.filter.1 * channels as isize,
                        accumulate: self.accumulate,
                        finish: Finish::NOTHING,
                        stores: self.stores,
                        destination: &mut *destination,
                        offset: 0,
                        destination_step: columns.step * channels,
                        index: row * row_len,
                        shift: 0,
                        ahead: PixelPrefetcher {
                            first: pixel_at(image, first_new, columns.source(same.start, 0)).wrapping_add(AHEAD),
                            rows: rows.source_step.min(row_taps.len()),
                            row: source_size.1 * channels,
                            columns: columns.source_step,
                        },
                    };
                    loop {
                        // Addresses of the next runs, as many as a step takes.
                        step.count = 0;
                        for (place, run) in step.runs.iter_mut().zip(&mut rest) {
                            let filter = (rows.filter(run.row) * g.kernel_w + columns.filter(run.column)) * channels;
                            let source = (rows.source(q, run.row), columns.source(same.start, run.column));
                            *place = Addresses {
                                source: pixel_at(image, source.0, source.1),
                                filter: self.filter[filter..].as_ptr(),
                                taps: run.taps,
                            };
                            step.count += 1;
                        }
                        let last = rest.is_empty();
                        step.finish = if last { self.finish } else { Finish::NOTHING };
                        // Sum the runs over all these columns.
                        step.shift = 0;
                        step.offset = (columns.first + same.start * columns.step) * channels;
                        let mut left = same.len();
                        while left > 0 {
                            // A step of `COLUMNS`, or what is left of it in powers of two.
                            let count = match left {
                                1 => isa.call(Columns::<1>(&mut step)),
                                2 | 3 => isa.call(Columns::<2>(&mut step)),
                                _ => isa.call(Columns::<COLUMNS>(&mut step)),
                            };
                            left -= count;
                            step.shift += count * step.source_step;
                            step.offset += count * step.destination_step;
                        }
                        if last {
                            break;
                        }
                        step.accumulate = Accumulate::Add;
                    }
                }
            }
        }
        // For what was stored past the caches.
        isa.fence();
    }
}

/// The taps of some destinations, cut into runs: row by row.
struct Runs {
    rows: Range<usize>,
    columns: Range<usize>,
    most: usize,
    /// First column of the next run.
    column: usize,
}

/// Neighbouring taps of a row.
struct Run {
    row: usize,
    column: usize,
    taps: usize,
}

impl Runs {
    fn new(rows: Range<usize>, columns: Range<usize>, most: usize) -> Self {
        let column = columns.start;
        Self { rows, columns, most, column }
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() || self.columns.is_empty()
    }
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.is_empty() {
            return None;
        }
        let taps = self.most.min(self.columns.end - self.column);
        let run = Run { row: self.rows.start, column: self.column, taps };
        self.column += taps;
        if self.column == self.columns.end {
            (self.rows.start, self.column) = (self.rows.start + 1, self.columns.start);
        }
        Some(run)
    }
}

/// Addresses of a run for the first destination.
#[derive(Clone, Copy)]
struct Addresses {
    /// First destination's source at the first tap.
    source: *const f32,
    /// First tap in the filter.
    filter: *const f32,
    taps: usize,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { source: std::ptr::null(), filter: std::ptr::null(), taps: 0 }
    }
}

/// Source elements to prefetch: of each row that the destinations above did not read, as many as a step reads.
struct PixelPrefetcher {
    first: *const f32,
    rows: usize,
    /// Distance of rows.
    row: usize,
    /// Columns of the source for each destination.
    columns: usize,
}

impl PixelPrefetcher {
    /// Prefetches the part of `Q` destinations and some channels, `begin` elements behind the first. In these loops the
    /// hardware prefetcher sees no streams: they go from row to row and from pixel to pixel within a few lines.
    #[inline(always)]
    fn prefetch<I: Isa, const Q: usize>(&self, isa: I, begin: usize) {
        for row in 0..self.rows {
            let row = self.first.wrapping_add(row * self.row + begin);
            for column in 0..self.columns {
                for line in 0..Q * VECTORS * I::LANES / LINE {
                    isa.prefetch(row.wrapping_add(column * Q * VECTORS * I::LANES + line * LINE));
                }
            }
        }
    }
}

/// A step: neighbouring destinations of one phase, all of which have the same taps inside the source.
struct Step<'a> {
    runs: &'a mut [Addresses; RUNS],
    /// Number of runs.
    count: usize,
    channels: usize,
    /// Distance of the sources of neighbouring destinations.
    source_step: usize,
    /// Distance of taps in the filter.
    filter_step: isize,
    /// Offset of these sources from those of the first destination.
    shift: usize,
    accumulate: Accumulate,
    finish: Finish,
    stores: Stores,
    /// Row of the destination.
    destination: &'a mut [f32],
    /// Offset of the first destination in the row.
    offset: usize,
    destination_step: usize,
    /// Index of the row's first element in the whole tensor.
    index: usize,
    ahead: PixelPrefetcher,
}

/// `Q` destinations with their channels; made in [`Band`] only, with addresses that are inside its slices. Its kernel
/// returns `Q`.
struct Columns<'a, 'b, const Q: usize>(&'a mut Step<'b>);

impl<const Q: usize> Kernel for Columns<'_, '_, Q> {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let step = self.0;
        let channels = step.channels;
        assert!(step.destination.len() >= step.offset + (Q - 1) * step.destination_step + channels);
        let mut channel = 0;
        while channel + VECTORS * I::LANES <= channels {
            step.ahead.prefetch::<I, Q>(isa, step.shift + channel * Q * step.ahead.columns);
            // SAFETY: so many channels are left.
            unsafe { step.sums::<I, Q, VECTORS>(isa, channel, VECTORS * I::LANES) };
            channel += VECTORS * I::LANES;
        }
        while channel < channels {
            let width = I::LANES.min(channels - channel);
            // SAFETY: so many channels are left.
            unsafe { step.sums::<I, Q, 1>(isa, channel, width) };
            channel += width;
        }
        Q
    }
}

impl Step<'_> {
    /// Computes and stores the sums of `Q` destinations for some channels.
    ///
    /// # Safety
    /// `channel + width` is at most the number of channels; `width` is that of `N` vectors, or less than one and `N = 1`.
    #[inline(always)]
    unsafe fn sums<I: Isa, const Q: usize, const N: usize>(&mut self, isa: I, channel: usize, width: usize) {
        let mut sums = [[isa.zero(); N]; Q];
        let shift = self.shift + channel;
        for run in &self.runs[..self.count] {
            let (source, filter) = (run.source.wrapping_add(shift), run.filter.wrapping_add(channel));
            // SAFETY: `Band`: all taps of all destinations are pixels of the source and of the filter.
            unsafe {
                match run.taps {
                    TAPS => self.add_run::<I, Q, N, TAPS>(isa, &mut sums, source, filter, width),
                    2 => self.add_run::<I, Q, N, 2>(isa, &mut sums, source, filter, width),
                    _ => self.add_run::<I, Q, N, 1>(isa, &mut sums, source, filter, width),
                }
            }
        }
        let rows = Rows::Apart(self.destination_step);
        let first = self.destination.as_mut_ptr().wrapping_add(self.offset + channel);
        let to = self.finish.at(first, self.index + self.offset + channel, channel, rows, width, self.accumulate);
        let to = Destination { stores: self.stores, ..to };
        // SAFETY: the destination holds `Q` pixels (asserted in `run`), of which `width` channels from `channel` on exist;
        // bias and residual fit, and past the caches go only pixels that are aligned (`super::gather`).
        unsafe { store(isa, sums, &to) };
    }

    /// Adds `T` taps, which are as far apart in the source as destinations are if there are several.
    ///
    /// # Safety
    /// `width` elements, of `N` vectors or less than one, can be read at `T` taps and at what all destinations read through
    /// them.
    #[inline(always)]
    unsafe fn add_run<I: Isa, const Q: usize, const N: usize, const T: usize>(
        &self,
        isa: I,
        sums: &mut [[I::Vector; N]; Q],
        source: *const f32,
        filter: *const f32,
        width: usize,
    ) {
        let mut taps = [[isa.zero(); N]; T];
        for (k, tap) in taps.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *tap = unsafe { vectors(isa, filter.wrapping_offset(k as isize * self.filter_step), width) };
        }
        for pixel in 0..Q + T - 1 {
            // SAFETY: the caller: what the last destination reads through the last tap is the last of these.
            let x = unsafe { vectors::<I, N>(isa, source.wrapping_add(pixel * self.source_step), width) };
            for (k, tap) in taps.iter().enumerate() {
                if (k..k + Q).contains(&pixel) {
                    for ((sum, x), tap) in sums[pixel - k].iter_mut().zip(x).zip(tap) {
                        *sum = isa.mul_add(x, *tap, *sum);
                    }
                }
            }
        }
    }
}

/// Loads `N` vectors, or the first `width` elements of one.
///
/// # Safety
/// That many elements can be read at `x`.
#[inline(always)]
unsafe fn vectors<I: Isa, const N: usize>(isa: I, x: *const f32, width: usize) -> [I::Vector; N] {
    let mut vectors = [isa.zero(); N];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *vector = unsafe { read(isa, x.wrapping_add(v * I::LANES), width) };
    }
    vectors
}
