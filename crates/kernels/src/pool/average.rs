//! Average pooling.

use std::ops::Range;

use ocelli_simd::{Destination, Isa, Kernel, Store, Writer};

use super::PoolGeometry;
use super::axis::Axis;
use super::pixels::{Any, Channels, Extent, Fixed, Image, Pixel, Results, Uncovered, WindowPrefetcher, fill_rows};
use crate::Accumulate;
use crate::elementwise::chunks::CHUNK;
use crate::sizes::length;

/// Divisor of an average whose window reaches into the padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum CountPadding {
    /// The divisor is the window's size; only what reaches beyond the padding is left out. PyTorch's default.
    #[default]
    Include,
    /// The divisor is the number of pixels of the input in the window.
    Exclude,
}

/// Computes `y`, the average of each window. A sum beyond `f32` is infinite, though its average may be within.
pub fn average_forward(g: &PoolGeometry, count: CountPadding, x: &[f32], y: &mut [f32]) {
    forward(&Averaging::of(g, count), x, y);
}

/// Adds to each element of `dx`, or sets it to, the gradients of its windows over their divisors.
pub fn average_backward(g: &PoolGeometry, count: CountPadding, dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    backward(&Averaging::of(g, count), dy, dx, accumulate);
}

/// An average over any windows that are products of ranges.
#[derive(Clone, Copy)]
pub(super) struct Averaging {
    pub vertical: Axis,
    pub horizontal: Axis,
    pub count: CountPadding,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub batch: usize,
}

impl Averaging {
    fn of(g: &PoolGeometry, count: CountPadding) -> Self {
        Self {
            vertical: g.vertical(),
            horizontal: g.horizontal(),
            count,
            input: [g.in_h, g.in_w, g.channels],
            output: [g.out_h, g.out_w, g.channels],
            batch: g.batch,
        }
    }

    #[inline(always)]
    fn divisor(&self, axis: Axis, o: usize) -> usize {
        match self.count {
            CountPadding::Include => axis.padded_count(o),
            CountPadding::Exclude => axis.inputs(o).len(),
        }
    }

    /// Returns the factor of the pixels of a window.
    #[inline(always)]
    fn factor(&self, [oy, ox]: [usize; 2]) -> f32 {
        1.0 / (self.divisor(self.vertical, oy) * self.divisor(self.horizontal, ox)) as f32
    }

    fn assert_lengths(&self, input: usize, output: usize) {
        assert_eq!(input, self.batch * self.input.iter().product::<usize>(), "one slice has the input's length");
        assert_eq!(output, self.batch * self.output.iter().product::<usize>(), "one slice has the output's length");
    }

    /// Returns the time of `rows` rows of an average pooling, in elements: every window reads its pixels.
    fn work(&self, rows: usize) -> usize {
        let [in_h, in_w, channels] = self.input;
        let [out_h, out_w, _] = self.output;
        let window = self.vertical.inputs(out_h / 2).len() * self.horizontal.inputs(out_w / 2).len();
        let all = length(&[length(&[out_h, out_w, window]).max(in_h * in_w), channels]);
        (all / rows.max(1)).min(CHUNK)
    }
}

pub(super) fn forward(g: &Averaging, x: &[f32], y: &mut [f32]) {
    g.assert_lengths(x.len(), y.len());
    let [out_h, out_w, channels] = g.output;
    fill_rows(y, [out_w, channels], g.work(out_h), Accumulate::Set, |first| Forward { g, x, first });
}

pub(super) fn backward(g: &Averaging, dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    g.assert_lengths(dx.len(), dy.len());
    let [in_h, in_w, channels] = g.input;
    fill_rows(dx, [in_w, channels], g.work(in_h), accumulate, |first| Backward { g, dy, first });
}

/// Computes output rows from row `first` on.
struct Forward<'a> {
    g: &'a Averaging,
    x: &'a [f32],
    first: usize,
}

