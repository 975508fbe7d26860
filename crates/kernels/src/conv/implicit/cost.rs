//! The cost of a pass, problem by problem. The constants are fitted to the convolutions that `examples/choice.rs`
//! measures.

use super::cut::FilterTasks;
use super::problem::Problem;
use crate::conv::algorithm::Pass;
use crate::conv::choice::{storing, vectors};
use crate::conv::geometry::Conv2dGeometry;

/// Cost of a multiply-add of vectors, beside the costs below; and what it costs more where a tile is one vector wide.
const MULTIPLY_ADD: f64 = 1.27;
const NARROW: f64 = 0.192;

/// Cost of a multiply-add of vectors of dot products, and of a vector of the left operand that is loaded for them.
const DOT: f64 = 0.666;
const DOT_LOADED: f64 = 3.48;

/// Cost of adding the lanes of a dot product.
const DOT_SUMMED: f64 = 20.9;

/// Cost of a multiply-add of vectors in the gradient of the filter.
const MULTIPLY_ADD_FILTER: f64 = 1.4;

/// Cost of a row of an image in the scratch, beside its outputs.
const LINE: f64 = 44.3;

/// Cost of a vector that is copied to the scratch.
const COPIED: f64 = 7.5;

/// Cost of a copied run of neighbouring elements, beside its vectors; and at the border.
const RUN: f64 = 3.34;
const BORDER_RUN: f64 = 12.1;

/// Cost of storing a vector of outputs, once for each block of the depth.
const STORED: f64 = 10.4;

/// Extra cost of a vector of outputs that is stored in part.
const STORED_IN_PART: f64 = 24.0;

/// Cost of adding to a vector of the filter's gradient, once for each band; and of one that no cache holds.
const SUMMED: f64 = 11.1;
const SUMMED_IN_MEMORY: f64 = 38.2;

/// Extra cost of adding to a vector in part.
const SUMMED_IN_PART: f64 = 21.2;

/// Elements of a gradient that no cache holds (16 MiB).
const IN_MEMORY: usize = 4 << 20;

/// Cost of a pixel in the gradient of the filter, beside its multiply-adds.
const PIXEL: f64 = 27.2;

/// Cost of an element through memory.
const MOVED: f64 = 0.405;

/// Cost of a problem, beside all of these.
const PROBLEM: f64 = 16700.0;

/// Depth of a block.
const BLOCK: usize = 600;

pub(super) fn cost(g: &Conv2dGeometry, pass: Pass) -> f64 {
    let moved = MOVED * (g.input_len() + g.output_len() + g.filter_len()) as f64;
    let of_problem = |problem: Problem| {
        let multiplied = if pass == Pass::BackwardFilter { filter(&problem) } else { correlation(&problem) };
        multiplied + copied(&problem, pass) + PROBLEM
    };
    moved + Problem::all(g, pass).map(of_problem).sum::<f64>()
}

/// Returns the cost of the products of the forward pass, or of the gradient of the input.
fn correlation(problem: &Problem) -> f64 {
    let Problem { batch, rows, columns, groups, depth, width, .. } = *problem;
    let lines = (batch * groups * columns.outputs) as f64;
    let tap_rows = lines * rows.all_taps_seen(batch * columns.outputs);
    let stores = lines * rows.outputs as f64 * problem.terms().div_ceil(BLOCK) as f64;
    if problem.by_dots() {
        let loaded = tap_rows * vectors(columns.taps * depth);
        return loaded * (DOT * width as f64 + DOT_LOADED) + DOT_SUMMED * stores * width as f64;
    }
    let width_vectors = vectors(width);
    let multiply_add = if width_vectors == 1.0 { MULTIPLY_ADD + NARROW } else { MULTIPLY_ADD };
    let multiply_adds = tap_rows * (columns.taps * depth) as f64 * width_vectors;
    multiply_add * multiply_adds + stores * storing(width, STORED, STORED_IN_PART)
}

/// Returns the cost of the products of the gradient of the filter.
fn filter(problem: &Problem) -> f64 {
    let rows = (problem.terms() * problem.groups) as f64;
    let (pixels, bands) = (problem.pixels() as f64, FilterTasks::new(problem).bands.count() as f64);
    let summed = if problem.filter_len() > IN_MEMORY { SUMMED_IN_MEMORY } else { SUMMED };
    let sums = rows * storing(problem.width, summed, SUMMED_IN_PART);
    let multiply_adds = MULTIPLY_ADD_FILTER * rows * vectors(problem.width);
    pixels * (multiply_adds + PIXEL * problem.groups as f64) + bands * sums
}

/// Returns the cost of the copies to the scratch, as `Fill` makes them.
fn copied(problem: &Problem, pass: Pass) -> f64 {
    let Problem { batch, rows, groups, depth, .. } = *problem;
    let mut columns = problem.columns;
    if pass != Pass::BackwardFilter && problem.by_dots() {
        // Columns that outputs share are copied once.
        let shared = columns.outputs.saturating_sub(1) * columns.step + columns.taps;
        columns = columns.one_tap();
        columns.outputs = shared;
    }
    let read_rows = rows.outputs * rows.step.min(rows.span()) + rows.span() - 1;
    let lines = (batch * groups * read_rows.min(rows.inputs)) as f64;
    let inside = columns.outputs_inside(0..columns.outputs).len();
    let (runs, run) =
        if columns.dilation == 1 && groups == 1 { (1, columns.taps * depth) } else { (columns.taps, depth) };
    let copied = inside as f64 * runs as f64 * (RUN + COPIED * vectors(run));
    let border = (columns.outputs - inside) as f64 * columns.taps as f64 * (BORDER_RUN + COPIED * vectors(depth));
    lines * (LINE + copied + border)
}
