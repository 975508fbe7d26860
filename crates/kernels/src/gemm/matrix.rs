//! Views of matrices that cannot reach outside their slices.

use std::ops::Range;

use super::panels::Contiguous;
use crate::sizes::length;
use crate::{Accumulate, Epilogue};

/// A read-only matrix view: `rows × cols` elements of a slice, with any distance between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Creates a row-major matrix.
    ///
    /// # Panics
    /// If `data` has not exactly `rows · cols` elements.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), length(&[rows, cols]), "a {rows}x{cols} matrix is rows * cols elements");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Creates a matrix whose element `(i, j)` is `data[i · row_stride + j · col_stride]`.
    ///
    /// # Panics
    /// If the last element lies outside `data`.
    #[must_use]
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        let extent = extent(rows, cols, row_stride, col_stride);
        assert!(extent <= data.len(), "a strided {rows}x{cols} matrix reaches {extent} of {} elements", data.len());
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// Returns the numbers of rows and columns.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.cols
    }

    /// Returns the element in row `i` and column `j`.
    ///
    /// # Panics
    /// If there is no such element.
    #[must_use]
    pub fn at(&self, i: usize, j: usize) -> f32 {
        assert!(i < self.rows && j < self.cols, "({i}, {j}) in a {}x{} matrix", self.rows, self.cols);
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Returns which elements are neighbours in memory.
    pub(super) fn contiguous(&self) -> Contiguous {
        match (self.row_stride, self.col_stride) {
            (_, 1) => Contiguous::Rows,
            (1, _) => Contiguous::Columns,
            _ => Contiguous::Neither,
        }
    }

    /// Returns some neighbouring elements of a row, whose columns are neighbours in memory.
    #[inline(always)]
    pub(super) fn row(&self, i: usize, columns: Range<usize>) -> &'a [f32] {
        debug_assert!(self.col_stride == 1 && columns.end <= self.cols);
        let first = i * self.row_stride;
        &self.data[first + columns.start..first + columns.end]
    }

    /// Returns the transposed view; nothing is moved.
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

    /// Returns the view of some columns.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols, "columns {range:?} of {}", self.cols);
        // A matrix without elements may have any strides.
        let data = self.data.get(range.start.saturating_mul(self.col_stride)..).unwrap_or(&[]);
        Self { data, cols: range.len(), ..self }
    }

    /// Returns the view of some rows.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        self.transposed().columns(range).transposed()
    }
}

/// A mutable matrix view: the elements of a row are neighbours, rows lie at any distance that keeps them apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Creates a row-major matrix.
    ///
    /// # Panics
    /// If `data` has not exactly `rows · cols` elements.
    #[must_use]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), length(&[rows, cols]), "a {rows}x{cols} matrix is rows * cols elements");
        Self { data, rows, cols, row_stride: cols }
    }

    /// Returns the numbers of rows and columns.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.cols
    }

    /// Returns true if the rows lie one behind the other.
    pub(super) fn is_contiguous(&self) -> bool {
        self.rows <= 1 || self.row_stride == self.cols
    }

    /// Writes the result of an epilogue applied to an empty sum.
    pub(super) fn finish_empty(&mut self, epilogue: &Epilogue<'_>) {
        let Epilogue { accumulate, bias, residual, activation } = *epilogue;
        for i in 0..self.rows {
            for j in 0..self.cols {
                let y = &mut self.data[i * self.row_stride + j];
                let start = if accumulate == Accumulate::Add { *y } else { 0.0 };
                let added = bias.map_or(0.0, |bias| bias[j]) + residual.map_or(0.0, |r| r[i * self.cols + j]);
                *y = activation.apply(start + added);
            }
        }
    }

    /// Borrows the matrix for a shorter time.
    #[must_use]
    pub fn reborrow(&mut self) -> MatrixMut<'_> {
        MatrixMut { data: self.data, rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }

    /// Returns the view of some columns.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols, "columns {range:?} of {}", self.cols);
        let data = self.data.get_mut(range.start..).unwrap_or(&mut []);
        Self { data, cols: range.len(), ..self }
    }

    /// Returns the view of some rows.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let data = self.data.get_mut(range.start * self.row_stride..).unwrap_or(&mut []);
        Self { data, rows: range.len(), ..self }
    }

    pub(super) fn block(&mut self) -> Block {
        let extent = extent(self.rows, self.cols, self.row_stride, 1);
        assert!(extent <= self.data.len(), "a matrix view reaches outside its slice");
        assert!(self.rows <= 1 || self.cols <= self.row_stride, "rows of a written matrix overlap");
        Block { first: self.data.as_mut_ptr(), rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }
}

/// Returns the number of elements from the first to the last of a matrix, both counted; saturates, so that a bound
/// check on it is sound.
pub(super) fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    let last = (rows - 1).saturating_mul(row_stride).saturating_add((cols - 1).saturating_mul(col_stride));
    last.saturating_add(1)
}

/// Asserts that matrices of the sizes `a` and `b` have a product of the size `c`.
pub(super) fn assert_sizes(a: [usize; 2], b: [usize; 2], c: [usize; 2]) {
    assert!(a[1] == b[0] && c == [a[0], b[1]], "{a:?} x {b:?} does not give {c:?}");
}

/// A part of a [`MatrixMut`] as a pointer: blocks of columns of one matrix interleave in memory, so threads that write
/// them cannot each hold a slice. Made by [`MatrixMut::block`], which asserts that all elements lie in its slice, and
/// made smaller by `rows` and `columns` only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub first: *mut f32,
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
}

// SAFETY: a block is only an address and sizes; the functions that write through it ask their callers that no other
// thread touches the elements.
unsafe impl Sync for Block {}
// SAFETY: the same.
unsafe impl Send for Block {}

impl Block {
    pub fn rows(&self, range: Range<usize>) -> Self {
        assert!(range.start < range.end && range.end <= self.rows && self.cols > 0);
        // SAFETY: row `range.start` exists (asserted above), so its first element lies in the slice of the matrix.
        let first = unsafe { self.first.add(range.start * self.row_stride) };
        Self { first, rows: range.len(), ..*self }
    }

    pub fn columns(&self, range: Range<usize>) -> Self {
        assert!(range.start < range.end && range.end <= self.cols && self.rows > 0);
        // SAFETY: column `range.start` exists (asserted above), so its first element lies in the slice of the matrix.
        let first = unsafe { self.first.add(range.start) };
        Self { first, cols: range.len(), ..*self }
    }
}
