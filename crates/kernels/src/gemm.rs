//! Matrix product of `f32` matrices on strided views: `C = A·B` or `C += A·B`.
//!
//! The arithmetic is [`matrixmultiply::sgemm`]; this module gives it views that cannot reach outside their slices and a
//! cut into pieces that rayon may run on any number of threads. The pieces depend on the sizes of the matrices alone,
//! so the bits of the result do not depend on the threads. `matrixmultiply` packs its operands into a buffer that it
//! allocates at each call; nothing else here allocates.
//!
//! ```
//! use ocelli_kernels::Accumulate;
//! use ocelli_kernels::gemm::{Matrix, MatrixMut, gemm};
//!
//! let a = Matrix::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
//! let mut c = [0.0; 4];
//! gemm(a, a.transposed(), MatrixMut::new(&mut c, 2, 2), Accumulate::Set);
//! assert_eq!(c, [5.0, 11.0, 11.0, 25.0]);
//! ```

use std::ops::Range;

use rayon::prelude::*;

use crate::Accumulate;

/// Products below this many floating-point operations are not cut: at 2 MFLOP one thread needs some 10 µs, as much as
/// waking a worker and packing an operand twice. Measured on two cores of an AVX-512 EPYC, from one thread to the pool
/// in GFLOP/s: 156 to 187 for 100 × 100 × 100, 206 to 269 for 128³, 221 to 348 for 256³.
pub const PARALLEL_FLOPS: usize = 2_000_000;

/// At most so many pieces: enough to balance the load of a workstation, few enough that the operand shared by all
/// pieces, which each of them packs again, stays cheap.
const MAX_PIECES: usize = 16;

/// A piece has at least so many rows (or columns) of `C`, and a multiple of [`TILE`] of them. Packing the shared operand
/// once for each piece costs some 10 % of 400³ (measured on one thread), and with 32 it cost 20 %.
const MIN_PIECE: usize = 64;

/// Side of the largest register tile of `matrixmultiply` (16 × 16 with AVX-512). A piece that ends inside a tile pays
/// for the whole of it.
const TILE: usize = 16;

/// A matrix that is read: `rows × cols` elements of a slice, with any distance between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix.
    ///
    /// # Panics
    /// If `data` has not exactly `rows · cols` elements.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix is rows * cols elements");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// A matrix whose element `(i, j)` is `data[i · row_stride + j · col_stride]`.
    ///
    /// # Panics
    /// If the last element lies outside `data`.
    #[must_use]
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        let extent = extent(rows, cols, row_stride, col_stride);
        assert!(extent <= data.len(), "a strided {rows}x{cols} matrix reaches {extent} of {} elements", data.len());
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// Number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.cols
    }

    /// The element in row `i` and column `j`.
    ///
    /// # Panics
    /// If there is no such element.
    #[must_use]
    pub fn at(&self, i: usize, j: usize) -> f32 {
        assert!(i < self.rows && j < self.cols, "({i}, {j}) in a {}x{} matrix", self.rows, self.cols);
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// The transposed view; nothing is moved.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// The view of some columns.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols, "columns {range:?} of {}", self.cols);
        let data = self.data.get(range.start * self.col_stride..).unwrap_or(&[]);
        Self { data, cols: range.len(), ..self }
    }

    /// The view of some rows.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        self.transposed().columns(range).transposed()
    }
}

