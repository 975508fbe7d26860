//! Resizes with a triangle filter as wide as the pixels of the result, as Pillow's bilinear filter does: it averages
//! when it reduces the size.

use std::ops::Range;

/// Values of an image, row by row with the channels of a pixel together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) size: [usize; 2],
    /// Number of channels, 1 or 3.
    pub(super) channels: usize,
    pub(super) data: Vec<f32>,
}

impl Values {
    /// Collects the values of a source without resizing: `write_row(y, out)` writes its row `y`.
    pub(super) fn collect(size: [usize; 2], channels: usize, write_row: impl Fn(usize, &mut [f32])) -> Values {
        let mut data = vec![0.0; size[0] * size[1] * channels];
        data.chunks_exact_mut(size[1] * channels).enumerate().for_each(|(y, row)| write_row(y, row));
        Values { size, channels, data }
    }

    /// Collects the values of a source of `size`, resized to `wanted`.
    pub(super) fn resized(
        size: [usize; 2],
        channels: usize,
        write_row: impl Fn(usize, &mut [f32]),
        wanted: [usize; 2],
    ) -> Values {
        Values::resized_part(size, channels, write_row, wanted, wanted.map(|side| 0..side))
    }

    /// Resizes a source of `size` to `wanted` and computes only the rows and columns `kept`. Rows and columns are
    /// resized one after the other, in the order with fewer intermediate values, which are hardly more than those of
    /// source or result.
    pub(super) fn resized_part(
        size: [usize; 2],
        channels: usize,
        write_row: impl Fn(usize, &mut [f32]),
        wanted: [usize; 2],
        kept: [Range<usize>; 2],
    ) -> Values {
        let part = [kept[0].len(), kept[1].len()];
        if size == wanted && part == size {
            return Values::collect(size, channels, write_row);
        }
        let (down, across) = (Axis::new(size[0], wanted[0], &kept[0]), Axis::new(size[1], wanted[1], &kept[1]));
        let [source, result] = [size[1], part[1]].map(|columns| columns * channels);
        let mut row = vec![0.0; source];
        let mut data = vec![0.0; part[0] * result];
        // rows first, or columns first, whichever makes fewer intermediate values
        if wanted[0] * size[1] <= size[0] * wanted[1] {
            let mut sum = vec![0.0; source];
            for (y, out) in data.chunks_exact_mut(result).enumerate() {
                sum.fill(0.0);
                for (from, weight) in down.taps(y) {
                    write_row(from, &mut row);
                    add(&mut sum, &row, weight);
                }
                across.apply(&sum, channels, out);
            }
        } else {
            let needed = down.inputs();
            let mut middle = vec![0.0; needed.len() * result];
            for (y, out) in needed.clone().zip(middle.chunks_exact_mut(result)) {
                write_row(y, &mut row);
                across.apply(&row, channels, out);
            }
            for (y, out) in data.chunks_exact_mut(result).enumerate() {
                for (from, weight) in down.taps(y) {
                    let from = from - needed.start;
                    add(out, &middle[from * result..(from + 1) * result], weight);
                }
            }
        }
        Values { size: part, channels, data }
    }
}

fn add(sum: &mut [f32], row: &[f32], weight: f32) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
}

