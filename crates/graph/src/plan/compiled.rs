//! Calls compiled for a plan.

use super::{Planning, Weights};
use crate::{
    Call, Compiled, Error, Graph, Request, Result, ValueId, ValueInfo,
    passes::{constant_values, is_parameter},
};

/// A call, and its compiled form.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCall {
    pub(crate) call: Call,
    pub(crate) compiled: Compiled,
}

/// Compiles each call of a graph once; also returns which values are the same from run to run.
///
/// # Errors
/// [`Error::Compile`] with the path of the first layer for which there is no kernel.
pub(super) fn compile(graph: &mut Graph, planning: Planning<'_>) -> Result<(Vec<CompiledCall>, Vec<bool>)> {
    let constant = match planning.weights {
        Weights::Steady => constant_values(graph),
        Weights::Changing | Weights::Shared => vec![false; graph.values.len()],
    };
    let calls = std::mem::take(&mut graph.calls).into_iter();
    let calls: Result<Vec<CompiledCall>> = calls
        .map(|call| Ok(CompiledCall { compiled: compile_call(&call, &graph.values, &constant, planning)?, call }))
        .collect();
    // The kernels are those of weights that change, so that the bits are: only when they prepare is another matter.
    let kept = match planning.weights {
        Weights::Steady | Weights::Changing => constant,
        Weights::Shared => graph.values.iter().map(is_parameter).collect(),
    };
    Ok((calls?, kept))
}

fn compile_call(
    call: &Call,
    values: &[ValueInfo],
    constant: &[bool],
    Planning { batch, precision, .. }: Planning<'_>,
) -> Result<Compiled> {
    let sizes = |ids: &[ValueId]| ids.iter().map(|&id| values[id].shape.at(batch)).collect::<Vec<_>>();
    // A value computed from constants only is computed once: preparing its operands does not pay.
    let is_run_often = !constant[call.outputs[0]];
    let constant: Vec<bool> = call.inputs.iter().map(|&id| constant[id] && is_run_often).collect();
    let (operands, results) = (sizes(&call.inputs), sizes(&call.outputs));
    let request = Request { operands: &operands, results: &results, precision, constant: &constant };
    call.op.compile(&request).map_err(|fault| Error::Compile {
        path: if call.path.is_empty() { String::new() } else { format!("{} ", call.path) },
        kind: call.op.kind(),
        reason: fault.to_string(),
    })
}
