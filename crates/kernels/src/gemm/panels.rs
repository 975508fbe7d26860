//! Packed panels: the right operand of a product as [`super::tile`] reads it.
//!
//! A matrix `[depth, columns]` becomes panels of two vectors' width, one after the other; a panel holds its columns of
//! row 0, then those of row 1, and so on. A last panel of at most one vector's columns is one vector wide; columns
//! beyond the matrix are zero.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::matrix::Matrix;
use super::tile::{VECTORS, panel_width};
use crate::cache::LINE;
use crate::sizes::length;

/// The division of a matrix's columns into panels for an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panels {
    /// Columns of the matrix.
    pub columns: usize,
    /// Rows of the matrix.
    pub depth: usize,
    lanes: usize,
}

/// One panel of a packed matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// First column of the panel.
    pub column: usize,
    /// Columns of the matrix in the panel.
    pub columns: usize,
    /// Vectors in a row of the panel: 1 or 2.
    pub vectors: usize,
    /// Offset of the panel among the packed elements.
    pub start: usize,
    /// Packed elements in a row of the panel.
    pub width: usize,
}

impl Panels {
    /// Divides a `[depth, columns]` matrix.
    pub fn new(set: InstructionSet, depth: usize, columns: usize) -> Self {
        Self { columns, depth, lanes: lanes(set) }
    }

    /// Returns the number of panels.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(VECTORS * self.lanes)
    }

    /// Returns the number of packed elements of all panels; `usize::MAX`, which is no slice's length, where there are
    /// more.
    pub fn packed_len(&self) -> usize {
        self.columns.checked_next_multiple_of(self.lanes).map_or(usize::MAX, |columns| length(&[columns, self.depth]))
    }

    /// Returns panel `index`.
    #[inline(always)]
    pub fn panel(&self, index: usize) -> Panel {
        let full = VECTORS * self.lanes;
        let column = index * full;
        let columns = (self.columns - column).min(full);
        // A comparison, because divisions would cost more than packing a row.
        let vectors = if columns > self.lanes { VECTORS } else { 1 };
        Panel { column, columns, vectors, start: column * self.depth, width: vectors * self.lanes }
    }
}

/// Returns the number of lanes of a vector, as [`Isa::LANES`].
pub(crate) fn lanes(set: InstructionSet) -> usize {
    struct Lanes;
    impl Kernel for Lanes {
        type Output = usize;
        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> usize {
            I::LANES
        }
    }
    dispatch_on(set, Lanes)
}

/// Packs the rows `rows` of panel `index` of `b` into `packed`, which holds just those rows.
///
/// # Panics
/// If `packed` has another length.
#[inline(always)]
pub(crate) fn pack_panel<I: Isa>(
    isa: I,
    panels: &Panels,
    index: usize,
    b: Matrix<'_>,
    rows: Range<usize>,
    packed: &mut [f32],
) {
    let panel = panels.panel(index);
    debug_assert_eq!(panel_width::<I>(), VECTORS * panels.lanes);
    assert_eq!(packed.len(), rows.len() * panel.width, "a packed panel has its width for each row");
    match b.contiguous() {
        Contiguous::Rows => {
            for (row, packed) in rows.zip(packed.chunks_exact_mut(panel.width)) {
                let from = b.row(row, panel.column..panel.column + panel.columns);
                pack_row(isa, from, packed);
            }
        }
        Contiguous::Columns => transpose(isa, &panel, b, rows, packed),
        Contiguous::Neither => {
            for (row, packed) in rows.zip(packed.chunks_exact_mut(panel.width)) {
                for (j, to) in packed.iter_mut().enumerate() {
                    *to = if j < panel.columns { b.at(row, panel.column + j) } else { 0.0 };
                }
            }
        }
    }
}

/// Copies the part of a matrix row in a panel, with zeros up to whole vectors.
#[inline(always)]
pub(crate) fn pack_row<I: Isa>(isa: I, from: &[f32], packed: &mut [f32]) {
    for (to, from) in packed.chunks_exact_mut(I::LANES).zip(from.chunks(I::LANES)) {
        isa.store(if from.len() == I::LANES { isa.load(from) } else { isa.load_partial(from) }, to);
    }
}

