//! The inverse cosine transform from coefficients to samples, in the integer arithmetic of libjpeg's accurate method
//! (Loeffler, Ligtenberg and Moschytz 1989), so that the samples are equal to its own.

use super::frame::Block;
use crate::image_files::fault::{Fault, Result};
use ocelli_simd::{Isa, Kernel};
use std::num::Wrapping;

/// Fractional bits of the constants.
const BITS: u32 = 13;
/// Fractional bits that columns keep for the rows.
const KEPT: u32 = 2;
/// A bound on the sum of the absolute coefficients of a block. Those of 8-bit samples have at most 8192, because their
/// squares add up to at most 64 · 128² (Parseval), and quantisation with steps of 8 bits adds at most as much. Below the
/// bound every result fits into 32 bits; sums on the way to it may wrap around and back.
const MAX_SUM: i32 = 32_000;
/// Blocks that are transformed side by side.
const BLOCKS: usize = 8;
/// Columns of these blocks, or rows: one for each lane of a vector.
const LANES: usize = 8 * BLOCKS;

/// Eight values of every lane.
type Group = [[i32; LANES]; 8];

const fn fixed(value: f64) -> i32 {
    (value * (1 << BITS) as f64 + 0.5) as i32
}

/// The transform of all blocks of a component, in the vectors of the machine.
pub(super) struct InverseTransform<'a> {
    /// Rows of `padded` blocks, of which the first `columns` hold samples.
    pub(super) blocks: &'a [Block],
    pub(super) padded: usize,
    pub(super) columns: usize,
    pub(super) quantisation: [u16; 64],
    /// The results, in rows of `8 · columns`.
    pub(super) samples: &'a mut [u8],
}

impl Kernel for InverseTransform<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> Result<()> {
        let stride = 8 * self.columns;
        let (mut group, mut turned): (Group, Group) = ([[0; LANES]; 8], [[0; LANES]; 8]);
        for (row, band) in self.blocks.chunks(self.padded).zip(self.samples.chunks_exact_mut(8 * stride)) {
            for (number, blocks) in row[..self.columns].chunks(BLOCKS).enumerate() {
                dequantise(blocks, &self.quantisation, &mut group)?;
                transform(&mut group, BITS - KEPT);
                transpose(&group, &mut turned);
                transform(&mut turned, BITS + KEPT + 3);
                write(&turned, blocks.len(), &mut band[LANES * number..], stride);
            }
        }
        Ok(())
    }
}

/// Multiplies the coefficients of some blocks with their steps.
#[inline(always)]
fn dequantise(blocks: &[Block], steps: &[u16; 64], group: &mut Group) -> Result<()> {
    for (number, block) in blocks.iter().enumerate() {
        let mut sum = 0;
        for y in 0..8 {
            for x in 0..8 {
                let value = i32::from(block[8 * y + x]) * i32::from(steps[8 * y + x]);
                group[y][8 * number + x] = value;
                sum += value.abs().min(MAX_SUM + 1);
            }
        }
        if sum > MAX_SUM {
            return Err(Fault::damaged("a coefficient beyond its range"));
        }
    }
    Ok(())
}

/// Turns the columns of each block into its rows.
#[inline(always)]
fn transpose(group: &Group, turned: &mut Group) {
    for number in 0..BLOCKS {
        for y in 0..8 {
            for x in 0..8 {
                turned[x][8 * number + y] = group[y][8 * number + x];
            }
        }
    }
}

/// Writes the samples of some blocks, which are stored around zero and transposed.
#[inline(always)]
fn write(turned: &Group, blocks: usize, samples: &mut [u8], stride: usize) {
    for (y, row) in samples.chunks_mut(stride).enumerate() {
        for (number, row) in row.as_chunks_mut::<8>().0.iter_mut().take(blocks).enumerate() {
            for x in 0..8 {
                row[x] = (turned[x][8 * number + y] + 128).clamp(0, 255) as u8;
            }
        }
    }
}

