//! The division of work into pieces for threads: by its geometry alone, so that results do not depend on the threads.

use crate::parallel::{PairTask, each_pair_of_pieces, each_piece};

/// Elements that one task handles: enough (some 10 µs of the cheapest kernel) to hide the cost of handing it to a
/// thread. Work of up to this size stays on the calling thread.
pub(crate) const CHUNK: usize = 1 << 16;

/// Calls `f` with consecutive pieces of `y` and their offsets; on several threads if there is more than one.
pub(crate) fn in_pieces(y: &mut [f32], piece: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    in_pieces_dyn(y, piece, &f);
}

/// Does the work of [`in_pieces`], compiled once. It calls `f` in two places, into each of which the kernel would be
/// inlined for each instruction set.
fn in_pieces_dyn(y: &mut [f32], piece: usize, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    if y.is_empty() {
    } else if y.len() <= piece {
        f(0, y);
    } else {
        each_piece(y, piece, &|i, y| f(i * piece, y));
    }
}

/// Calls `f` with consecutive pieces of two slices of one length, which are cut alike, and their offsets.
pub(crate) fn in_paired_pieces(
    y: &mut [f32],
    z: &mut [f32],
    piece: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    in_paired_pieces_dyn(y, z, piece, &f);
}

fn in_paired_pieces_dyn(y: &mut [f32], z: &mut [f32], piece: usize, f: &PairTask<'_>) {
    if y.is_empty() {
    } else if y.len() <= piece {
        f(0, y, z);
    } else {
        each_pair_of_pieces((y, piece), (z, piece), &|i, y, z| f(i * piece, y, z));
    }
}

/// Returns the number of elements of a piece made of whole rows of `row` elements, each of which costs `work` elements'
/// time.
#[inline]
pub(crate) fn rows_piece(row: usize, work: usize) -> usize {
    row.max(1) * (CHUNK / work.max(1)).max(1)
}

/// Most partial results that a kernel keeps (on its stack) before it adds them in order.
pub(crate) const MOST_PARTS: usize = 64;

/// Returns the length of the parts into which `length` items of `work` elements' time each are cut: of a chunk's time
/// or more, and no more than [`MOST_PARTS`] of them.
#[inline]
pub(crate) fn part_length(length: usize, work: usize) -> usize {
    (CHUNK / work.max(1)).max(length.div_ceil(MOST_PARTS)).max(1)
}

/// Returns part `i` of those of `part` elements into which `x` is cut; the last may be shorter.
#[inline]
pub(crate) fn nth_part(x: &[f32], part: usize, i: usize) -> &[f32] {
    &x[i * part..x.len().min((i + 1) * part)]
}
