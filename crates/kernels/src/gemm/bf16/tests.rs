use super::pack::{joined, rounded};
use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};
use crate::gemm::{PackedMatrix, gemm_packed, naive, packed_len};
use crate::scratch::recorder::taken;
use crate::{Accumulate, Activation};

/// Few rows and many, one block of the depth and several, a last panel of one vector and of two.
const SIZES: [[usize; 3]; 16] = [
    [1, 1, 1],
    [1, 300, 40],
    [1, 513, 135],
    [2, 7, 300],
    [2, 600, 33],
    [3, 257, 8],
    [4, 513, 70],
    [5, 600, 1030],
    [7, 300, 65],
    [8, 513, 40],
    [13, 600, 97],
    [32, 257, 64],
    [33, 300, 130],
    [130, 31, 17],
    [600, 257, 30],
    [1, 1000, 3],
];

#[test]
fn products_have_the_bits_of_those_with_rounded_numbers_on_every_set() {
    for [m, k, n] in SIZES {
        let (a, b, bias, residual) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3), numbers(m * n, 4));
        let b_rounded: Vec<f32> = b.iter().map(|&x| rounded(x)).collect();
        let mut exact = vec![0.0; m * n];
        naive(Matrix::new(&a, m, k), Matrix::new(&b_rounded, k, n), MatrixMut::new(&mut exact, m, n), Accumulate::Set);
        on_every_set(|set| {
            let what = format!("{set}, {m} x {k} x {n}");
            let (mut words, mut packed) = (vec![f32::NAN; bf16_len(k, n)], vec![0.0; packed_len(k, n)]);
            assert!(words.len() <= packed.len() / 2 + k * lanes(set), "{what}: half of the bytes");
            let whole = PackedMatrix::pack(Matrix::new(&b_rounded, k, n), &mut packed);
            let plain = Epilogue::bias(Some(&bias));
            let activation = Activation::Relu;
            let all = Epilogue { accumulate: Accumulate::Add, residual: Some(&residual), activation, ..plain };
            for epilogue in [plain, all] {
                let (mut y, mut expected) = (vec![0.5; m * n], vec![0.5; m * n]);
                let a = Matrix::new(&a, m, k);
                let taken = taken(|| {
                    set.scoped(|| {
                        let b = Bf16Matrix::pack(Matrix::new(&b, k, n), &mut words);
                        gemm_bf16(a, &b, MatrixMut::new(&mut y, m, n), &epilogue);
                    });
                });
                let promised = gemm_bf16_scratch(m, k, n, Order::RowMajor);
                assert_eq!(promised.or(taken), promised, "{what}: {taken:?}");
                gemm_packed(a, &whole, MatrixMut::new(&mut expected, m, n), &epilogue);
                assert_eq!(y, expected, "{what}");
            }
            let mut y = vec![f32::NAN; m * n];
            let b = Bf16Matrix::from_packed(&words, k, n);
            gemm_bf16(Matrix::new(&a, m, k), &b, MatrixMut::new(&mut y, m, n), &Epilogue::default());
            for (i, (y, exact)) in y.iter().zip(&exact).enumerate() {
                assert_near(*y, f64::from(*exact), 1e-5 * k as f64, (&what, i));
            }
        });
    }
}

#[test]
fn a_left_operand_that_lies_across_gives_the_same_bits() {
    for m in [1, 3, 40] {
        let (k, n) = (300, 50);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let across: Vec<f32> = (0..k * m).map(|i| a[i % m * k + i / m]).collect();
        on_every_set(|set| {
            let mut words = vec![0.0; bf16_len(k, n)];
            let b = Bf16Matrix::pack(Matrix::new(&b, k, n), &mut words);
            let (mut along_y, mut across_y) = (vec![0.0; m * n], vec![0.0; m * n]);
            let plain = Epilogue::default();
            gemm_bf16(Matrix::new(&a, m, k), &b, MatrixMut::new(&mut along_y, m, n), &plain);
            gemm_bf16(Matrix::new(&across, k, m).transposed(), &b, MatrixMut::new(&mut across_y, m, n), &plain);
            assert_eq!(along_y, across_y, "{set}, {m} rows");
        });
    }
}

#[test]
fn the_bits_are_the_same_on_any_number_of_threads() {
    for m in [1, 2, 4, 9, 300] {
        let (k, n) = (1200, 1000);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let mut words = vec![0.0; bf16_len(k, n)];
        let b = Bf16Matrix::pack(Matrix::new(&b, k, n), &mut words);
        assert_same_bits_on_any_threads(m * n, &|y| {
            gemm_bf16(Matrix::new(&a, m, k), &b, MatrixMut::new(y, m, n), &Epilogue::default());
        });
    }
}

#[test]
fn products_without_rows_columns_or_depth_are_empty_or_the_epilogue() {
    for [m, k, n] in [[0, 3, 4], [2, 3, 0], [2, 0, 4]] {
        let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
        on_every_set(|set| {
            let mut words = vec![0.0; bf16_len(k, n)];
            let b = Bf16Matrix::pack(Matrix::new(&b, k, n), &mut words);
            let mut y = vec![f32::NAN; m * n];
            gemm_bf16(Matrix::new(&a, m, k), &b, MatrixMut::new(&mut y, m, n), &Epilogue::bias(Some(&bias)));
            assert!(y.chunks_exact(n.max(1)).all(|row| row == bias), "{set}: {y:?}");
            assert_eq!(gemm_bf16_scratch(m, 0, n, Order::RowMajor), Scratch::NONE);
        });
    }
}

#[test]
fn numbers_are_rounded_to_the_nearest_and_to_even() {
    let exact = [0.0, -0.0, 1.0, -2.5, f32::INFINITY, f32::NEG_INFINITY, 1.0 + 1.0 / 128.0];
    exact.iter().for_each(|&x| assert_eq!(rounded(x).to_bits(), x.to_bits()));
    let step = 1.0 / 128.0;
    assert_eq!(rounded(1.0 + 0.5 * step), 1.0, "a tie goes to the even one");
    assert_eq!(rounded(1.0 + 1.5 * step), 1.0 + 2.0 * step);
    assert_eq!(rounded(1.0 + 0.51 * step), 1.0 + step);
    assert_eq!(rounded(f32::MAX), f32::INFINITY);
    assert!(rounded(f32::NAN).is_nan() && rounded(f32::from_bits(0x7F80_0001)).is_nan());
    // Below the smallest normal number steps are all alike: 2⁻¹³³.
    assert!((rounded(1e-40) - 1e-40).abs() <= 0.5 * 2.0_f32.powi(-133));
    for x in numbers(1000, 5) {
        assert!((rounded(x) - x).abs() <= x.abs() / 256.0, "{x}");
        let word = joined(rounded(x), rounded(-x)).to_bits();
        assert_eq!(f32::from_bits(word & 0xFFFF_0000), rounded(x));
        assert_eq!(f32::from_bits(word << 16), rounded(-x));
    }
}
