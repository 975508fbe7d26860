//! Convolution as a matrix product whose left operand never exists as a whole, for all passes of every geometry but those whose
//! filter spans millions of pixels.
//!
//! The patches that [`super::im2col`] makes in memory are made here in a thread's scratch, of the second-level cache's
//! size, and only along the width (see `band`). The pieces, from the outside in:
//!
//! - `problem`: a correlation on a grid. The forward pass is one; the gradient of the input is one for each remainder of
//!   the stride.
//! - `cut`: its outputs in *bands*, its depth in *blocks* of channels, its columns in *panels*.
//! - `band`: the scratch of a band and a block; `fill` copies into it.
//! - `prepare`: the filter in the order in which it is read.
//! - `forward`: for each block, fill the scratch; for each panel, which the first-level cache keeps, tiles of outputs.
//! - `filter`: the same scratch, transposed, times `dy`.
//! - `cost`: what all of that costs.
//!
//! The inner loop is `crate::gemm::tile`. A block's sums are added to the destination in memory, which also keeps
//! rounding errors small: at 512 channels and 3 × 3 taps, 8 partial sums of 576 products (relative error below 5e-7).

mod band;
mod cost;
mod cut;
mod fill;
mod filter;
mod forward;
mod prepare;
mod problem;
#[cfg(test)]
mod tests;

use ocelli_simd::InstructionSet;

use self::band::Spacing;
use self::cut::{FilterTasks, Tasks};
use self::problem::Problem;
use super::algorithm::{Algorithm, Pass, assert_operands};
use super::geometry::Conv2dGeometry;
use crate::{Accumulate, Epilogue, Scratch};

/// Most pixels that a filter spans, with rows counted as at least so many: the band of a single output has up to forty
/// times as many elements, and a dilation of a million would take gigabytes of each thread for two taps.
const MOST_SPANNED: usize = 1 << 21;
const LEAST_SPANNED_COLUMNS: usize = 80;

/// Patches × filters with patches made in the cache; supports every geometry whose bands are bounded.
#[derive(Clone, Copy, Debug)]
pub struct Implicit;

impl Algorithm for Implicit {
    fn name(&self) -> &'static str {
        "implicit"
    }

    fn supports(&self, g: &Conv2dGeometry, _pass: Pass) -> bool {
        let [rows, columns] = g.spans();
        rows * columns.max(LEAST_SPANNED_COLUMNS) <= MOST_SPANNED
    }

    fn cost(&self, g: &Conv2dGeometry, pass: Pass) -> f64 {
        cost::cost(g, pass)
    }

    fn prepared_len(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::BackwardFilter => 0,
            Pass::Forward | Pass::BackwardData => {
                let set = InstructionSet::current();
                Problem::all(g, pass).map(|problem| prepare::packed_len(set, &problem)).sum()
            }
        }
    }

    fn prepare(&self, g: &Conv2dGeometry, pass: Pass, w: &[f32], prepared: &mut [f32]) {
        if pass != Pass::BackwardFilter {
            prepare::pack(InstructionSet::current(), g, pass, w, prepared);
        }
    }

    fn workspace(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::BackwardFilter => {
                let problem = Problem::forward(g, Pass::BackwardFilter);
                FilterTasks::new(&problem).workspace(&problem)
            }
            Pass::Forward | Pass::BackwardData => 0,
        }
    }

    fn scratch(&self, g: &Conv2dGeometry, pass: Pass) -> Scratch {
        let set = InstructionSet::current();
        match pass {
            Pass::BackwardFilter => filter::scratch(set, &Problem::forward(g, pass)),
            Pass::Forward | Pass::BackwardData => {
                let wanted = Problem::wanted_pieces(g, pass);
                let band = |problem: Problem| {
                    let panels = prepare::panels(set, &problem).count();
                    let Tasks { blocks, bands, .. } = Tasks::new(&problem, panels, wanted);
                    Scratch::of(bands.scratch_len(&problem, blocks.channels, Spacing::of(&problem)))
                };
                Problem::all(g, pass).map(band).fold(Scratch::NONE, Scratch::or)
            }
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
        assert_eq!((x.len(), y.len()), (g.input_len(), g.output_len()), "the tensors of {g:?}");
        epilogue.assert_fits(y.len(), g.out_c);
        forward::run(g, Pass::Forward, x, filter, epilogue, y);
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
        assert_eq!((dx.len(), dy.len()), (g.input_len(), g.output_len()), "the tensors of {g:?}");
        forward::run(g, Pass::BackwardData, dy, filter, &Epilogue::of(accumulate), dx);
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
        filter::run(g, x, dy, dw, accumulate, workspace);
    }
}