impl Writer<1> for Forward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, y: [Destination<'_, S>; 1]) {
        let Self { g, x, first } = self;
        let [out_h, out_w, channels] = g.output;
        let rows = first..first + y[0].left() / (out_w * channels);
        let interior = g.horizontal.interior();
        let mut results = Results::new(y, channels);
        for row in rows {
            let image = Image::of_batch(x, row / out_h, g.input);
            let oy = row % out_h;
            let rows = g.vertical.inputs(oy);
            // Rows of pixels that the output row above did not read.
            let new = rows.len().min(g.vertical.inputs(oy + 1).start.saturating_sub(rows.start).max(1));
            let mut ox = 0;
            while ox < out_w {
                let columns = g.horizontal.inputs(ox);
                let step = g.horizontal.inputs(ox + 1).start.saturating_sub(columns.start);
                let window = Window {
                    image,
                    pixel: image.place(rows.start, columns.start),
                    size: Any { rows: rows.len(), columns: columns.len() },
                    scale: g.factor([oy, ox]),
                    ahead: WindowPrefetcher::of(image, [rows.end - new, columns.start], new, step),
                };
                // Average the window, and those beside it that look alike.
                let count = if interior.contains(&ox) { interior.end - ox } else { 1 };
                let step = g.horizontal.stride() * channels;
                match (rows.len(), columns.len()) {
                    (2, 2) => results.put_run(isa, &window.of(Fixed::<2, 2>), count, step),
                    (3, 3) => results.put_run(isa, &window.of(Fixed::<3, 3>), count, step),
                    _ => results.put_run(isa, &window, count, step),
                }
                ox += count;
            }
        }
    }
}

/// Computes `scale · Σ` of the pixels of a window.
struct Window<'a, Z> {
    image: Image<'a>,
    /// Offset of its first pixel.
    pixel: usize,
    size: Z,
    scale: f32,
    ahead: WindowPrefetcher<'a>,
}

impl<'a> Window<'a, Any> {
    /// Returns the same window with a known size.
    #[inline(always)]
    fn of<Z: Extent>(&self, size: Z) -> Window<'a, Z> {
        let &Self { image, pixel, scale, ahead, .. } = self;
        Window { image, pixel, size, scale, ahead }
    }
}

impl<Z: Extent> Pixel<1> for Window<'_, Z> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let mut sums = [isa.zero(); V];
        for row in 0..self.size.rows() {
            // A sum for each row: the error of large windows grows with their sides only.
            let mut row_sums = [isa.zero(); V];
            for column in 0..self.size.columns() {
                let x = channels.load(isa, self.image.pixels, self.pixel + self.image.place(row, column));
                for (sum, x) in row_sums.iter_mut().zip(x) {
                    *sum = isa.add(*sum, x);
                }
            }
            for (sum, row) in sums.iter_mut().zip(row_sums) {
                *sum = isa.add(*sum, row);
            }
        }
        for sum in &mut sums {
            *sum = isa.mul(*sum, isa.splat(self.scale));
        }
        [sums]
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, shift: usize, channels: Range<usize>) {
        self.ahead.prefetch(isa, shift, channels);
    }
}

/// Computes input rows from row `first` on.
struct Backward<'a> {
    g: &'a Averaging,
    dy: &'a [f32],
    first: usize,
}

impl Writer<1> for Backward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, dx: [Destination<'_, S>; 1]) {
        let Self { g, dy, first } = self;
        let [in_h, in_w, channels] = g.input;
        let [out_h, out_w, _] = g.output;
        let rows = first..first + dx[0].left() / (in_w * channels);
        let mut results = Results::new(dx, channels);
        for row in rows {
            let windows = g.vertical.windows(row % in_h);
            let dy = &dy[(row / in_h * out_h + windows.start) * out_w * channels..];
            isa.call(BackwardRow { g, dy, windows, results: &mut results });
        }
    }
}

