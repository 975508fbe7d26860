//! Scratch memory that products take of a thread.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::product::{COPIED_STEP, DEPTH, FAR_ROWS, block_rows, right_block};
use super::thin::thin_scratch;
use super::tile::tile_rows;
use crate::Scratch;

/// Memory order of a matrix without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row, as [`Matrix::new`](super::Matrix::new) has it.
    RowMajor,
    /// Column after column: a row-major matrix [transposed](super::Matrix::transposed).
    ColumnMajor,
}

impl Order {
    /// Returns the order of the transposed matrix.
    #[must_use]
    pub fn transposed(self) -> Self {
        match self {
            Self::RowMajor => Self::ColumnMajor,
            Self::ColumnMajor => Self::RowMajor,
        }
    }
}

/// Returns the scratch memory that [`gemm`](super::gemm) takes on each thread, at most, for `[m, k]·[k, n]` with sizes
/// `[m, k, n]` and a result without gaps.
#[must_use]
pub fn gemm_scratch([rows, depth, columns]: [usize; 3], left: Order, right: Order) -> Scratch {
    if rows == 0 || depth == 0 || columns == 0 {
        return Scratch::NONE;
    }
    thin_scratch([rows, depth, columns], left, right)
        .unwrap_or_else(|| gemm_on_scratch(depth, columns, gemm_packed_scratch(rows, depth, left)))
}

/// Returns the scratch memory that [`gemm_on`](super::gemm_on) takes on each thread, at most, if `left` is taken for
/// its left operand.
pub(crate) fn gemm_on_scratch(depth: usize, columns: usize, left: Scratch) -> Scratch {
    Scratch::of(right_block(InstructionSet::current(), depth, columns).packed_len()).around(left)
}

/// Returns the scratch memory that [`gemm_packed`](super::gemm_packed) takes on each thread, at most, for a left
/// operand of `rows × depth`: a block of it, where it is copied; for threads it is cut into smaller ones.
#[must_use]
pub fn gemm_packed_scratch(rows: usize, depth: usize, left: Order) -> Scratch {
    let rows = rows.min(block_rows());
    match left {
        Order::RowMajor if depth <= FAR_ROWS => Scratch::NONE,
        Order::RowMajor => Scratch::up_to(rows * COPIED_STEP),
        Order::ColumnMajor => {
            let tile = dispatch_on(InstructionSet::current(), TileRows);
            Scratch::up_to(rows.next_multiple_of(tile) * depth.min(DEPTH))
        }
    }
}

/// Returns the bytes of the largest copy of a left operand, by which the promise for a product of few panels, whose left
/// operand is not copied, is too much.
#[cfg(test)]
pub(crate) fn left_block_bytes() -> usize {
    Scratch::up_to(block_rows() * COPIED_STEP).bytes()
}

/// Returns the largest number of rows of a tile.
struct TileRows;

impl Kernel for TileRows {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> usize {
        tile_rows::<I>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epilogue;
    use crate::elementwise::testing::{numbers, on_every_set};
    use crate::gemm::{Matrix, MatrixMut, gemm};
    use crate::scratch::recorder::taken;

    fn view(data: &[f32], rows: usize, columns: usize, order: Order) -> Matrix<'_> {
        match order {
            Order::RowMajor => Matrix::new(data, rows, columns),
            Order::ColumnMajor => Matrix::new(data, columns, rows).transposed(),
        }
    }

    #[test]
    fn products_take_what_was_promised() {
        use Order::{ColumnMajor, RowMajor};
        for sizes @ [m, k, n] in
            [[1, 1, 1], [8, 700, 600], [8, 600, 700], [130, 300, 70], [33, 1100, 260], [400, 7, 5000]]
        {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            for (left, right) in [(RowMajor, RowMajor), (RowMajor, ColumnMajor), (ColumnMajor, RowMajor)] {
                on_every_set(|set| {
                    let promised = gemm_scratch(sizes, left, right);
                    let taken = taken(|| {
                        let mut c = vec![0.0; m * n];
                        let (a, b) = (view(&a, m, k, left), view(&b, k, n, right));
                        set.scoped(|| gemm(a, b, MatrixMut::new(&mut c, m, n), &Epilogue::default()));
                    });
                    let what = format!("{set}, {sizes:?}, {left:?}, {right:?}");
                    assert_eq!(promised.or(taken), promised, "{what}: {taken:?}");
                    let most = taken.bytes() + left_block_bytes();
                    assert!(promised.bytes() <= most, "{what}: {taken:?} of {promised:?}");
                });
            }
        }
    }
}
