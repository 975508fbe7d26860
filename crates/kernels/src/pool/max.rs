//! Maximum pooling.

use std::ops::Range;

use ocelli_simd::{Destination, InstructionSet, Isa, Store, Write, Writer, dispatch_on};

use super::PoolGeometry;
use super::pixels::{Channels, Image, Pixel, fill_rows, put};
use crate::Accumulate;
use crate::elementwise::chunks::{CHUNK, in_paired_pieces, rows_piece};
use crate::elementwise::stores::stores_for;

/// `y` = the maximum of each window, padding left out.
///
/// `indices`, of the output's length, receive where in its window each maximum lies, `ky · kernel_w + kx` (as an
/// `f32`, which holds it exactly): backward needs that and nothing else. As in PyTorch the first of equal maxima
/// counts, and the last NaN if there is one.
pub fn max_forward(g: &PoolGeometry, x: &[f32], y: &mut [f32], indices: Option<&mut [f32]>) {
    assert_eq!(x.len(), g.input_length(), "the source has the input's length");
    assert_eq!(y.len(), g.output_length(), "the destination has the output's length");
    let row = g.out_w * g.channels;
    let time = row * g.kernel_h * g.kernel_w;
    match indices {
        None => fill_rows(y, [g.out_w, g.channels], time, Accumulate::Set, |first| Maxima { g, x, first }),
        Some(indices) => {
            assert_eq!(indices.len(), y.len(), "there is an index for each output");
            let set = InstructionSet::current();
            let stores = stores_for(y, g.channels);
            in_paired_pieces(y, indices, rows_piece(row, time), |start, y, indices| {
                let work = Maxima { g, x, first: start / row };
                dispatch_on(set, Write { work, stores, y: [y, indices] });
            });
        }
    }
}

/// Output rows from the one with number `first` on.
struct Maxima<'a> {
    g: &'a PoolGeometry,
    x: &'a [f32],
    first: usize,
}

impl<'a> Maxima<'a> {
    /// The window of a pixel of the output, which is one of `row` rows of all images.
    #[inline(always)]
    fn window(&self, row: usize, ox: usize) -> Window<'a> {
        let g = self.g;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        let oy = row % g.out_h;
        let (rows, columns) = (vertical.inputs(oy), horizontal.inputs(ox));
        Window {
            image: Image::of_batch(self.x, row / g.out_h, [g.in_h, g.in_w, g.channels]),
            top: vertical.place_in_window(oy, rows.start),
            left: horizontal.place_in_window(ox, columns.start),
            width: g.kernel_w,
            rows,
            columns,
        }
    }
}

impl<const N: usize> Writer<N> for Maxima<'_>
where
    for<'a> Window<'a>: Pixel<N>,
{
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, mut y: [Destination<'_, S>; N]) {
        let g = self.g;
        for row in self.first..self.first + y[0].left() / (g.out_w * g.channels) {
            for ox in 0..g.out_w {
                put(isa, &self.window(row, ox), g.channels, &mut y);
            }
        }
    }
}

/// The pixels of the input that a window covers, of which the first is in row `top` and column `left` of the window.
struct Window<'a> {
    image: Image<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    top: usize,
    left: usize,
    width: usize,
}

/// Maxima.
impl Pixel<1> for Window<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let mut best = [isa.splat(f32::NEG_INFINITY); V];
        for iy in self.rows.clone() {
            for ix in self.columns.clone() {
                let x = channels.load(isa, self.image.pixel(iy, ix));
                for v in 0..V {
                    // `max` keeps a NaN in its second operand; a NaN so far must stay, too.
                    let larger = isa.max(best[v], x[v]);
                    best[v] = isa.select(isa.equal(best[v], best[v]), larger, best[v]);
                }
            }
        }
        [best]
    }
}

/// Maxima and where they lie.
impl Pixel<2> for Window<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 2] {
        let mut best = [isa.splat(f32::NEG_INFINITY); V];
        let mut at = [isa.splat((self.top * self.width + self.left) as f32); V];
        for iy in self.rows.clone() {
            let row = (self.top + iy - self.rows.start) * self.width + self.left;
            for ix in self.columns.clone() {
                let here = isa.splat((row + ix - self.columns.start) as f32);
                let x = channels.load(isa, self.image.pixel(iy, ix));
                for v in 0..V {
                    let nan = isa.mask_not(isa.equal(x[v], x[v]));
                    let better = isa.mask_or(isa.less_than(best[v], x[v]), nan);
                    best[v] = isa.select(better, x[v], best[v]);
                    at[v] = isa.select(better, here, at[v]);
                }
            }
        }
        [best, at]
    }
}

/// `dx (+)=` the gradients of the windows whose maximum each pixel was, by the indices that forward wrote.
pub fn max_backward(g: &PoolGeometry, dy: &[f32], indices: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_eq!(dy.len(), g.output_length(), "the source has the output's length");
    assert_eq!(indices.len(), g.output_length(), "there is an index for each output");
    assert_eq!(dx.len(), g.input_length(), "the destination has the input's length");
    let row = g.in_w * g.channels;
    // The time is that of reading each output once for each pixel of its window.
    let time = (g.out_h * g.out_w * g.kernel_h * g.kernel_w * g.channels / g.in_h).clamp(row, CHUNK.max(row));
    fill_rows(dx, [g.in_w, g.channels], time, accumulate, |first| MaxBackward { g, dy, indices, first });
}

/// Input rows from the one with number `first` on.
struct MaxBackward<'a> {
    g: &'a PoolGeometry,
    dy: &'a [f32],
    indices: &'a [f32],
    first: usize,
}

impl Writer<1> for MaxBackward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, mut dx: [Destination<'_, S>; 1]) {
        let Self { g, dy, indices, first } = self;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        let output = [g.out_h, g.out_w, g.channels];
        for row in first..first + dx[0].left() / (g.in_w * g.channels) {
            let (image, iy) = (row / g.in_h, row % g.in_h);
            let (dy, indices) = (Image::of_batch(dy, image, output), Image::of_batch(indices, image, output));
            let rows = vertical.windows(iy);
            for ix in 0..g.in_w {
                let columns = horizontal.windows(ix);
                let windows = Windows { g, dy, indices, input: [iy, ix], rows: rows.clone(), columns };
                put(isa, &windows, g.channels, &mut dx);
            }
        }
    }
}

/// The windows that cover a pixel of the input.
struct Windows<'a> {
    g: &'a PoolGeometry,
    dy: Image<'a>,
    indices: Image<'a>,
    input: [usize; 2],
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Pixel<1> for Windows<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let (vertical, horizontal) = (self.g.vertical(), self.g.horizontal());
        let [iy, ix] = self.input;
        let mut sums = [isa.zero(); V];
        for oy in self.rows.clone() {
            let row = vertical.place_in_window(oy, iy) * self.g.kernel_w;
            for ox in self.columns.clone() {
                let here = isa.splat((row + horizontal.place_in_window(ox, ix)) as f32);
                let gradient = channels.load(isa, self.dy.pixel(oy, ox));
                let indices = channels.load(isa, self.indices.pixel(oy, ox));
                for v in 0..V {
                    let chosen = isa.equal(indices[v], here);
                    sums[v] = isa.add(sums[v], isa.select(chosen, gradient[v], isa.zero()));
                }
            }
        }
        [sums]
    }
}
