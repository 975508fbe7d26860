//! Fuses batch normalisation with the operations after it, before differentiation, so that backward follows.

use super::{
    Program,
    followers::{SoleReaders, addend, is_relu},
};
use crate::{
    Call, Graph, Result, ValueId,
    ops::{BatchNormOp, FollowedBy},
};
use std::{any::Any, collections::HashSet, sync::Arc};

/// Calls that become one operation: a normalisation, perhaps the addition of a residual, perhaps a ReLU.
struct NormChain {
    norm: usize,
    /// The addition, and the operand of it that is not the normalisation.
    add: Option<(usize, ValueId)>,
    relu: Option<usize>,
}

/// Fuses each batch normalisation with the ReLU, or with the addition of a residual and perhaps a ReLU after that, if
/// nothing else reads the values between. Roots and new values of the state stay as they are.
///
/// Values between them lose their producer, but not their place in the graph: after the new operation stand calls that
/// compute them from the statistics that it wrote. Pruning drops these calls, unless such a value is watched.
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

fn chain_at(graph: &Graph, norm: usize, readers: &SoleReaders) -> Option<NormChain> {
    norm_of(&graph.calls[norm])?;
    let y = graph.calls[norm].outputs[0];
    let is_relu = |&at: &usize| is_relu(&graph.calls[at]);
    let reader = readers.sole_reader(y)?;
    let chain = match addend(&graph.values, &graph.calls[reader], y) {
        Some(residual) => {
            let relu = readers.sole_reader(graph.calls[reader].outputs[0]).filter(is_relu);
            NormChain { norm, add: Some((reader, residual)), relu }
        }
        None => NormChain { norm, add: None, relu: Some(reader).filter(is_relu) },
    };
    let last = chain.last()?;
    // The statistics are now written later; their readers must still come after them.
    let statistics = &graph.calls[norm].outputs[1..];
    let waits = |call: &Call| call.inputs.iter().any(|id| statistics.contains(id));
    (!graph.calls[norm..last].iter().any(waits)).then_some(chain)
}

impl NormChain {
    /// The last call of the chain, if there is one after the normalisation.
    fn last(&self) -> Option<usize> {
        self.relu.or(self.add.map(|(at, _)| at))
    }
}

fn fuse(graph: &mut Graph, chain: NormChain) {
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
    // the fused call writes the result of the last one
    let fused = Call {
        op: Arc::new(op.followed_by(followed_by)),
        inputs: norm.inputs.iter().copied().chain(residual).collect(),
        outputs,
        ..norm.clone()
    };
    // calls that compute the values between, for pruning to drop
    let mut unfused = vec![recalled(&norm)];
    if let (Some((add, _)), Some(_)) = (chain.add, chain.relu) {
        unfused.push(graph.calls[add].clone());
    }
    // put the fused call in the place of the last one
    let gone: HashSet<usize> = chain.add.iter().map(|(at, _)| *at).chain([chain.norm]).collect();
    let mut calls = Vec::with_capacity(graph.calls.len() + 1);
    for (at, call) in std::mem::take(&mut graph.calls).into_iter().enumerate() {
        if at == last {
            calls.push(fused.clone());
            calls.append(&mut unfused);
        } else if !gone.contains(&at) {
            calls.push(call);
        }
    }
    graph.calls = calls;
}

/// Repeats the normalisation of `call` from the statistics that it wrote or was given; computes its first result only.
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
