use proptest::prelude::*;

use ocelli_simd::InstructionSet;

use super::*;
use crate::cache::testing::on_other_caches;
use crate::scratch::recorder::taken_here;
use crate::{Accumulate, Activation, Epilogue};

/// Numbers in [-1, 1) that depend on `seed` alone.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// `|sum - exact| <= 2 k ε Σ|a||b|`: k rounded products and additions, with a factor for the last addition to `c`.
fn assert_close(m: usize, k: usize, n: usize, a: &[f32], b: &[f32], got: &[f32], exact: &[f32]) {
    for i in 0..m {
        for j in 0..n {
            let magnitude: f32 = (0..k).map(|t| (a[i * k + t] * b[t * n + j]).abs()).sum();
            let bound = 2.0 * (k + 1) as f32 * f32::EPSILON * (magnitude + 1.0);
            let difference = (got[i * n + j] - exact[i * n + j]).abs();
            assert!(difference <= bound, "[{m}, {k}] x [{k}, {n}] at ({i}, {j}): {difference} > {bound}");
        }
    }
}

type Product = fn(Matrix<'_>, Matrix<'_>, MatrixMut<'_>, Accumulate);

fn own(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: Accumulate) {
    gemm(a, b, c, &Epilogue::of(accumulate));
}

fn packed(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: Accumulate) {
    let mut data = vec![f32::NAN; packed_len(b.row_count(), b.column_count())];
    let b = PackedMatrix::pack(b, &mut data);
    gemm_packed(a, &b, c, &Epilogue::of(accumulate));
}

const PRODUCTS: [Product; 4] = [own, packed, baseline::gemm, baseline::gemm_parallel];

/// Every product on every instruction set.
fn check((m, k, n): (usize, usize, usize), accumulate: Accumulate) {
    let (a, b, start) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
    let (left, right) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
    let mut exact = start.clone();
    naive(left, right, MatrixMut::new(&mut exact, m, n), accumulate);
    for set in InstructionSet::available() {
        for product in PRODUCTS {
            let mut got = start.clone();
            set.scoped(|| product(left, right, MatrixMut::new(&mut got, m, n), accumulate));
            assert_close(m, k, n, &a, &b, &got, &exact);
        }
    }
}

const SIZES: [(usize, usize, usize); 17] = [
    // So large a right operand is brought near panel by panel.
    (20, 701, 100),
    (1, 1000, 700),
    (5, 300, 129),
    (250, 520, 47),
    (13, 90, 8),
    (29, 64, 9),
    (500, 300, 200),
    (1, 1, 1),
    (0, 3, 2),
    (3, 0, 2),
    (2, 3, 0),
    (16, 16, 16),
    (17, 5, 33),
    (1, 700, 1),
    (784, 25, 6),
    (200, 300, 40),
    (3, 257, 1500),
];

#[test]
fn products_equal_the_definition() {
    for sizes in SIZES {
        for accumulate in [Accumulate::Set, Accumulate::Add] {
            check(sizes, accumulate);
        }
    }
}

#[test]
fn an_empty_sum_is_zero() {
    let mut c = [7.0; 6];
    own(Matrix::new(&[], 3, 0), Matrix::new(&[], 0, 2), MatrixMut::new(&mut c, 3, 2), Accumulate::Add);
    assert_eq!(c, [7.0; 6]);
    own(Matrix::new(&[], 3, 0), Matrix::new(&[], 0, 2), MatrixMut::new(&mut c, 3, 2), Accumulate::Set);
    assert_eq!(c, [0.0; 6]);
}

#[test]
fn set_does_not_read_the_destination() {
    let mut c = [f32::NAN; 4];
    let a = Matrix::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
    own(a, a, MatrixMut::new(&mut c, 2, 2), Accumulate::Set);
    assert_eq!(c, [7.0, 10.0, 15.0, 22.0]);
}

#[test]
fn same_bits_on_any_number_of_threads() {
    for (m, k, n) in [(700, 600, 64), (40, 64, 900), (1, 2000, 1000)] {
        let (a, b) = (numbers(4, m * k), numbers(5, k * n));
        let run = |threads| {
            let mut c = numbers(6, m * n);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
                own(a, b, MatrixMut::new(&mut c, m, n), Accumulate::Add);
            });
            c.iter().map(|c| c.to_bits()).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3) && one == run(8), "[{m}, {k}] x [{k}, {n}]");
    }
}

