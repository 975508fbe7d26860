//! The cost of a pass, problem by problem. The constants are fitted to the convolutions that `examples/choice.rs`
//! draws.

use super::cut::FilterTasks;
use super::problem::Problem;
use crate::conv::algorithm::Pass;
use crate::conv::choice::{Cost, filled, storing};
use crate::conv::geometry::Conv2dGeometry;

/// Share of the peak that the multiply-adds of tiles reach, beside the costs below.
const EFFICIENCY: f64 = 0.76;

/// Share of the peak for outputs that are dot products, of which there are few for each vector that is loaded.
const EFFICIENCY_DOTS: f64 = 0.7;

/// Share of the peak in the gradient of the filter.
const EFFICIENCY_FILTER: f64 = 0.65;

/// Cost of an element that is copied to the scratch.
const COPIED: f64 = 4.0;

/// Cost of a copied run of neighbouring elements, beside its elements.
const RUN: f64 = 90.0;

/// Cost of storing a vector of outputs, once for each block of the depth.
const STORED: f64 = 90.0;

/// Extra cost of a vector of outputs that is stored in part, or whose lanes are added.
const STORED_IN_PART: f64 = 400.0;

/// Cost of adding to an element of the filter's gradient, once for each band; and of one that no cache holds.
const SUMMED: f64 = 15.0;
const SUMMED_IN_MEMORY: f64 = 90.0;

/// Elements of a gradient that no cache holds (16 MiB).
const IN_MEMORY: usize = 4 << 20;

/// Cost of a pixel in the gradient of the filter, beside its multiply-adds.
const PIXEL: f64 = 450.0;

/// Cost of an element through memory.
const MOVED: f64 = 3.0;

/// Depth of a block.
const BLOCK: usize = 600;

pub(super) fn cost(g: &Conv2dGeometry, pass: Pass) -> Cost {
    let moved = (g.input_len() + g.output_len() + g.filter_len()) as f64;
    let mut sum = Cost { multiply_adds: 0.0, efficiency: EFFICIENCY, others: MOVED * moved };
    for problem in Problem::all(g, pass) {
        let copied = copied(&problem, pass);
        if pass == Pass::BackwardFilter {
            add_filter(&mut sum, &problem);
        } else {
            add_correlation(&mut sum, &problem);
        }
        sum.others += copied;
    }
    sum
}

/// Adds the cost of the forward pass, or of the gradient of the input.
fn add_correlation(sum: &mut Cost, problem: &Problem) {
    let Problem { batch, rows, columns, groups, depth, width, .. } = *problem;
    let tap_rows = rows.all_taps_seen(batch * columns.outputs);
    let lines = (batch * groups * columns.outputs) as f64;
    let (pixels, terms) = (lines * rows.outputs as f64, lines * tap_rows * (columns.taps * depth) as f64);
    let stores = pixels * problem.terms().div_ceil(BLOCK) as f64;
    if problem.by_dots() {
        (sum.multiply_adds, sum.efficiency) = (sum.multiply_adds + terms * width as f64, EFFICIENCY_DOTS);
        sum.others += stores * width as f64 * STORED_IN_PART;
        return;
    }
    sum.multiply_adds += terms * filled(width);
    sum.others += stores * storing(width, STORED, STORED_IN_PART);
}

/// Adds the cost of the gradient of the filter.
fn add_filter(sum: &mut Cost, problem: &Problem) {
    let filter = (problem.terms() * problem.groups) as f64 * filled(problem.width);
    let (pixels, bands) = (problem.pixels() as f64, FilterTasks::new(problem).bands.count() as f64);
    let summed = if problem.filter_len() > IN_MEMORY { SUMMED_IN_MEMORY } else { SUMMED };
    sum.efficiency = EFFICIENCY_FILTER;
    sum.multiply_adds += pixels * filter;
    sum.others += bands * filter * summed + pixels * problem.groups as f64 * PIXEL;
}

/// Returns the cost of the copies to the scratch.
fn copied(problem: &Problem, pass: Pass) -> f64 {
    let Problem { batch, rows, columns, groups, depth, .. } = *problem;
    let read_rows = rows.outputs * rows.step.min(rows.span()) + rows.span() - 1;
    let lines = (batch * groups * columns.outputs) as f64 * read_rows as f64;
    let shared = pass != Pass::BackwardFilter && problem.by_dots();
    let apart = if shared { columns.step } else { columns.taps };
    let runs = if columns.dilation == 1 && groups == 1 { 1 } else { columns.taps };
    lines * (COPIED * (apart * depth) as f64 + RUN * runs as f64)
}
