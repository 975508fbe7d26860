//! The product by [`matrixmultiply::sgemm`]: the portable baseline, and an oracle of the product written here.
//!
//! This module gives it views that cannot reach outside their slices and a
//! cut into pieces that rayon may run on any number of threads. The pieces depend on the sizes of the matrices alone,
//! so the bits of the result do not depend on the threads. `matrixmultiply` packs its operands into a buffer that it
//! allocates at each call; nothing else here allocates.
//!
use rayon::prelude::*;

use super::PARALLEL_FLOPS;
use super::matrix::{Block, Matrix, MatrixMut, assert_sizes, extent};
use crate::Accumulate;

/// Most pieces: enough to balance the load of a workstation, few enough that the operand shared by all pieces, which
/// each of them packs again, stays cheap.
const MAX_PIECES: usize = 16;

/// Fewest rows (or columns) of `C` in a piece, a multiple of [`TILE`]. Packing the shared operand once for each piece
/// costs some 10 % of 400³ (measured on one thread), and with 32 it cost 20 %.
const MIN_PIECE: usize = 64;

/// Side of the largest register tile of `matrixmultiply` (16 × 16 with AVX-512). A piece that ends inside a tile pays
/// for the whole of it.
const TILE: usize = 16;

/// Computes `c = a·b` or `c += a·b`, on the calling thread.
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, `c: [m, n]`; any of the sizes may be 0 (with `k = 0` the product is zero).
///
/// # Panics
/// If the sizes do not agree.
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, mut c: MatrixMut<'_>, accumulate: Accumulate) {
    let block = c.block();
    // SAFETY: `c` is borrowed mutably for the whole call, and nobody else has the block made from it.
    unsafe { multiply_into(a, b, &block, accumulate) }
}

/// Computes [`gemm`], cut into blocks of rows or of columns of `c` (whichever there are more of) that run on the
/// ambient rayon pool when the product has [`PARALLEL_FLOPS`] or more operations.
///
/// The blocks are fixed by the sizes of the matrices: the result has the same bits on any number of threads.
///
/// # Panics
/// If the sizes do not agree.
pub fn gemm_parallel(a: Matrix<'_>, b: Matrix<'_>, mut c: MatrixMut<'_>, accumulate: Accumulate) {
    assert_sizes(a.size(), b.size(), c.size());
    let (rows, cols) = (c.rows, c.cols);
    let flops = rows.saturating_mul(cols).saturating_mul(a.cols).saturating_mul(2);
    let longer = rows.max(cols);
    let piece = longer.div_ceil(MAX_PIECES).next_multiple_of(TILE).max(MIN_PIECE);
    if flops < PARALLEL_FLOPS || longer <= piece {
        return gemm(a, b, c, accumulate);
    }
    let whole = c.block();
    (0..longer.div_ceil(piece)).into_par_iter().for_each(|index| {
        let range = index * piece..longer.min((index + 1) * piece);
        // SAFETY: `c` is borrowed mutably until the loop ends, and the ranges of two indices are disjoint, so the
        // blocks of two tasks are.
        unsafe {
            if rows >= cols {
                multiply_into(a.rows(range.clone()), b, &whole.rows(range), accumulate);
            } else {
                multiply_into(a, b.columns(range.clone()), &whole.columns(range), accumulate);
            }
        }
    });
}

/// Calls `sgemm`, the only place that does.
///
/// # Safety
/// The elements of `c` must be borrowed mutably by the caller, and no other thread may touch them meanwhile.
unsafe fn multiply_into(a: Matrix<'_>, b: Matrix<'_>, c: &Block, accumulate: Accumulate) {
    assert_sizes(a.size(), b.size(), [c.rows, c.cols]);
    assert!(extent(a.rows, a.cols, a.row_stride, a.col_stride) <= a.data.len());
    assert!(extent(b.rows, b.cols, b.row_stride, b.col_stride) <= b.data.len());
    let beta = match accumulate {
        Accumulate::Set => 0.0,
        Accumulate::Add => 1.0,
    };
    // A matrix without elements may have any strides, and one row or column needs none; nothing is read through them,
    // but they must be distances that fit `isize`. The others are below the length of a slice.
    let stride = |distance: usize, count: usize| if count > 1 { distance as isize } else { 1 };
    // SAFETY: `sgemm` reads `a` and `b` at `i · row_stride + j · col_stride` below the sizes given, all inside their
    // slices by the two extents asserted above; it reads (for β = 1) and writes `c` inside the slice of its matrix
    // (asserted in `MatrixMut::block`), whose rows do not overlap (asserted there), and which is the caller's alone.
    unsafe {
        matrixmultiply::sgemm(
            c.rows,
            a.cols,
            c.cols,
            1.0,
            a.data.as_ptr(),
            stride(a.row_stride, a.rows),
            stride(a.col_stride, a.cols),
            b.data.as_ptr(),
            stride(b.row_stride, b.rows),
            stride(b.col_stride, b.cols),
            beta,
            c.first,
            stride(c.row_stride, c.rows),
            1,
        );
    }
}
