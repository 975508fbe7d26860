//! Activation checkpointing: activations that are recomputed for backward instead of being kept (Chen, Xu, Zhang and
//! Guestrin 2016).

use super::{Program, fuse_batch_norm::recalled};
use crate::{Call, Graph, Result, ValueId, ops::BatchNormOp, path::is_within};
use std::{
    any::Any,
    collections::{HashMap, HashSet},
};

/// Makes backward read recomputed activations within each layer whose path is in [`Graph::recomputed`]: copies of the
/// layer's calls compute them from the layer's input, right before backward begins there, so the first values are not
/// needed after forward. Values that other layers or the end of the step read are kept and not recomputed, and so are
/// the statistics of a batch, from which a batch normalisation is repeated: running statistics move once, and all
/// values have the same bits.
///
/// Calls that no root needs must have been pruned.
pub(super) fn recompute(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, first_gradient, roots, .. } = program;
    let recomputed = std::mem::take(&mut graph.recomputed);
    let is_within_another = |path: &str| recomputed.iter().any(|outer| outer != path && is_within(path, outer));
    for path in recomputed.iter().filter(|path| !is_within_another(path)) {
        recompute_layer(graph, path, *first_gradient, roots);
    }
    graph.recomputed = recomputed;
    Ok(())
}

fn recompute_layer(graph: &mut Graph, layer: &str, first_gradient: ValueId, roots: &[ValueId]) {
    let is_forward = |call: &Call| call.outputs[0] < first_gradient;
    let is_inner = |call: &Call| is_forward(call) && is_within(&call.path, layer);
    // values that are dropped after forward: the layer's own, unless something outside of it reads them
    let mut lost: HashSet<ValueId> = HashSet::new();
    for call in graph.calls.iter().filter(|call| is_inner(call)) {
        let op: &dyn Any = &*call.op;
        let again = if op.is::<BatchNormOp>() { &call.outputs[..1] } else { &call.outputs };
        lost.extend(again);
    }
    let outside = graph.calls.iter().filter(|call| is_forward(call) && !is_inner(call));
    for id in outside.flat_map(|call| &call.inputs).chain(roots) {
        lost.remove(id);
    }
    let reads_lost = |call: &Call| !is_forward(call) && call.inputs.iter().any(|id| lost.contains(id));
    let Some(backward) = graph.calls.iter().position(reads_lost) else { return };

    // the calls to repeat, from the last one that backward needs to the first
    let mut needed: HashSet<ValueId> = HashSet::new();
    needed.extend(graph.calls.iter().filter(|call| reads_lost(call)).flat_map(|call| &call.inputs));
    let mut again: Vec<Call> = Vec::new();
    for call in graph.calls.iter().filter(|call| is_inner(call)).rev() {
        if call.outputs.iter().any(|id| lost.contains(id) && needed.contains(id)) {
            needed.extend(&call.inputs);
            again.push(recalled(call));
        }
    }
    again.reverse();
    // give the repeated calls new results
    let mut copies: HashMap<ValueId, ValueId> = HashMap::new();
    for call in &mut again {
        rewire(call, &copies);
        for id in &mut call.outputs {
            let copy = graph.values.len();
            graph.values.push(graph.values[*id].clone());
            if lost.contains(id) {
                copies.insert(*id, copy);
            }
            *id = copy;
        }
    }
    // let backward read these
    for call in graph.calls.iter_mut().filter(|call| call.outputs[0] >= first_gradient) {
        rewire(call, &copies);
    }
    graph.calls.splice(backward..backward, again);
}

fn rewire(call: &mut Call, copies: &HashMap<ValueId, ValueId>) {
    for id in &mut call.inputs {
        *id = copies.get(id).copied().unwrap_or(*id);
    }
}
