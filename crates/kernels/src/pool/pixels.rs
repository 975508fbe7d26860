//! What pooling kernels share: windows computed some channels at a time, and work cut over rows of pixels.

use ocelli_simd::{AddTo, Destination, InstructionSet, Isa, Store, Write, Writer, dispatch_on};

use crate::Accumulate;
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::elementwise::stores::stores_for;

/// Vectors of channels that are computed together: the loops over a window's pixels, whose bounds are not known when
/// compiling, cost as much as the arithmetic of one.
const TOGETHER: usize = 4;

/// `V` vectors of channels: whole ones, or a single one of what is left.
#[derive(Clone, Copy)]
pub(super) struct Channels<const V: usize> {
    first: usize,
    count: usize,
}

impl<const V: usize> Channels<V> {
    /// These channels of a pixel.
    #[inline(always)]
    pub(super) fn load<I: Isa>(self, isa: I, pixel: &[f32]) -> [I::Vector; V] {
        let x = &pixel[self.first..][..self.count];
        let mut vectors = [isa.zero(); V];
        for v in 0..V {
            vectors[v] = if self.count >= I::LANES { isa.load(&x[v * I::LANES..]) } else { isa.load_partial(x) };
        }
        vectors
    }
}

/// `N` results for each channel of a pixel.
pub(super) trait Pixel<const N: usize> {
    /// The results of some channels; implementations must be `#[inline(always)]`.
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; N];
}

/// Puts all channels of a pixel.
#[inline(always)]
pub(super) fn put<I: Isa, S: Store, P: Pixel<N>, const N: usize>(
    isa: I,
    pixel: &P,
    channels: usize,
    y: &mut [Destination<'_, S>; N],
) {
    let mut first = 0;
    while channels - first >= TOGETHER * I::LANES {
        let results = pixel.at(isa, Channels::<TOGETHER> { first, count: TOGETHER * I::LANES });
        for (y, results) in y.iter_mut().zip(results) {
            results.into_iter().for_each(|result| y.put_vector(isa, result));
        }
        first += TOGETHER * I::LANES;
    }
    while first < channels {
        let count = I::LANES.min(channels - first);
        let results = pixel.at(isa, Channels::<1> { first, count });
        for n in 0..N {
            y[n].put(isa, results[n][0], count);
        }
        first += count;
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

/// Fills `y`, or adds to it, with what `work` makes of the rows from a given number on, counted over the whole batch.
/// Rows have `width` pixels; `time` is that of a row, in elements.
pub(super) fn fill_rows<W: Writer<1>>(
    y: &mut [f32],
    [width, channels]: [usize; 2],
    time: usize,
    accumulate: Accumulate,
    work: impl Fn(usize) -> W + Sync,
) {
    let set = InstructionSet::current();
    let row = width * channels;
    let stores = stores_for(y, channels);
    in_pieces(y, rows_piece(row, time), |start, y| {
        let work = work(start / row);
        match accumulate {
            Accumulate::Set => dispatch_on(set, Write { work, stores, y: [y] }),
            Accumulate::Add => dispatch_on(set, AddTo { work, y: [y] }),
        }
    });
}
