//! Matrix product of `f32` matrices on strided views, `C = A·B` or `C += A·B`, with an epilogue in the same pass.
//!
//! One idea: the right operand is packed into panels ([`PackedMatrix`] keeps it so, for weights that are used again), the
//! left one is read where it lies or copied block by block, and a kernel keeps a tile of results in registers while the
//! depth runs by. The depth is cut into blocks whose panel stays in the first-level cache; their sums are added in memory,
//! which also keeps rounding errors small. An [`Epilogue`](crate::Epilogue) says what happens to a result before it is
//! stored.
//!
//! Work is cut by the sizes of the matrices alone and runs on the ambient rayon pool; the bits of a result do not depend
//! on the number of threads. [`baseline`] is the same by `matrixmultiply`, and [`naive`] the definition.
//!
//! ```
//! use ocelli_kernels::Epilogue;
//! use ocelli_kernels::gemm::{Matrix, MatrixMut, gemm};
//!
//! let a = Matrix::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
//! let mut c = [0.0; 4];
//! gemm(a, a.transposed(), MatrixMut::new(&mut c, 2, 2), &Epilogue::bias(Some(&[0.5, 0.0])));
//! assert_eq!(c, [5.5, 11.0, 11.5, 25.0]);
//! ```

pub mod baseline;
pub(crate) mod bf16;
pub(crate) mod dots;
mod few_rows;
pub(crate) mod finish;
mod matrix;
mod memory;
mod naive;
pub(crate) mod outer;
pub(crate) mod panels;
mod prefetch;
mod product;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod thin;
pub(crate) mod tile;

pub use bf16::{Bf16Matrix, bf16_len, gemm_bf16, gemm_bf16_scratch};
pub use matrix::{Matrix, MatrixMut};
pub(crate) use memory::gemm_on_scratch;
#[cfg(test)]
pub(crate) use memory::left_block_bytes;
pub use memory::{Order, gemm_packed_scratch, gemm_scratch};
pub use naive::naive;
pub(crate) use product::gemm_on;
pub use product::{PackedMatrix, gemm, gemm_packed, packed_len};

/// Floating-point operations below which a product is not cut: at 2 MFLOP one thread needs some 10 to 20 µs, as much as
/// waking a worker and packing an operand twice.
pub const PARALLEL_FLOPS: usize = 2_000_000;

/// Threads on which a product runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread: it is a part of work that is shared among threads already.
    One,
    /// All threads of the ambient pool, if the product is large enough.
    Pool,
}

/// Number of pieces that balances the load of a workstation.
const PIECES: usize = 16;

/// Fewest floating-point operations of a piece: some 5 µs, against one or two for handing it out.
const PIECE_FLOPS: usize = 500_000;

/// Most pieces into which what would be a single one is cut, smaller ones than other work is cut into: one would leave a
/// second thread idle (7 × 7 from 192 to 16 channels, stride 2, on 16 images of 8 × 8: 0.58 and 0.27 ms).
pub(crate) const PIECES_OF_ONE: usize = 4;

/// Returns the number of pieces to cut work of so many floating-point operations into, if its sizes allow.
pub(crate) fn wanted_pieces(flops: usize) -> usize {
    if flops < PARALLEL_FLOPS { 1 } else { (flops / PIECE_FLOPS).min(PIECES) }
}

/// Elements (256 KiB) above which a right operand is prefetched before it is used: it does not stay in the second-level
/// cache beside the left one, and between two images of an inference the weights of a network leave all caches.
pub(crate) const FAR: usize = 1 << 16;