/// The weights along one axis, for the outputs that are kept.
struct Axis {
    /// For each output, its first input and the start of its weights.
    outputs: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl Axis {
    fn new(inputs: usize, outputs: usize, kept: &Range<usize>) -> Axis {
        let scale = inputs as f64 / outputs as f64;
        let support = scale.max(1.0);
        let mut axis = Axis { outputs: Vec::with_capacity(kept.len()), weights: Vec::new() };
        for output in kept.clone() {
            let centre = (output as f64 + 0.5) * scale;
            let weight = |input: usize| (1.0 - ((input as f64 + 0.5 - centre) / support).abs()).max(0.0);
            let first = ((centre - support).max(0.0) as usize).min(inputs - 1);
            let end = ((centre + support).ceil() as usize).clamp(first + 1, inputs);
            let sum: f64 = (first..end).map(weight).sum();
            axis.outputs.push((first, axis.weights.len()));
            axis.weights.extend((first..end).map(|input| (weight(input) / sum) as f32));
        }
        axis
    }

    /// Returns the range of the inputs of all outputs.
    fn inputs(&self) -> Range<usize> {
        let end = (0..self.outputs.len()).flat_map(|output| self.taps(output)).map(|(input, _)| input + 1).max();
        self.outputs.first().map_or(0..0, |(first, _)| *first..end.unwrap_or(*first))
    }

    /// Iterates over the inputs of one output, with their weights.
    fn taps(&self, output: usize) -> impl Iterator<Item = (usize, f32)> {
        let (first, begin) = self.outputs[output];
        let end = self.outputs.get(output + 1).map_or(self.weights.len(), |(_, begin)| *begin);
        self.weights[begin..end].iter().enumerate().map(move |(tap, weight)| (first + tap, *weight))
    }

    /// Resizes one row of pixels.
    fn apply(&self, row: &[f32], channels: usize, out: &mut [f32]) {
        match channels {
            1 => self.apply_to::<1>(row, out),
            _ => self.apply_to::<3>(row, out),
        }
    }

    fn apply_to<const CHANNELS: usize>(&self, row: &[f32], out: &mut [f32]) {
        let (row, _) = row.as_chunks::<CHANNELS>();
        let (out, _) = out.as_chunks_mut::<CHANNELS>();
        for (output, pixel) in out.iter_mut().enumerate() {
            let mut sum = [0.0; CHANNELS];
            self.taps(output).for_each(|(from, weight)| add(&mut sum, &row[from], weight));
            *pixel = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_image_stretched_the_other_way_needs_little_in_between() {
        let row = |_: usize, out: &mut [f32]| out.iter_mut().enumerate().for_each(|(x, value)| *value = x as f32);
        // 16384 × 1 to 1 × 16384: the memory in between is one value, not 16384².
        let values = Values::resized([1, 16_384], 1, row, [16_384, 1]);
        assert_eq!(values.data.len(), 16_384);
        assert!(values.data.iter().all(|value| (value - 8191.5).abs() < 1.0));
    }

    #[test]
    fn a_part_is_what_is_cut_out_of_the_whole() {
        let source: Vec<f32> = (0..30 * 20 * 3).map(|i| (i * 37 % 101) as f32).collect();
        let row = |y: usize, out: &mut [f32]| out.copy_from_slice(&source[60 * y..60 * (y + 1)]);
        for wanted in [[30, 20], [9, 50], [70, 7], [40, 40], [11, 8]] {
            let whole = Values::resized([30, 20], 3, row, wanted);
            for kept in [[2..7, 1..6], [0..1, 0..wanted[1]], [3..wanted[0], 4..5], [8..9, 6..7]] {
                let part = Values::resized_part([30, 20], 3, row, wanted, kept.clone());
                assert_eq!(part.size, kept.clone().map(|range| range.len()));
                let rows = whole.data.chunks_exact(3 * wanted[1]).skip(kept[0].start);
                for (row, expected) in part.data.chunks_exact(3 * part.size[1]).zip(rows) {
                    assert_eq!(row, &expected[3 * kept[1].start..3 * kept[1].end], "{wanted:?}, {kept:?}");
                }
            }
        }
    }

    #[test]
    fn both_orders_give_the_same() {
        let source: Vec<f32> = (0..30 * 20).map(|i| (i * 37 % 101) as f32).collect();
        let row = |y: usize, out: &mut [f32]| out.copy_from_slice(&source[20 * y..20 * (y + 1)]);
        let turned = |y: usize, out: &mut [f32]| (0..30).for_each(|x| out[x] = source[20 * x + y]);
        for wanted in [[3, 40], [40, 3], [30, 7], [1, 1]] {
            let a = Values::resized([30, 20], 1, row, wanted).data;
            let b = Values::resized([20, 30], 1, turned, [wanted[1], wanted[0]]).data;
            for (i, value) in a.iter().enumerate() {
                let (y, x) = (i / wanted[1], i % wanted[1]);
                assert!((value - b[x * wanted[0] + y]).abs() < 1e-3, "{wanted:?} at {i}");
            }
        }
    }
}
