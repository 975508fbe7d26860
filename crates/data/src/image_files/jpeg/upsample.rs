//! Upsamples a component to one sample per pixel: interpolated where the component has half the resolution, as libjpeg
//! does ("fancy upsampling"), and repeated elsewhere.

use super::{frame::Component, transform::InverseTransform};
use crate::image_files::fault::{Fault, Result};
use ocelli_simd::dispatch;

/// The samples of a component.
pub(super) struct Plane {
    size: [usize; 2],
    /// Columns of the blocks, at least as many as of the samples.
    stride: usize,
    samples: Vec<u8>,
    /// Pixels per sample, vertically and horizontally.
    factors: [usize; 2],
}

impl Plane {
    /// Transforms the blocks of `component` and frees them.
    pub(super) fn new(component: Component, largest: [usize; 2]) -> Result<Plane> {
        let factors = [0, 1].map(|axis| largest[axis] / component.factors[axis]);
        let quantisation = component.quantisation.ok_or(Fault::Early)?;
        let [rows, columns] = component.used;
        let stride = 8 * columns;
        let mut samples = vec![0; 8 * rows * stride];
        let Component { blocks, padded, .. } = &component;
        dispatch(InverseTransform { blocks, padded: padded[1], columns, quantisation, samples: &mut samples })?;
        Ok(Plane { size: component.samples, stride, samples, factors })
    }

    #[inline(always)]
    fn row(&self, y: usize) -> &[u8] {
        let y = y.min(self.size[0] - 1);
        &self.samples[y * self.stride..y * self.stride + self.size[1]]
    }

    /// Writes the samples of pixel row `y`; `out` has room for `size[1] * factors[1]` of them, or fewer by those that
    /// are beyond the image.
    #[inline(always)]
    pub(super) fn write_row(&self, y: usize, out: &mut [u8]) {
        let row = self.row(y / self.factors[0]);
        // The second nearest row.
        let other = if y.is_multiple_of(2) { self.row((y / 2).saturating_sub(1)) } else { self.row(y / 2 + 1) };
        match self.factors {
            [1, 1] => out.copy_from_slice(&row[..out.len()]),
            [2, 1] => {
                let half = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, near), far) in out.iter_mut().zip(row).zip(other) {
                    *out = ((3 * u16::from(*near) + u16::from(*far) + half) >> 2) as u8;
                }
            }
            [1, 2] if row.len() > 2 => {
                let row: Vec<u16> = row.iter().map(|sample| u16::from(*sample)).collect();
                between(&row, out, 2, [1, 2]);
            }
            [2, 2] if row.len() > 2 => {
                let both = row.iter().zip(other);
                let row: Vec<u16> = both.map(|(near, far)| 3 * u16::from(*near) + u16::from(*far)).collect();
                between(&row, out, 4, [8, 7]);
            }
            [_, right] => out.chunks_mut(right).zip(row).for_each(|(out, sample)| out.fill(*sample)),
        }
    }
}

/// Interpolates two pixels for each sample of `row`: three parts of the sample and one of the neighbour on their side,
/// or of itself at both ends. The results have `shift` more bits, which are rounded off by adding one of `halves` to
/// the left and one to the right pixel.
#[inline(always)]
fn between(row: &[u16], out: &mut [u8], shift: u32, halves: [u16; 2]) {
    let last = row.len() - 1;
    let pair = |[left, sample, right]: [u16; 3]| {
        [(left, halves[0]), (right, halves[1])].map(|(other, half)| ((3 * sample + other + half) >> shift) as u8)
    };
    let (pairs, rest) = out.as_chunks_mut::<2>();
    // the middle without a condition for each pixel, then the ends
    for (out, around) in pairs.iter_mut().skip(1).zip(row.windows(3)) {
        *out = pair([around[0], around[1], around[2]]);
    }
    let end = pair([row[last - 1], row[last], row[last]]);
    if let Some(first) = pairs.first_mut() {
        *first = pair([row[0], row[0], row[1]]);
    }
    match rest {
        [odd] => *odd = end[0],
        _ => pairs[last] = end,
    }
}
