//! Pruning: calls that no root needs are dropped.

use super::Program;
use crate::Result;

/// Drops every call that no root needs.
pub(super) fn prune(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, roots, .. } = program;
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
    Ok(())
}
