//! The sum of filter gradients that several pieces of the work have computed.

use crate::Accumulate;
use crate::parallel::each_piece;

/// Elements that one task adds over the pieces: long enough to pay for the task.
const CHUNK: usize = 8192;

/// Computes `dw = Σ sums`, or adds it to `dw`: the gradients of the pieces, one behind the other, in their order, which
/// gives the same bits on any number of threads.
pub(super) fn add_pieces(sums: &[f32], dw: &mut [f32], accumulate: Accumulate) {
    let len = dw.len();
    each_piece(dw, CHUNK, &|index, dw| {
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

/// Adds gradients that were summed transposed, `[out, in]`, into `dw` of `[in, out]`, in the order of the pieces.
pub(super) fn add_transposed_pieces(sums: &[f32], outs: usize, dw: &mut [f32], accumulate: Accumulate) {
    let (len, ins) = (dw.len(), dw.len() / outs);
    each_piece(dw, TRANSPOSED_ROWS * outs, &|index, dw| {
        if accumulate == Accumulate::Set {
            dw.fill(0.0);
        }
        for sum in sums.chunks_exact(len) {
            for (out, sum) in sum.chunks_exact(ins).enumerate() {
                let sum = &sum[index * TRANSPOSED_ROWS..];
                dw[out..].iter_mut().step_by(outs).zip(sum).for_each(|(dw, sum)| *dw += sum);
            }
        }
    });
}

/// Rows of `dw` that one task adds: as many elements of each column are neighbours in the sums, in one cache line.
const TRANSPOSED_ROWS: usize = 16;