/// A matrix that is written: the elements of a row are neighbours, rows lie at any distance that keeps them apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A row-major matrix.
    ///
    /// # Panics
    /// If `data` has not exactly `rows · cols` elements.
    #[must_use]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows}x{cols} matrix is rows * cols elements");
        Self { data, rows, cols, row_stride: cols }
    }

    /// Number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.cols
    }

    /// The same matrix, borrowed for a shorter time.
    #[must_use]
    pub fn reborrow(&mut self) -> MatrixMut<'_> {
        MatrixMut { data: self.data, rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }

    /// The view of some columns.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols, "columns {range:?} of {}", self.cols);
        let data = self.data.get_mut(range.start..).unwrap_or(&mut []);
        Self { data, cols: range.len(), ..self }
    }

    /// The view of some rows.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let data = self.data.get_mut(range.start * self.row_stride..).unwrap_or(&mut []);
        Self { data, rows: range.len(), ..self }
    }

    fn block(&mut self) -> Block {
        let extent = extent(self.rows, self.cols, self.row_stride, 1);
        assert!(extent <= self.data.len(), "a matrix view reaches outside its slice");
        assert!(self.rows <= 1 || self.cols <= self.row_stride, "rows of a written matrix overlap");
        Block { first: self.data.as_mut_ptr(), rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }
}

/// `c = a·b` or `c += a·b`, on the calling thread.
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

/// [`gemm`], cut into blocks of rows or of columns of `c` (of whichever there are more) that run on the ambient rayon
/// pool when the product has [`PARALLEL_FLOPS`] or more operations.
///
/// The blocks are fixed by the sizes of the matrices: the result has the same bits on any number of threads.
///
/// # Panics
/// If the sizes do not agree.
pub fn gemm_parallel(a: Matrix<'_>, b: Matrix<'_>, mut c: MatrixMut<'_>, accumulate: Accumulate) {
    assert_sizes(&a, &b, c.rows, c.cols);
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

/// The definition, summed in `f64`, for tests.
///
/// # Panics
/// If the sizes do not agree.
pub fn naive(a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>, accumulate: Accumulate) {
    assert_sizes(&a, &b, c.rows, c.cols);
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

/// Elements from the first to the last of a matrix, both counted; saturates, so that a bound check on it is sound.
fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    let last = (rows - 1).saturating_mul(row_stride).saturating_add((cols - 1).saturating_mul(col_stride));
    last.saturating_add(1)
}

fn assert_sizes(a: &Matrix<'_>, b: &Matrix<'_>, rows: usize, cols: usize) {
    assert!(
        a.rows == rows && a.cols == b.rows && b.cols == cols,
        "[{}, {}] x [{}, {}] does not give [{rows}, {cols}]",
        a.rows,
        a.cols,
        b.rows,
        b.cols
    );
}

/// A part of a [`MatrixMut`] as a pointer: blocks of columns of one matrix interleave in memory, so threads that write
/// them cannot each hold a slice. Made by [`MatrixMut::block`], which asserts that all elements lie in its slice, and
/// made smaller by `rows` and `columns` only.
struct Block {
    first: *mut f32,
    rows: usize,
    cols: usize,
    row_stride: usize,
}

// SAFETY: a block is only an address and sizes; `multiply_into`, which alone writes through it, asks its caller that
// no other thread touches the elements.
unsafe impl Sync for Block {}

impl Block {
    fn rows(&self, range: Range<usize>) -> Self {
        assert!(range.start < range.end && range.end <= self.rows && self.cols > 0);
        // SAFETY: row `range.start` exists (asserted above), so its first element lies in the slice of the matrix.
        let first = unsafe { self.first.add(range.start * self.row_stride) };
        Self { first, rows: range.len(), ..*self }
    }

    fn columns(&self, range: Range<usize>) -> Self {
        assert!(range.start < range.end && range.end <= self.cols && self.rows > 0);
        // SAFETY: column `range.start` exists (asserted above), so its first element lies in the slice of the matrix.
        let first = unsafe { self.first.add(range.start) };
        Self { first, cols: range.len(), ..*self }
    }
}

/// The one call of `sgemm`.
///
/// # Safety
/// The elements of `c` must be borrowed mutably by the caller, and no other thread may touch them meanwhile.
unsafe fn multiply_into(a: Matrix<'_>, b: Matrix<'_>, c: &Block, accumulate: Accumulate) {
    assert_sizes(&a, &b, c.rows, c.cols);
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

#[cfg(test)]
mod tests;
