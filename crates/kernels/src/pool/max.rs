//! Maximum pooling.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::PoolGeometry;
use super::pixels::{Image, Lanes, in_row_pieces};
use crate::Accumulate;
use crate::elementwise::chunks::{CHUNK, in_paired_pieces, rows_piece};

/// `y` = the maximum of each window, padding left out.
///
/// `indices`, of the output's length, receive where in its window each maximum lies, `ky · kernel_w + kx` (as an
/// `f32`, which holds it exactly): backward needs that and nothing else. As in PyTorch the first of equal maxima
/// counts, and the last NaN if there is one.
pub fn max_forward(g: &PoolGeometry, x: &[f32], y: &mut [f32], indices: Option<&mut [f32]>) {
    assert_eq!(x.len(), g.input_length(), "the source has the input's length");
    assert_eq!(y.len(), g.output_length(), "the destination has the output's length");
    let set = InstructionSet::current();
    let row = g.out_w * g.channels;
    let work = row * g.kernel_h * g.kernel_w;
    match indices {
        None => in_row_pieces(y, row, work, |first, y| dispatch_on(set, Maxima { g, x, first, y })),
        Some(indices) => {
            assert_eq!(indices.len(), y.len(), "there is an index for each output");
            in_paired_pieces(y, indices, rows_piece(row, work), |start, y, indices| {
                dispatch_on(set, IndexedMaxima { g, x, first: start / row, y, indices });
            });
        }
    }
}

/// Output rows from the one with number `first` on.
struct Maxima<'a> {
    g: &'a PoolGeometry,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
}

impl Kernel for Maxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, x, first, y } = self;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        for (row, y) in y.chunks_exact_mut(g.out_w * g.channels).enumerate() {
            let image = Image::of_batch(x, (first + row) / g.out_h, [g.in_h, g.in_w, g.channels]);
            let rows = vertical.inputs((first + row) % g.out_h);
            for (ox, y) in y.chunks_exact_mut(g.channels).enumerate() {
                let columns = horizontal.inputs(ox);
                for lanes in Lanes::all(isa, g.channels) {
                    let mut best = isa.splat(f32::NEG_INFINITY);
                    for iy in rows.clone() {
                        for ix in columns.clone() {
                            let value = lanes.load(isa, image.pixel(iy, ix));
                            // `max` keeps a NaN in its second operand; a NaN so far must stay, too.
                            let larger = isa.max(best, value);
                            best = isa.select(isa.equal(best, best), larger, best);
                        }
                    }
                    lanes.store(isa, best, y);
                }
            }
        }
    }
}

/// Output rows from the one with number `first` on, with indices.
struct IndexedMaxima<'a> {
    g: &'a PoolGeometry,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
    indices: &'a mut [f32],
}

impl Kernel for IndexedMaxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, x, first, y, indices } = self;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        let outputs = y.chunks_exact_mut(g.channels).zip(indices.chunks_exact_mut(g.channels));
        for (pixel, (y, indices)) in outputs.enumerate() {
            let (row, ox) = (first + pixel / g.out_w, pixel % g.out_w);
            let oy = row % g.out_h;
            let image = Image::of_batch(x, row / g.out_h, [g.in_h, g.in_w, g.channels]);
            let (rows, columns) = (vertical.inputs(oy), horizontal.inputs(ox));
            let top = vertical.place_in_window(oy, rows.start);
            let left = horizontal.place_in_window(ox, columns.start);
            for lanes in Lanes::all(isa, g.channels) {
                let mut best = isa.splat(f32::NEG_INFINITY);
                let mut at = isa.splat((top * g.kernel_w + left) as f32);
                for iy in rows.clone() {
                    for ix in columns.clone() {
                        let value = lanes.load(isa, image.pixel(iy, ix));
                        let ky = top + (iy - rows.start);
                        let kx = left + (ix - columns.start);
                        let nan = isa.mask_not(isa.equal(value, value));
                        let better = isa.mask_or(isa.less_than(best, value), nan);
                        best = isa.select(better, value, best);
                        at = isa.select(better, isa.splat((ky * g.kernel_w + kx) as f32), at);
                    }
                }
                lanes.store(isa, best, y);
                lanes.store(isa, at, indices);
            }
        }
    }
}

/// `dx (+)=` the gradients of the windows whose maximum each pixel was, by the indices that forward wrote.
pub fn max_backward(g: &PoolGeometry, dy: &[f32], indices: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_eq!(dy.len(), g.output_length(), "the source has the output's length");
    assert_eq!(indices.len(), g.output_length(), "there is an index for each output");
    assert_eq!(dx.len(), g.input_length(), "the destination has the input's length");
    let set = InstructionSet::current();
    let row = g.in_w * g.channels;
    // The time is that of reading each output once for each pixel of its window.
    let work = (g.out_h * g.out_w * g.kernel_h * g.kernel_w * g.channels / g.in_h).clamp(row, CHUNK.max(row));
    in_row_pieces(dx, row, work, |first, dx| {
        dispatch_on(set, MaxBackward { g, dy, indices, first, dx, accumulate });
    });
}

/// Input rows from the one with number `first` on.
struct MaxBackward<'a> {
    g: &'a PoolGeometry,
    dy: &'a [f32],
    indices: &'a [f32],
    first: usize,
    dx: &'a mut [f32],
    accumulate: Accumulate,
}

impl Kernel for MaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, dy, indices, first, dx, accumulate } = self;
        let (vertical, horizontal) = (g.vertical(), g.horizontal());
        for (row, dx) in dx.chunks_exact_mut(g.in_w * g.channels).enumerate() {
            let image = (first + row) / g.in_h;
            let iy = (first + row) % g.in_h;
            let dy = Image::of_batch(dy, image, [g.out_h, g.out_w, g.channels]);
            let indices = Image::of_batch(indices, image, [g.out_h, g.out_w, g.channels]);
            let rows = vertical.windows(iy);
            for (ix, dx) in dx.chunks_exact_mut(g.channels).enumerate() {
                let columns = horizontal.windows(ix);
                for lanes in Lanes::all(isa, g.channels) {
                    let mut sum = match accumulate {
                        Accumulate::Set => isa.zero(),
                        Accumulate::Add => lanes.load(isa, dx),
                    };
                    for oy in rows.clone() {
                        let ky = vertical.place_in_window(oy, iy);
                        for ox in columns.clone() {
                            let here = (ky * g.kernel_w + horizontal.place_in_window(ox, ix)) as f32;
                            let gradient = lanes.load(isa, dy.pixel(oy, ox));
                            let chosen = isa.equal(lanes.load(isa, indices.pixel(oy, ox)), isa.splat(here));
                            sum = isa.add(sum, isa.select(chosen, gradient, isa.zero()));
                        }
                    }
                    lanes.store(isa, sum, dx);
                }
            }
        }
    }
}
