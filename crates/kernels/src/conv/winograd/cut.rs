//! How work is divided.

use std::ops::Range;

use super::pictures::Tiles;

/// Part `index` of `parts` nearly equal ones of `0..whole`.
pub(super) fn part(whole: usize, index: usize, parts: usize) -> Range<usize> {
    whole * index / parts..whole * (index + 1) / parts
}

/// Floating-point operations of the products of all tiles. Saturates: shapes may be larger than any memory.
pub(super) fn flops(tiles: &Tiles, planes: usize, in_c: usize, out_c: usize) -> usize {
    [2, planes, in_c, out_c].into_iter().fold(tiles.count, usize::saturating_mul)
}
