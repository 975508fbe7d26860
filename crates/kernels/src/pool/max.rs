//! Maximum pooling.

use std::ops::Range;

use ocelli_simd::{Destination, Effect, InstructionSet, Isa, Kernel, Store, WriteOrAdd, Writer, dispatch_on};

use super::PoolGeometry;
use super::pixels::{Any, Channels, Extent, Fixed, Image, Pixel, Results, Uncovered, WindowPrefetcher, fill_rows};
use crate::Accumulate;
use crate::elementwise::chunks::{CHUNK, in_paired_pieces, rows_piece};
use crate::sizes::length;
use crate::stores::stores_for;

/// Computes `y`, the maximum of each window, padding left out.
///
/// `indices`, of the output's length, receive the position of each maximum in its window, `ky · kernel_w + kx` (as an
/// `f32`, which holds it exactly): backward needs that and nothing else. As in PyTorch the first of equal maxima
/// counts, and the last NaN if there is one.
pub fn max_forward(g: &PoolGeometry, x: &[f32], y: &mut [f32], indices: Option<&mut [f32]>) {
    assert_eq!(x.len(), g.input_length(), "the source has the input's length");
    assert_eq!(y.len(), g.output_length(), "the destination has the output's length");
    let row = g.out_w * g.channels;
    let time = length(&[row, g.kernel_h, g.kernel_w]);
    match indices {
        None => fill_rows(y, [g.out_w, g.channels], time, Accumulate::Set, |first| Maxima { g, x, first }),
        Some(indices) => {
            assert_eq!(indices.len(), y.len(), "there is an index for each output");
            let set = InstructionSet::current();
            let piece = rows_piece(row, time);
            let stores = stores_for(y, g.channels);
            in_paired_pieces(y, indices, piece, |start, y, indices| {
                let work = Maxima { g, x, first: start / row };
                dispatch_on(set, WriteOrAdd { work, effect: Effect::Replace(stores), y: [y, indices] });
            });
        }
    }
}

/// Computes output rows from row `first` on.
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
            // Rows of pixels that the output row above did not read.
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
                    ahead: WindowPrefetcher::of(image, [rows.end - new, columns.start], new, g.stride_w),
                };
                // Take the maxima of the window, and of those beside it that look alike.
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
    }
}

/// The pixels of the input that a window covers.
struct Window<'a, Z> {
    image: Image<'a>,
    /// Offset of its first pixel.
    pixel: usize,
    size: Z,
    /// Position in the window of the first pixel, and the window's width, by which positions are counted.
    first: usize,
    width: usize,
    ahead: WindowPrefetcher<'a>,
}

impl<'a> Window<'a, Any> {
    /// Returns the same window with a known size, that of the whole window.
    #[inline(always)]
    fn whole<const R: usize, const C: usize>(&self, size: Fixed<R, C>) -> Window<'a, Fixed<R, C>> {
        let &Self { image, pixel, ahead, .. } = self;
        Window { image, pixel, size, first: 0, width: C, ahead }
    }
}

impl<Z: Extent> Window<'_, Z> {
    #[inline(always)]
    fn load<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>, row: usize, column: usize) -> [I::Vector; V] {
        channels.load(isa, self.image.pixels, self.pixel + self.image.place(row, column))
    }
}

/// Computes the maxima.
impl<Z: Extent> Pixel<1> for Window<'_, Z> {
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

/// Computes the maxima and their positions.
impl<Z: Extent> Pixel<2> for Window<'_, Z> {
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

/// Adds to each element of `dx`, or sets it to, the gradients of the windows whose maximum it was, by the indices that
/// forward wrote.
pub fn max_backward(g: &PoolGeometry, dy: &[f32], indices: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_eq!(dy.len(), g.output_length(), "the source has the output's length");
    assert_eq!(indices.len(), g.output_length(), "there is an index for each output");
    assert_eq!(dx.len(), g.input_length(), "the destination has the input's length");
    let row = g.in_w * g.channels;
    // The time is that of reading each output once for each pixel of its window.
    let reads = length(&[g.out_h, g.out_w, g.kernel_h, g.kernel_w, g.channels]);
    let time = (reads / g.in_h).clamp(row, CHUNK.max(row));
    fill_rows(dx, [g.in_w, g.channels], time, accumulate, |first| MaxBackward { g, dy, indices, first });
}

