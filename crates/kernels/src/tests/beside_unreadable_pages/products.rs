//! Matrix products of views of all kinds.

use super::super::draw::Draw;
use super::{check, each_case, unwritten};
use crate::elementwise::testing::numbers;
use crate::gemm::{
    Bf16Matrix, Matrix, MatrixMut, PackedMatrix, baseline, bf16_len, gemm, gemm_bf16, gemm_packed, packed_len,
};
use crate::{Accumulate, Activation, Epilogue};

/// Layout of an operand of `rows × columns` in its slice.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    /// Every second element of every second row.
    Sparse,
}

impl Layout {
    fn length(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::Rows | Self::Columns => rows * columns,
            Self::Sparse => (2 * rows - 1) * (2 * columns - 1),
        }
    }

    fn view(self, data: &[f32], rows: usize, columns: usize) -> Matrix<'_> {
        match self {
            Self::Rows => Matrix::new(data, rows, columns),
            Self::Columns => Matrix::new(data, columns, rows).transposed(),
            Self::Sparse => Matrix::strided(data, rows, columns, 2 * (2 * columns - 1), 2),
        }
    }
}

/// Small sizes, and once in a while one that is cut into blocks.
fn size(draw: &mut Draw) -> usize {
    if draw.once_in(6) { draw.between(100..=700) } else { draw.between(1..=40) }
}

#[test]
fn products() {
    each_case(60, |draw| {
        let (m, k, n) = (size(draw), size(draw), size(draw));
        let layouts = [Layout::Rows, Layout::Rows, Layout::Columns, Layout::Sparse];
        let (left, right) = (draw.one_of(&layouts), draw.one_of(&layouts));
        let (a, b) = (numbers(left.length(m, k), 1), numbers(right.length(k, n), 2));
        let (bias, residual, start) = (numbers(n, 3), numbers(m * n, 4), numbers(m * n, 5));
        let accumulate = draw.one_of(&[Accumulate::Set, Accumulate::Add]);
        let outputs = || {
            let packed = [unwritten(packed_len(k, n)), unwritten(bf16_len(k, n))];
            [&start; 4].into_iter().cloned().chain(packed).collect()
        };
        let what = format!("[{m}, {k}] {left:?} x [{k}, {n}] {right:?} {accumulate:?}");
        check(&what, &[&a, &b, &bias, &residual], &outputs, &|inputs, outputs| {
            let &[a, b, bias, residual] = inputs else { unreachable!("four inputs") };
            let [c, of_packed, of_bf16, of_baseline, packed, words] = outputs else { unreachable!("six outputs") };
            let (a, b) = (left.view(a, m, k), right.view(b, k, n));
            let (bias, residual) = (Some(bias), Some(residual));
            let epilogue = Epilogue { accumulate, bias, residual, activation: Activation::Relu };
            gemm(a, b, MatrixMut::new(c, m, n), &epilogue);
            let packed = PackedMatrix::pack(b, packed);
            gemm_packed(a, &packed, MatrixMut::new(of_packed, m, n), &epilogue);
            let words = Bf16Matrix::pack(b, words);
            gemm_bf16(a, &words, MatrixMut::new(of_bf16, m, n), &epilogue);
            baseline::gemm(a, b, MatrixMut::new(of_baseline, m, n), accumulate);
        });
    });
}
