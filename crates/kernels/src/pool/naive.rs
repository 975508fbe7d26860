//! The definition of pooling: plain loops, sums in `f64`.

use super::{CountPadding, PoolGeometry, average::divisor};

/// Calls `f` with each output place, the place in its window, and the input place.
fn each_pixel(g: &PoolGeometry, mut f: impl FnMut(usize, usize, usize)) {
    let s = &g.settings;
    for n in 0..g.batch {
        for out_row in 0..g.out_h {
            for out_column in 0..g.out_w {
                for row in 0..s.kernel_h {
                    for column in 0..s.kernel_w {
                        let in_row = (out_row * s.stride_h + row).checked_sub(s.pad_top);
                        let in_column = (out_column * s.stride_w + column).checked_sub(s.pad_left);
                        let (Some(in_row), Some(in_column)) = (in_row, in_column) else { continue };
                        if in_row >= g.in_h || in_column >= g.in_w {
                            continue;
                        }
                        for c in 0..g.channels {
                            f(
                                ((n * g.out_h + out_row) * g.out_w + out_column) * g.channels + c,
                                row * s.kernel_w + column,
                                ((n * g.in_h + in_row) * g.in_w + in_column) * g.channels + c,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The largest number of each window, and its place in the window.
pub fn max_forward(g: &PoolGeometry, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut y = vec![f32::NEG_INFINITY; g.output_len()];
    let mut places = vec![0.0; g.output_len()];
    each_pixel(g, |out, place, input| {
        if x[input] > y[out] || x[input].is_nan() {
            (y[out], places[out]) = (x[input], place as f32);
        }
    });
    (y, places)
}

/// The gradient of the maximum, for the places that [`max_forward`] found.
pub fn max_backward(g: &PoolGeometry, dy: &[f32], places: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0f64; g.input_len()];
    each_pixel(g, |out, place, input| {
        if places[out] == place as f32 {
            dx[input] += f64::from(dy[out]);
        }
    });
    dx.into_iter().map(|v| v as f32).collect()
}

/// The mean of each window.
pub fn average_forward(g: &PoolGeometry, count: CountPadding, x: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0f64; g.output_len()];
    each_pixel(g, |out, _, input| sums[out] += f64::from(x[input]));
    let divide = |(out, sum): (usize, f64)| {
        let pixel = out / g.channels.max(1);
        let divisor = divisor(g, count, pixel / g.out_w % g.out_h, pixel % g.out_w);
        (sum / f64::from(divisor)) as f32
    };
    sums.into_iter().enumerate().map(divide).collect()
}
