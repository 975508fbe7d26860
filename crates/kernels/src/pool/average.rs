//! Average pooling.

use std::ops::Range;

use ocelli_simd::{Destination, Isa, Store, Writer};

use super::PoolGeometry;
use super::axis::Axis;
use super::pixels::{Channels, Image, Pixel, fill_rows, put};
use crate::Accumulate;
use crate::elementwise::chunks::CHUNK;

/// Whether padding counts in the divisor of an average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum CountPadding {
    /// The divisor is the window's size; only what reaches beyond the padding is left out. PyTorch's default.
    #[default]
    Include,
    /// The divisor is the number of pixels of the input in the window.
    Exclude,
}

/// `y` = the average of each window.
pub fn average_forward(g: &PoolGeometry, count: CountPadding, x: &[f32], y: &mut [f32]) {
    forward(&Averaging::of(g, count), x, y);
}

/// `dx (+)=` what each pixel's windows send to it: their gradient over their divisor.
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

    fn assert_lengths(&self, input: usize, output: usize) {
        assert_eq!(input, self.batch * self.input.iter().product::<usize>(), "one slice has the input's length");
        assert_eq!(output, self.batch * self.output.iter().product::<usize>(), "one slice has the output's length");
    }

    /// The time of `rows` rows of an average pooling, in elements: every window reads its pixels.
    fn work(&self, rows: usize) -> usize {
        let [in_h, in_w, channels] = self.input;
        let [out_h, out_w, _] = self.output;
        let window = self.vertical.inputs(out_h / 2).len() * self.horizontal.inputs(out_w / 2).len();
        let all = (out_h * out_w * window).max(in_h * in_w) * channels;
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

/// Output rows from the one with number `first` on.
struct Forward<'a> {
    g: &'a Averaging,
    x: &'a [f32],
    first: usize,
}

impl Writer<1> for Forward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, mut y: [Destination<'_, S>; 1]) {
        let Self { g, x, first } = self;
        let [out_h, out_w, channels] = g.output;
        for row in first..first + y[0].left() / (out_w * channels) {
            let image = Image::of_batch(x, row / out_h, g.input);
            let oy = row % out_h;
            let height = g.divisor(g.vertical, oy);
            for ox in 0..out_w {
                let scale = 1.0 / (height * g.divisor(g.horizontal, ox)) as f32;
                let window = Window { image, rows: g.vertical.inputs(oy), columns: g.horizontal.inputs(ox), scale };
                put(isa, &window, channels, &mut y);
            }
        }
    }
}

/// `scale · Σ` of the pixels of a window
struct Window<'a> {
    image: Image<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    scale: f32,
}

impl Pixel<1> for Window<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let mut sums = [isa.zero(); V];
        for iy in self.rows.clone() {
            // A sum for each row: the error of large windows grows with their sides only.
            let mut row_sums = [isa.zero(); V];
            for ix in self.columns.clone() {
                let x = channels.load(isa, self.image.pixel(iy, ix));
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
}

/// Input rows from the one with number `first` on.
struct Backward<'a> {
    g: &'a Averaging,
    dy: &'a [f32],
    first: usize,
}

impl Writer<1> for Backward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, mut dx: [Destination<'_, S>; 1]) {
        let Self { g, dy, first } = self;
        let [in_h, in_w, channels] = g.input;
        for row in first..first + dx[0].left() / (in_w * channels) {
            let dy = Image::of_batch(dy, row / in_h, g.output);
            let rows = g.vertical.windows(row % in_h);
            for ix in 0..in_w {
                let windows = Windows { g, dy, rows: rows.clone(), columns: g.horizontal.windows(ix) };
                put(isa, &windows, channels, &mut dx);
            }
        }
    }
}

/// What the windows that cover a pixel send to it.
struct Windows<'a> {
    g: &'a Averaging,
    dy: Image<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Pixel<1> for Windows<'_> {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; 1] {
        let g = self.g;
        let mut sums = [isa.zero(); V];
        for oy in self.rows.clone() {
            let height = g.divisor(g.vertical, oy);
            for ox in self.columns.clone() {
                let scale = isa.splat(1.0 / (height * g.divisor(g.horizontal, ox)) as f32);
                let dy = channels.load(isa, self.dy.pixel(oy, ox));
                for v in 0..V {
                    sums[v] = isa.mul_add(dy[v], scale, sums[v]);
                }
            }
        }
        [sums]
    }
}
