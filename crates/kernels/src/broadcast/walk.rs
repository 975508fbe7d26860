//! A walk through the rows of a dense tensor, along with strided operands.

use super::MAX_RANK;

/// A dense shape, and the step of each of `K` operands along each axis (zero: it repeats).
///
/// Axes of size 1 are left out and neighbours that all operands step through as if they were one axis are merged; the
/// last axis that is left is the row, along which every operand steps by one or by zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk<const K: usize> {
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; K],
}

impl<const K: usize> Walk<K> {
    /// Creates a walk through `dims`; an operand's strides are those of a contiguous tensor, or zero where it repeats.
    pub(crate) fn new(dims: &[usize], strides: [[usize; MAX_RANK]; K]) -> Self {
        let mut walk = Self { rank: 0, dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; K] };
        for (axis, &size) in dims.iter().enumerate() {
            if size == 1 {
                continue;
            }
            let last = walk.rank.wrapping_sub(1);
            let one_axis = walk.rank > 0 && (0..K).all(|k| walk.strides[k][last] == size * strides[k][axis]);
            if one_axis {
                walk.dims[last] *= size;
            } else {
                walk.dims[walk.rank] = size;
                walk.rank += 1;
            }
            for (merged, strides) in walk.strides.iter_mut().zip(&strides) {
                merged[walk.rank - 1] = strides[axis];
            }
        }
        walk.rank = walk.rank.max(1);
        walk
    }

    /// Returns the length of a row.
    #[inline]
    pub(crate) fn row(&self) -> usize {
        self.dims[self.rank - 1]
    }

    /// Returns the step of each operand along a row: one or zero.
    #[inline]
    pub(crate) fn row_strides(&self) -> [usize; K] {
        let mut steps = [0; K];
        for (step, strides) in steps.iter_mut().zip(&self.strides) {
            *step = strides[self.rank - 1];
        }
        steps
    }

    /// Returns the number of rows, if every other operand is contiguous and this one is the same contiguous row in
    /// each.
    #[inline]
    pub(crate) fn repeats(&self, operand: usize) -> Option<usize> {
        let row = self.row();
        let contiguous = (0..K).all(|k| {
            let between_rows = if k == operand { 0 } else { row };
            self.strides[k][..2] == [between_rows, 1]
        });
        (self.rank == 2 && contiguous).then_some(self.dims[0])
    }

    /// Returns true if an operand lies as the dense tensor does.
    pub(crate) fn is_contiguous(&self, operand: usize) -> bool {
        let strides = &self.strides[operand][..self.rank];
        (0..self.rank).all(|axis| strides[axis] == self.dims[axis + 1..self.rank].iter().product())
    }

    /// Returns the position of the element at `start` of the dense tensor.
    #[inline]
    pub(crate) fn at(&self, start: usize) -> Position<'_, K> {
        let row = self.row().max(1);
        let mut position = Position { walk: self, index: [0; MAX_RANK], column: start % row, offsets: [0; K] };
        let mut rest = start / row;
        for axis in (0..self.rank - 1).rev() {
            position.index[axis] = rest % self.dims[axis].max(1);
            rest /= self.dims[axis].max(1);
            for (offset, strides) in position.offsets.iter_mut().zip(&self.strides) {
                *offset += position.index[axis] * strides[axis];
            }
        }
        position
    }
}

/// A position in a [`Walk`].
pub(crate) struct Position<'a, const K: usize> {
    walk: &'a Walk<K>,
    index: [usize; MAX_RANK],
    column: usize,
    offsets: [usize; K],
}

impl<const K: usize> Position<'_, K> {
    /// Returns the number of elements from here to the end of the row.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.walk.row() - self.column
    }

    /// Returns the offset of each operand's element.
    #[inline(always)]
    pub(crate) fn offsets(&self) -> [usize; K] {
        let mut offsets = self.offsets;
        for (offset, strides) in offsets.iter_mut().zip(&self.walk.strides) {
            *offset += self.column * strides[self.walk.rank - 1];
        }
        offsets
    }

    /// Goes on by some elements of the row, at most those that are left.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        if count == self.left() {
            return self.next_row();
        }
        self.column += count;
    }

    /// Goes to the beginning of the next row; after the last comes the first.
    #[inline(always)]
    pub(crate) fn next_row(&mut self) {
        self.column = 0;
        for axis in (0..self.walk.rank - 1).rev() {
            self.index[axis] += 1;
            for (offset, strides) in self.offsets.iter_mut().zip(&self.walk.strides) {
                *offset += strides[axis];
            }
            if self.index[axis] < self.walk.dims[axis] {
                return;
            }
            for (offset, strides) in self.offsets.iter_mut().zip(&self.walk.strides) {
                *offset -= self.index[axis] * strides[axis];
            }
            self.index[axis] = 0;
        }
    }
}
