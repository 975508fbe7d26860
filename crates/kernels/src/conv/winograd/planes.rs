//! The transform of a block of tiles to planes, and its memory layout.

use std::marker::PhantomData;
use std::ops::Range;

use ocelli_simd::{Isa, Kernel};

use super::images::{ImageShape, Origin, Tiles};
use super::transform::{Linear, map_square};
use crate::cache::LINE;

/// Elements between two planes. Distances between planes are often multiples of 4 KiB, which would map the same
/// position of all of them to one set of the first-level cache; a cache line between them spreads them.
pub(super) const PAD: usize = 16;

/// Layout of the transform of a block of tiles: `[plane][chunk][tile][channel of the chunk]`. All chunks of channels
/// are equally wide but the last, which may be narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    /// Tiles of the block.
    pub tiles: usize,
    /// Channels, rounded up to whole vectors.
    pub channels: usize,
    /// Channels of a chunk.
    pub chunk: usize,
}

impl Planes {
    /// Returns the distance between planes.
    #[inline(always)]
    pub fn step(&self) -> usize {
        self.tiles * self.channels + PAD
    }

    /// Returns the number of elements of `planes` planes.
    pub fn len(&self, planes: usize) -> usize {
        planes * self.step()
    }

    /// Returns the first channel and the number of channels of each chunk.
    #[inline(always)]
    pub fn chunks(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.channels).step_by(self.chunk).map(move |first| (first, self.chunk.min(self.channels - first)))
    }
}

/// Transforms some tiles by `L`, which maps windows of `FROM × FROM` pixels to `TO × TO` planes.
pub(super) struct TransformTiles<'a, L, const FROM: usize, const TO: usize> {
    /// Sizes of the images.
    pub shape: ImageShape,
    /// Pixels of the images.
    pub data: &'a [f32],
    /// Tiles of the outputs.
    pub tiles: &'a Tiles,
    /// Range of tiles to transform.
    pub range: Range<usize>,
    /// Distance of a tile's window above and left of the tile.
    pub before: [isize; 2],
    /// Range of channels to transform.
    pub channels: Range<usize>,
    /// Layout of the result.
    pub layout: Planes,
    /// Room for the result.
    pub planes: &'a mut [f32],
    /// Room for a window, whose channels are rounded up to whole vectors.
    pub copy: &'a mut [f32],
    /// Linear map to apply.
    pub map: PhantomData<L>,
}

impl<L: Linear<FROM, TO>, const FROM: usize, const TO: usize> Kernel for TransformTiles<'_, L, FROM, TO> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { layout, planes, .. } = self;
        assert!(layout.tiles == self.range.len() && layout.channels == self.channels.len().next_multiple_of(I::LANES));
        assert!(planes.len() >= layout.len(TO * TO) && layout.chunk.is_multiple_of(I::LANES));
        for (index, tile) in self.range.enumerate() {
            // The window of this tile.
            let Origin { image, row, column } = self.tiles.origin(tile);
            let at = Origin { image, row: row - self.before[0], column: column - self.before[1] };
            let window = self.shape.window::<I>(self.data, at, FROM, &self.channels, self.copy);
            // The part of the next window to prefetch.
            let next = self.tiles.origin(tile + 1);
            let next = Origin { row: next.row - self.before[0], column: next.column - self.before[1], ..next };
            let ahead = self.shape.ahead::<FROM>(self.data, next, self.tiles.side, self.channels.start);
            // Transform vector by vector.
            for (first, width) in layout.chunks() {
                for channel in (0..width).step_by(I::LANES) {
                    if (first + channel).is_multiple_of(LINE) {
                        for i in 0..FROM {
                            for j in 0..self.tiles.side {
                                let pixel = i * ahead.row + j * ahead.column;
                                isa.prefetch(ahead.first.wrapping_add(pixel + first + channel));
                            }
                        }
                    }
                    let place = first * layout.tiles + index * width + channel;
                    // SAFETY: a window has whole vectors of all channels at each of its pixels. `place` and a vector
                    // behind it lie in a plane of `tiles · channels` elements, and `planes` holds all planes (asserted).
                    unsafe {
                        let from = window.advanced(first + channel);
                        let to = planes.as_mut_ptr().add(place);
                        map_square::<I, L, FROM, TO>(isa, from, to, layout.step());
                    }
                }
            }
        }
    }
}
