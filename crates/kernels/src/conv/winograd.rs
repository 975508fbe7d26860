//! Winograd's minimal filtering for 3×3 and 5×5 convolutions of stride 1, in all three passes.
//!
//! Tiles of `m × m` outputs of a filter of `r × r` taps are computed from `(m + r - 1)²` products for each pair of channels
//! instead of `r² m²` (`transform`). The products of all tiles are as many matrix products, one for each *plane* of the transform:
//! `[tiles, in_c] · [in_c, out_c]` in the forward and backward-data pass (`correlation`), `[in_c, tiles] ·
//! [tiles, out_c]` in the backward-filter pass (`gradient`). They run on the register tiles of [`crate::gemm`], block by
//! block, so that the transform of a block stays in the caches and nothing but a thread's scratch memory is needed.
//! Filters are transformed once for each update of the weights (`filters`).
//!
//! # Accuracy
//! Relative error (L2) against the exact result on values of unit variance with 512 channels: at most 1.5e-6 with
//! F(4×4), 1e-6 with F(2×2), and 3e-6 for the gradient of the filter; a direct sum has 2e-7 to 1.2e-6.

mod correlation;
mod cut;
mod filters;
mod gradient;
mod images;
mod planes;
#[cfg(test)]
mod tests;
mod transform;

use std::marker::PhantomData;

use ocelli_simd::InstructionSet;

use self::correlation::{Correlation, correlate};
use self::filters::Filters;
use self::transform::{F2, F2Of5, F4, Minimal, Taps};
use super::algorithm::{Algorithm, Pass, assert_operands};
use super::choice::{Precision, filled, vectors};
use super::geometry::Conv2dGeometry;
use crate::gemm::dots::DOT_COLUMNS;
use crate::{Accumulate, Epilogue, Scratch};

/// Cost of a multiply-add of the planes' products, beside the costs below; where few channels are written; and in the
/// gradient of the filter. Fitted, like all of these, to the layers that `examples/choice.rs` measures.
const MULTIPLY_ADD: f64 = 1.21;
const MULTIPLY_ADD_NARROW: f64 = 3.13;
const MULTIPLY_ADD_FILTER: f64 = 1.45;

/// Cost of transforming a vector of a plane and storing or starting its products; for 5 × 5 filters; and in the gradient
/// of the filter.
const TRANSFORM: f64 = 24.9;
const TRANSFORM_OF_5: f64 = 19.6;
const TRANSFORM_FILTER: f64 = 18.4;

/// Cost of reading a vector of the transformed filter; if that fits the second-level cache of no core; and of summing and
/// transforming one of its gradient.
const FILTER: f64 = 5.91;
const FILTER_FAR: f64 = 10.7;
const FILTER_GRADIENT: f64 = 33.2;

/// Elements of a transformed filter above which it is far (2 MiB).
const FAR: usize = 1 << 19;

/// Cost of an image element through memory; and in the gradient of the filter.
const MOVED: f64 = 0.612;
const MOVED_FILTER: f64 = 0.191;

/// Convolution by F(M×M, R×R) on tiles of `T = M + R - 1` inputs: R×R filters, stride 1, no dilation, one group.
#[derive(Clone, Copy, Debug)]
pub struct Winograd<F, const M: usize, const R: usize, const T: usize>(PhantomData<F>);

/// F(2×2, 3×3): 2.25 times fewer products.
pub type Winograd2 = Winograd<F2, 2, 3, 4>;

/// F(4×4, 3×3): 4 times fewer products.
pub type Winograd4 = Winograd<F4, 4, 3, 6>;

/// F(2×2, 5×5): 2.78 times fewer products.
pub type Winograd2Of5 = Winograd<F2Of5, 2, 5, 6>;

impl<F, const M: usize, const R: usize, const T: usize> Winograd<F, M, R, T> {
    /// Winograd's algorithm as a value.
    pub const NEW: Self = Self(PhantomData);
}

