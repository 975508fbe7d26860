//! The definition of the matrix product.

use super::matrix::{Matrix, MatrixMut, assert_sizes};
use crate::Accumulate;

/// Computes the product as it is defined, summed in `f64`, for tests.
///
/// # Panics
/// If the sizes do not agree.
pub fn naive(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: Accumulate) {
    assert_sizes(a.size(), b.size(), c.size());
    for i in 0..c.rows {
        for j in 0..c.cols {
            let product: f64 = (0..a.cols).map(|k| f64::from(a.at(i, k)) * f64::from(b.at(k, j))).sum();
            let element = &mut c.data[i * c.row_stride + j];
            *element = match accumulate {
                Accumulate::Set => product as f32,
                Accumulate::Add => (f64::from(*element) + product) as f32,
            };
        }
    }
}
