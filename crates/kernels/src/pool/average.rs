//! Average pooling.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::PoolGeometry;
use super::axis::Axis;
use super::pixels::{Image, Lanes, in_row_pieces};
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
    let set = InstructionSet::current();
    let [out_h, out_w, channels] = g.output;
    in_row_pieces(y, out_w * channels, g.work(out_h), |first, y| dispatch_on(set, Forward { g, x, first, y }));
}

pub(super) fn backward(g: &Averaging, dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    g.assert_lengths(dx.len(), dy.len());
    let set = InstructionSet::current();
    let [in_h, in_w, channels] = g.input;
    in_row_pieces(dx, in_w * channels, g.work(in_h), |first, dx| {
        dispatch_on(set, Backward { g, dy, first, dx, accumulate });
    });
}

/// Output rows from the one with number `first` on.
struct Forward<'a> {
    g: &'a Averaging,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, x, first, y } = self;
        let [out_h, out_w, channels] = g.output;
        for (row, y) in y.chunks_exact_mut(out_w * channels).enumerate() {
            let image = Image::of_batch(x, (first + row) / out_h, g.input);
            let oy = (first + row) % out_h;
            let rows = g.vertical.inputs(oy);
            for (ox, y) in y.chunks_exact_mut(channels).enumerate() {
                let columns = g.horizontal.inputs(ox);
                let divisor = g.divisor(g.vertical, oy) * g.divisor(g.horizontal, ox);
                let scale = isa.splat(1.0 / divisor as f32);
                for lanes in Lanes::all(isa, channels) {
                    let mut sum = isa.zero();
                    for iy in rows.clone() {
                        // A sum for each row: the error of large windows grows with their sides only.
                        let mut row_sum = isa.zero();
                        for ix in columns.clone() {
                            row_sum = isa.add(row_sum, lanes.load(isa, image.pixel(iy, ix)));
                        }
                        sum = isa.add(sum, row_sum);
                    }
                    lanes.store(isa, isa.mul(sum, scale), y);
                }
            }
        }
    }
}

/// Input rows from the one with number `first` on.
struct Backward<'a> {
    g: &'a Averaging,
    dy: &'a [f32],
    first: usize,
    dx: &'a mut [f32],
    accumulate: Accumulate,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, dy, first, dx, accumulate } = self;
        let [in_h, in_w, channels] = g.input;
        for (row, dx) in dx.chunks_exact_mut(in_w * channels).enumerate() {
            let dy = Image::of_batch(dy, (first + row) / in_h, g.output);
            let rows = g.vertical.windows((first + row) % in_h);
            for (ix, dx) in dx.chunks_exact_mut(channels).enumerate() {
                let columns = g.horizontal.windows(ix);
                for lanes in Lanes::all(isa, channels) {
                    let mut sum = match accumulate {
                        Accumulate::Set => isa.zero(),
                        Accumulate::Add => lanes.load(isa, dx),
                    };
                    for oy in rows.clone() {
                        let height = g.divisor(g.vertical, oy);
                        for ox in columns.clone() {
                            let divisor = height * g.divisor(g.horizontal, ox);
                            let scale = isa.splat(1.0 / divisor as f32);
                            sum = isa.mul_add(lanes.load(isa, dy.pixel(oy, ox)), scale, sum);
                        }
                    }
                    lanes.store(isa, sum, dx);
                }
            }
        }
    }
}
