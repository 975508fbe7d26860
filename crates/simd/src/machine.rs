//! Measures the machine's ceilings: work to be timed that keeps nothing but the multiply-add units busy, or nothing but
//! the memory.
//!
//! A kernel is judged by how near it comes to one of two ceilings (Williams, Waterman and Patterson 2009, "Roofline"):
//! floating-point operations a second where it computes, bytes a second where it moves data. Both are *measured*, in
//! the same process as the kernel, because clock rates and neighbours change what a data sheet promises. This module
//! gives the work and says how much it was; the caller brings the clock and the threads. [`Caches`] are what the
//! processor reports, by which kernels cut their work.
//!
//! ```
//! use std::time::Instant;
//! use ocelli_simd::{InstructionSet, machine};
//!
//! let start = Instant::now();
//! let flops = machine::multiply_adds(InstructionSet::current(), 100_000);
//! println!("{:.0} GFLOP/s", flops as f64 / start.elapsed().as_secs_f64() / 1e9);
//! ```

mod arithmetic;
mod caches;
mod streams;

pub use crate::Stores;
pub use arithmetic::multiply_adds;
pub use caches::Caches;
pub use streams::Streams;
