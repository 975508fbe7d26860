//! The squared norm of a gradient.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use crate::elementwise::chunks::{CHUNK, MOST_PARTS, nth_part, part_length};
use crate::parallel;

/// Terms that are added in `f32`.
const BLOCK: usize = 1024;

/// Computes `Σ g²`, with the same bits on any number of threads.
///
/// Squares are taken in `f32`, and once more in `f64` where they leave its range: the sum is finite for all finite elements.
pub fn sum_of_squares(g: &[f32]) -> f64 {
    let set = InstructionSet::current();
    if g.len() <= CHUNK {
        return dispatch_on(set, Squares(g));
    }
    let part = part_length(g.len(), 1);
    let mut sums = [0.0; MOST_PARTS];
    let sums = &mut sums[..g.len().div_ceil(part)];
    parallel::fill(sums, &|i| dispatch_on(set, Squares(nth_part(g, part, i))));
    sums.iter().sum()
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f64 {
        let mut total = 0.0;
        for block in self.0.chunks(BLOCK) {
            let mut sums = [isa.zero(); 4];
            let mut fours = block.chunks_exact(4 * I::LANES);
            for four in &mut fours {
                for k in 0..4 {
                    let g = isa.load(&four[k * I::LANES..]);
                    sums[k] = isa.mul_add(g, g, sums[k]);
                }
            }
            for rest in fours.remainder().chunks(I::LANES) {
                let g = isa.load_partial(rest);
                sums[0] = isa.mul_add(g, g, sums[0]);
            }
            let [a, b, c, d] = sums;
            let sum = isa.sum(isa.add(isa.add(a, b), isa.add(c, d)));
            total += if sum.is_finite() { f64::from(sum) } else { large_squares(block) };
        }
        total
    }
}

/// Computes `Σ g²` of elements whose squares are beyond `f32`.
#[cold]
fn large_squares(g: &[f32]) -> f64 {
    g.iter().map(|&g| f64::from(g) * f64::from(g)).sum()
}
