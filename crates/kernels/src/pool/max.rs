//! The largest number of each window.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::{PoolGeometry, each_picture, load_channels, store_channels};
use crate::Accumulate;

/// `y` is the largest number of each window; the first of equals, and NaN if there is one. `places`, if asked for, holds
/// where in its window that is: `row · kernel_w + column`, as an `f32`, which is exact.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn max_forward(g: &PoolGeometry, x: &[f32], y: &mut [f32], places: Option<&mut [f32]>) {
    assert_eq!(x.len(), g.input_len(), "the input of a pooling has its geometry");
    assert_eq!(y.len(), g.output_len(), "the output of a pooling has its geometry");
    let set = InstructionSet::current();
    let (input, output) = (g.in_h * g.in_w * g.channels, g.out_h * g.out_w * g.channels);
    let picture = |n: usize| &x[n * input..][..input];
    match places {
        None => each_picture(y, output, |n, y| dispatch_on(set, Forward { g, x: picture(n), y, places: None })),
        Some(places) => {
            assert_eq!(places.len(), y.len(), "every maximum has a place");
            // Both results are cut alike.
            use rayon::prelude::*;
            let per_task = (crate::elementwise::chunks::CHUNK / output.max(1)).max(1);
            let task = |(task, (y, places)): (usize, (&mut [f32], &mut [f32]))| {
                let pictures = y.chunks_exact_mut(output).zip(places.chunks_exact_mut(output));
                for (n, (y, places)) in pictures.enumerate() {
                    let x = picture(task * per_task + n);
                    dispatch_on(set, Forward { g, x, y, places: Some(places) });
                }
            };
            if output == 0 {
            } else if y.len() <= per_task * output {
                task((0, (y, places)));
            } else {
                y.par_chunks_mut(per_task * output).zip(places.par_chunks_mut(per_task * output)).enumerate().for_each(task);
            }
        }
    }
}

/// One picture.
struct Forward<'a> {
    g: &'a PoolGeometry,
    x: &'a [f32],
    y: &'a mut [f32],
    places: Option<&'a mut [f32]>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let (g, c) = (self.g, self.g.channels);
        for out_row in 0..g.out_h {
            let (rows, above) = g.rows(out_row);
            for out_column in 0..g.out_w {
                let (columns, left) = g.columns(out_column);
                let out = (out_row * g.out_w + out_column) * c;
                for channel in (0..c).step_by(I::LANES) {
                    let lanes = I::LANES.min(c - channel);
                    let mut best = isa.splat(f32::NEG_INFINITY);
                    let mut place = isa.zero();
                    for row in rows.clone() {
                        let first_place = (row - rows.start + above) * g.settings.kernel_w + left;
                        for column in columns.clone() {
                            let v = load_channels(isa, self.x, (row * g.in_w + column) * c + channel, lanes);
                            let is_nan = isa.mask_not(isa.equal(v, v));
                            let better = isa.mask_or(isa.less_than(best, v), is_nan);
                            let here = isa.splat((first_place + column - columns.start) as f32);
                            best = isa.select(better, v, best);
                            place = isa.select(better, here, place);
                        }
                    }
                    store_channels(isa, best, self.y, out + channel, lanes);
                    if let Some(places) = &mut self.places {
                        store_channels(isa, place, places, out + channel, lanes);
                    }
                }
            }
        }
    }
}

/// `dx[p] = Σ dy` over the windows whose maximum was at `p`, or added to `dx`.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn max_backward(g: &PoolGeometry, dy: &[f32], places: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_eq!(dx.len(), g.input_len(), "the input of a pooling has its geometry");
    assert!(dy.len() == g.output_len() && places.len() == dy.len(), "the output of a pooling has its geometry");
    let set = InstructionSet::current();
    let output = g.out_h * g.out_w * g.channels;
    each_picture(dx, g.in_h * g.in_w * g.channels, |n, dx| {
        if accumulate == Accumulate::Set {
            dx.fill(0.0);
        }
        let (dy, places) = (&dy[n * output..][..output], &places[n * output..][..output]);
        dispatch_on(set, Backward { g, dy, places, dx });
    });
}

/// One picture, added.
struct Backward<'a> {
    g: &'a PoolGeometry,
    dy: &'a [f32],
    places: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (g, c) = (self.g, self.g.channels);
        for out_row in 0..g.out_h {
            let (rows, above) = g.rows(out_row);
            for out_column in 0..g.out_w {
                let (columns, left) = g.columns(out_column);
                let out = (out_row * g.out_w + out_column) * c;
                for channel in (0..c).step_by(I::LANES) {
                    let lanes = I::LANES.min(c - channel);
                    let dy = load_channels(isa, self.dy, out + channel, lanes);
                    let place = load_channels(isa, self.places, out + channel, lanes);
                    for row in rows.clone() {
                        let first_place = (row - rows.start + above) * g.settings.kernel_w + left;
                        for column in columns.clone() {
                            let at = (row * g.in_w + column) * c + channel;
                            let here = isa.equal(place, isa.splat((first_place + column - columns.start) as f32));
                            let dx = load_channels(isa, self.dx, at, lanes);
                            let sum = isa.add(dx, isa.select(here, dy, isa.zero()));
                            store_channels(isa, sum, self.dx, at, lanes);
                        }
                    }
                }
            }
        }
    }
}
