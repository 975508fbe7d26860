//! Images as the transforms read and write them: square windows, of which those at the border reach outside.

use std::ops::Range;

use ocelli_simd::Isa;

use super::transform::Square;

/// Sizes of the images `[N, H, W, C]`, without their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ImageShape {
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of channels.
    pub channels: usize,
}

/// Position of a window's first pixel; it may lie outside the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Index of the image in the batch.
    pub image: usize,
    /// Row of the pixel.
    pub row: isize,
    /// Column of the pixel.
    pub column: isize,
}

impl ImageShape {
    /// Returns the number of elements of one image.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Returns the index of the first channel of a pixel, which lies inside.
    #[inline(always)]
    pub fn index(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.height + row) * self.width + column) * self.channels
    }

    /// Returns some channels of a window of `size × size` pixels, to be read in whole vectors: in place, or, if it
    /// reaches outside the image or the channels are not whole vectors, in a copy with zeros around.
    ///
    /// # Panics
    /// If the window lies in no image of `data`, or `copy` is shorter than the window's pixels with their channels
    /// rounded up to vectors.
    #[inline(always)]
    pub fn window<I: Isa>(
        &self,
        data: &[f32],
        at: Origin,
        size: usize,
        channels: &Range<usize>,
        copy: &mut [f32],
    ) -> Square {
        let rows = inside(at.row, size, self.height);
        let columns = inside(at.column, size, self.width);
        let whole = rows.len() == size && columns.len() == size && channels.len().is_multiple_of(I::LANES);
        // In place.
        if whole {
            let first = self.index(at.image, at.row as usize, at.column as usize) + channels.start;
            let row = self.width * self.channels;
            let window = &data[first..first + (size - 1) * (row + self.channels) + channels.len()];
            return Square { first: window.as_ptr(), row, column: self.channels };
        }
        // A copy with zeros around.
        let padded = channels.len().next_multiple_of(I::LANES);
        let copy = &mut copy[..size * size * padded];
        for (i, copy) in copy.chunks_exact_mut(size * padded).enumerate() {
            if !rows.contains(&i) || columns.is_empty() {
                copy.fill(0.0);
                continue;
            }
            copy[..columns.start * padded].fill(0.0);
            copy[columns.end * padded..].fill(0.0);
            let copy = &mut copy[columns.start * padded..columns.end * padded];
            let (row, column) = ((at.row + i as isize) as usize, (at.column + columns.start as isize) as usize);
            let pixels = &data[self.index(at.image, row, column)..][..columns.len() * self.channels];
            if padded == self.channels {
                copy.copy_from_slice(pixels);
                continue;
            }
            for (copy, pixel) in copy.chunks_exact_mut(padded).zip(pixels.chunks_exact(self.channels)) {
                let (copy, beyond) = copy.split_at_mut(channels.len());
                copy.copy_from_slice(&pixel[channels.clone()]);
                beyond.fill(0.0);
            }
        }
        Square { first: copy.as_ptr(), row: size * padded, column: padded }
    }
}

impl ImageShape {
    /// Returns the last `columns` columns of a window of `FROM × FROM` pixels, to be prefetched: those that the window
    /// to its left does not have. They may lie outside the image.
    #[inline(always)]
    pub fn ahead<const FROM: usize>(&self, data: &[f32], at: Origin, columns: usize, channel: usize) -> Square {
        let row = at.row + (at.image * self.height) as isize;
        let column = at.column + (FROM - columns) as isize;
        let index = (row * self.width as isize + column) * self.channels as isize + channel as isize;
        let row = self.width * self.channels;
        Square { first: data.as_ptr().wrapping_offset(index), row, column: self.channels }
    }
}

/// Returns the indices of the `size` pixels from `first` on that lie on an axis of `length` pixels.
#[inline(always)]
pub(super) fn inside(first: isize, size: usize, length: usize) -> Range<usize> {
    let begin = (-first).clamp(0, size as isize) as usize;
    let end = (length as isize - first).clamp(begin as isize, size as isize) as usize;
    begin..end
}

/// The outputs of a batch, divided into tiles of `m × m` pixels, numbered through the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    /// Pixels of a tile's side.
    pub side: usize,
    /// Tiles in a column of tiles.
    rows: usize,
    /// Tiles in a row of tiles.
    columns: usize,
    /// Tiles of the whole batch.
    pub count: usize,
}

impl Tiles {
    /// Divides the outputs of `batch` images into tiles; the last row and column may reach outside.
    pub fn new(batch: usize, shape: &ImageShape, side: usize) -> Self {
        let (rows, columns) = (shape.height.div_ceil(side), shape.width.div_ceil(side));
        Self { side, rows, columns, count: batch * rows * columns }
    }

    /// Returns the first pixel of a tile.
    #[inline(always)]
    pub fn origin(&self, tile: usize) -> Origin {
        let (line, column) = (tile / self.columns, tile % self.columns);
        let (image, row) = (line / self.rows, line % self.rows);
        Origin { image, row: (row * self.side) as isize, column: (column * self.side) as isize }
    }
}
