//! Lowering: operations become their counterparts in training or inference, or are held because their state is frozen.

use super::Program;
use crate::{Graph, Mode, Result, ValueId};
use std::collections::{HashMap, HashSet};

/// Replaces operations by their counterparts in this mode, and chains the updates of state.
pub(super) fn lower(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, mode, .. } = program;
    for call in &mut graph.calls {
        if let Some(op) = call.op.lower(*mode) {
            call.outputs.truncate(op.outputs());
            call.op = op;
        }
    }
    if *mode == Mode::Infer {
        graph.updates.clear();
    } else {
        chain_updates(graph);
    }
    Ok(())
}

/// Puts layers whose state is frozen into inference mode: the operations that would update such a state become their
/// counterparts in inference, and the state stays.
pub(super) fn hold_frozen(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, is_frozen, .. } = program;
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
    Ok(())
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
