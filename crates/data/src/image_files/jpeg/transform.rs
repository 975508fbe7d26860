//! The inverse cosine transform from coefficients to samples, in the integer arithmetic of libjpeg's accurate method
//! (Loeffler, Ligtenberg and Moschytz 1989), so that the samples are equal to its own.

use super::frame::Block;
use crate::image_files::fault::{Fault, Result};

/// Fractional bits of the constants.
const BITS: u32 = 13;
/// Fractional bits that columns keep for the rows.
const KEPT: u32 = 2;
/// A bound beyond any coefficient of 8-bit samples, also after coarse quantisation.
const MAX_COEFFICIENT: i64 = 1 << 13;

const fn fixed(value: f64) -> i64 {
    (value * (1 << BITS) as f64 + 0.5) as i64
}

/// Computes the 8 × 8 samples of a block.
pub(super) fn samples(block: &Block, quantisation: &[u16; 64]) -> Result<[u8; 64]> {
    let mut values = [0; 64];
    for ((value, coefficient), step) in values.iter_mut().zip(block).zip(quantisation) {
        *value = i64::from(*coefficient) * i64::from(*step);
        if value.abs() > MAX_COEFFICIENT {
            return Err(Fault::damaged("a coefficient beyond its range"));
        }
    }
    let mut samples = [0; 64];
    if values[1..].iter().all(|value| *value == 0) {
        samples.fill(sample((values[0] + 4) >> 3));
        return Ok(samples);
    }
    // Most columns and many rows of photographs have their first value alone.
    for x in 0..8 {
        let column = [0, 1, 2, 3, 4, 5, 6, 7].map(|y| values[8 * y + x]);
        let column = match column {
            [only, 0, 0, 0, 0, 0, 0, 0] => [only << KEPT; 8],
            _ => transform(column).map(|value| rounded(value, BITS - KEPT)),
        };
        (0..8).for_each(|y| values[8 * y + x] = column[y]);
    }
    for (row, out) in values.as_chunks::<8>().0.iter().zip(samples.as_chunks_mut::<8>().0) {
        *out = match *row {
            [only, 0, 0, 0, 0, 0, 0, 0] => [sample(rounded(only, KEPT + 3)); 8],
            row => transform(row).map(|value| sample(rounded(value, BITS + KEPT + 3))),
        };
    }
    Ok(samples)
}

/// Returns a sample as a byte; blocks store samples around zero.
fn sample(value: i64) -> u8 {
    (value + 128).clamp(0, 255) as u8
}

fn rounded(value: i64, bits: u32) -> i64 {
    (value + (1 << (bits - 1))) >> bits
}

/// Transforms eight values; the results have [`BITS`] more fractional bits.
fn transform(v: [i64; 8]) -> [i64; 8] {
    // the even ones
    let z = (v[2] + v[6]) * const { fixed(0.541196100) };
    let (a2, a3) = (z - v[6] * const { fixed(1.847759065) }, z + v[2] * const { fixed(0.765366865) });
    let (a0, a1) = ((v[0] + v[4]) << BITS, (v[0] - v[4]) << BITS);
    let even = [a0 + a3, a1 + a2, a1 - a2, a0 - a3];
    // the odd ones
    let (z1, z2, z3, z4) = (v[7] + v[1], v[5] + v[3], v[7] + v[3], v[5] + v[1]);
    let z5 = (z3 + z4) * const { fixed(1.175875602) };
    let (z1, z2) = (-z1 * const { fixed(0.899976223) }, -z2 * const { fixed(2.562915447) });
    let (z3, z4) = (z5 - z3 * const { fixed(1.961570560) }, z5 - z4 * const { fixed(0.390180644) });
    let odd = [
        v[1] * const { fixed(1.501321110) } + z1 + z4,
        v[3] * const { fixed(3.072711026) } + z2 + z3,
        v[5] * const { fixed(2.053119869) } + z2 + z4,
        v[7] * const { fixed(0.298631336) } + z1 + z3,
    ];
    let mut out = [0; 8];
    for i in 0..4 {
        (out[i], out[7 - i]) = (even[i] + odd[i], even[i] - odd[i]);
    }
    out
}
