//! Two-dimensional convolution: forward, backward-data and backward-filter.
//!
//! One idea: a convolution is *described* by a [`Conv2dGeometry`], checked when it is made, and *computed* by an
//! [`Algorithm`] of the ordered list [`ALGORITHMS`]. [`choose`] takes the cheapest that supports the pass, [`by_name`]
//! forces one; all of them give the same result within the rounding of their sums ([`Precision`]). The last of the list,
//! [`naive`], is the definition, and the others are tested against it.
//!
//! # Layouts
//! Activations are `[N, H, W, C]`, filters `[kernel_h, kernel_w, in_c / groups, out_c]`, the bias `[out_c]`, all
//! contiguous. The gradient of the bias is the sum of `dy` over all but its last axis and is not computed here.
//!
//! # Threads
//! Work is cut into pieces fixed by the geometry and runs on the ambient rayon pool; the bits of a result do not depend
//! on the number of threads.
//!
//! # To add an algorithm
//! Write `conv/<name>.rs` with a unit struct that implements [`Algorithm`]; put it into [`ALGORITHMS`], let `supports` say
//! where it can be used and `cost` where it pays. `conv/tests.rs` runs the whole list, and a looser tolerance is declared
//! there.
//!
//! ```
//! use ocelli_kernels::Epilogue;
//! use ocelli_kernels::conv::{Conv2dGeometry, Conv2dSettings, Pass, Precision, choose};
//!
//! let g = Conv2dGeometry::new(&Conv2dSettings::default(), [1, 3, 3, 1], [2, 2, 1, 1])?;
//! let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
//! let w = [1.0, 0.0, 0.0, -1.0];
//! let mut y = [0.0; 4];
//! let algorithm = choose(&g, Pass::Forward, Precision::Fast).algorithm;
//! let mut workspace = vec![0.0; algorithm.workspace(&g, Pass::Forward)];
//! let mut prepared = vec![0.0; algorithm.prepared_len(&g, Pass::Forward)];
//! algorithm.prepare(&g, Pass::Forward, &w, &mut prepared);
//! let filter = if prepared.is_empty() { &w[..] } else { &prepared };
//! algorithm.forward(&g, &x, filter, &Epilogue::bias(Some(&[10.0])), &mut y, &mut workspace);
//! assert_eq!(y, [6.0; 4]);
//! # Ok::<(), ocelli_kernels::conv::GeometryError>(())
//! ```

pub mod algorithm;
pub mod choice;
pub mod depthwise;
pub mod geometry;
pub mod im2col;
pub mod implicit;
pub mod naive;
mod partial;
pub mod pointwise;
mod shared;
pub mod winograd;

#[cfg(test)]
mod tests;

pub use algorithm::{ALGORITHMS, Algorithm, Pass, by_name, planned};
pub use choice::{Choice, Precision, choose};
pub use geometry::{Axis, Conv2dGeometry, Conv2dSettings, ConvMode, GeometryError, Padding};
