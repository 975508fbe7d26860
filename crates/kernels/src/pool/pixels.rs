//! The machinery that pooling kernels share: windows computed some channels at a time, and work cut over rows of
//! pixels.

use std::ops::Range;

use ocelli_simd::{Destination, Effect, InstructionSet, Isa, Kernel, Store, WriteOrAdd, Writer, dispatch_on};

use crate::Accumulate;
use crate::cache::{AHEAD, LINE};
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::stores::stores_for;

/// Vectors of channels that are computed together: the loops over a window's pixels, whose bounds are not always known
/// when compiling, cost as much as the arithmetic of one.
const TOGETHER: usize = 4;

/// `V` vectors of channels, counted from the first channel of the first pixel of a run.
#[derive(Clone, Copy)]
pub(super) struct Channels<const V: usize> {
    first: usize,
}

impl<const V: usize> Channels<V> {
    /// Loads these channels of the pixel that begins at element `pixel` of `all`. Where it has fewer, the lanes beyond
    /// are unspecified: mostly channels of the next one, because the load of a whole vector is the quicker one.
    #[inline(always)]
    pub(super) fn load<I: Isa>(self, isa: I, all: &[f32], pixel: usize) -> [I::Vector; V] {
        let x = &all[pixel + self.first..];
        let mut vectors = [isa.zero(); V];
        if V > 1 || x.len() >= I::LANES {
            // Several vectors are whole ones of one pixel.
            let x = &x[..V * I::LANES];
            for v in 0..V {
                vectors[v] = isa.load(&x[v * I::LANES..]);
            }
        } else {
            vectors[0] = isa.load_partial(x);
        }
        vectors
    }
}

/// A rule that computes `N` results for each channel of a pixel; and of pixels of a run, which read the same further
/// on.
pub(super) trait Pixel<const N: usize> {
    /// Returns the results of some channels; implementations must be `#[inline(always)]`.
    fn at<I: Isa, const V: usize>(&self, isa: I, channels: Channels<V>) -> [[I::Vector; V]; N];

    /// Prefetches the reads of pixels a little further on for these channels, where this pixel is `shift` elements
    /// behind.
    #[inline(always)]
    fn prefetch<I: Isa>(&self, _isa: I, _shift: usize, _channels: Range<usize>) {}
}

/// A pixel that no window covers.
pub(super) struct Uncovered;

impl Pixel<1> for Uncovered {
    #[inline(always)]
    fn at<I: Isa, const V: usize>(&self, isa: I, _: Channels<V>) -> [[I::Vector; V]; 1] {
        [[isa.zero(); V]]
    }
}

/// The results of pixels, written to `N` slices.
///
/// If a pixel's channels are no whole vectors, whole ones are stored all the same, each over the excess of the last one.
pub(super) struct Results<'a, S, const N: usize> {
    y: [Destination<'a, S>; N],
    channels: usize,
}

impl<'a, S: Store, const N: usize> Results<'a, S, N> {
    pub(super) fn new(y: [Destination<'a, S>; N], channels: usize) -> Self {
        Self { y, channels }
    }

    /// Puts `count` pixels, each of which reads like the one before it, `step` elements further on.
    #[inline(always)]
    pub(super) fn put_run<I: Isa, P: Pixel<N>>(&mut self, isa: I, pixel: &P, count: usize, step: usize) {
        isa.call(Run { results: self, pixel, count, step });
    }

    /// Puts all channels of the pixel that reads `shift` elements further on than the given one.
    #[inline(always)]
    pub(super) fn put<I: Isa, P: Pixel<N>>(&mut self, isa: I, pixel: &P, shift: usize) {
        let mut first = 0;
        if self.channels.is_multiple_of(I::LANES) {
            // Several vectors together.
            while self.channels - first >= TOGETHER * I::LANES {
                let next = first + TOGETHER * I::LANES;
                pixel.prefetch(isa, shift, first..next);
                let results = pixel.at(isa, Channels::<TOGETHER> { first: shift + first });
                for (y, results) in self.y.iter_mut().zip(results) {
                    for result in results {
                        y.put_vector(isa, result);
                    }
                }
                first = next;
            }
            // Vector by vector.
            while first < self.channels {
                let next = first + I::LANES;
                pixel.prefetch(isa, shift, first..next);
                let results = pixel.at(isa, Channels::<1> { first: shift + first });
                for (y, [result]) in self.y.iter_mut().zip(results) {
                    y.put_vector(isa, result);
                }
                first = next;
            }
        } else {
            // The excess of the last vector is overwritten by the next pixel.
            while first < self.channels {
                let next = self.channels.min(first + I::LANES);
                let results = pixel.at(isa, Channels::<1> { first: shift + first });
                for (y, [result]) in self.y.iter_mut().zip(results) {
                    y.put_over(isa, result, next - first);
                }
                first = next;
            }
        }
    }
}

/// The work of [`Results::put_run`].
struct Run<'r, 'a, S, P, const N: usize> {
    results: &'r mut Results<'a, S, N>,
    pixel: &'r P,
    count: usize,
    step: usize,
}

impl<S: Store, P: Pixel<N>, const N: usize> Kernel for Run<'_, '_, S, P, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for i in 0..self.count {
            self.results.put(isa, self.pixel, i * self.step);
        }
    }
}

