//! Passes over the graph before it is laid out in memory.

mod constants;
mod fuse_batch_norm;
mod fuse_inference;
mod recompute;
mod share;

pub(crate) use constants::{Constants, constant_values, constants, recipes, separate_constants};
pub(crate) use fuse_batch_norm::fuse_batch_norm;
pub(crate) use fuse_inference::fuse_for_inference;
pub(crate) use recompute::{is_within, recompute};
pub(crate) use share::share;

use crate::{Call, Graph, Mode, ValueId, ops::Arithmetic};
use std::{
    any::Any,
    collections::{HashMap, HashSet},
};

/// Replaces operations by their counterparts in this mode, and chains the updates of state.
pub(crate) fn lower(graph: &mut Graph, mode: Mode) {
    for call in &mut graph.calls {
        if let Some(op) = call.op.lower(mode) {
            call.outputs.truncate(op.outputs());
            call.op = op;
        }
    }
    if mode == Mode::Infer {
        graph.updates.clear();
        return;
    }
    chain_updates(graph);
}

/// Puts layers whose state is frozen into inference mode: the operations that would update such a state become their
/// counterparts in inference, and the state stays.
pub(crate) fn hold_frozen(graph: &mut Graph, is_frozen: impl Fn(&str) -> bool) {
    let (held, updates): (Vec<_>, Vec<_>) =
        std::mem::take(&mut graph.updates).into_iter().partition(|(path, _)| is_frozen(path));
    let held: HashSet<ValueId> = held.into_iter().map(|(_, new)| new).collect();
    let mut gone = HashSet::new();
    for call in graph.calls.iter_mut().filter(|call| call.outputs.iter().any(|id| held.contains(id))) {
        if let Some(op) = call.op.lower(Mode::Infer) {
            gone.extend(call.outputs.drain(op.outputs()..));
            call.op = op;
        }
    }
    // If one state of a layer is frozen, its other states get no new value either.
    graph.updates = updates.into_iter().filter(|(_, new)| !gone.contains(new)).collect();
}

/// Chains the updates of a state that is updated twice (a shared layer): the second application starts from the result
/// of the first.
fn chain_updates(graph: &mut Graph) {
    let updates = std::mem::take(&mut graph.updates);
    let state_of: HashMap<ValueId, ValueId> =
        updates.iter().map(|(path, new)| (*new, graph.parameters[path].value)).collect();
    let mut latest: HashMap<ValueId, ValueId> = HashMap::new();
    for call in &mut graph.calls {
        for input in &mut call.inputs {
            if let Some(&new) = latest.get(input) {
                *input = new;
            }
        }
        for output in &call.outputs {
            if let Some(&state) = state_of.get(output) {
                latest.insert(state, *output);
            }
        }
    }
    let newest = |(path, spec): (&String, &crate::ParameterSpec)| latest.get(&spec.value).map(|&id| (path.clone(), id));
    graph.updates = graph.parameters.iter().filter_map(newest).collect();
}

/// Drops every call that no root needs.
pub(crate) fn prune(graph: &mut Graph, roots: &[ValueId]) {
    let mut live = vec![false; graph.values.len()];
    roots.iter().for_each(|&root| live[root] = true);
    let mut kept = Vec::with_capacity(graph.calls.len());
    for call in std::mem::take(&mut graph.calls).into_iter().rev() {
        if call.outputs.iter().any(|&id| live[id]) {
            call.inputs.iter().for_each(|&id| live[id] = true);
            kept.push(call);
        }
    }
    kept.reverse();
    graph.calls = kept;
}

/// Folds additions: `sum = a + b`, where the kernel of `b` can add to its destination and nothing else reads `a`
/// afterwards, becomes that kernel adding into the storage of `a`. Returns the value that each such result is added
/// into.
pub(crate) fn fold_accumulation(graph: &mut Graph, roots: &[ValueId]) -> HashMap<ValueId, ValueId> {
    let mut into = HashMap::new();
    let roots: HashSet<ValueId> = roots.iter().copied().collect();
    let mut at = 0;
    while at < graph.calls.len() {
        match foldable(graph, at, &roots, &into) {
            Some((producer, sum)) => {
                let call = graph.calls.remove(at);
                graph.calls[producer].outputs[0] = call.outputs[0];
                into.insert(call.outputs[0], sum);
            }
            None => at += 1,
        }
    }
    into
}

/// Returns the call that produces the later operand of call `at`, and its earlier operand, if call `at` is an addition
/// that can be folded.
fn foldable(
    graph: &Graph,
    at: usize,
    roots: &HashSet<ValueId>,
    into: &HashMap<ValueId, ValueId>,
) -> Option<(usize, ValueId)> {
    let call = &graph.calls[at];
    let op: &dyn Any = &*call.op;
    if op.downcast_ref::<Arithmetic>() != Some(&Arithmetic::Add) {
        return None;
    }
    let [a, b] = call.inputs[..] else { return None };
    let sum_shape = &graph.values[call.outputs[0]].shape;
    if a == b || [a, b].iter().any(|id| roots.contains(id) || graph.values[*id].shape != *sum_shape) {
        return None;
    }
    // order the operands by the calls that produce them
    let born = |id: ValueId| graph.calls[..at].iter().position(|call: &Call| call.outputs.contains(&id));
    let (first, second) = (born(a)?, born(b)?);
    let (sum, producer, late) = if first < second { (a, second, b) } else { (b, first, a) };
    // the later one must be free to write into the earlier one's storage
    let writer = &graph.calls[producer];
    let reads = |call: &Call, id: ValueId| call.inputs.contains(&id);
    let sole_use = |id: ValueId, from: usize| {
        graph.calls.iter().enumerate().skip(from).all(|(i, call)| i == at || !reads(call, id))
    };
    let free = writer.op.accumulates()
        && writer.outputs[0] == late
        && first != second
        && !into.contains_key(&late)
        && sole_use(late, 0)
        && sole_use(sum, producer)
        && !graph.calls.iter().any(|call| call.op.is_view() && (reads(call, sum) || call.outputs.contains(&sum)));
    free.then_some((producer, sum))
}