/// Transforms the eight values of each lane; rounds off `bits` fractional bits.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "a lane is the second index")]
fn transform(group: &mut Group, bits: u32) {
    for lane in 0..LANES {
        let v: [Wrapping<i32>; 8] = std::array::from_fn(|i| Wrapping(group[i][lane]));
        // the even ones
        let z = (v[2] + v[6]) * const { Wrapping(fixed(0.541196100)) };
        let (a2, a3) =
            (z - v[6] * const { Wrapping(fixed(1.847759065)) }, z + v[2] * const { Wrapping(fixed(0.765366865)) });
        let (a0, a1) = ((v[0] + v[4]) << BITS as usize, (v[0] - v[4]) << BITS as usize);
        let even = [a0 + a3, a1 + a2, a1 - a2, a0 - a3];
        // the odd ones
        let (z1, z2, z3, z4) = (v[7] + v[1], v[5] + v[3], v[7] + v[3], v[5] + v[1]);
        let z5 = (z3 + z4) * const { Wrapping(fixed(1.175875602)) };
        let (z1, z2) = (z1 * const { Wrapping(-fixed(0.899976223)) }, z2 * const { Wrapping(-fixed(2.562915447)) });
        let (z3, z4) =
            (z5 - z3 * const { Wrapping(fixed(1.961570560)) }, z5 - z4 * const { Wrapping(fixed(0.390180644)) });
        let odd = [
            v[1] * const { Wrapping(fixed(1.501321110)) } + z1 + z4,
            v[3] * const { Wrapping(fixed(3.072711026)) } + z2 + z3,
            v[5] * const { Wrapping(fixed(2.053119869)) } + z2 + z4,
            v[7] * const { Wrapping(fixed(0.298631336)) } + z1 + z3,
        ];
        let half = Wrapping(1 << (bits - 1));
        for i in 0..4 {
            group[i][lane] = (even[i] + odd[i] + half).0 >> bits;
            group[7 - i][lane] = (even[i] - odd[i] + half).0 >> bits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_simd::{InstructionSet, dispatch};
    use ocelli_tensor::Key;
    use std::array::from_fn;

    /// Transforms eight values as [`transform`] does, with room for every result.
    fn reference(v: [i64; 8], bits: u32) -> [i64; 8] {
        let constant = |value: f64| (value * (1 << BITS) as f64).round() as i64;
        let z = (v[2] + v[6]) * constant(0.541196100);
        let (a2, a3) = (z - v[6] * constant(1.847759065), z + v[2] * constant(0.765366865));
        let (a0, a1) = ((v[0] + v[4]) << BITS, (v[0] - v[4]) << BITS);
        let even = [a0 + a3, a1 + a2, a1 - a2, a0 - a3];
        let (z1, z2, z3, z4) = (v[7] + v[1], v[5] + v[3], v[7] + v[3], v[5] + v[1]);
        let z5 = (z3 + z4) * constant(1.175875602);
        let (z1, z2) = (-z1 * constant(0.899976223), -z2 * constant(2.562915447));
        let (z3, z4) = (z5 - z3 * constant(1.961570560), z5 - z4 * constant(0.390180644));
        let odd = [
            v[1] * constant(1.501321110) + z1 + z4,
            v[3] * constant(3.072711026) + z2 + z3,
            v[5] * constant(2.053119869) + z2 + z4,
            v[7] * constant(0.298631336) + z1 + z3,
        ];
        let value = |i: usize| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] };
        from_fn(|i| (value(i) + (1 << (bits - 1))) >> bits)
    }

    fn expected(block: &Block, step: i64) -> Vec<u8> {
        let value = |y: usize, x: usize| i64::from(block[8 * y + x]) * step;
        let columns: [[i64; 8]; 8] = from_fn(|x| reference(from_fn(|y| value(y, x)), BITS - KEPT));
        let rows = (0..8).flat_map(|y| reference(from_fn(|x| columns[x][y]), BITS + KEPT + 3));
        rows.map(|value| (value + 128).clamp(0, 255) as u8).collect()
    }

    fn transformed(block: Block, step: u16) -> Result<Vec<u8>> {
        let mut samples = vec![0; 64];
        let quantisation = [step; 64];
        dispatch(InverseTransform { blocks: &[block], padded: 1, columns: 1, quantisation, samples: &mut samples })?;
        Ok(samples)
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_transform_without_bounds() {
        let mut random = Key::new(3).stream();
        for round in 0..300 {
            // a few large coefficients, or many small ones, up to the bound
            let count = 1 + random.below(64);
            let most = MAX_SUM as usize / count / 2;
            let mut block = [0; 64];
            for _ in 0..count {
                block[random.below(64)] = random.below(2 * most + 1) as i16 - most as i16;
            }
            for set in InstructionSet::available() {
                let samples = set.scoped(|| transformed(block, 2).unwrap());
                assert_eq!(samples, expected(&block, 2), "{set}, round {round}");
            }
        }
    }

    #[test]
    fn coefficients_that_no_image_has_are_refused() {
        let mut block = [0; 64];
        (block[1], block[2]) = (8000, -8000);
        assert!(transformed(block, 2).is_ok());
        block[63] = 1;
        let fault = Fault::damaged("a coefficient beyond its range");
        assert_eq!(transformed(block, 2), Err(fault));
        block[63] = i16::MIN;
        assert!(transformed(block, u16::MAX).is_err());
    }
}
