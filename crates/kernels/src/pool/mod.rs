//! Pooling over `[N, H, W, C]`: maximum, average, adaptive average.
//!
//! A pooling is described by a [`PoolGeometry`], checked when it is made. Kernels are vectorised over channels; work is cut
//! by pictures, so that backward, where windows overlap, never writes to another task's picture. [`naive`] is the
//! definition. Global average pooling is a [`sum`](crate::reduce::sum).

mod adaptive;
mod average;
mod geometry;
mod max;
pub mod naive;
#[cfg(test)]
mod tests;

pub use adaptive::{adaptive_backward, adaptive_forward};
pub use average::{CountPadding, average_backward, average_forward};
pub use geometry::{PoolError, PoolGeometry, PoolSettings, Rounding};
pub use max::{max_backward, max_forward};

use ocelli_simd::Isa;
use rayon::prelude::*;

use crate::elementwise::chunks::CHUNK;

/// Calls `f` with each picture of `y` and its number; on several threads if there is enough work.
fn each_picture(y: &mut [f32], picture: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    if picture == 0 {
        return;
    }
    let per_task = (CHUNK / picture).max(1);
    if y.len() <= CHUNK {
        return y.chunks_exact_mut(picture).enumerate().for_each(|(n, y)| f(n, y));
    }
    y.par_chunks_mut(picture * per_task).enumerate().for_each(|(task, y)| {
        y.chunks_exact_mut(picture).enumerate().for_each(|(n, y)| f(task * per_task + n, y));
    });
}

/// A vector of at most `LANES` channels from `at` on.
#[inline(always)]
fn load_channels<I: Isa>(isa: I, x: &[f32], at: usize, lanes: usize) -> I::Vector {
    let x = &x[at..at + lanes];
    if lanes == I::LANES { isa.load(x) } else { isa.load_partial(x) }
}

/// Writes the first `lanes` lanes.
#[inline(always)]
fn store_channels<I: Isa>(isa: I, v: I::Vector, y: &mut [f32], at: usize, lanes: usize) {
    let y = &mut y[at..at + lanes];
    if lanes == I::LANES { isa.store(v, y) } else { isa.store_partial(v, y) }
}
