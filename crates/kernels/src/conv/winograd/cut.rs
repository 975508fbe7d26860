//! The division of work.

use std::ops::Range;

use super::images::Tiles;

/// Returns part `index` of `parts` nearly equal ones of `0..whole`.
pub(super) fn part(whole: usize, index: usize, parts: usize) -> Range<usize> {
    // As many tiles as a large memory has outputs, times as many blocks of them, are beyond 64 bits.
    let edge = |index: usize| (whole as u128 * index as u128 / parts as u128) as usize;
    edge(index)..edge(index + 1)
}

/// Returns the number of floating-point operations of the products of all tiles. Saturates: shapes may be larger than
/// any memory.
pub(super) fn flops(tiles: &Tiles, planes: usize, in_c: usize, out_c: usize) -> usize {
    [2, planes, in_c, out_c].into_iter().fold(tiles.count, usize::saturating_mul)
}