/// Computes a row of the input.
struct BackwardRow<'r, 'a, S> {
    g: &'r Averaging,
    /// Gradients from the first row of windows on that cover it.
    dy: &'r [f32],
    /// Rows of windows that cover it.
    windows: Range<usize>,
    results: &'r mut Results<'a, S, 1>,
}

impl<S: Store> Kernel for BackwardRow<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, dy, windows: rows, results } = self;
        let [_, in_w, channels] = g.input;
        let distances = [g.output[1] * channels, channels];
        let interior = g.horizontal.interior();
        let even = within(&rows, &g.vertical.interior()) && !interior.is_empty();
        let scale = if even { g.factor([rows.start, interior.start]) } else { 0.0 };
        if g.vertical.is_disjoint() && g.horizontal.is_disjoint() {
            for columns in g.horizontal.all_windows().take(in_w) {
                if rows.is_empty() || columns.is_empty() {
                    results.put(isa, &Uncovered, 0);
                } else {
                    let even = even && interior.contains(&columns.start);
                    let scale = if even { scale } else { g.factor([rows.start, columns.start]) };
                    results.put(isa, &Share { dy, scale }, columns.start * channels);
                }
            }
            return;
        }
        for columns in g.horizontal.all_windows().take(in_w) {
            let dy = &dy[(columns.start * channels).min(dy.len())..];
            let even = even && within(&columns, &interior);
            let windows = Windows { dy, size: [rows.len(), columns.len()], distances };
            if even {
                results.put(isa, &Scaled { windows, scale }, 0);
            } else {
                results.put(isa, &EachScaled { windows, g, first: [rows.start, columns.start] }, 0);
            }
        }
    }
}

/// The share of the one window that covers a pixel.
struct Share<'a> {
    dy: &'a [f32],
    scale: f32,
}

impl Pixel<1> for Share<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let mut share = channels.load(isa, self.dy, 0);
        for share in &mut share {
            *share = isa.mul(*share, isa.splat(self.scale));
        }
        [share]
    }
}

/// Returns true if `range` is in `all` and not empty.
fn within(range: &Range<usize>, all: &Range<usize>) -> bool {
    all.start <= range.start && range.start < range.end && range.end <= all.end
}

/// The windows that cover a pixel of the input: rows and columns of them.
struct Windows<'a> {
    /// Gradients from the first window on.
    dy: &'a [f32],
    size: [usize; 2],
    /// Distances from one window to the next, by rows and by columns.
    distances: [usize; 2],
}

impl Windows<'_> {
    /// Returns the sum of the windows' gradients, each times the `scale` of its row and column.
    #[inline(always)]
    fn sum<I: Isa, const V: usize>(
        &self,
        isa: I,
        channels: Channels<V>,
        scale: impl Fn(usize, usize) -> f32,
    ) -> [[I::Vector; V]; 1] {
        let mut sums = [isa.zero(); V];
        for row in 0..self.size[0] {
            for column in 0..self.size[1] {
                let dy = channels.load(isa, self.dy, row * self.distances[0] + column * self.distances[1]);
                let scale = isa.splat(scale(row, column));
                for v in 0..V {
                    sums[v] = isa.mul_add(dy[v], scale, sums[v]);
                }
            }
        }
        [sums]
    }
}

/// The contribution of windows of one size to a pixel.
struct Scaled<'a> {
    windows: Windows<'a>,
    scale: f32,
}

impl Pixel<1> for Scaled<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        self.windows.sum(isa, channels, |_, _| self.scale)
    }
}

/// The contribution of windows of any sizes to a pixel.
struct EachScaled<'a> {
    windows: Windows<'a>,
    g: &'a Averaging,
    /// Row and column of the first window.
    first: [usize; 2],
}

impl Pixel<1> for EachScaled<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        self.windows.sum(isa, channels, |row, column| self.g.factor([self.first[0] + row, self.first[1] + column]))
    }
}
