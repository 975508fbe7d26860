//! Eigenvalues and powers of symmetric matrices, by Jacobi's rotations.

/// Eigenvalues and eigenvectors of a symmetric matrix (Golub and Van Loan 2013, section 8.5.3).
pub(crate) struct SymmetricEigen {
    n: usize,
    values: Vec<f64>,
    /// Row `i` is the eigenvector of value `i`.
    vectors: Vec<f64>,
}

/// Sweeps after which rotations end in any case; some eight are enough.
const SWEEPS: usize = 30;

impl SymmetricEigen {
    /// Decomposes the matrix `a` of `n` rows.
    pub(crate) fn new(a: &[f64], n: usize) -> SymmetricEigen {
        let mut a = a.to_vec();
        let mut vectors = vec![0.0; n * n];
        (0..n).for_each(|i| vectors[i * n + i] = 1.0);
        let size: f64 = a.iter().map(|x| x * x).sum();
        for _ in 0..SWEEPS {
            let off: f64 = (0..n).map(|i| (0..i).map(|j| a[i * n + j] * a[i * n + j]).sum::<f64>()).sum();
            if off <= 1e-26 * size {
                break;
            }
            for p in 0..n {
                for q in p + 1..n {
                    rotate(&mut a, &mut vectors, [p, q], n);
                }
            }
        }
        SymmetricEigen { n, values: (0..n).map(|i| a[i * n + i]).collect(), vectors }
    }

    /// Returns the eigenvalues, largest first, with their eigenvectors of unit length.
    pub(crate) fn sorted(&self) -> Vec<(f64, &[f64])> {
        let mut pairs: Vec<_> = self.values.iter().copied().zip(self.vectors.chunks_exact(self.n.max(1))).collect();
        pairs.sort_by(|x, y| y.0.total_cmp(&x.0));
        pairs
    }

    /// Returns the matrix with its eigenvalues raised to a power; those below `smallest` times the largest count as zero, and
    /// stay it.
    pub(crate) fn power(&self, exponent: f64, smallest: f64) -> Vec<f64> {
        let n = self.n;
        let largest = self.values.iter().copied().fold(0.0, f64::max);
        let mut result = vec![0.0; n * n];
        for (value, vector) in self.values.iter().zip(self.vectors.chunks_exact(n.max(1))) {
            if *value <= smallest * largest || *value <= 0.0 {
                continue;
            }
            let power = value.powf(exponent);
            for (row, left) in result.chunks_exact_mut(n).zip(vector) {
                row.iter_mut().zip(vector).for_each(|(sum, right)| *sum += power * left * right);
            }
        }
        result
    }
}

/// Makes the element at `[p, q]` zero. Both triangles are kept, so that only rows are walked.
fn rotate(a: &mut [f64], vectors: &mut [f64], [p, q]: [usize; 2], n: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let (app, aqq) = (a[p * n + p], a[q * n + q]);
    let theta = (aqq - app) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    let turn = |rows: &mut [f64]| {
        let (before, after) = rows.split_at_mut(q * n);
        for (x, y) in before[p * n..][..n].iter_mut().zip(&mut after[..n]) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    };
    turn(a);
    turn(vectors);
    for row in a.chunks_exact_mut(n) {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (c * x - s * y, s * x + c * y);
    }
}

/// Multiplies two square matrices of `n` rows.
pub(crate) fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut c = vec![0.0; n * n];
    for (row, a) in c.chunks_exact_mut(n).zip(a.chunks_exact(n)) {
        for (a, b) in a.iter().zip(b.chunks_exact(n)) {
            row.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
    }
    c
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
            let eigen = SymmetricEigen::new(&a, n);
            let pairs = eigen.sorted();
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
        assert!(SymmetricEigen::new(&[0.0; 4], 2).sorted().iter().all(|(value, _)| *value == 0.0));
    }
}