/// Computes input rows from row `first` on.
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
        let vertical = g.vertical();
        let output_row = g.out_w * g.channels;
        let rows = first..first + dx[0].left() / (g.in_w * g.channels);
        let mut results = Results::new(dx, g.channels);
        for row in rows {
            let (image, iy) = (row / g.in_h, row % g.in_h);
            let windows = vertical.windows(iy);
            let from = (image * g.out_h + windows.start) * output_row;
            let row = Row {
                g,
                dy: &dy[from..],
                indices: &indices[from..],
                windows: windows.len(),
                place: if windows.is_empty() { 0 } else { vertical.place_in_window(windows.start, iy) },
            };
            if vertical.is_disjoint() && g.pad_left == 0 && g.horizontal().is_disjoint() {
                isa.call(DisjointRow { row, results: &mut results });
            } else {
                isa.call(OverlappingRow { row, results: &mut results });
            }
        }
    }
}

/// Computes a row of the input.
struct Row<'a> {
    g: &'a PoolGeometry,
    /// Gradients from the first row of windows on that cover it.
    dy: &'a [f32],
    indices: &'a [f32],
    /// Number of rows of windows that cover it.
    windows: usize,
    /// Position of the row in the first window.
    place: usize,
}

/// A row whose pixels are in one window each, or in none.
struct DisjointRow<'r, 'a, S> {
    row: Row<'r>,
    results: &'r mut Results<'a, S, 1>,
}

impl<S: Store> Kernel for DisjointRow<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Row { g, dy, indices, windows, place } = self.row;
        let covered = if windows == 0 { 0 } else { g.out_w };
        let (mut ox, mut column) = (0, 0);
        for _ in 0..g.in_w {
            if ox < covered && column < g.kernel_w {
                let here = (place * g.kernel_w + column) as f32;
                self.results.put(isa, &Chosen { dy, indices, here }, ox * g.channels);
            } else {
                self.results.put(isa, &Uncovered, 0);
            }
            column += 1;
            if column == g.stride_w {
                (ox, column) = (ox + 1, 0);
            }
        }
    }
}

/// Passes the gradient of a window where its maximum lay `here`.
struct Chosen<'a> {
    dy: &'a [f32],
    indices: &'a [f32],
    here: f32,
}

impl Pixel<1> for Chosen<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let (mut gradient, indices) = (channels.load(isa, self.dy, 0), channels.load(isa, self.indices, 0));
        for v in 0..V {
            let chosen = isa.equal(indices[v], isa.splat(self.here));
            gradient[v] = isa.select(chosen, gradient[v], isa.zero());
        }
        [gradient]
    }
}

/// A row whose pixels are in several windows.
struct OverlappingRow<'r, 'a, S> {
    row: Row<'r>,
    results: &'r mut Results<'a, S, 1>,
}

impl<S: Store> Kernel for OverlappingRow<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Row { g, dy, indices, windows, place } = self.row;
        let horizontal = g.horizontal();
        for (ix, columns) in (0..g.in_w).zip(horizontal.all_windows()) {
            let column = if columns.is_empty() { 0 } else { horizontal.place_in_window(columns.start, ix) };
            let from = (columns.start * g.channels).min(dy.len());
            let windows = Windows {
                dy: &dy[from..],
                indices: &indices[from..],
                size: [windows, columns.len()],
                distances: [g.out_w * g.channels, g.channels],
                here: (place * g.kernel_w + column) as f32,
                steps: [(g.stride_h * g.kernel_w) as f32, g.stride_w as f32],
            };
            self.results.put(isa, &windows, 0);
        }
    }
}

/// The windows that cover a pixel of the input: rows and columns of them.
struct Windows<'a> {
    /// Gradients from the first window on.
    dy: &'a [f32],
    indices: &'a [f32],
    size: [usize; 2],
    /// Distances from one window to the next, by rows and by columns.
    distances: [usize; 2],
    /// Position of the pixel in the first window; it lies a step further up or left in the next.
    here: f32,
    steps: [f32; 2],
}

impl Pixel<1> for Windows<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let mut sums = [isa.zero(); V];
        let (mut row, mut first) = (0, self.here);
        for _ in 0..self.size[0] {
            let (mut at, mut here) = (row, first);
            for _ in 0..self.size[1] {
                let (gradient, indices) = (channels.load(isa, self.dy, at), channels.load(isa, self.indices, at));
                for v in 0..V {
                    let chosen = isa.equal(indices[v], isa.splat(here));
                    sums[v] = isa.add(sums[v], isa.select(chosen, gradient[v], isa.zero()));
                }
                at += self.distances[1];
                here -= self.steps[1];
            }
            row += self.distances[0];
            first -= self.steps[0];
        }
        [sums]
    }
}
