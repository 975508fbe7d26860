//! Blocks of numbers from one place to another: concatenation and slices.

use crate::Accumulate;

/// Equal blocks at equal distances in either slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCopy {
    /// Numbers of a block.
    pub block: usize,
    /// Blocks.
    pub count: usize,
    /// Where the first block begins in the source.
    pub src_offset: usize,
    /// From one block to the next in the source.
    pub src_stride: usize,
    /// Where the first block begins in the destination.
    pub dst_offset: usize,
    /// From one block to the next in the destination.
    pub dst_stride: usize,
}

/// Copies every block, or adds it to what is there.
///
/// # Panics
/// If a block lies outside its slice: a bug of the caller.
pub fn copy_blocks(g: &BlockCopy, src: &[f32], dst: &mut [f32], accumulate: Accumulate) {
    for i in 0..g.count {
        let from = &src[g.src_offset + i * g.src_stride..][..g.block];
        let to = &mut dst[g.dst_offset + i * g.dst_stride..][..g.block];
        match accumulate {
            Accumulate::Set => to.copy_from_slice(from),
            Accumulate::Add => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_where_they_should() {
        let src: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut dst = [0.0; 10];
        let g = BlockCopy { block: 2, count: 3, src_offset: 1, src_stride: 4, dst_offset: 0, dst_stride: 3 };
        copy_blocks(&g, &src, &mut dst, Accumulate::Set);
        assert_eq!(dst, [1.0, 2.0, 0.0, 5.0, 6.0, 0.0, 9.0, 10.0, 0.0, 0.0]);
        copy_blocks(&g, &src, &mut dst, Accumulate::Add);
        assert_eq!(dst, [2.0, 4.0, 0.0, 10.0, 12.0, 0.0, 18.0, 20.0, 0.0, 0.0]);
    }
}
