//! Batched matrix products: pairs of matrices that lie one behind the other, a pair for each sample.
//!
//! Every product goes to [`gemm`]. Small ones, which it would not cut, are shared among the threads by their number; large
//! ones are computed in turn, each on all threads. A thread takes of its scratch memory what one product takes
//! ([`gemm_scratch`](crate::gemm::gemm_scratch)).

use ocelli_simd::InstructionSet;

use crate::gemm::{Matrix, MatrixMut, Order, PARALLEL_FLOPS, gemm};
use crate::parallel::each_piece;
use crate::{Accumulate, Epilogue};

/// Fewest floating-point operations of a piece: some 5 µs, against one or two for handing it out.
const PIECE_FLOPS: usize = 500_000;

/// Elements of a right operand from which on [`gemm`] packs it on several threads. Such products are not shared among
/// threads: a task that waits while it holds scratch memory would be handed another that takes more.
const PARALLEL_PACK: usize = 1 << 16;

/// Largest multiple to which the columns of a packed operand are filled up.
const PANEL: usize = 32;

/// Row-major matrices of one size, one behind the other, or one that is in every pair.
#[derive(Clone, Copy, Debug)]
pub struct Matrices<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    order: Order,
}

impl<'a> Matrices<'a> {
    /// Creates the matrices `[rows, columns]` of which `data` consists; a single one is in every pair.
    ///
    /// # Panics
    /// If `data` does not consist of whole matrices.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        let whole = data.len().is_multiple_of((rows * columns).max(1));
        assert!(whole, "{} elements are no whole matrices of {rows} by {columns}", data.len());
        Self { data, rows, columns, order: Order::RowMajor }
    }

    /// Returns the transposed views; nothing is moved.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { order: self.order.transposed(), ..self }
    }

    /// Returns rows and columns of a view.
    fn sizes(&self) -> [usize; 2] {
        if self.order == Order::RowMajor { [self.rows, self.columns] } else { [self.columns, self.rows] }
    }

    fn is_shared(&self) -> bool {
        self.data.len() == self.rows * self.columns
    }

    fn get(&self, index: usize) -> Matrix<'a> {
        let first = if self.is_shared() { 0 } else { index * self.rows * self.columns };
        let matrix = Matrix::new(&self.data[first..][..self.rows * self.columns], self.rows, self.columns);
        if self.order == Order::RowMajor { matrix } else { matrix.transposed() }
    }
}

/// Returns rows, depth and columns of a product.
fn product_sizes(a: &Matrices<'_>, b: &Matrices<'_>) -> [usize; 3] {
    let ([rows, depth], [b_rows, columns]) = (a.sizes(), b.sizes());
    assert_eq!(depth, b_rows, "the left matrices have as many columns as the right ones have rows");
    [rows, depth, columns]
}

/// Computes `y[i] (+)= a[i]·b[i]` for each of the matrices that `y` consists of.
pub fn products(a: Matrices<'_>, b: Matrices<'_>, y: &mut [f32], accumulate: Accumulate) {
    let [rows, depth, columns] = product_sizes(&a, &b);
    let size = rows * columns;
    if y.is_empty() || size == 0 {
        return;
    }
    assert!(y.len().is_multiple_of(size), "the result consists of whole matrices");
    let one = |index: usize, y: &mut [f32]| {
        gemm(a.get(index), b.get(index), MatrixMut::new(y, rows, columns), &Epilogue::of(accumulate));
    };
    let flops = rows.saturating_mul(columns).saturating_mul(depth).saturating_mul(2).max(1);
    let packed = depth * columns.next_multiple_of(PANEL);
    let large = flops >= PARALLEL_FLOPS || packed >= PARALLEL_PACK;
    if large || flops.saturating_mul(y.len() / size) < PARALLEL_FLOPS {
        return y.chunks_exact_mut(size).enumerate().for_each(|(index, y)| one(index, y));
    }
    let set = InstructionSet::current();
    let piece = (PIECE_FLOPS / flops).max(1);
    each_piece(y, piece * size, &|number, y| {
        set.scoped(|| y.chunks_exact_mut(size).enumerate().for_each(|(i, y)| one(number * piece + i, y)));
    });
}

