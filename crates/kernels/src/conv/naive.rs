//! The definition of convolution: plain loops, sums in `f64`. Slow, and the judge of every other algorithm.

use super::algorithm::{Algorithm, Pass, assert_operands};
use super::geometry::Conv2dGeometry;
use crate::{Accumulate, Epilogue};

/// [`conv2d_forward`], [`conv2d_backward_data`] and [`conv2d_backward_filter`] as an [`Algorithm`].
#[derive(Clone, Copy, Debug)]
pub struct Naive;

/// Computes `y[n, p, o] = bias[o] + Σ x[n, p·stride + k·dilation − pad, c] · w[k, c, o]` over the taps `k` and the
/// channels `c` of the group of `o`; then applies the epilogue.
pub fn conv2d_forward(g: &Conv2dGeometry, x: &[f32], w: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    assert_operands(g, x, w, y);
    epilogue.assert_fits(y.len(), g.out_c);
    for n in 0..g.batch {
        for row in 0..g.out_h {
            for column in 0..g.out_w {
                for o in 0..g.out_c {
                    let index = output_index(g, n, row, column, o);
                    let mut sum = epilogue.start(y[index], index, o);
                    for tap_row in 0..g.kernel_h {
                        let Some(in_row) = g.input_row(row, tap_row) else { continue };
                        for tap_column in 0..g.kernel_w {
                            let Some(in_column) = g.input_column(column, tap_column) else { continue };
                            for c in 0..g.group_in_c() {
                                let x = x[input_index(g, n, in_row, in_column, o, c)];
                                let w = w[filter_index(g, tap_row, tap_column, c, o)];
                                sum += f64::from(x) * f64::from(w);
                            }
                        }
                    }
                    y[index] = epilogue.activation.apply(sum as f32);
                }
            }
        }
    }
}

/// Computes `dx[n, q, c] = Σ dy[n, p, o] · w[k, c, o]` over all `p`, `k` and `o` for which `y[n, p, o]` reads
/// `x[n, q, c]` through `w[k, c, o]`.
pub fn conv2d_backward_data(g: &Conv2dGeometry, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_operands(g, dx, w, dy);
    let mut sums = vec![0.0_f64; dx.len()];
    for n in 0..g.batch {
        for row in 0..g.out_h {
            for column in 0..g.out_w {
                for o in 0..g.out_c {
                    let dy = f64::from(dy[output_index(g, n, row, column, o)]);
                    for tap_row in 0..g.kernel_h {
                        let Some(in_row) = g.input_row(row, tap_row) else { continue };
                        for tap_column in 0..g.kernel_w {
                            let Some(in_column) = g.input_column(column, tap_column) else { continue };
                            for c in 0..g.group_in_c() {
                                let w = w[filter_index(g, tap_row, tap_column, c, o)];
                                sums[input_index(g, n, in_row, in_column, o, c)] += dy * f64::from(w);
                            }
                        }
                    }
                }
            }
        }
    }
    store(&sums, dx, accumulate);
}

/// Computes `dw[k, c, o] = Σ x[n, p·stride + k·dilation − pad, c] · dy[n, p, o]` over the batch and all windows `p`.
pub fn conv2d_backward_filter(g: &Conv2dGeometry, x: &[f32], dy: &[f32], dw: &mut [f32], accumulate: Accumulate) {
    assert_operands(g, x, dw, dy);
    let mut sums = vec![0.0_f64; dw.len()];
    for n in 0..g.batch {
        for row in 0..g.out_h {
            for column in 0..g.out_w {
                for o in 0..g.out_c {
                    let dy = f64::from(dy[output_index(g, n, row, column, o)]);
                    for tap_row in 0..g.kernel_h {
                        let Some(in_row) = g.input_row(row, tap_row) else { continue };
                        for tap_column in 0..g.kernel_w {
                            let Some(in_column) = g.input_column(column, tap_column) else { continue };
                            for c in 0..g.group_in_c() {
                                let x = x[input_index(g, n, in_row, in_column, o, c)];
                                sums[filter_index(g, tap_row, tap_column, c, o)] += f64::from(x) * dy;
                            }
                        }
                    }
                }
            }
        }
    }
    store(&sums, dw, accumulate);
}

/// Returns the index of channel `c` of the group that output channel `o` belongs to.
fn input_index(g: &Conv2dGeometry, n: usize, row: usize, column: usize, o: usize, c: usize) -> usize {
    let group = o / g.group_out_c();
    ((n * g.in_h + row) * g.in_w + column) * g.in_c + group * g.group_in_c() + c
}

fn filter_index(g: &Conv2dGeometry, tap_row: usize, tap_column: usize, c: usize, o: usize) -> usize {
    ((tap_row * g.kernel_w + tap_column) * g.group_in_c() + c) * g.out_c + o
}

fn output_index(g: &Conv2dGeometry, n: usize, row: usize, column: usize, o: usize) -> usize {
    ((n * g.out_h + row) * g.out_w + column) * g.out_c + o
}

fn store(sums: &[f64], destination: &mut [f32], accumulate: Accumulate) {
    for (element, &sum) in destination.iter_mut().zip(sums) {
        *element = match accumulate {
            Accumulate::Set => sum as f32,
            Accumulate::Add => (f64::from(*element) + sum) as f32,
        };
    }
}

impl Algorithm for Naive {
    fn name(&self) -> &'static str {
        "naive"
    }

    fn supports(&self, _g: &Conv2dGeometry, _pass: Pass) -> bool {
        true
    }

    fn cost(&self, g: &Conv2dGeometry, _pass: Pass) -> f64 {
        // Scalar arithmetic in f64 with an index computed for each product.
        25.0 * g.macs() as f64
    }

    fn workspace(&self, _g: &Conv2dGeometry, _pass: Pass) -> usize {
        0
    }

    fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        w: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        _workspace: &mut [f32],
    ) {
        conv2d_forward(g, x, w, epilogue, y);
    }

    fn backward_data(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        w: &[f32],
        dx: &mut [f32],
        accumulate: Accumulate,
        _workspace: &mut [f32],
    ) {
        conv2d_backward_data(g, dy, w, dx, accumulate);
    }

    fn backward_filter(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        accumulate: Accumulate,
        _workspace: &mut [f32],
    ) {
        conv2d_backward_filter(g, x, dy, dw, accumulate);
    }
}
