//! The sum of two gradients becomes the later one's kernel, adding to what is there.

use super::{Program, constants};
use crate::{Call, Graph, Result, ValueId, ops::Arithmetic};
use std::{
    any::Any,
    collections::{HashMap, HashSet},
};

/// Folds additions: `sum = a + b`, where the kernel of `b` can add to its destination and nothing else reads `a`
/// afterwards, becomes that kernel adding into the storage of `a`. [`Program::accumulated`] holds the value that each such
/// result is added into.
pub(super) fn accumulate(program: &mut Program<'_>) -> Result<()> {
    let untouched = program.roots.iter().copied().collect();
    program.accumulated = fold(&mut program.graph, &untouched);
    Ok(())
}

/// [`accumulate`] in a plan whose constants are computed once: nothing is added to a constant, which stays for the next run.
pub(super) fn accumulate_beside_constants(program: &mut Program<'_>) -> Result<()> {
    let untouched = program.roots.iter().copied().chain(constants(&program.graph)).collect();
    program.accumulated = fold(&mut program.graph, &untouched);
    Ok(())
}

/// Folds additions, but none of `untouched` values. Returns for each result of a folding kernel the value that it is added into.
fn fold(graph: &mut Graph, untouched: &HashSet<ValueId>) -> HashMap<ValueId, ValueId> {
    let mut into = HashMap::new();
    let mut at = 0;
    while at < graph.calls.len() {
        match foldable(graph, at, untouched, &into) {
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
    untouched: &HashSet<ValueId>,
    into: &HashMap<ValueId, ValueId>,
) -> Option<(usize, ValueId)> {
    let call = &graph.calls[at];
    let op: &dyn Any = &*call.op;
    if op.downcast_ref::<Arithmetic>() != Some(&Arithmetic::Add) {
        return None;
    }
    let [a, b] = call.inputs[..] else { return None };
    let sum_shape = &graph.values[call.outputs[0]].shape;
    if a == b || [a, b].iter().any(|id| untouched.contains(id) || graph.values[*id].shape != *sum_shape) {
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
