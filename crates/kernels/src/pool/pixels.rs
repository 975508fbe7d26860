//! What pooling kernels share: vectors of channels, and work cut over rows of pixels.

use ocelli_simd::Isa;

use crate::elementwise::chunks::{in_pieces, rows_piece};

/// The channels of one vector: a whole one, or what is left.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    first: usize,
    count: usize,
}

impl Lanes {
    /// The vectors that make `channels`.
    #[inline(always)]
    pub(super) fn all<I: Isa>(_: I, channels: usize) -> impl Iterator<Item = Self> {
        (0..channels).step_by(I::LANES).map(move |first| Self { first, count: I::LANES.min(channels - first) })
    }

    /// These channels of a pixel.
    #[inline(always)]
    pub(super) fn load<I: Isa>(self, isa: I, pixel: &[f32]) -> I::Vector {
        let x = &pixel[self.first..][..self.count];
        if self.count == I::LANES { isa.load(x) } else { isa.load_partial(x) }
    }

    /// Writes these channels of a pixel.
    #[inline(always)]
    pub(super) fn store<I: Isa>(self, isa: I, value: I::Vector, pixel: &mut [f32]) {
        let y = &mut pixel[self.first..][..self.count];
        if self.count == I::LANES { isa.store(value, y) } else { isa.store_partial(value, y) }
    }
}

/// An image of several channels.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    pub pixels: &'a [f32],
    pub width: usize,
    pub channels: usize,
}

impl<'a> Image<'a> {
    /// One image of a batch.
    #[inline(always)]
    pub(super) fn of_batch(all: &'a [f32], image: usize, [height, width, channels]: [usize; 3]) -> Self {
        let length = height * width * channels;
        Self { pixels: &all[image * length..][..length], width, channels }
    }

    /// The channels of the pixel at a row and a column.
    #[inline(always)]
    pub(super) fn pixel(&self, row: usize, column: usize) -> &'a [f32] {
        &self.pixels[(row * self.width + column) * self.channels..][..self.channels]
    }
}

/// Calls `f` with consecutive groups of rows of pixels and the number of the first, counted over the whole batch.
/// `work` is the time of a row, in elements.
pub(super) fn in_row_pieces(y: &mut [f32], row: usize, work: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    in_pieces(y, rows_piece(row, work), |start, y| f(start / row, y));
}