/// Computes `y (+)= Σ a[i]·b[i]` over `count` pairs, in their order: the gradient of a matrix that was in every pair.
pub fn sum_of_products(count: usize, a: Matrices<'_>, b: Matrices<'_>, y: &mut [f32], accumulate: Accumulate) {
    let [rows, _, columns] = product_sizes(&a, &b);
    if count == 0 && accumulate == Accumulate::Set {
        y.fill(0.0);
    }
    for index in 0..count {
        let accumulate = if index == 0 { accumulate } else { Accumulate::Add };
        gemm(a.get(index), b.get(index), MatrixMut::new(y, rows, columns), &Epilogue::of(accumulate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::{assert_same_bits_on_any_threads, numbers, on_every_set};
    use proptest::prelude::*;

    /// Returns the `f64` sum for element `(i, j)` of product `index`.
    fn element(a: &Matrices<'_>, b: &Matrices<'_>, index: usize, i: usize, j: usize) -> f64 {
        let (a, b) = (a.get(index), b.get(index));
        (0..a.column_count()).map(|k| f64::from(a.at(i, k)) * f64::from(b.at(k, j))).sum()
    }

    /// Creates a view of `rows × columns` on a matrix that is stored in `order`.
    fn view(data: &[f32], [rows, columns]: [usize; 2], order: Order) -> Matrices<'_> {
        match order {
            Order::RowMajor => Matrices::new(data, rows, columns),
            Order::ColumnMajor => Matrices::new(data, columns, rows).transposed(),
        }
    }

    fn check(count: usize, [m, k, n]: [usize; 3], orders: [Order; 2], shared: [bool; 2]) {
        let held = |shared: bool| if shared { 1 } else { count };
        let (a, b) = (numbers(held(shared[0]) * m * k, 1), numbers(held(shared[1]) * k * n, 2));
        let (a, b) = (view(&a, [m, k], orders[0]), view(&b, [k, n], orders[1]));
        let before = numbers(count * m * n, 3);
        let bound = 1e-5 * (k as f64 + 1.0);
        on_every_set(|set| {
            let (mut y, mut sum) = (before.clone(), before[..m * n].to_vec());
            products(a, b, &mut y, Accumulate::Add);
            sum_of_products(count, a, b, &mut sum, Accumulate::Set);
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let each = |index: usize| element(&a, &b, index, i, j);
                for index in 0..count {
                    let at = (index * m + i) * n + j;
                    let expected = f64::from(before[at]) + each(index);
                    assert!((f64::from(y[at]) - expected).abs() < bound, "{set} {count}×{m}×{k}×{n}");
                }
                let expected: f64 = (0..count).map(each).sum();
                assert!((f64::from(sum[i * n + j]) - expected).abs() < bound * count as f64, "{set}");
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn drawn_products(
            count in 1usize..5, m in 1usize..20, k in 0usize..20, n in 1usize..40, a: bool, b: bool, shared in 0usize..3
        ) {
            let order = |transposed| if transposed { Order::ColumnMajor } else { Order::RowMajor };
            check(count, [m, k, n], [order(a), order(b)], [shared == 1, shared == 2]);
        }
    }

    #[test]
    fn many_products_have_the_same_bits_on_any_threads() {
        let (a, b) = (numbers(40 * 48 * 32, 1), numbers(40 * 32 * 48, 2));
        assert_same_bits_on_any_threads(40 * 48 * 48, &|y| {
            products(Matrices::new(&a, 48, 32), Matrices::new(&b, 32, 48), y, Accumulate::Set);
        });
    }
}