/// Number of pixels, or windows, of a loop.
pub(super) trait Extent: Copy {
    fn rows(self) -> usize;
    fn columns(self) -> usize;
}

/// A size that is known at compile time, so that the loops over it are unrolled.
#[derive(Clone, Copy)]
pub(super) struct Fixed<const R: usize, const C: usize>;

impl<const R: usize, const C: usize> Extent for Fixed<R, C> {
    #[inline(always)]
    fn rows(self) -> usize {
        R
    }

    #[inline(always)]
    fn columns(self) -> usize {
        C
    }
}

/// A size that is known only at run time.
#[derive(Clone, Copy)]
pub(super) struct Any {
    pub rows: usize,
    pub columns: usize,
}

impl Extent for Any {
    #[inline(always)]
    fn rows(self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn columns(self) -> usize {
        self.columns
    }
}

/// An image of several channels.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    /// Elements from its first pixel to the end of the batch.
    pub pixels: &'a [f32],
    width: usize,
    channels: usize,
}

impl<'a> Image<'a> {
    /// Returns one image of a batch.
    #[inline(always)]
    pub(super) fn of_batch(all: &'a [f32], image: usize, [height, width, channels]: [usize; 3]) -> Self {
        Self { pixels: &all[image * height * width * channels..], width, channels }
    }

    /// Returns the index of the first element of the pixel at a row and a column.
    #[inline(always)]
    pub(super) fn place(&self, row: usize, column: usize) -> usize {
        (row * self.width + column) * self.channels
    }

    /// Returns the distance of rows.
    #[inline(always)]
    pub(super) fn row(&self) -> usize {
        self.width * self.channels
    }
}

/// Elements to prefetch. In loops that go from row to row and from pixel to pixel within a few lines, the hardware
/// prefetcher sees no streams.
#[derive(Clone, Copy)]
pub(super) struct WindowPrefetcher<'a> {
    source: &'a [f32],
    /// Offset of the first row, number of rows, and their distance.
    first: usize,
    rows: usize,
    row: usize,
    /// Elements for each channel.
    per_channel: usize,
    /// Offset from which on the row ends before the prefetched elements, which are in the next of those rows that are
    /// new.
    wrap: usize,
}

impl<'a> WindowPrefetcher<'a> {
    /// Creates the prefetcher for pixels that read, in `rows` rows of the image from `[row, column]` on, `per_channel`
    /// elements for each channel that no pixel before them reads.
    #[inline(always)]
    pub(super) fn of(image: Image<'a>, [row, column]: [usize; 2], rows: usize, per_channel: usize) -> Self {
        let length = image.row();
        let wrap = match length.checked_sub(AHEAD) {
            Some(last) => last.saturating_sub(image.place(0, column)),
            None => usize::MAX,
        };
        let first = image.place(row, column) + AHEAD;
        Self { source: image.pixels, first, rows, row: length, per_channel, wrap }
    }

    #[inline(always)]
    pub(super) fn prefetch<I: Isa>(&self, isa: I, shift: usize, channels: Range<usize>) {
        let begin = shift + channels.start * self.per_channel;
        let numbers = channels.len() * self.per_channel;
        let jump = if begin >= self.wrap { self.rows.saturating_sub(1) * self.row } else { 0 };
        for row in 0..self.rows {
            let row = self.source.as_ptr().wrapping_add(self.first + row * self.row + jump + begin);
            for line in (0..numbers).step_by(LINE) {
                isa.prefetch(row.wrapping_add(line));
            }
        }
    }
}

/// Fills `y`, or adds to it, with the results of `work` for the rows from a given index on, counted over the whole
/// batch. Rows are some `pixels` of some channels; `time` is that of a row, in elements.
pub(super) fn fill_rows<W: Writer<1>>(
    y: &mut [f32],
    [pixels, channels]: [usize; 2],
    time: usize,
    accumulate: Accumulate,
    work: impl Fn(usize) -> W + Sync,
) {
    let set = InstructionSet::current();
    let row = pixels * channels;
    let piece = rows_piece(row, time);
    let effect = match accumulate {
        Accumulate::Set => Effect::Replace(stores_for(y, channels)),
        Accumulate::Add => Effect::Add,
    };
    in_pieces(y, piece, |start, y| {
        let work = work(start / row);
        dispatch_on(set, WriteOrAdd { work, effect, y: [y] });
    });
}
