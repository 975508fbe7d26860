//! Resizes images with filters as wide as the pixels of the result: reducing the size averages.
//!
//! The filters, their weights in fixed point and the rounding between the two passes are those of Pillow's `resize`, so the
//! results are too, to the bit. Integers also give the same bits on every machine.

use crate::Image;
use ocelli_simd::{Isa, Kernel, dispatch};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The filter that resizes images. Both average over the pixels of the result when they reduce the size (antialiasing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle over two pixels of the result.
    #[default]
    Bilinear,
    /// A cubic polynomial over four pixels of the result with a = −1/2 (Keys 1981).
    Bicubic,
}

impl Filter {
    /// Returns the distance from which on the filter is 0, in pixels of the result.
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Filter::Bilinear => (1.0 - x).max(0.0),
            Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Filter::Bicubic => 0.0,
        }
    }
}

/// Binary digits of a weight behind the point: a byte, a sign and an overflow by the cubic filter leave 22 of 32.
const FRACTION: u32 = 22;
/// One in fixed point.
const ONE: i32 = 1 << FRACTION;
/// One half in fixed point, which rounds.
const HALF: i32 = 1 << (FRACTION - 1);

/// Rows that are resized side by side.
const ROWS: usize = 4;

/// The memory of resizing, kept from image to image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resizer {
    down: Axis,
    across: Axis,
    middle: Vec<u8>,
    sums: Vec<i32>,
}

/// A part of an image.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    image: &'a Image,
    /// Top and left.
    first: [usize; 2],
    size: [usize; 2],
}

impl<'a> Part<'a> {
    /// Makes a part of some rows and columns of an image.
    pub(crate) fn new(image: &'a Image, [rows, columns]: [Range<usize>; 2]) -> Part<'a> {
        Part { image, first: [rows.start, columns.start], size: [rows.len(), columns.len()] }
    }

    #[inline(always)]
    fn row(&self, y: usize) -> &'a [u8] {
        let channels = self.image.channels();
        let start = (self.first[0] + y) * self.image.row() + self.first[1] * channels;
        &self.image.pixels()[start..start + self.size[1] * channels]
    }
}

impl Resizer {
    /// Resizes a part of an image to `wanted` and writes only the rows and columns `kept` to `out`.
    ///
    /// Columns are resized first, as Pillow does, unless that would make more values in between than source and result
    /// have, as of a thin image that is stretched the other way.
    pub(crate) fn resize(
        &mut self,
        source: Part<'_>,
        wanted: [usize; 2],
        kept: [Range<usize>; 2],
        filter: Filter,
        out: &mut Image,
    ) {
        let channels = source.image.channels();
        let [rows, columns] = [kept[0].len(), kept[1].len()];
        let result = columns * channels;
        out.reshape_checked([rows, columns, channels]);
        self.down.set(source.size[0], wanted[0], &kept[0], filter);
        self.across.set(source.size[1], wanted[1], &kept[1], filter);
        dispatch(Passes { resizer: self, source, wanted, result, out: out.pixels_mut() });
    }
}

/// The two passes over a part of an image, in the vectors of the machine.
struct Passes<'a> {
    /// Its weights are set.
    resizer: &'a mut Resizer,
    source: Part<'a>,
    wanted: [usize; 2],
    /// Bytes in a row of the result.
    result: usize,
    out: &'a mut [u8],
}

impl Kernel for Passes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Passes { resizer: Resizer { down, across, middle, sums }, source, wanted, result, out } = self;
        let channels = source.image.channels();
        let needed = down.inputs();
        // What is kept does not matter here, so that a part has the bits of the whole.
        let most = (source.size[0] * source.size[1]).max(wanted[0] * wanted[1]);
        if source.size[0] * wanted[1] <= most {
            middle.resize(needed.len() * result, 0);
            // some rows at a time, for which the weights are read once
            let mut lines = middle.chunks_exact_mut(ROWS * result);
            let mut rows = needed.clone().step_by(ROWS);
            for (lines, y) in lines.by_ref().zip(rows.by_ref()) {
                across.apply_to_rows(std::array::from_fn(|row| source.row(y + row)), channels, lines);
            }
            let rest = lines.into_remainder();
            for (y, line) in (needed.end - rest.len() / result..).zip(rest.chunks_exact_mut(result)) {
                across.apply(source.row(y), channels, line);
            }
            for (y, line) in out.chunks_exact_mut(result).enumerate() {
                down.add_up(y, |y| &middle[(y - needed.start) * result..][..result], sums, line);
            }
        } else {
            middle.resize(source.size[1] * channels, 0);
            for (y, line) in out.chunks_exact_mut(result).enumerate() {
                down.add_up(y, |y| source.row(y), sums, middle);
                across.apply(middle, channels, line);
            }
        }
    }
}

