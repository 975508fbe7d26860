//! Whether all numbers are numbers.

use ocelli_simd::{Isa, Kernel, dispatch};

/// Numbers that are looked at before the outcome is asked: long enough to vectorise, short enough to stop early.
const BLOCK: usize = 4096;

/// The place of the first NaN or infinite number.
///
/// ```
/// use ocelli_kernels::finite::first_non_finite;
/// assert_eq!(first_non_finite(&[1.0, f32::NAN, f32::INFINITY]), Some(1));
/// assert_eq!(first_non_finite(&[1.0, f32::MAX, -0.0]), None);
/// ```
pub fn first_non_finite(x: &[f32]) -> Option<usize> {
    x.chunks(BLOCK).enumerate().filter(|(_, block)| !dispatch(AllFinite(block))).find_map(|(i, block)| {
        block.iter().position(|value| !value.is_finite()).map(|at| i * BLOCK + at)
    })
}

/// `0 · x` is zero for every finite number and NaN for every other.
struct AllFinite<'a>(&'a [f32]);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> bool {
        let mut zeros = isa.zero();
        let blocks = self.0.chunks_exact(I::LANES);
        let tail = isa.load_partial(blocks.remainder());
        for block in blocks {
            zeros = isa.mul_add(isa.load(block), isa.zero(), zeros);
        }
        isa.sum(isa.mul_add(tail, isa.zero(), zeros)) == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_looked_at() {
        for len in [1, 7, 16, 33, BLOCK, BLOCK + 5] {
            let mut x = vec![1.0f32; len];
            assert_eq!(first_non_finite(&x), None);
            for at in [0, len / 2, len - 1] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    x[at] = bad;
                    assert_eq!(first_non_finite(&x), Some(at));
                    x[at] = 1.0;
                }
            }
        }
    }
}
