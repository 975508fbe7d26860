//! Means over windows that divide a picture as evenly as can be.

use std::ops::Range;

use super::each_picture;
use crate::Accumulate;

/// Window `i` of `out` over `size` pixels: from `⌊i·size/out⌋` to `⌈(i + 1)·size/out⌉`. Neighbours may share a pixel.
fn window(i: usize, size: usize, out: usize) -> Range<usize> {
    i * size / out..((i + 1) * size).div_ceil(out)
}

/// Calls `f` with the window of each output pixel: its number, its rows and its columns.
fn each_window([in_h, in_w]: [usize; 2], [out_h, out_w]: [usize; 2], mut f: impl FnMut(usize, Range<usize>, Range<usize>)) {
    for row in 0..out_h {
        for column in 0..out_w {
            f(row * out_w + column, window(row, in_h, out_h), window(column, in_w, out_w));
        }
    }
}

/// `[N, H, W, C]` → `[N, out_h, out_w, C]`, the mean of each window.
///
/// # Panics
/// If the lengths are not those of the sizes: a bug of the caller.
pub fn adaptive_forward([batch, in_h, in_w, c]: [usize; 4], out: [usize; 2], x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), batch * in_h * in_w * c, "the input of an adaptive pooling has its sizes");
    assert_eq!(y.len(), batch * out[0] * out[1] * c, "the output of an adaptive pooling has its sizes");
    let input = in_h * in_w * c;
    each_picture(y, out[0] * out[1] * c, |n, y| {
        let x = &x[n * input..][..input];
        each_window([in_h, in_w], out, |pixel, rows, columns| {
            let y = &mut y[pixel * c..][..c];
            y.fill(0.0);
            let scale = 1.0 / (rows.len() * columns.len()).max(1) as f32;
            for row in rows {
                for x in x[(row * in_w + columns.start) * c..(row * in_w + columns.end) * c].chunks_exact(c) {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                }
            }
            y.iter_mut().for_each(|y| *y *= scale);
        });
    });
}

/// The gradient of [`adaptive_forward`], or added to `dx`.
///
/// # Panics
/// If the lengths are not those of the sizes: a bug of the caller.
pub fn adaptive_backward(
    [batch, in_h, in_w, c]: [usize; 4],
    out: [usize; 2],
    dy: &[f32],
    dx: &mut [f32],
    accumulate: Accumulate,
) {
    assert_eq!(dx.len(), batch * in_h * in_w * c, "the input of an adaptive pooling has its sizes");
    assert_eq!(dy.len(), batch * out[0] * out[1] * c, "the output of an adaptive pooling has its sizes");
    let output = out[0] * out[1] * c;
    each_picture(dx, in_h * in_w * c, |n, dx| {
        if accumulate == Accumulate::Set {
            dx.fill(0.0);
        }
        let dy = &dy[n * output..][..output];
        each_window([in_h, in_w], out, |pixel, rows, columns| {
            let dy = &dy[pixel * c..][..c];
            let scale = 1.0 / (rows.len() * columns.len()).max(1) as f32;
            for row in rows {
                for dx in dx[(row * in_w + columns.start) * c..(row * in_w + columns.end) * c].chunks_exact_mut(c) {
                    dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += scale * dy);
                }
            }
        });
    });
}
