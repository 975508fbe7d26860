//! Common-subexpression elimination: equal calls are computed once.

use super::Program;
use crate::{Call, Result, ValueId};
use std::collections::HashMap;

/// Eliminates common subexpressions: keeps the first of the calls of the same operation on the same values, whose
/// results replace those of the others; an identity, as dropout is in inference, and a
/// pooling of windows of one pixel, is its operand. Roots stay: each is read from its own place.
pub(super) fn share(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, roots, .. } = program;
    let mut kept: Vec<Call> = Vec::with_capacity(graph.calls.len());
    let mut by_operands: HashMap<Vec<ValueId>, Vec<usize>> = HashMap::new();
    let mut twins: HashMap<ValueId, ValueId> = HashMap::new();
    for mut call in std::mem::take(&mut graph.calls) {
        for input in &mut call.inputs {
            *input = twins.get(input).copied().unwrap_or(*input);
        }
        if let (&[x], &[y]) = (&call.inputs[..], &call.outputs[..])
            && call.op.is_identity(&graph.values[x].shape)
            && !roots.contains(&y)
        {
            twins.insert(y, x);
            continue;
        }
        let alike = by_operands.entry(call.inputs.clone()).or_default();
        let is_twin = |&&at: &&usize| kept[at].outputs.len() == call.outputs.len() && kept[at].op.is_same(&*call.op);
        let first = alike.iter().find(is_twin).filter(|_| !call.outputs.iter().any(|id| roots.contains(id)));
        match first {
            Some(&at) => twins.extend(call.outputs.iter().copied().zip(kept[at].outputs.iter().copied())),
            None => {
                alike.push(kept.len());
                kept.push(call);
            }
        }
    }
    graph.calls = kept;
    Ok(())
}