impl<F, const M: usize, const R: usize, const T: usize> Algorithm for Winograd<F, M, R, T>
where
    F: Minimal<M, T> + Taps<R, T>,
{
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn supports(&self, g: &Conv2dGeometry, _pass: Pass) -> bool {
        let steps = (g.stride_h, g.stride_w, g.dilation_h, g.dilation_w);
        (g.kernel_h, g.kernel_w) == (R, R) && steps == (1, 1, 1, 1) && g.groups == 1
    }

    fn precision(&self) -> Precision {
        Precision::Fast
    }

    fn cost(&self, g: &Conv2dGeometry, pass: Pass) -> f64 {
        let (height, width, written) = match pass {
            Pass::Forward | Pass::BackwardFilter => (g.out_h, g.out_w, g.out_c),
            Pass::BackwardData => (g.in_h, g.in_w, g.in_c),
        };
        let tiles = (g.batch * height.div_ceil(M) * width.div_ceil(M)) as f64;
        let planes = (T * T) as f64;
        let products = planes * filled(g.in_c) * vectors(g.out_c);
        let filter = if products <= vectors(FAR) { FILTER } else { FILTER_FAR };
        let transform = if R == 5 { TRANSFORM_OF_5 } else { TRANSFORM };
        let (multiply_add, transform, filter, moved) = match pass {
            Pass::BackwardFilter => (MULTIPLY_ADD_FILTER, TRANSFORM_FILTER, FILTER_GRADIENT, MOVED_FILTER),
            _ if written <= DOT_COLUMNS => (MULTIPLY_ADD_NARROW, transform, filter, MOVED),
            _ => (MULTIPLY_ADD, transform, filter, MOVED),
        };
        let transformed = transform * tiles * planes * (vectors(g.in_c) + vectors(g.out_c));
        let moved = moved * (g.input_len() + g.output_len()) as f64;
        (multiply_add * tiles + filter) * products + transformed + moved
    }

    fn prepared_len(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::BackwardFilter => 0,
            _ => Filters::new(InstructionSet::current(), g, pass, T * T).len(),
        }
    }

    fn prepare(&self, g: &Conv2dGeometry, pass: Pass, w: &[f32], prepared: &mut [f32]) {
        if pass != Pass::BackwardFilter {
            let set = InstructionSet::current();
            Filters::new(set, g, pass, T * T).transform::<F, R, T>(set, g, pass, w, prepared);
        }
    }

    fn workspace(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::BackwardFilter => gradient::Plan::new(InstructionSet::current(), g, M, T * T).workspace(),
            _ => 0,
        }
    }

    fn scratch(&self, g: &Conv2dGeometry, pass: Pass) -> Scratch {
        let set = InstructionSet::current();
        match pass {
            Pass::BackwardFilter => gradient::Plan::new(set, g, M, T * T).scratch(),
            _ => Correlation::new(g, pass).scratch(set, M, T * T),
        }
    }

    fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        filter: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        _workspace: &mut [f32],
    ) {
        let set = InstructionSet::current();
        let filters = Filters::new(set, g, Pass::Forward, T * T);
        let c = Correlation::new(g, Pass::Forward);
        correlate::<F, M, T>(&c, set, x, (&filters, filter), epilogue, y);
    }

    fn backward_data(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        filter: &[f32],
        dx: &mut [f32],
        accumulate: Accumulate,
        _workspace: &mut [f32],
    ) {
        let set = InstructionSet::current();
        let filters = Filters::new(set, g, Pass::BackwardData, T * T);
        let c = Correlation::new(g, Pass::BackwardData);
        correlate::<F, M, T>(&c, set, dy, (&filters, filter), &Epilogue::of(accumulate), dx);
    }

    fn backward_filter(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        accumulate: Accumulate,
        workspace: &mut [f32],
    ) {
        assert_operands(g, x, dw, dy);
        let plan = gradient::Plan::new(InstructionSet::current(), g, M, T * T);
        gradient::filter_gradient::<F, M, R, T>(&plan, x, dy, dw, accumulate, workspace);
    }
}