#[test]
#[should_panic(expected = "[2, 3] x [2, 2] does not give [2, 2]")]
fn sizes_that_disagree_panic() {
    let mut c = [0.0; 4];
    let (a, b) = (Matrix::new(&[0.0; 6], 2, 3), Matrix::new(&[0.0; 4], 2, 2));
    own(a, b, MatrixMut::new(&mut c, 2, 2), Accumulate::Set);
}

#[test]
#[should_panic(expected = "a strided 3x2 matrix reaches 10 of 9 elements")]
fn a_stride_past_the_slice_panics() {
    let _ = Matrix::strided(&[0.0; 9], 3, 2, 4, 1);
}

#[test]
fn thin_products_equal_the_definition() {
    for set in InstructionSet::available() {
        for (m, k, n) in [(8, 700, 600), (1, 520, 513), (32, 300, 1001), (5, 4000, 70), (3, 40, 9000)] {
            let (a, b, start) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
            let transposed: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            let bias = numbers(4, n);
            let epilogue =
                Epilogue { bias: Some(&bias), activation: Activation::Relu, ..Epilogue::of(Accumulate::Add) };
            let left = Matrix::new(&a, m, k);
            let mut exact = start.clone();
            naive(left, Matrix::new(&b, k, n), MatrixMut::new(&mut exact, m, n), Accumulate::Add);
            epilogue.apply(&mut exact, n);
            for right in [Matrix::new(&b, k, n), Matrix::new(&transposed, n, k).transposed()] {
                let run = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut got = start.clone();
                    // One element more than the matrix has.
                    got.push(7.0);
                    pool.install(|| {
                        let c = MatrixMut::new(&mut got, 1, m * n + 1).columns(0..m * n);
                        let c = MatrixMut { rows: m, cols: n, row_stride: n, ..c };
                        set.scoped(|| gemm(left, right, c, &epilogue));
                    });
                    assert_eq!(got.pop(), Some(7.0));
                    got
                };
                let got = run(1);
                assert_close(m, k, n, &a, &b, &got, &exact);
                assert!(got == run(2) && got == run(3), "[{m}, {k}] x [{k}, {n}] on several threads");
            }
        }
    }
}

/// A deep right operand of so few columns that it has no panel of two vectors, or one and a narrow one: the head of VGG-16
/// for ten classes.
#[test]
fn few_rows_and_columns_of_any_depth_equal_the_definition() {
    for set in InstructionSet::available() {
        for (k, n) in [(25_088, 10), (30_000, 1), (12, 3), (20_000, 16), (16_000, 33), (9000, 40), (5000, 70)] {
            let b = numbers(2, k * n);
            for m in 1..=5 {
                let a = numbers(1, m * k);
                let (mut got, mut exact) = (vec![f32::NAN; m * n], vec![0.0; m * n]);
                let (left, right) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
                set.scoped(|| packed(left, right, MatrixMut::new(&mut got, m, n), Accumulate::Set));
                naive(left, right, MatrixMut::new(&mut exact, m, n), Accumulate::Set);
                assert_close(m, k, n, &a, &b, &got, &exact);
            }
        }
    }
}

#[test]
fn an_epilogue_comes_after_the_whole_sum() {
    for set in InstructionSet::available() {
        for (m, k, n) in [(7, 600, 21), (1, 3, 5), (300, 270, 40), (4, 0, 3)] {
            let (a, b, start) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
            let (bias, residual) = (numbers(4, n), numbers(5, m * n));
            for activation in [Activation::Identity, Activation::Relu, Activation::Clamp { low: -0.5, high: 0.25 }] {
                let epilogue =
                    Epilogue { accumulate: Accumulate::Add, bias: Some(&bias), residual: Some(&residual), activation };
                let (mut got, mut exact) = (start.clone(), start.clone());
                let (left, right) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
                set.scoped(|| gemm(left, right, MatrixMut::new(&mut got, m, n), &epilogue));
                naive(left, right, MatrixMut::new(&mut exact, m, n), Accumulate::Add);
                epilogue.apply(&mut exact, n);
                assert_close(m, k, n, &a, &b, &got, &exact);
            }
        }
    }
}

