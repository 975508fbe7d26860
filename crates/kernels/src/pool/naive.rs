//! The definition of the poolings, with sums in `f64`, for tests. Not fast.

use super::{AdaptiveGeometry, CountPadding, PoolGeometry};

/// A pixel of a window: its position in the input, and its index in the window.
struct Pixel {
    row: usize,
    column: usize,
    number: usize,
}

/// Returns the pixels of the input in the window of an output, row by row.
fn window(g: &PoolGeometry, oy: usize, ox: usize) -> impl Iterator<Item = Pixel> {
    let g = *g;
    (0..g.kernel_h * g.kernel_w).filter_map(move |number| {
        let row = (oy * g.stride_h + number / g.kernel_w).checked_sub(g.pad_top)?;
        let column = (ox * g.stride_w + number % g.kernel_w).checked_sub(g.pad_left)?;
        (row < g.in_h && column < g.in_w).then_some(Pixel { row, column, number })
    })
}

/// Calls `f(output, n, oy, ox, c)` for every output.
fn outputs([batch, height, width, channels]: [usize; 4], mut f: impl FnMut(usize, usize, usize, usize, usize)) {
    for output in 0..batch * height * width * channels {
        let (pixel, c) = (output / channels, output % channels);
        f(output, pixel / (height * width), pixel / width % height, pixel % width, c);
    }
}

/// Computes `y` and the indices of [`max_forward`](super::max_forward).
pub fn max_forward(g: &PoolGeometry, x: &[f32], y: &mut [f32], indices: &mut [f32]) {
    outputs([g.batch, g.out_h, g.out_w, g.channels], |output, n, oy, ox, c| {
        let mut best: Option<(f32, usize)> = None;
        for pixel in window(g, oy, ox) {
            let value = x[((n * g.in_h + pixel.row) * g.in_w + pixel.column) * g.channels + c];
            if best.is_none_or(|(largest, _)| value > largest || value.is_nan()) {
                best = Some((value, pixel.number));
            }
        }
        let (value, number) = best.expect("every window covers a pixel");
        y[output] = value;
        indices[output] = number as f32;
    });
}

/// Computes `y` of [`average_forward`](super::average_forward).
pub fn average_forward(g: &PoolGeometry, count: CountPadding, x: &[f32], y: &mut [f64]) {
    outputs([g.batch, g.out_h, g.out_w, g.channels], |output, n, oy, ox, c| {
        let mut sum = 0.0;
        let mut pixels = 0;
        for pixel in window(g, oy, ox) {
            sum += f64::from(x[((n * g.in_h + pixel.row) * g.in_w + pixel.column) * g.channels + c]);
            pixels += 1;
        }
        let padded_h = g.in_h + g.pad_top + g.pad_bottom;
        let padded_w = g.in_w + g.pad_left + g.pad_right;
        let divisor = match count {
            CountPadding::Exclude => pixels,
            CountPadding::Include => (0..g.kernel_h * g.kernel_w)
                .filter(|number| oy * g.stride_h + number / g.kernel_w < padded_h)
                .filter(|number| ox * g.stride_w + number % g.kernel_w < padded_w)
                .count(),
        };
        y[output] = sum / divisor as f64;
    });
}

/// Computes `y` of [`adaptive_forward`](super::adaptive_forward).
pub fn adaptive_forward(g: &AdaptiveGeometry, x: &[f32], y: &mut [f64]) {
    let range = |o: usize, input: usize, output: usize| {
        let edge = |o: usize| o as f64 * input as f64 / output as f64;
        edge(o).floor() as usize..edge(o + 1).ceil() as usize
    };
    outputs([g.batch, g.out_h, g.out_w, g.channels], |output, n, oy, ox, c| {
        let (mut sum, mut pixels) = (0.0, 0);
        for row in range(oy, g.in_h, g.out_h) {
            for column in range(ox, g.in_w, g.out_w) {
                sum += f64::from(x[((n * g.in_h + row) * g.in_w + column) * g.channels + c]);
                pixels += 1;
            }
        }
        y[output] = sum / f64::from(pixels);
    });
}
