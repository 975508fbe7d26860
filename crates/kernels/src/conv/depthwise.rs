//! Depthwise convolution by direct vector loops: every channel has a filter of its own (Howard et al. 2017, MobileNets,
//! section 3.1).
//!
//! Nine multiply-adds for an output element are few: the pass is to run at the speed of memory. All loops are
//! vectorised over channels, which lie next to each other in pixels and in taps. The two passes that produce an image
//! gather (`gather`), forward over the taps of a window, backward over those that met the pixel, phase by phase of the
//! stride (`axis`); the third (`filter`) sums over pixels. In each row the inner columns run without a test for padding
//! and the border columns one by one.

mod axis;
mod filter;
mod gather;
#[cfg(test)]
mod tests;

use ocelli_simd::{InstructionSet, Stores, dispatch_on};

use self::axis::Direction;
use super::algorithm::{Algorithm, Pass, assert_operands};
use super::choice::{filled, vectors};
use super::geometry::Conv2dGeometry;
use super::partial::add_pieces;
use crate::gemm::finish::Finish;
use crate::parallel::each_piece;
use crate::stores::stores_for;
use crate::{Accumulate, Epilogue};

/// Direct loops over channels, for groups of one input and one output channel each.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise;

/// Multiply-adds of a task: some 50 to 75 µs at the 28 to 40 GFLOP/s that a thread reaches (AVX2, 3 × 3 on 128
/// channels), so that its start-up cost is small, and the rows that it reads beside its own are few.
const TASK: usize = 1 << 20;

/// Cost of a multiply-add of vectors, beside memory traffic: 3 × 3 on 128 channels in the second-level cache takes 2.3 by
/// gathers and 3.4 in the gradient of the filter.
const MULTIPLY_ADD: f64 = 2.77;

/// Extra cost of a border column, which is computed alone, over an inner one.
const BORDER: f64 = 1.0;

/// Extra cost of a partial vector through one tap, where taps are not neighbours.
const IN_PART: f64 = 6.11;

/// Cost of an element through memory.
const MOVED: f64 = 0.762;

/// Most partial sums of a filter gradient.
const PARTIAL_SUMS: usize = 32;

/// Multiply-adds of a small task, some 10 µs: of them a picture's few rows are cut into as many as balance the load.
const SMALL_TASK: usize = 1 << 17;

/// Most small tasks.
const SMALL_TASKS: usize = 16;

/// Returns the number of rows of a task, of so many rows with `row` multiply-adds each: a function of the geometry alone.
fn rows_per_task(rows: usize, row: usize) -> usize {
    let multiply_adds = rows.saturating_mul(row);
    let tasks = (multiply_adds / SMALL_TASK).min(SMALL_TASKS).max(multiply_adds / TASK);
    rows.div_ceil(if tasks > 1 { tasks.next_multiple_of(2) } else { 1 }).max(1)
}

fn filter_rows_per_task(g: &Conv2dGeometry) -> usize {
    let rows = g.batch * g.out_h;
    rows_per_task(rows, (g.out_w * g.out_c).saturating_mul(g.patch_len())).max(rows.div_ceil(PARTIAL_SUMS))
}

impl Algorithm for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn supports(&self, g: &Conv2dGeometry, _pass: Pass) -> bool {
        g.group_in_c() == 1 && g.group_out_c() == 1
    }

    fn cost(&self, g: &Conv2dGeometry, _pass: Pass) -> f64 {
        let taps = (g.kernel_h * g.kernel_w) as f64;
        let seen = g.output_pixels() as f64 * taps;
        let [_, span] = g.spans();
        let border = ((span - 1) as f64 / g.out_w.max(1) as f64).min(1.0);
        let multiply_adds = MULTIPLY_ADD * seen * vectors(g.in_c) * (1.0 + BORDER * border);
        let is_whole = filled(g.in_c) == g.in_c as f64 || (g.stride_w, g.dilation_w) == (1, 1);
        let in_part = if is_whole { 0.0 } else { seen * IN_PART };
        multiply_adds + in_part + MOVED * (g.input_len() + g.output_len()) as f64
    }

    fn workspace(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::Forward | Pass::BackwardData => 0,
            Pass::BackwardFilter => (g.batch * g.out_h).div_ceil(filter_rows_per_task(g)) * g.filter_len(),
        }
    }

    fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        w: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        _workspace: &mut [f32],
    ) {
        assert_operands(g, x, w, y);
        gather(g, Direction::Forward, x, w, epilogue, y);
    }

    fn backward_data(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        w: &[f32],
        dx: &mut [f32],
        accumulate: Accumulate,
        _workspace: &mut [f32],
    ) {
        assert_operands(g, dx, w, dy);
        gather(g, Direction::Backward, dy, w, &Epilogue::of(accumulate), dx);
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
        assert!(self.supports(g, Pass::BackwardFilter));
        if dy.is_empty() {
            if accumulate == Accumulate::Set {
                dw.fill(0.0);
            }
            return;
        }
        let set = InstructionSet::current();
        let rows = filter_rows_per_task(g);
        let partial_sums = &mut workspace[..self.workspace(g, Pass::BackwardFilter)];
        // Sum each band of rows.
        let band = |task: usize, dy: &[f32], sums: &mut [f32]| {
            dispatch_on(set, filter::Band { g, first_row: task * rows, x, dy, sums });
        };
        let len = rows * g.out_w * g.out_c;
        if dy.len() <= len {
            band(0, dy, partial_sums);
        } else {
            each_piece(partial_sums, dw.len(), &|task, sums| {
                let first = task * len;
                band(task, &dy[first..dy.len().min(first + len)], sums);
            });
        }
        // Add the sums of the bands.
        add_pieces(partial_sums, dw, accumulate);
    }
}

/// Fills `destination` from `source`, in bands of rows.
fn gather(
    g: &Conv2dGeometry,
    direction: Direction,
    source: &[f32],
    filter: &[f32],
    epilogue: &Epilogue<'_>,
    destination: &mut [f32],
) {
    assert!(g.group_in_c() == 1 && g.group_out_c() == 1);
    epilogue.assert_fits(destination.len(), g.out_c);
    if destination.is_empty() {
        return;
    }
    let width = match direction {
        Direction::Forward => g.out_w,
        Direction::Backward => g.in_w,
    };
    let set = InstructionSet::current();
    let row_len = width * g.out_c;
    let rows = rows_per_task(destination.len() / row_len, row_len.saturating_mul(g.patch_len()));
    let (finish, accumulate) = (Finish::of(epilogue), epilogue.accumulate);
    let stores = stores(g, accumulate, destination);
    let band = |task: usize, destination: &mut [f32]| {
        let first_row = task * rows;
        dispatch_on(
            set,
            gather::Band { g, direction, first_row, source, filter, accumulate, finish, stores, destination },
        );
    };
    let len = rows * row_len;
    if destination.len() <= len {
        return band(0, destination);
    }
    each_piece(destination, len, &band);
}

/// Chooses stores past the caches for results that are stored once. 3 × 3 on `[8, 56, 56, 128]`, of 12 MiB, then
/// reaches between 0.8 and 1.0 of the bandwidth of a copy, and 0.45 with regular stores.
fn stores(g: &Conv2dGeometry, accumulate: Accumulate, destination: &[f32]) -> Stores {
    let once = accumulate == Accumulate::Set && g.patch_len() <= gather::RUNS;
    if once { stores_for(destination, g.out_c) } else { Stores::Regular }
}
