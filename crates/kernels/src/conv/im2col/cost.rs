//! The cost of a pass. The constants are fitted to the convolutions that `examples/choice.rs` draws.

use super::plan::Plan;
use crate::conv::algorithm::{Algorithm, Pass};
use crate::conv::choice::{Cost, filled, storing};
use crate::conv::geometry::Conv2dGeometry;
use crate::conv::pointwise::Pointwise;

/// Cost constants of a pass.
struct Times {
    /// Share of the peak that the multiply-adds reach, beside the costs below.
    efficiency: f64,
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
    Times { efficiency: 0.8, patch: 20.0, run: 320.0, stored: 250.0, stored_in_part: 0.0, moved: 3.0, filter: 65.0 };

const BACKWARD_DATA: Times =
    Times { efficiency: 0.67, patch: 23.0, run: 290.0, stored: 100.0, stored_in_part: 400.0, moved: 8.0, filter: 70.0 };

const BACKWARD_FILTER: Times =
    Times { efficiency: 0.65, patch: 40.0, run: 430.0, stored: 60.0, stored_in_part: 0.0, moved: 13.0, filter: 40.0 };

/// Depth of a block of the product.
const BLOCK: usize = 600;

pub(super) fn cost(g: &Conv2dGeometry, pass: Pass) -> Cost {
    let patch = g.patch_len();
    let times = match pass {
        Pass::Forward => FORWARD,
        Pass::BackwardData => BACKWARD_DATA,
        Pass::BackwardFilter => BACKWARD_FILTER,
    };
    let filter = times.filter * g.filter_len() as f64;
    if Pointwise::NEW.supports(g, pass) {
        // The same products, and the filter is packed each time.
        let pointwise = Pointwise::NEW.cost(g, pass);
        return Cost { others: pointwise.others + filter, ..pointwise };
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
    let others = rows * (copied + stored) + moved + filter;
    Cost { multiply_adds: rows * depth as f64 * filled(width), efficiency: times.efficiency, others }
}
