//! Rounding to bf16, and packing.

use std::ops::Range;

use ocelli_simd::{Isa, Kernel};

use crate::gemm::matrix::Matrix;
use crate::gemm::panels::{PackPanels, Panels};
use crate::gemm::product::{DEPTH, blocks};
use crate::gemm::tile::VECTORS;

/// Packs some panels.
pub(super) struct Pack<'a> {
    /// Division of the whole matrix.
    pub panels: Panels,
    /// Range of panels.
    pub indices: Range<usize>,
    /// Matrix to pack.
    pub b: Matrix<'a>,
    /// Room for the words of the panels.
    pub words: &'a mut [f32],
    /// Room for a block of their numbers.
    pub block: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { panels, indices, b, words, block } = self;
        for rows in blocks(panels.depth, DEPTH) {
            let len = indices.clone().map(|index| panels.panel(index).width * rows.len()).sum();
            let block = &mut block[..len];
            isa.call(PackPanels { panels, indices: indices.clone(), b, rows: rows.clone(), packed: &mut *block });
            let mut rest = &*block;
            for (index, words) in indices.clone().zip(words.chunks_exact_mut(panels.depth * I::LANES)) {
                let width = panels.panel(index).width;
                let (numbers, after) = rest.split_at(rows.len() * width);
                rest = after;
                let words = words[rows.start * I::LANES..rows.end * I::LANES].chunks_exact_mut(I::LANES);
                for (words, numbers) in words.zip(numbers.chunks_exact(width)) {
                    let (first, second) = numbers.split_at(I::LANES);
                    for (word, number) in words.iter_mut().zip(first) {
                        *word = joined(rounded(*number), 0.0);
                    }
                    for (word, number) in words.iter_mut().zip(second) {
                        *word = joined(*word, rounded(*number));
                    }
                }
            }
        }
        debug_assert_eq!(VECTORS, 2, "a word has two halves");
    }
}

/// Bits of a half.
const HALF: u32 = 16;

/// Returns the nearest number whose lower half is zero, of two equally near ones the even one; a NaN for a NaN.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    if x.is_nan() {
        // Whatever is cut off, it stays one.
        return f32::from_bits(((bits | 1 << 22) >> HALF) << HALF);
    }
    let half_of_last = 0x7FFF + ((bits >> HALF) & 1);
    f32::from_bits((bits.wrapping_add(half_of_last) >> HALF) << HALF)
}

/// Returns the word of two numbers whose lower halves are zero.
#[inline(always)]
pub(super) fn joined(upper: f32, lower: f32) -> f32 {
    f32::from_bits(upper.to_bits() | (lower.to_bits() >> HALF))
}
