//! Copies of blocks at regular distances, from which concatenation and slicing are built.

use ocelli_simd::{BinaryFunction, InstructionSet, Isa, Kernel, Source, Stores, dispatch_on, slices};
use ocelli_tensor::Size;

use crate::Accumulate;
use crate::elementwise::chunks::{CHUNK, in_pieces};

/// The geometry of a block copy: block `i` of `count` goes from `source_offset + i · source_stride` to
/// `destination_offset + i · destination_stride`. Blocks of the destination do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCopy {
    /// Offset of the first block in the source.
    pub source_offset: usize,
    /// Distance between blocks of the source.
    pub source_stride: usize,
    /// Offset of the first block in the destination.
    pub destination_offset: usize,
    /// Distance between blocks of the destination, [`block`](Self::block) or more.
    pub destination_stride: usize,
    /// Number of elements of a block.
    pub block: usize,
    /// Number of blocks.
    pub count: usize,
}

/// Copies or adds the blocks, `destination (+)= source`.
///
/// # Panics
/// If a block lies outside its slice.
pub fn copy_blocks(g: &BlockCopy, source: &[f32], destination: &mut [f32], accumulate: Accumulate) {
    let g = *g;
    if g.block == 0 || g.count == 0 {
        return;
    }
    let set = InstructionSet::current();
    let source = &source[g.source_offset..];
    let reached = |stride: usize| (Size::from(g.count - 1) * stride + g.block).get().unwrap_or(usize::MAX);
    assert!(reached(g.source_stride) <= source.len(), "blocks of the source lie in it");
    let destination = &mut destination[g.destination_offset..][..reached(g.destination_stride)];
    if g.count == 1 || (g.block == g.source_stride && g.block == g.destination_stride) {
        // One block, or as good as one.
        in_pieces(destination, CHUNK, |start, y| {
            dispatch_on(set, Block { x: &source[start..][..y.len()], y, accumulate });
        });
        return;
    }
    assert!(g.destination_stride >= g.block, "blocks of the destination do not overlap");
    let blocks = (CHUNK / g.block).max(1);
    in_pieces(destination, blocks * g.destination_stride, |start, destination| {
        let source = &source[start / g.destination_stride * g.source_stride..];
        dispatch_on(set, Blocks { g, source, destination, accumulate });
    });
}

struct Blocks<'a> {
    g: BlockCopy,
    source: &'a [f32],
    destination: &'a mut [f32],
    accumulate: Accumulate,
}

impl Kernel for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, source, destination, accumulate } = self;
        for (i, y) in destination.chunks_mut(g.destination_stride).enumerate() {
            let x = &source[i * g.source_stride..][..g.block];
            Block { x, y: &mut y[..g.block], accumulate }.run(isa);
        }
    }
}

/// Computes `y (+)= x`.
pub(crate) struct Block<'a> {
    pub x: &'a [f32],
    pub y: &'a mut [f32],
    pub accumulate: Accumulate,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        match self.accumulate {
            Accumulate::Set => self.y.copy_from_slice(self.x),
            Accumulate::Add => {
                let operands = [Source::InPlace, Source::Slice(self.x)];
                slices::map2(isa, Add, operands, self.y, Stores::Regular);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Add;

impl BinaryFunction for Add {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector {
        isa.add(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(g: BlockCopy, accumulate: Accumulate) {
        let numbers = |length: usize, step: usize| (0..length).map(|i| (i * step % 1009) as f32).collect::<Vec<_>>();
        let source = numbers(g.source_offset + g.count * g.source_stride + g.block, 7);
        let before = numbers(g.destination_offset + g.count * g.destination_stride + g.block, 11);
        let mut expected = before.clone();
        for block in 0..g.count {
            for i in 0..g.block {
                let x = source[g.source_offset + block * g.source_stride + i];
                let y = &mut expected[g.destination_offset + block * g.destination_stride + i];
                *y = if accumulate == Accumulate::Add { *y + x } else { x };
            }
        }
        for set in InstructionSet::available() {
            let mut got = before.clone();
            set.scoped(|| copy_blocks(&g, &source, &mut got, accumulate));
            assert_eq!(got, expected, "{set} {g:?}");
        }
    }

    proptest! {
        #[test]
        fn drawn_blocks(
            (block, count) in (0_usize..40, 0_usize..9),
            (source_gap, destination_gap) in (0_usize..20, 0_usize..20),
            (source_offset, destination_offset) in (0_usize..5, 0_usize..5),
            add: bool,
        ) {
            let (source_stride, destination_stride) = (block + source_gap, block + destination_gap);
            let g = BlockCopy { source_offset, source_stride, destination_offset, destination_stride, block, count };
            check(g, if add { Accumulate::Add } else { Accumulate::Set });
        }
    }

    #[test]
    fn more_than_one_piece() {
        let g = BlockCopy {
            source_offset: 3,
            source_stride: 1000,
            destination_offset: 5,
            destination_stride: 1500,
            block: 999,
            count: 200,
        };
        check(g, Accumulate::Set);
        check(BlockCopy { source_stride: 999, destination_stride: 999, ..g }, Accumulate::Add);
        check(BlockCopy { block: 150_000, count: 1, ..g }, Accumulate::Set);
    }
}