proptest! {
    /// Views: columns and rows of larger matrices, transposed or not, into columns of a larger matrix.
    #[test]
    fn views_equal_the_definition(
        (m, k, n) in (0_usize..40, 0_usize..40, 0_usize..40),
        (skip_a, skip_b, skip_c) in (0_usize..3, 0_usize..3, 0_usize..3),
        (transpose_a, transpose_b) in (any::<bool>(), any::<bool>()),
        add in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let accumulate = if add { Accumulate::Add } else { Accumulate::Set };
        let a_data = numbers(seed, (m + skip_a) * (k + skip_a));
        let b_data = numbers(seed ^ 1, (k + skip_b) * (n + skip_b));
        let view = |data, rows, cols, skip: usize, transpose| {
            let whole = if transpose {
                Matrix::new(data, cols + skip, rows + skip).transposed()
            } else {
                Matrix::new(data, rows + skip, cols + skip)
            };
            whole.rows(skip..rows + skip).columns(0..cols)
        };
        let a = view(&a_data, m, k, skip_a, transpose_a);
        let b = view(&b_data, k, n, skip_b, transpose_b);
        let start = numbers(seed ^ 2, (m + 1) * (n + 2 * skip_c));
        let run = |product: Product| {
            let mut c = start.clone();
            let whole = MatrixMut::new(&mut c, m + 1, n + 2 * skip_c);
            product(a, b, whole.columns(skip_c..skip_c + n).rows(1..m + 1), accumulate);
            c
        };
        let exact = run(naive);
        for got in InstructionSet::available().flat_map(|set| PRODUCTS.map(|product| set.scoped(|| run(product)))) {
            for (index, (got, exact)) in got.iter().zip(&exact).enumerate() {
                let bound = 2.0 * (k + 1) as f32 * f32::EPSILON * (k + 1) as f32;
                prop_assert!((got - exact).abs() <= bound, "element {}: {} and {}", index, got, exact);
                let (row, column) = (index / (n + 2 * skip_c), index % (n + 2 * skip_c));
                if row == 0 || column < skip_c || column >= skip_c + n {
                    prop_assert_eq!(got.to_bits(), start[index].to_bits());
                }
            }
        }
    }
}

/// Caches of other machines: second level and last level.
const OTHER_CACHES: [(usize, usize); 3] = [(256 << 10, 2 << 20), (1 << 20, 32 << 20), (4 << 20, 1 << 30)];

#[test]
fn the_caches_decide_neither_the_bits_nor_what_is_promised() {
    for (m, k, n) in [(300, 300, 1300), (40, 1300, 1100), (700, 260, 70)] {
        let (a, b) = (numbers(1, m * k), numbers(2, k * n));
        let product = || {
            let promised = gemm_scratch([m, k, n], Order::RowMajor, Order::RowMajor);
            let (mut y, mut half) = (vec![0.0; m * n], vec![0.0; m * n]);
            let taken = taken_here(|| {
                let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
                gemm(a, b, MatrixMut::new(&mut y, m, n), &Epilogue::default());
            });
            assert_eq!(promised.or(taken), promised, "[{m}, {k}] x [{k}, {n}]: {taken:?}");
            let mut words = vec![0.0; bf16_len(k, n)];
            let b = Bf16Matrix::pack(Matrix::new(&b, k, n), &mut words);
            gemm_bf16(Matrix::new(&a, m, k), &b, MatrixMut::new(&mut half, m, n), &Epilogue::default());
            [y, half]
        };
        let expected = product();
        for (second_level, last_level) in OTHER_CACHES {
            let got = on_other_caches(second_level, last_level, product);
            assert!(got == expected, "[{m}, {k}] x [{k}, {n}] on caches of {second_level} and {last_level} bytes");
        }
    }
}
