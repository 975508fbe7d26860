//! The search for NaNs and infinities.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

/// Elements that are tested before the result is read.
const BLOCK: usize = 4096;

/// Returns the index of the first NaN or infinity.
///
/// This runs on the calling thread: it is as fast as memory.
pub fn first_non_finite(x: &[f32]) -> Option<usize> {
    let set = InstructionSet::current();
    let block = x.chunks(BLOCK).position(|block| !dispatch_on(set, AllFinite(block)))?;
    let start = block * BLOCK;
    x[start..].iter().position(|x| !x.is_finite()).map(|i| start + i)
}

/// Returns `value`, or NaN where the `sum` of squares that it was divided by is infinite: squares of values beyond 10¹⁹
/// overflow, and a quotient of zero would look like a result.
#[inline(always)]
pub(crate) fn nan_if_infinite<I: Isa>(isa: I, value: I::Vector, sum: I::Vector) -> I::Vector {
    // `0 · ∞` is NaN, and a zero of positive sign that is taken off changes nothing.
    isa.neg_mul_add(sum, isa.zero(), value)
}

struct AllFinite<'a>(&'a [f32]);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> bool {
        // `0 · x` is zero for finite numbers and NaN for others, and a NaN stays in a sum.
        let mut sums = [isa.zero(); 4];
        let mut fours = self.0.chunks_exact(4 * I::LANES);
        for four in &mut fours {
            for k in 0..4 {
                sums[k] = isa.mul_add(isa.load(&four[k * I::LANES..]), isa.zero(), sums[k]);
            }
        }
        for rest in fours.remainder().chunks(I::LANES) {
            sums[0] = isa.mul_add(isa.load_partial(rest), isa.zero(), sums[0]);
        }
        let [a, b, c, d] = sums;
        isa.sum(isa.add(isa.add(a, b), isa.add(c, d))) == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_is() {
        for set in InstructionSet::available() {
            set.scoped(|| {
                for length in [0, 1, 15, 16, 17, 63, 64, 65, 129, BLOCK, BLOCK + 3, 3 * BLOCK + 77] {
                    let mut x: Vec<f32> = (0..length).map(|i| f32::MAX * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
                    assert_eq!(first_non_finite(&x), None, "{set} {length}");
                    for (step, bad) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().enumerate() {
                        for place in (0..length).rev().step_by(37 + step) {
                            x[place] = bad;
                            assert_eq!(first_non_finite(&x), Some(place), "{set} {length} {bad}");
                        }
                        x.fill(1.0);
                    }
                }
            });
        }
    }
}
