//! Forward and backward-data: every destination gathers its taps.
//!
//! A step takes [`COLUMNS`] destinations and [`VECTORS`] vectors of channels: their sums stay in registers while the taps
//! go by, so that a vector of the filter is loaded once for all of them, and every number of the source is an operand
//! straight from the first-level cache, where its neighbours in the row have brought it.

use ocelli_simd::{Isa, Kernel};

use super::super::geometry::{Axis, Conv2dGeometry};
use super::axis::{Direction, Phase};
use crate::Accumulate;
use crate::gemm::tile::{Finish, Rows, read, store};

/// Destinations of a step; with 2 vectors each, 8 sums cover the latency of the multiply-adds (4 cycles on 2 ports).
const COLUMNS: usize = 4;

/// Vectors of channels of a step: a cache line of AVX2.
const VECTORS: usize = 2;

/// Some whole rows of the destination, which are numbered through the batch.
pub(super) struct Band<'a> {
    pub g: &'a Conv2dGeometry,
    pub direction: Direction,
    /// Where the rows begin.
    pub first_row: usize,
    pub source: &'a [f32],
    pub filter: &'a [f32],
    pub accumulate: Accumulate,
    pub finish: Finish,
    pub destination: &'a mut [f32],
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (g, channels) = (self.g, self.g.in_c);
        let (source_size, size) = match self.direction {
            Direction::Forward => ((g.in_h, g.in_w), (g.out_h, g.out_w)),
            Direction::Backward => ((g.out_h, g.out_w), (g.in_h, g.in_w)),
        };
        let row_len = size.1 * channels;
        let source_row = (source_size.1 * channels) as isize;
        for (index, destination) in self.destination.chunks_exact_mut(row_len).enumerate() {
            let row = self.first_row + index;
            let (image, row_in_image) = (row / size.0, row % size.0);
            let phases = Phase::number(g, Axis::H, self.direction);
            let rows = Phase::new(g, Axis::H, self.direction, row_in_image % phases);
            let q = row_in_image / phases;
            let row_taps = rows.taps_at(q);
            let source = self.source[image * source_size.0 * source_size.1 * channels..].as_ptr();
            let source = source.wrapping_offset(rows.source(q, row_taps.start) * source_row);
            let filter = self.filter.as_ptr().wrapping_add(rows.filter(row_taps.start) * g.kernel_w * channels);
            for phase in 0..Phase::number(g, Axis::W, self.direction) {
                let columns = Phase::new(g, Axis::W, self.direction, phase);
                let interior = columns.interior();
                let mut column = 0;
                while column < columns.count {
                    let inside = interior.contains(&column);
                    let left = if inside { interior.end - column } else { 1 };
                    let taps = if inside { 0..columns.taps } else { columns.taps_at(column) };
                    let offset = (columns.first + column * columns.step) * channels;
                    let block = Block::<'_> {
                        channels,
                        source: source.wrapping_offset(columns.source(column, taps.start) * channels as isize),
                        source_step: columns.source_step * channels as isize,
                        source_tap: (rows.source_tap * source_row, columns.source_tap * channels as isize),
                        filter: filter.wrapping_add(columns.filter(taps.start) * channels),
                        filter_tap: (
                            rows.filter.1 * (g.kernel_w * channels) as isize,
                            columns.filter.1 * channels as isize,
                        ),
                        taps: (row_taps.len(), taps.len()),
                        accumulate: self.accumulate,
                        finish: self.finish,
                        destination: &mut destination[offset..],
                        step: columns.step * channels,
                        index: row * row_len + offset,
                    };
                    // A step of `COLUMNS`, or what is left of it in powers of two.
                    column += match left {
                        1 => isa.call(Columns::<1>(block)),
                        2 | 3 => isa.call(Columns::<2>(block)),
                        _ => isa.call(Columns::<COLUMNS>(block)),
                    };
                }
            }
        }
    }
}

/// Neighbouring destinations of one phase, all of which have the same taps inside the source.
struct Block<'a> {
    channels: usize,
    /// The source of the first destination at the first tap.
    source: *const f32,
    source_step: isize,
    /// The distances of the source from a tap to the next, by rows and by columns.
    source_tap: (isize, isize),
    /// The first tap of the filter.
    filter: *const f32,
    filter_tap: (isize, isize),
    taps: (usize, usize),
    accumulate: Accumulate,
    finish: Finish,
    destination: &'a mut [f32],
    /// The distance of destinations.
    step: usize,
    /// Where in the whole tensor the destination begins.
    index: usize,
}

/// `Q` destinations with all their channels; made in [`Band`] only, with addresses that are inside of its slices. Returns
/// `Q`.
struct Columns<'a, const Q: usize>(Block<'a>);

impl<const Q: usize> Kernel for Columns<'_, Q> {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) -> usize {
        let channels = self.0.channels;
        assert!(self.0.destination.len() >= (Q - 1) * self.0.step + channels);
        let mut channel = 0;
        while channel + VECTORS * I::LANES <= channels {
            // SAFETY: so many channels are left.
            unsafe { self.sums::<I, VECTORS>(isa, channel, VECTORS * I::LANES) };
            channel += VECTORS * I::LANES;
        }
        while channel < channels {
            let width = I::LANES.min(channels - channel);
            // SAFETY: so many channels are left.
            unsafe { self.sums::<I, 1>(isa, channel, width) };
            channel += width;
        }
        Q
    }
}

impl<const Q: usize> Columns<'_, Q> {
    /// # Safety
    /// `channel + width` is at most the number of channels; `width` is that of `N` vectors, or less than one and `N = 1`.
    #[inline(always)]
    unsafe fn sums<I: Isa, const N: usize>(&mut self, isa: I, channel: usize, width: usize) {
        let block = &mut self.0;
        let mut sums = [[isa.zero(); N]; Q];
        for row in 0..block.taps.0 as isize {
            let mut source = block.source.wrapping_offset(row * block.source_tap.0).wrapping_add(channel);
            let mut filter = block.filter.wrapping_offset(row * block.filter_tap.0).wrapping_add(channel);
            for _ in 0..block.taps.1 {
                let mut tap = [isa.zero(); N];
                for (v, tap) in tap.iter_mut().enumerate() {
                    // SAFETY: a tap of the filter has so many channels from here on.
                    *tap = unsafe { read(isa, filter.wrapping_add(v * I::LANES), width) };
                }
                for (q, sums) in sums.iter_mut().enumerate() {
                    let source = source.wrapping_offset(q as isize * block.source_step);
                    for (v, (sum, tap)) in sums.iter_mut().zip(tap).enumerate() {
                        // SAFETY: `Band`: all taps of all destinations are pixels of the source.
                        let x = unsafe { read(isa, source.wrapping_add(v * I::LANES), width) };
                        *sum = isa.mul_add(x, tap, *sum);
                    }
                }
                source = source.wrapping_offset(block.source_tap.1);
                filter = filter.wrapping_offset(block.filter_tap.1);
            }
        }
        let rows = Rows::Apart(block.step);
        let first = block.destination.as_mut_ptr().wrapping_add(channel);
        let to = block.finish.at(first, block.index + channel, channel, rows, width, block.accumulate);
        // SAFETY: the destination holds `Q` pixels `step` apart (asserted in `run`), of which `width` channels from
        // `channel` on exist; `Band` asserted that bias and residual fit.
        unsafe { store(isa, sums, &to) };
    }
}
