//! The cost of a pass. The constants are fitted to the convolutions that `examples/choice.rs` measures.

use super::plan::Plan;
use crate::conv::algorithm::{Algorithm, Pass};
use crate::conv::choice::{storing, vectors};
use crate::conv::geometry::Conv2dGeometry;
use crate::conv::pointwise::Pointwise;

/// Cost constants of a pass.
struct Times {
    /// Cost of a multiply-add of vectors, beside the costs below.
    multiply_add: f64,
    /// Cost of an element of a patch.
    patch: f64,
    /// Cost of a run of neighbouring elements of a patch, beside its elements.
    run: f64,
    /// Cost of storing a vector of the product's result, and the extra cost of a partial one.
    stored: f64,
    stored_in_part: f64,
    /// Cost of an element of input or output through memory.
    moved: f64,
    /// Cost of an element of the filter, which the product packs at each call.
    filter: f64,
}

const FORWARD: Times =
    Times { multiply_add: 1.24, patch: 1.08, run: 39.8, stored: 33.7, stored_in_part: 0.0, moved: 0.831, filter: 39.1 };

const BACKWARD_DATA: Times =
    Times { multiply_add: 1.22, patch: 3.55, run: 16.0, stored: 14.7, stored_in_part: 11.8, moved: 1.32, filter: 9.57 };

const BACKWARD_FILTER: Times =
    Times { multiply_add: 1.6, patch: 1.54, run: 36.2, stored: 6.1, stored_in_part: 0.0, moved: 0.937, filter: 6.82 };

/// Cost of a pass, beside all of these.
const PASS: f64 = 5000.0;

/// Depth of a block of the product.
const BLOCK: usize = 600;

pub(super) fn cost(g: &Conv2dGeometry, pass: Pass) -> f64 {
    let patch = g.patch_len();
    let times = match pass {
        Pass::Forward => FORWARD,
        Pass::BackwardData => BACKWARD_DATA,
        Pass::BackwardFilter => BACKWARD_FILTER,
    };
    let filter = times.filter * g.filter_len() as f64;
    if Pointwise::NEW.supports(g, pass) {
        // The same products, and the filter is packed each time.
        return Pointwise::NEW.cost(g, pass) + filter;
    }
    let rows = (g.output_pixels() * g.groups) as f64;
    let (depth, width, blocks) = match pass {
        Pass::Forward | Pass::BackwardFilter => (patch, g.group_out_c(), patch.div_ceil(BLOCK)),
        Pass::BackwardData => (g.group_out_c(), patch, 1),
    };
    let stored = blocks as f64 * storing(width, times.stored, times.stored_in_part);
    let runs = if g.dilation_w == 1 && g.groups == 1 { g.kernel_h } else { g.kernel_h * g.kernel_w };
    let copied = match Plan::new(g, pass).in_place {
        true => 0.0,
        false => times.patch * patch as f64 + times.run * runs as f64,
    };
    let moved = times.moved * (g.input_len() + g.output_len()) as f64;
    let multiply_adds = times.multiply_add * depth as f64 * vectors(width);
    rows * (multiply_adds + copied + stored) + moved + filter + PASS
}
