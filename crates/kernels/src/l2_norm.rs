//! Rows divided by their Euclidean norms, as `torch.nn.functional.normalize` defines it.

use crate::Accumulate;
use crate::elementwise::chunks::{in_pieces, rows_piece};

/// Partial sums of a row, for as many additions under way at once.
const LANES: usize = 8;

/// The normalisation of rows by their Euclidean norms, bounded below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L2Norm {
    /// Number of elements of a row.
    pub row: usize,
    /// Least divisor `ε`, above zero.
    pub epsilon: f32,
}

impl L2Norm {
    /// Returns the divisor of a row, `max(‖x‖, ε)`, and true if that is its norm. The squares are added in `f64`, where
    /// those of no `f32` overflow.
    fn divisor(&self, x: &[f32]) -> (f64, bool) {
        let (norm, epsilon) = (dot(x, x).sqrt(), f64::from(self.epsilon));
        if norm <= epsilon { (epsilon, false) } else { (norm, true) }
    }
}

/// Returns `Σ a[i]·b[i]`.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
        sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }
    sums.iter().sum()
}

/// Computes `y = x / max(‖x‖, ε)`, row by row.
pub fn l2_norm_forward(g: &L2Norm, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "a normalised row has its source's length");
    let row = g.row.max(1);
    in_pieces(y, rows_piece(row, 4 * row), |start, y| {
        for (y, x) in y.chunks_exact_mut(row).zip(x[start..].chunks_exact(row)) {
            let (divisor, _) = g.divisor(x);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = (f64::from(*x) / divisor) as f32);
        }
    });
}

/// Computes `dx (+)= (dy − x·⟨x, dy⟩/‖x‖²) / ‖x‖` row by row, or `dy / ε` where the norm is not above `ε`.
pub fn l2_norm_backward(g: &L2Norm, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    assert_eq!([x.len(), dy.len()], [dx.len(); 2], "gradients have the length of what they are of");
    let row = g.row.max(1);
    in_pieces(dx, rows_piece(row, 8 * row), |start, dx| {
        let sources = x[start..].chunks_exact(row).zip(dy[start..].chunks_exact(row));
        for (dx, (x, dy)) in dx.chunks_exact_mut(row).zip(sources) {
            let (divisor, is_norm) = g.divisor(x);
            let along = if is_norm { dot(x, dy) / (divisor * divisor) } else { 0.0 };
            for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                let gradient = ((f64::from(*dy) - f64::from(*x) * along) / divisor) as f32;
                *dx = if accumulate == Accumulate::Add { *dx + gradient } else { gradient };
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers};

    #[test]
    fn rows_have_norm_one_and_small_ones_less() {
        let g = L2Norm { row: 19, epsilon: 1e-6 };
        let x = numbers(19 * 7, 1);
        let mut y = vec![0.0; x.len()];
        l2_norm_forward(&g, &x, &mut y);
        for (y, x) in y.chunks(19).zip(x.chunks(19)) {
            let norm = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            y.iter().zip(x).for_each(|(y, x)| assert_near(*y, f64::from(*x) / norm, 1e-6, "a row"));
        }
        // Squares that overflow in `f32`, a row of zeros, and one below the bound.
        let (g, large) = (L2Norm { row: 2, epsilon: 0.5 }, 2f32.powi(100));
        let x = [3.0 * large, -4.0 * large, 0.0, 0.0, 0.0, 0.25];
        let mut y = [0.0; 6];
        l2_norm_forward(&g, &x, &mut y);
        assert_eq!(y, [0.6, -0.8, 0.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn the_gradient_is_that_of_differences_and_finite_at_zero() {
        let g = L2Norm { row: 5, epsilon: 0.25 };
        let mut x = numbers(15, 3);
        x[5..10].fill(0.0);
        let dy = numbers(15, 4);
        let mut dx = vec![1.0; 15];
        l2_norm_backward(&g, &x, &dy, &mut dx, Accumulate::Add);
        assert!(dx[5..10].iter().zip(&dy[5..10]).all(|(dx, dy)| *dx == 1.0 + dy * 4.0), "dy / ε");
        let loss = |x: &[f32]| {
            let mut y = vec![0.0; 15];
            l2_norm_forward(&g, x, &mut y);
            crate::elementwise::testing::dot(&y, &dy)
        };
        for (i, got) in dx.iter().enumerate() {
            let at = |offset: f32| {
                let mut x = x.clone();
                x[i] += offset;
                loss(&x)
            };
            assert_near(got - 1.0, (at(5e-3) - at(-5e-3)) / 1e-2, 2e-3, i);
        }
    }

    #[test]
    fn many_rows_have_the_same_bits_on_any_threads() {
        let (x, dy) = (numbers(100 * 999, 1), numbers(100 * 999, 2));
        let g = L2Norm { row: 100, epsilon: 1e-6 };
        assert_same_bits_on_any_threads(x.len(), &|y| l2_norm_forward(&g, &x, y));
        assert_same_bits_on_any_threads(x.len(), &|dx| l2_norm_backward(&g, &x, &dy, dx, Accumulate::Set));
    }
}
