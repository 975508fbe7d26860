//! Filter gradients that several pieces of the work have summed, each for itself.

use rayon::prelude::*;

use crate::Accumulate;

/// Numbers that one task adds over the pieces: long enough to pay for the task.
const CHUNK: usize = 8192;

/// `dw = Σ sums`, or added to `dw`: the gradients of the pieces, one behind the other, in their order, which gives the same
/// bits on any number of threads.
pub(super) fn add_pieces(sums: &[f32], dw: &mut [f32], accumulate: Accumulate) {
    let len = dw.len();
    dw.par_chunks_mut(CHUNK).enumerate().for_each(|(index, dw)| {
        let begin = index * CHUNK;
        for (piece, sum) in sums.chunks_exact(len).enumerate() {
            let sum = &sum[begin..begin + dw.len()];
            if piece == 0 && accumulate == Accumulate::Set {
                dw.copy_from_slice(sum);
            } else {
                dw.iter_mut().zip(sum).for_each(|(dw, sum)| *dw += sum);
            }
        }
    });
}