/// The weights along one axis, for the outputs that are kept.
#[derive(Clone, Debug, Default)]
struct Axis {
    /// For each output, its first input and the start of its weights.
    outputs: Vec<(usize, usize)>,
    weights: Vec<i32>,
    /// The weights of one output before they are rounded.
    exact: Vec<f64>,
}

impl Axis {
    fn set(&mut self, inputs: usize, outputs: usize, kept: &Range<usize>, filter: Filter) {
        let scale = inputs as f64 / outputs as f64;
        let widened = scale.max(1.0);
        let support = filter.support() * widened;
        self.outputs.clear();
        self.weights.clear();
        if inputs == outputs {
            self.outputs.extend(kept.clone().enumerate().map(|(at, output)| (output, at)));
            return self.weights.resize(kept.len(), ONE);
        }
        for output in kept.clone() {
            let centre = (output as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(inputs);
            self.exact.clear();
            self.exact.extend((first..end).map(|input| filter.weight((input as f64 - centre + 0.5) / widened)));
            let sum: f64 = self.exact.iter().sum();
            let fixed = |weight: &f64| (weight / sum * f64::from(ONE)).round() as i32;
            self.outputs.push((first, self.weights.len()));
            self.weights.extend(self.exact.iter().map(fixed));
        }
    }

    /// Returns the range of the inputs of all outputs.
    fn inputs(&self) -> Range<usize> {
        let first = self.outputs.first().map_or(0, |(first, _)| *first);
        let last = self.outputs.len().saturating_sub(1);
        let end = self.outputs.get(last).map_or(first, |(first, begin)| first + self.weights.len() - begin);
        first..end
    }

    /// Returns the first input of an output, and the weights from there on.
    #[inline(always)]
    fn taps(&self, output: usize) -> (usize, &[i32]) {
        let (first, begin) = self.outputs[output];
        let end = self.outputs.get(output + 1).map_or(self.weights.len(), |(_, begin)| *begin);
        (first, &self.weights[begin..end])
    }

    /// Writes one output of rows: their weighted sum.
    #[inline(always)]
    fn add_up<'a>(&self, output: usize, row: impl Fn(usize) -> &'a [u8], sums: &mut Vec<i32>, out: &mut [u8]) {
        let (first, weights) = self.taps(output);
        if weights == [ONE] {
            return out.copy_from_slice(row(first));
        }
        sums.clear();
        sums.resize(out.len(), HALF);
        for (y, weight) in (first..).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row(y)) {
                *sum += weight * i32::from(*value);
            }
        }
        for (out, sum) in out.iter_mut().zip(&*sums) {
            *out = rounded(*sum);
        }
    }

    /// Resizes one row of pixels.
    #[inline(always)]
    fn apply(&self, row: &[u8], channels: usize, out: &mut [u8]) {
        match channels {
            1 => self.apply_to::<1>(row, out),
            _ => self.apply_to::<3>(row, out),
        }
    }

    /// Resizes some rows of pixels; `out` has theirs one after the other.
    #[inline(always)]
    fn apply_to_rows(&self, rows: [&[u8]; ROWS], channels: usize, out: &mut [u8]) {
        match channels {
            1 => self.apply_to_rows_of::<1>(rows, out),
            _ => self.apply_to_rows_of::<3>(rows, out),
        }
    }

    #[inline(always)]
    fn apply_to_rows_of<const CHANNELS: usize>(&self, rows: [&[u8]; ROWS], out: &mut [u8]) {
        let length = out.len() / ROWS;
        for output in 0..self.outputs.len() {
            let (first, weights) = self.taps(output);
            let (begin, at) = (CHANNELS * first, CHANNELS * output);
            // four bytes at once, as in `apply_to`
            if rows[0].len() - begin < CHANNELS * weights.len() + 4 || length - at < 4 {
                for (row, out) in rows.iter().zip(out.chunks_exact_mut(length)) {
                    let to = out[at..].first_chunk_mut().expect("a row of pixels");
                    add_pixels::<CHANNELS, CHANNELS>(weights, &row[begin..], to);
                }
                continue;
            }
            let mut sums = [[HALF; 4]; ROWS];
            let reach = begin..begin + CHANNELS * weights.len() + 4;
            let from = rows.map(|row| &row[reach.clone()]);
            for (tap, weight) in weights.iter().enumerate() {
                for row in 0..ROWS {
                    let values: [u8; 4] = *from[row][CHANNELS * tap..].first_chunk().expect("the row reaches further");
                    for lane in 0..4 {
                        sums[row][lane] += weight * i32::from(values[lane]);
                    }
                }
            }
            for (sums, out) in sums.iter().zip(out.chunks_exact_mut(length)) {
                let to: &mut [u8; 4] = out[at..].first_chunk_mut().expect("a row of pixels");
                *to = sums.map(rounded);
            }
        }
    }

    #[inline(always)]
    fn apply_to<const CHANNELS: usize>(&self, row: &[u8], out: &mut [u8]) {
        for output in 0..self.outputs.len() {
            let (first, weights) = self.taps(output);
            let (from, to) = (&row[CHANNELS * first..], &mut out[CHANNELS * output..]);
            // four bytes at once, of which the next pixel writes those behind the channels again
            match to.first_chunk_mut() {
                Some(four) if from.len() >= CHANNELS * weights.len() + 4 => {
                    add_pixels::<CHANNELS, 4>(weights, from, four)
                }
                _ => add_pixels::<CHANNELS, CHANNELS>(weights, from, to.first_chunk_mut().expect("a row of pixels")),
            }
        }
    }
}

