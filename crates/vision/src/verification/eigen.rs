//! Eigenvalues of symmetric matrices.

/// Most sweeps of Jacobi's method: convergence is quadratic, and some ten suffice.
const SWEEPS: usize = 60;

/// Computes the eigenvalues of a symmetric matrix `[n, n]`, largest first, and its eigenvectors of unit length, by Jacobi's
/// cyclic rotations (Golub and Van Loan 2013, section 8.5).
pub(super) fn symmetric_eigen(matrix: &[f64], n: usize) -> Vec<(f64, Vec<f64>)> {
    let mut a = matrix.to_vec();
    // Row i of `vectors` becomes the eigenvector of value i.
    let mut vectors: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
    let scale: f64 = a.iter().map(|x| x * x).sum::<f64>();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= 1e-26 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut pairs: Vec<(f64, Vec<f64>)> = (0..n).map(|i| (a[i * n + i], vectors[i * n..][..n].to_vec())).collect();
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0));
    pairs
}

/// Rotates rows and columns `p` and `q`, so that their common element becomes zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let off = a[p * n + q];
    if off == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    for k in 0..n {
        (a[k * n + p], a[k * n + q]) = turn(a[k * n + p], a[k * n + q]);
    }
    for k in 0..n {
        (a[p * n + k], a[q * n + k]) = turn(a[p * n + k], a[q * n + k]);
        (vectors[p * n + k], vectors[q * n + k]) = turn(vectors[p * n + k], vectors[q * n + k]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_tensor::Key;

    #[test]
    fn values_and_vectors_give_the_matrix() {
        for n in [1, 2, 5, 30] {
            let mut random = Key::new(n as u64).stream();
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..=i {
                    a[i * n + j] = f64::from(random.normal());
                    a[j * n + i] = a[i * n + j];
                }
            }
            let pairs = symmetric_eigen(&a, n);
            assert!(pairs.windows(2).all(|w| w[0].0 >= w[1].0));
            for (value, vector) in &pairs {
                let norm: f64 = vector.iter().map(|x| x * x).sum();
                assert!((norm - 1.0).abs() < 1e-10);
                for i in 0..n {
                    let image: f64 = (0..n).map(|j| a[i * n + j] * vector[j]).sum();
                    assert!((image - value * vector[i]).abs() < 1e-9, "{n}: {image} for {}", value * vector[i]);
                }
            }
        }
        assert!(symmetric_eigen(&[0.0; 4], 2).iter().all(|(value, _)| *value == 0.0));
    }
}
