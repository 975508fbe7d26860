//! Instruction-set tokens, the one dispatch point and vector mathematics of Ocelli.
//!
//! A program compiled for a plain `x86_64` may use only SSE2; the machine it runs on often has AVX2 or AVX-512.
//! This crate finds out once, at run time, and lets a kernel be written once for all of them: a [`Kernel`] is
//! generic over an [`Isa`], the token of an instruction set, and [`dispatch`] runs it with the best token there is.
//!
//! The main decision is that a token is a *value that proves detection*: [`Avx2`] and [`Avx512`] can be had only
//! from their `detect`, so that every method on them is safe, and `unsafe` stays in this crate. Kernels are plain
//! safe code on slices; all methods are inlined into one function for each instruction set, which carries
//! `#[target_feature]`. That only works when nothing stands between: a kernel's `run` and all that it calls with
//! vectors must be `#[inline(always)]` functions (not closures), and a task given to another thread dispatches
//! again inside that task.
//!
//! ```
//! use ocelli_simd::{Isa, Kernel, dispatch};
//!
//! /// `Σ x[i]²`
//! struct SumOfSquares<'a>(&'a [f32]);
//!
//! impl Kernel for SumOfSquares<'_> {
//!     type Output = f32;
//!
//!     #[inline(always)]
//!     fn run<I: Isa>(self, isa: I) -> f32 {
//!         let mut total = isa.zero();
//!         let blocks = self.0.chunks_exact(I::LANES);
//!         let tail = isa.load_partial(blocks.remainder());
//!         for block in blocks {
//!             let x = isa.load(block);
//!             total = isa.mul_add(x, x, total);
//!         }
//!         isa.sum(isa.mul_add(tail, tail, total))
//!     }
//! }
//!
//! assert_eq!(dispatch(SumOfSquares(&[1.0; 37])), 37.0);
//! ```

mod dispatch;
mod isa;
pub mod machine;
pub mod math;
mod portable;
pub mod slices;
mod stores;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use dispatch::{InstructionSet, Kernel, UnknownInstructionSet, dispatch, dispatch_on, unknown_cap};
pub use isa::{Isa, MOST_LANES};
pub use portable::Portable;
pub use slices::{BinaryFunction, Source, UnaryFunction};
pub use stores::{AddTo, Destination, Effect, Store, Stores, Write, WriteOrAdd, Writer};
#[cfg(target_arch = "x86_64")]
pub use x86::{avx2::Avx2, avx512::Avx512};