/// Writes the weighted sum of pixels, and of the bytes behind them up to `LANES`.
#[inline(always)]
fn add_pixels<const CHANNELS: usize, const LANES: usize>(weights: &[i32], from: &[u8], out: &mut [u8; LANES]) {
    let mut sums = [HALF; LANES];
    for (weight, values) in weights.iter().zip(from.windows(LANES).step_by(CHANNELS)) {
        for lane in 0..LANES {
            sums[lane] += weight * i32::from(values[lane]);
        }
    }
    for lane in 0..LANES {
        out[lane] = rounded(sums[lane]);
    }
}

#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(image: &Image, wanted: [usize; 2], kept: [Range<usize>; 2], filter: Filter) -> Image {
        let mut out = Image::default();
        Resizer::default().resize(Part::new(image, image.size().map(|side| 0..side)), wanted, kept, filter, &mut out);
        out
    }

    fn whole(size: [usize; 2]) -> [Range<usize>; 2] {
        size.map(|side| 0..side)
    }

    /// Makes an image of drawn values.
    fn drawn(shape: [usize; 3]) -> Image {
        let mut random = ocelli_tensor::Key::new(5).stream();
        Image::new(shape, (0..shape.iter().product()).map(|_| random.below(256) as u8).collect()).unwrap()
    }

    /// What Pillow makes of a photograph; `tests/reference/make.py` wrote the files.
    #[test]
    fn every_size_is_pillows_to_the_bit() {
        let source = include_bytes!("../tests/reference/source.ppm");
        let source = Image::new([16, 24, 3], source[source.len() - 16 * 24 * 3..].to_vec()).unwrap();
        let mut expected = &include_bytes!("../tests/reference/resized.bin")[..];
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for size in [[11, 17], [5, 9], [7, 24], [16, 13], [20, 30], [40, 9]] {
                let (image, rest) = expected.split_at(size[0] * size[1] * 3);
                expected = rest;
                assert_eq!(resized(&source, size, whole(size), filter).pixels(), image, "{filter:?} {size:?}");
            }
        }
        assert!(expected.is_empty());
    }

    #[test]
    fn a_thin_image_stretched_the_other_way_needs_little_in_between() {
        let thin = Image::new([16_384, 1, 1], (0..16_384).map(|y| (y / 64) as u8).collect()).unwrap();
        let mut resizer = Resizer::default();
        let mut out = Image::default();
        // 16384 × 1 to 1 × 16384: between the two is one value, not 16384².
        resizer.resize(
            Part::new(&thin, whole([16_384, 1])),
            [1, 16_384],
            whole([1, 16_384]),
            Filter::Bilinear,
            &mut out,
        );
        assert!(resizer.middle.len() <= 16_384);
        assert!(out.pixels().iter().all(|value| value.abs_diff(127) <= 1));
    }

    #[test]
    fn a_part_is_what_is_cut_out_of_the_whole() {
        for channels in [1, 3] {
            let source = drawn([30, 20, channels]);
            for wanted in [[30, 20], [9, 50], [70, 7], [40, 40], [11, 8]] {
                for filter in [Filter::Bilinear, Filter::Bicubic] {
                    let all = resized(&source, wanted, whole(wanted), filter);
                    for kept in [[2..7, 1..6], [0..1, 0..wanted[1]], [3..wanted[0], 4..5], [8..9, 6..7]] {
                        let part = resized(&source, wanted, kept.clone(), filter);
                        let rows = all.pixels().chunks_exact(channels * wanted[1]).skip(kept[0].start);
                        for (row, expected) in part.pixels().chunks_exact(part.row()).zip(rows) {
                            let columns = channels * kept[1].start..channels * kept[1].end;
                            assert_eq!(row, &expected[columns], "{wanted:?}, {kept:?}");
                        }
                    }
                }
            }
        }
    }
}