/// Rows that are transposed at a time: a column's elements of one cache line.
const TRANSPOSED_ROWS: usize = LINE;

/// Packs a panel whose columns are contiguous: they are read along, a cache line at a time, and written across.
#[inline(always)]
fn transpose<I: Isa>(isa: I, panel: &Panel, b: Matrix<'_>, rows: Range<usize>, packed: &mut [f32]) {
    let columns = b.transposed().rows(panel.column..panel.column + panel.columns).columns(rows);
    for (block, packed) in packed.chunks_mut(TRANSPOSED_ROWS * panel.width).enumerate() {
        let count = packed.len() / panel.width;
        let columns = columns.columns(block * TRANSPOSED_ROWS..block * TRANSPOSED_ROWS + count);
        // Whole vectors of columns, and the others one by one.
        let vectors = if count == TRANSPOSED_ROWS { panel.columns / I::LANES } else { 0 };
        for vector in 0..vectors {
            let columns = columns.rows(vector * I::LANES..(vector + 1) * I::LANES);
            transpose_vector(isa, columns, &mut packed[vector * I::LANES..], panel.width);
        }
        for j in vectors * I::LANES..panel.width {
            if j < panel.columns {
                let column = columns.row(j, 0..count);
                for (to, from) in packed.chunks_exact_mut(panel.width).zip(column) {
                    to[j] = *from;
                }
            } else {
                packed.chunks_exact_mut(panel.width).for_each(|to| to[j] = 0.0);
            }
        }
    }
}

/// Writes [`TRANSPOSED_ROWS`] elements of as many columns as a vector has lanes to rows that are `width` apart.
#[inline(always)]
fn transpose_vector<I: Isa>(isa: I, columns: Matrix<'_>, packed: &mut [f32], width: usize) {
    let (from, distance) = (columns.data, columns.row_stride);
    assert!((I::LANES - 1) * distance + TRANSPOSED_ROWS <= from.len(), "columns have as many elements");
    assert!((TRANSPOSED_ROWS - 1) * width + I::LANES <= packed.len(), "rows have room for a vector");
    const { assert!(TRANSPOSED_ROWS.is_multiple_of(4)) };
    for first in (0..TRANSPOSED_ROWS).step_by(4) {
        // SAFETY: four elements of each column are read, and four rows of a vector written: all inside, by the assertions.
        unsafe {
            let rows = isa.load_transposed(from.as_ptr().add(first), distance);
            for (row, vector) in rows.into_iter().enumerate() {
                isa.store_ptr(vector, packed.as_mut_ptr().add((first + row) * width));
            }
        }
    }
}

/// Axis along which the elements of a matrix are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contiguous {
    /// Elements of a row are neighbours.
    Rows,
    /// Elements of a column are neighbours.
    Columns,
    /// Neither.
    Neither,
}

/// The work of [`pack_panel`] for some panels.
pub(crate) struct PackPanels<'a> {
    /// Division of the whole matrix.
    pub panels: Panels,
    /// Range of panels.
    pub indices: Range<usize>,
    /// Matrix to pack.
    pub b: Matrix<'a>,
    /// Range of rows.
    pub rows: Range<usize>,
    /// Room for those rows of those panels.
    pub packed: &'a mut [f32],
}

/// Rows that are packed into one panel after the other, so that memory is read along them.
const PACKED_ROWS: usize = 16;

impl Kernel for PackPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { panels, indices, b, rows, packed } = self;
        // Transposing reads along the columns, of which a panel has some.
        let block = if b.contiguous() == Contiguous::Rows { PACKED_ROWS } else { rows.len().max(1) };
        for first in (0..rows.len()).step_by(block) {
            let last = rows.len().min(first + block);
            let mut start = 0;
            for index in indices.clone() {
                let width = panels.panel(index).width;
                let packed = &mut packed[start + first * width..start + last * width];
                pack_panel(isa, &panels, index, b, rows.start + first..rows.start + last, packed);
                start += rows.len() * width;
            }
        }
    }
}
