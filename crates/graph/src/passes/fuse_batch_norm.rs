//! Batch normalisation and what follows it in one operation, before differentiation, so that backward follows.

use super::{
    Program,
    followers::{SoleReaders, addend, is_relu},
};
use crate::{
    Call, Graph, Result, ValueId,
    ops::{BatchNormOp, FollowedBy},
};
use std::{any::Any, collections::HashSet, sync::Arc};

/// What becomes one operation: a normalisation, perhaps the addition of a residual, perhaps a ReLU.
struct Chain {
    norm: usize,
    /// The addition, and the operand of it that is not the normalisation.
    add: Option<(usize, ValueId)>,
    relu: Option<usize>,
}

/// A batch normalisation whose result only a ReLU, or only the addition of a residual and perhaps a ReLU behind that, reads
/// becomes one operation with them. Roots and new values of the state stay what they are.
///
/// Values between them lose their producer, but not their place in the graph: behind the new operation stand calls that compute
/// them, by the statistics that it wrote. Pruning drops these, unless somebody watches such a value.
pub(super) fn fuse_batch_norm(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, roots, .. } = program;
    let updated = graph.updates.iter().map(|(_, id)| *id);
    let kept: Vec<ValueId> = roots.iter().copied().chain(updated).collect();
    let mut readers = SoleReaders::new(graph, &kept);
    // From the end: of two normalisations that are added, the later one takes the sum, and waits for nothing.
    for at in (0..graph.calls.len()).rev() {
        if let Some(chain) = chain_at(graph, at, &readers) {
            fuse(graph, chain);
            readers = SoleReaders::new(graph, &kept);
        }
    }
    Ok(())
}

fn norm_of(call: &Call) -> Option<&BatchNormOp> {
    let op: &dyn Any = &*call.op;
    op.downcast_ref().filter(|op: &&BatchNormOp| op.is_alone())
}

fn chain_at(graph: &Graph, norm: usize, readers: &SoleReaders) -> Option<Chain> {
    norm_of(&graph.calls[norm])?;
    let y = graph.calls[norm].outputs[0];
    let is_relu = |&at: &usize| is_relu(&graph.calls[at]);
    let reader = readers.of(y)?;
    let chain = match addend(&graph.values, &graph.calls[reader], y) {
        Some(residual) => {
            let relu = readers.of(graph.calls[reader].outputs[0]).filter(is_relu);
            Chain { norm, add: Some((reader, residual)), relu }
        }
        None => Chain { norm, add: None, relu: Some(reader).filter(is_relu) },
    };
    let last = chain.last()?;
    // Its statistics are written later than before; who reads them must still come behind.
    let statistics = &graph.calls[norm].outputs[1..];
    let waits = |call: &Call| call.inputs.iter().any(|id| statistics.contains(id));
    (!graph.calls[norm..last].iter().any(waits)).then_some(chain)
}

impl Chain {
    /// The last call of it, if there is one behind the normalisation.
    fn last(&self) -> Option<usize> {
        self.relu.or(self.add.map(|(at, _)| at))
    }
}

fn fuse(graph: &mut Graph, chain: Chain) {
    let Some(last) = chain.last() else { return };
    let norm = graph.calls[chain.norm].clone();
    let Some(&op) = norm_of(&norm) else { return };
    let followed_by = match (chain.add, chain.relu) {
        (None, _) => FollowedBy::Relu,
        (Some(_), None) => FollowedBy::Add,
        (Some(_), Some(_)) => FollowedBy::AddRelu,
    };
    let mut outputs = norm.outputs.clone();
    outputs[0] = graph.calls[last].outputs[0];
    let residual = chain.add.map(|(_, residual)| residual);
    let fused = Call {
        op: Arc::new(op.followed_by(followed_by)),
        inputs: norm.inputs.iter().copied().chain(residual).collect(),
        outputs,
        ..norm.clone()
    };
    let mut spare = vec![recalled(&norm)];
    if let (Some((add, _)), Some(_)) = (chain.add, chain.relu) {
        spare.push(graph.calls[add].clone());
    }
    let gone: HashSet<usize> = chain.add.iter().map(|(at, _)| *at).chain([chain.norm]).collect();
    let mut calls = Vec::with_capacity(graph.calls.len() + 1);
    for (at, call) in std::mem::take(&mut graph.calls).into_iter().enumerate() {
        if at == last {
            calls.push(fused.clone());
            calls.append(&mut spare);
        } else if !gone.contains(&at) {
            calls.push(call);
        }
    }
    graph.calls = calls;
}

/// The same normalisation once more, by statistics that the call wrote or was given: its first result.
pub(super) fn recalled(call: &Call) -> Call {
    let op: &dyn Any = &*call.op;
    let Some(op) = op.downcast_ref::<BatchNormOp>() else { return call.clone() };
    let mut again = Call { op: Arc::new(op.with_statistics_given()), ..call.clone() };
    if let &[y, mean, variance, ..] = &call.outputs[..] {
        again.inputs[3..5].copy_from_slice(&[mean, variance]);
        again.outputs = vec![y];
    }
    again
}
