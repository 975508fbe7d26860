//! Maximum pooling.

use std::ops::Range;

use ocelli_simd::{Destination, InstructionSet, Isa, Store, Write, Writer, dispatch_on};

use super::PoolGeometry;
use super::pixels::{Ahead, Any, Channels, Fixed, Image, Pixel, Results, Size, fill_rows, piece};
use crate::Accumulate;
use crate::elementwise::chunks::{CHUNK, in_paired_pieces};
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
        None => fill_rows(y, row, time, Accumulate::Set, |first| Maxima { g, x, first }),
        Some(indices) => {
            assert_eq!(indices.len(), y.len(), "there is an index for each output");
            let set = InstructionSet::current();
            let piece = piece(row, time);
            let stores = stores_for(y, piece);
            in_paired_pieces(y, indices, piece, |start, y, indices| {
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

impl<const N: usize> Writer<N> for Maxima<'_>
where
    for<'a> Window<'a, Any>: Pixel<N>,
    for<'a> Window<'a, Fixed<2, 2>>: Pixel<N>,
    for<'a> Window<'a, Fixed<3, 3>>: Pixel<N>,
{
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, y: [Destination<'_, S>; N]) {
        let Self { g, x, first } = self;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        let rows = first..first + y[0].left() / (g.out_w * g.channels);
        let interior = horizontal.interior();
        let mut results = Results::new(y, g.channels);
        for row in rows {
            let image = Image::of_batch(x, row / g.out_h, [g.in_h, g.in_w, g.channels]);
            let oy = row % g.out_h;
            let rows = vertical.inputs(oy);
            let top = vertical.place_in_window(oy, rows.start) * g.kernel_w;
            // Those that the row above did not read.
            let new = rows.len().min(g.stride_h);
            let mut ox = 0;
            while ox < g.out_w {
                let columns = horizontal.inputs(ox);
                let window = Window {
                    image,
                    pixel: image.place(rows.start, columns.start),
                    size: Any { rows: rows.len(), columns: columns.len() },
                    first: top + horizontal.place_in_window(ox, columns.start),
                    width: g.kernel_w,
                    ahead: Ahead::of(image, [rows.end - new, columns.start], new, g.stride_w),
                };
                let count = if interior.contains(&ox) { interior.end - ox } else { 1 };
                let step = g.stride_w * g.channels;
                match (g.kernel_h, g.kernel_w, rows.len(), columns.len()) {
                    (2, 2, 2, 2) => results.put_run(isa, &window.whole(Fixed::<2, 2>), count, step),
                    (3, 3, 3, 3) => results.put_run(isa, &window.whole(Fixed::<3, 3>), count, step),
                    _ => results.put_run(isa, &window, count, step),
                }
                ox += count;
            }
        }
        results.finish(isa);
    }
}

/// The pixels of the input that a window covers.
struct Window<'a, Z> {
    image: Image<'a>,
    /// Where the first one begins.
    pixel: usize,
    size: Z,
    /// The place in the window of the first pixel, and the window's width, by which places are counted.
    first: usize,
    width: usize,
    ahead: Ahead<'a>,
}

impl<'a> Window<'a, Any> {
    /// The same of a known size, that of the whole window.
    #[inline(always)]
    fn whole<const R: usize, const C: usize>(&self, size: Fixed<R, C>) -> Window<'a, Fixed<R, C>> {
        let &Self { image, pixel, ahead, .. } = self;
        Window { image, pixel, size, first: 0, width: C, ahead }
    }
}

impl<Z: Size> Window<'_, Z> {
    #[inline(always)]
    fn load<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>, row: usize, column: usize) -> [I::Vector; V] {
        channels.load(isa, self.image.pixels, self.pixel + self.image.place(row, column))
    }
}

/// Maxima.
impl<Z: Size> Pixel<1> for Window<'_, Z> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let mut best = [isa.splat(f32::NEG_INFINITY); V];
        for row in 0..self.size.rows() {
            for column in 0..self.size.columns() {
                let x = self.load(isa, channels, row, column);
                for v in 0..V {
                    // `max` keeps a NaN in its second operand; a NaN so far must stay, too.
                    let larger = isa.max(best[v], x[v]);
                    best[v] = isa.select(isa.equal(best[v], best[v]), larger, best[v]);
                }
            }
        }
        [best]
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, shift: usize, channels: Range<usize>) {
        self.ahead.prefetch(isa, shift, channels);
    }
}

/// Maxima and where they lie.
impl<Z: Size> Pixel<2> for Window<'_, Z> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 2] {
        let mut best = [isa.splat(f32::NEG_INFINITY); V];
        let mut at = [isa.splat(self.first as f32); V];
        for row in 0..self.size.rows() {
            for column in 0..self.size.columns() {
                let here = isa.splat((self.first + row * self.width + column) as f32);
                let x = self.load(isa, channels, row, column);
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

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, shift: usize, channels: Range<usize>) {
        self.ahead.prefetch(isa, shift, channels);
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
    fill_rows(dx, row, time, accumulate, |first| MaxBackward { g, dy, indices, first });
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
    fn run<I: Isa, S: Store>(self, isa: I, dx: [Destination<'_, S>; 1]) {
        let Self { g, dy, indices, first } = self;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        let output = [g.out_h, g.out_w, g.channels];
        let rows = first..first + dx[0].left() / (g.in_w * g.channels);
        let mut results = Results::new(dx, g.channels);
        for row in rows {
            let (image, iy) = (row / g.in_h, row % g.in_h);
            let (dy, indices) = (Image::of_batch(dy, image, output), Image::of_batch(indices, image, output));
            let rows = vertical.windows(iy);
            for ix in 0..g.in_w {
                let columns = horizontal.windows(ix);
                let windows = Windows { g, dy, indices, input: [iy, ix], rows: rows.clone(), columns };
                results.put(isa, &windows, 0);
            }
        }
        results.finish(isa);
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
                let gradient = channels.load(isa, self.dy.pixels, self.dy.place(oy, ox));
                let indices = channels.load(isa, self.indices.pixels, self.indices.place(oy, ox));
                for v in 0..V {
                    let chosen = isa.equal(indices[v], here);
                    sums[v] = isa.add(sums[v], isa.select(chosen, gradient[v], isa.zero()));
                }
            }
        }
        [sums]
    }
}
