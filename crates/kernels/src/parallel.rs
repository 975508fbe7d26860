//! Work for the threads of the ambient rayon pool.
//!
//! These functions take their work as `dyn Fn`: the code of a rayon loop is long, and a generic one would be compiled
//! again for every kernel. A call through a pointer is nothing beside a piece of work.

use crate::awake::{Pieces, announce_work};
use rayon::prelude::*;

/// Calls `f` with every index below `count`.
pub(crate) fn each(count: usize, f: &(dyn Fn(usize) + Sync)) {
    let pieces = Pieces::announce(count);
    (0..count).into_par_iter().with_max_len(1).for_each(|index| pieces.run(|| f(index)));
}

/// Calls both functions, each on a thread of its own if one has nothing to do.
pub(crate) fn both(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    rayon::join(a, b);
}

/// Calls `f` with every index below `count`; a single one on this thread, without entering the pool.
pub(crate) fn each_or_one(count: usize, f: &(dyn Fn(usize) + Sync)) {
    if count == 1 { f(0) } else { each(count, f) }
}

/// Calls `f` with the pieces of `length` elements that `y` is cut into (the last may be shorter), and their indices.
pub(crate) fn each_piece(y: &mut [f32], length: usize, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let pieces = Pieces::announce(y.len().div_ceil(length));
    y.par_chunks_mut(length).with_max_len(1).enumerate().for_each(|(number, y)| pieces.run(|| f(number, y)));
}

/// Work on a pair of pieces and their index.
pub(crate) type PairTask<'a> = dyn Fn(usize, &mut [f32], &mut [f32]) + Sync + 'a;

/// Calls `f` with pairs of pieces of two slices, as [`each_piece`], each with its own length of a piece, as far as both
/// have pieces.
pub(crate) fn each_pair_of_pieces(
    (y, y_length): (&mut [f32], usize),
    (z, z_length): (&mut [f32], usize),
    f: &PairTask<'_>,
) {
    let pieces = Pieces::announce(y.len().div_ceil(y_length).min(z.len().div_ceil(z_length)));
    let pairs = y.par_chunks_mut(y_length).zip(z.par_chunks_mut(z_length));
    pairs.with_max_len(1).enumerate().for_each(|(number, (y, z))| pieces.run(|| f(number, y, z)));
}

/// Writes `f(i)` to each element `i` of `y`.
pub(crate) fn fill<T: Send>(y: &mut [T], f: &(dyn Fn(usize) -> T + Sync)) {
    announce_work();
    y.par_iter_mut().enumerate().for_each(|(number, y)| *y = f(number));
}
