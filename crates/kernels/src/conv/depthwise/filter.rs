//! Backward-filter: every tap sums its products over the pixels.
//!
//! A step takes up to 3×3 taps and one vector of channels and keeps their sums in registers over [`PIXELS`] pixels of a
//! row: a vector of `dy` is loaded once for all taps, and the sums, `[taps, channels]` in the first-level cache, are
//! loaded and stored once a step.

use ocelli_simd::{Isa, Kernel};

use super::super::geometry::{Axis, Conv2dGeometry};
use super::axis::{Direction, Phase};
use crate::cache::{AHEAD, LINE};
use crate::gemm::finish::read;

/// Pixels of a step. Four rows of them (three of `x`, one of `dy`) at 128 channels fill half a first-level cache; the
/// sums are loaded and stored for an eighth of the products.
const PIXELS: usize = 8;

/// Rows and columns of taps of a step: 9 sums and a vector of `dy` fit the 16 registers of AVX2.
const TAPS: usize = 3;

/// A band of whole rows of `dy`, numbered through the batch, and the sums `[kernel_h, kernel_w, channels]` over them,
/// which are written.
pub(super) struct Band<'a> {
    pub g: &'a Conv2dGeometry,
    /// Number of the first row.
    pub first_row: usize,
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub sums: &'a mut [f32],
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (g, channels) = (self.g, self.g.in_c);
        let rows = Phase::new(g, Axis::H, Direction::Forward, 0);
        let columns = Phase::new(g, Axis::W, Direction::Forward, 0);
        let interior = columns.interior();
        let input_row = (g.in_w * channels) as isize;
        self.sums.fill(0.0);
        for (index, dy) in self.dy.chunks_exact(g.out_w * channels).enumerate() {
            let (image, row) = ((self.first_row + index) / g.out_h, (self.first_row + index) % g.out_h);
            let x = self.x[image * g.in_h * g.in_w * channels..].as_ptr();
            let mut column = 0;
            while column < g.out_w {
                // Pixels that meet the same taps: a run inside, one at the border.
                let inside = interior.contains(&column);
                let pixels = if inside { PIXELS.min(interior.end - column) } else { 1 };
                let column_taps = if inside { 0..columns.taps } else { columns.taps_at(column) };
                let row_taps = rows.taps_at(row);
                // Add their products, up to 3 × 3 taps at a time.
                for row_tap in row_taps.clone().step_by(TAPS) {
                    for column_tap in column_taps.clone().step_by(TAPS) {
                        let pixel = rows.source(row, row_tap) * input_row
                            + columns.source(column, column_tap) * channels as isize;
                        let taps = Taps {
                            channels,
                            x: x.wrapping_offset(pixel),
                            x_step: (columns.source_step * channels) as isize,
                            x_tap: (rows.source_tap as isize * input_row, (columns.source_tap * channels) as isize),
                            dy: &dy[column * channels..(column + pixels) * channels],
                            sum: (rows.filter(row_tap) * g.kernel_w + columns.filter(column_tap)) * channels,
                            sum_tap: (
                                rows.filter.1 * (g.kernel_w * channels) as isize,
                                columns.filter.1 * channels as isize,
                            ),
                            sums: &mut *self.sums,
                        };
                        match (TAPS.min(row_taps.end - row_tap), TAPS.min(column_taps.end - column_tap)) {
                            (1, 1) => isa.call(Fixed::<1, 1>(taps)),
                            (1, 2) => isa.call(Fixed::<1, 2>(taps)),
                            (1, _) => isa.call(Fixed::<1, 3>(taps)),
                            (2, 1) => isa.call(Fixed::<2, 1>(taps)),
                            (2, 2) => isa.call(Fixed::<2, 2>(taps)),
                            (2, _) => isa.call(Fixed::<2, 3>(taps)),
                            (_, 1) => isa.call(Fixed::<3, 1>(taps)),
                            (_, 2) => isa.call(Fixed::<3, 2>(taps)),
                            _ => isa.call(Fixed::<3, 3>(taps)),
                        }
                    }
                }
                column += pixels;
            }
        }
    }
}

/// A block of taps over neighbouring pixels, for all of which the taps are inside `x`.
struct Taps<'a> {
    channels: usize,
    /// First pixel's input at the first tap.
    x: *const f32,
    x_step: isize,
    /// Distances in `x` from a tap to the next, by rows and by columns.
    x_tap: (isize, isize),
    dy: &'a [f32],
    /// Offset of the sums of the first tap.
    sum: usize,
    sum_tap: (isize, isize),
    sums: &'a mut [f32],
}

/// A block of `R × C` taps; made in [`Band`] only, with addresses that are inside its slices.
struct Fixed<'a, const R: usize, const C: usize>(Taps<'a>);

impl<const R: usize, const C: usize> Kernel for Fixed<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let taps = self.0;
        for channel in (0..taps.channels).step_by(I::LANES) {
            let width = I::LANES.min(taps.channels - channel);
            let place = |r: usize, c: usize| {
                let tap = r as isize * taps.sum_tap.0 + c as isize * taps.sum_tap.1;
                let begin = taps.sum.wrapping_add_signed(tap) + channel;
                begin..begin + width
            };
            // Load the sums.
            let mut sums = [[isa.zero(); C]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = isa.load_partial(&taps.sums[place(r, c)]);
                }
            }
            // Add the products of each pixel.
            let mut x = taps.x.wrapping_add(channel);
            for dy in taps.dy.chunks_exact(taps.channels) {
                // In loops that go from pixel to pixel within a few lines, hardware sees no streams.
                if channel.is_multiple_of(LINE) {
                    isa.prefetch(dy.as_ptr().wrapping_add(channel + AHEAD));
                    isa.prefetch(x.wrapping_offset((R - 1) as isize * taps.x_tap.0).wrapping_add(AHEAD));
                }
                // SAFETY: `channel + width` is at most the number of channels.
                let dy = unsafe { read(isa, dy.as_ptr().add(channel), width) };
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (c, sum) in sums.iter_mut().enumerate() {
                        let tap = r as isize * taps.x_tap.0 + c as isize * taps.x_tap.1;
                        // SAFETY: `Band`: all taps of all these pixels are pixels of `x`.
                        let x = unsafe { read(isa, x.wrapping_offset(tap), width) };
                        *sum = isa.mul_add(x, dy, *sum);
                    }
                }
                x = x.wrapping_offset(taps.x_step);
            }
            // Store the sums.
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    isa.store_partial(*sum, &mut taps.sums[place(r, c)]);
                }
            }
        }
    }
}
