//! The sum of filter gradients that several pieces of the work have computed.

use crate::Accumulate;
use crate::cache::LINE;
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
    each_piece(dw, LINE * outs, &|index, dw| {
        for first in (0..outs).step_by(LINE) {
            // The sums of a square are transposed here: columns of `dw` may lie in one set of the caches.
            let mut square = [[0.0; LINE]; LINE];
            if accumulate == Accumulate::Add {
                for (row, dw) in dw.chunks_exact(outs).enumerate() {
                    square.iter_mut().zip(&dw[first..]).for_each(|(column, dw)| column[row] = *dw);
                }
            }
            for sum in sums.chunks_exact(len) {
                for (column, sum) in square.iter_mut().zip(sum[first * ins..].chunks_exact(ins)) {
                    column.iter_mut().zip(&sum[index * LINE..]).for_each(|(column, sum)| *column += sum);
                }
            }
            for (row, dw) in dw.chunks_exact_mut(outs).enumerate() {
                dw[first..].iter_mut().zip(&square).for_each(|(dw, column)| *dw = column[row]);
            }
        }
    });
}
