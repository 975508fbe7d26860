//! The mean of each window.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};
use serde::{Deserialize, Serialize};

use super::{PoolGeometry, each_picture, load_channels, store_channels};
use crate::Accumulate;

/// Whether padding counts as zeros in the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CountPadding {
    /// It counts; pixels beyond the padding (in [`Rounding::Ceil`](super::Rounding::Ceil)) do not.
    #[default]
    Include,
    /// The mean is of the pixels of the picture.
    Exclude,
}

/// What the sum of a window is divided by.
pub(super) fn divisor(g: &PoolGeometry, count: CountPadding, out_row: usize, out_column: usize) -> f32 {
    let s = &g.settings;
    let pixels = match count {
        CountPadding::Exclude => g.rows(out_row).0.len() * g.columns(out_column).0.len(),
        CountPadding::Include => {
            let (top, left) = (out_row * s.stride_h, out_column * s.stride_w);
            let bottom = (top + s.kernel_h).min(g.in_h + s.pad_top + s.pad_bottom);
            let right = (left + s.kernel_w).min(g.in_w + s.pad_left + s.pad_right);
            (bottom - top) * (right - left)
        }
    };
    pixels.max(1) as f32
}

/// `y` is the mean of each window.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn average_forward(g: &PoolGeometry, count: CountPadding, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), g.input_len(), "the input of a pooling has its geometry");
    assert_eq!(y.len(), g.output_len(), "the output of a pooling has its geometry");
    let set = InstructionSet::current();
    let input = g.in_h * g.in_w * g.channels;
    each_picture(y, g.out_h * g.out_w * g.channels, |n, y| {
        dispatch_on(set, Forward { g, count, x: &x[n * input..][..input], y });
    });
}

/// One picture.
struct Forward<'a> {
    g: &'a PoolGeometry,
    count: CountPadding,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (g, c) = (self.g, self.g.channels);
        for out_row in 0..g.out_h {
            let (rows, _) = g.rows(out_row);
            for out_column in 0..g.out_w {
                let (columns, _) = g.columns(out_column);
                let scale = isa.splat(1.0 / divisor(g, self.count, out_row, out_column));
                let out = (out_row * g.out_w + out_column) * c;
                for channel in (0..c).step_by(I::LANES) {
                    let lanes = I::LANES.min(c - channel);
                    let mut sum = isa.zero();
                    for row in rows.clone() {
                        for column in columns.clone() {
                            let at = (row * g.in_w + column) * c + channel;
                            sum = isa.add(sum, load_channels(isa, self.x, at, lanes));
                        }
                    }
                    store_channels(isa, isa.mul(sum, scale), self.y, out + channel, lanes);
                }
            }
        }
    }
}

/// `dx[p] = Σ dy / divisor` over the windows that hold `p`, or added to `dx`.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn average_backward(g: &PoolGeometry, count: CountPadding, dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_eq!(dx.len(), g.input_len(), "the input of a pooling has its geometry");
    assert_eq!(dy.len(), g.output_len(), "the output of a pooling has its geometry");
    let set = InstructionSet::current();
    let output = g.out_h * g.out_w * g.channels;
    each_picture(dx, g.in_h * g.in_w * g.channels, |n, dx| {
        if accumulate == Accumulate::Set {
            dx.fill(0.0);
        }
        dispatch_on(set, Backward { g, count, dy: &dy[n * output..][..output], dx });
    });
}

/// One picture, added.
struct Backward<'a> {
    g: &'a PoolGeometry,
    count: CountPadding,
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (g, c) = (self.g, self.g.channels);
        for out_row in 0..g.out_h {
            let (rows, _) = g.rows(out_row);
            for out_column in 0..g.out_w {
                let (columns, _) = g.columns(out_column);
                let scale = isa.splat(1.0 / divisor(g, self.count, out_row, out_column));
                let out = (out_row * g.out_w + out_column) * c;
                for channel in (0..c).step_by(I::LANES) {
                    let lanes = I::LANES.min(c - channel);
                    let share = isa.mul(load_channels(isa, self.dy, out + channel, lanes), scale);
                    for row in rows.clone() {
                        for column in columns.clone() {
                            let at = (row * g.in_w + column) * c + channel;
                            let sum = isa.add(load_channels(isa, self.dx, at, lanes), share);
                            store_channels(isa, sum, self.dx, at, lanes);
                        }
                    }
                }
            }
        }
    }
}
