//! Sums over the last axis: of contiguous runs.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::{Finish, Outer};
use crate::elementwise::chunks::{CHUNK, MOST_PARTS, in_pieces, nth_part, part_length};
use crate::parallel;

/// Terms that are added in `f32`: 32 to each of the lanes of four vectors of eight.
const BLOCK: usize = 1024;

/// Computes `y[i] (+)= scale · Σ` of the runs that make result `i`.
pub(super) fn sum(outer: &Outer, run: usize, x: &[f32], y: &mut [f32], finish: Finish) {
    let set = InstructionSet::current();
    if let [y] = y
        && x.len() > CHUNK
        && outer.terms() == 1
    {
        return finish.store(parted_sum(set, x), y);
    }
    let piece = (CHUNK / (run * outer.terms())).max(1);
    in_pieces(y, piece, |start, y| dispatch_on(set, Runs { outer, run, x, start, y, finish }));
}

/// Returns the sum of one long run, in parts.
fn parted_sum(set: InstructionSet, x: &[f32]) -> f64 {
    let part = part_length(x.len(), 1);
    let mut sums = [0.0; MOST_PARTS];
    let sums = &mut sums[..x.len().div_ceil(part)];
    parallel::fill(sums, &|i| dispatch_on(set, Run(nth_part(x, part, i))));
    sums.iter().sum()
}

struct Runs<'a> {
    outer: &'a Outer,
    run: usize,
    x: &'a [f32],
    start: usize,
    y: &'a mut [f32],
    finish: Finish,
}

impl Kernel for Runs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let terms = self.outer.terms();
        for (i, y) in self.y.iter_mut().enumerate() {
            let begin = self.outer.result_offset(self.start + i);
            let mut total = 0.0;
            for term in 0..terms {
                let x = &self.x[begin + self.outer.term_offset(term)..][..self.run];
                total += run_sum(isa, x);
            }
            self.finish.store(total, y);
        }
    }
}

struct Run<'a>(&'a [f32]);

impl Kernel for Run<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f64 {
        run_sum(isa, self.0)
    }
}

#[inline(always)]
fn run_sum<I: Isa>(isa: I, x: &[f32]) -> f64 {
    let mut total = 0.0;
    for block in x.chunks(BLOCK) {
        // Four sums, so that an addition need not wait for the one before.
        let mut sums = [isa.zero(); 4];
        let mut fours = block.chunks_exact(4 * I::LANES);
        for four in &mut fours {
            for k in 0..4 {
                sums[k] = isa.add(sums[k], isa.load(&four[k * I::LANES..]));
            }
        }
        for rest in fours.remainder().chunks(I::LANES) {
            sums[0] = isa.add(sums[0], isa.load_partial(rest));
        }
        let [a, b, c, d] = sums;
        let sum = isa.sum(isa.add(isa.add(a, b), isa.add(c, d)));
        total += if sum.is_finite() { f64::from(sum) } else { large_sum(block) };
    }
    total
}

/// Returns the sum of values whose sum is beyond `f32`: the mean that it is for may be within.
#[cold]
fn large_sum(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x)).sum()
}
