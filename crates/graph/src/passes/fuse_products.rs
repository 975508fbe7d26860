//! Fuses a convolution or dense layer with the operations after it to one step of a plan for inference: batch
//! normalisation becomes part of the weights; bias, residual and activation are done by the kernel before it stores its
//! sums.

use super::{
    Program,
    constants::constant_values,
    followers::{SoleReaders, addend, is_relu},
};
use crate::{
    Call, ElementKind, Graph, Op, Result, Shape, ValueId, ValueInfo, ValueSource,
    ops::{BatchNormOp, Conv2dOp, FoldedBias, FoldedFilter, Fused, FusedBatchNorm, LinearOp, Product},
};
use ocelli_kernels::Activation as Last;
use std::{any::Any, sync::Arc};

/// Fuses `product → batch normalisation → addition of a residual → ReLU`, in this order, each but the product optional,
/// and `batch normalisation → ReLU` elsewhere. Values between are read once and are no roots; the residual has the
/// shape of the sum.
pub(super) fn fuse_products(program: &mut Program<'_>) -> Result<()> {
    let Program { graph, roots, .. } = program;
    let mut fusion = Fusion::new(graph, roots);
    // From the end: the later operand of an addition takes it over, so that calls move as little as possible.
    for at in (0..fusion.calls.len()).rev() {
        fusion.fuse_product(at);
    }
    for at in 0..fusion.calls.len() {
        fusion.fuse_batch_norm(at);
    }
    let calls = fusion.calls.into_iter().flatten().collect();
    graph.calls = calls;
    Ok(())
}

struct Fusion<'g> {
    values: &'g mut Vec<ValueInfo>,
    /// Replacement of each call: itself, nothing, or the calls it was fused to.
    calls: Vec<Vec<Call>>,
    /// True for each call that was not replaced.
    is_original: Vec<bool>,
    readers: SoleReaders,
    constant: Vec<bool>,
}

/// A call, and those after it that its kernel can compute.
#[derive(Default)]
struct ProductChain {
    /// Indices of its calls.
    calls: Vec<usize>,
    /// The normalisation among them, with its operands.
    norm: Option<(BatchNormOp, Vec<ValueId>)>,
    residual: Option<ValueId>,
    activation: Last,
}

impl<'g> Fusion<'g> {
    fn new(graph: &'g mut Graph, roots: &[ValueId]) -> Fusion<'g> {
        let constant = constant_values(graph);
        let readers = SoleReaders::new(graph, roots);
        let calls: Vec<Vec<Call>> = std::mem::take(&mut graph.calls).into_iter().map(|call| vec![call]).collect();
        Fusion { values: &mut graph.values, is_original: vec![true; calls.len()], calls, readers, constant }
    }

    /// The call `at`, if it was not replaced and its operation is a `T`.
    fn original<T: Op>(&self, at: usize) -> Option<(&Call, &T)> {
        let call = self.calls[at].first().filter(|_| self.is_original[at])?;
        let op: &dyn Any = &*call.op;
        Some((call, op.downcast_ref()?))
    }

    /// The call after a chain, if it was not replaced and reads nothing of the chain but its result, which nothing else needs.
    fn next(&self, chain: &ProductChain) -> Option<(usize, &Call)> {
        let at = self.readers.sole_reader(self.result(chain)).filter(|&at| self.is_original[at])?;
        Some((at, self.calls[at].first()?))
    }

    fn result(&self, chain: &ProductChain) -> ValueId {
        self.calls[*chain.calls.last().expect("a chain begins with a call")][0].outputs[0]
    }

    fn shape(&self, id: ValueId) -> &Shape {
        &self.values[id].shape
    }

    fn fuse_product(&mut self, at: usize) {
        if let Some((_, op)) = self.original::<Conv2dOp>(at) {
            let op = op.clone();
            self.fuse(at, op);
        } else if let Some((_, op)) = self.original::<LinearOp>(at) {
            let op = *op;
            self.fuse(at, op);
        }
    }

    fn fuse(&mut self, at: usize, product: impl Product) {
        let chain = self.follow(at);
        if chain.calls.len() == 1 {
            return;
        }
        let call = self.calls[at][0].clone();
        let mut made = Vec::new();
        let (mut w, mut bias) = (call.inputs[1], call.inputs.get(2).copied());
        if let Some((norm, operands)) = &chain.norm {
            let epsilon = norm.epsilon;
            let filter = [&[w], &operands[1..]].concat();
            let of_bias: Vec<ValueId> = operands[1..].iter().copied().chain(bias).collect();
            w = self.make(&mut made, &call, FoldedFilter { epsilon }, filter);
            bias = Some(self.make(&mut made, &call, FoldedBias { epsilon }, of_bias));
        }
        let inputs: Vec<ValueId> = [call.inputs[0], w].into_iter().chain(bias).chain(chain.residual).collect();
        let kinds: Vec<String> = chain.calls.iter().map(|&at| self.calls[at][0].op.kind()).collect();
        let op = Fused {
            product,
            bias: bias.map(|_| 2),
            residual: chain.residual.map(|_| inputs.len() - 1),
            activation: chain.activation,
            kind: kinds.join(" + "),
        };
        made.push(Call { op: Arc::new(op), inputs, outputs: vec![self.result(&chain)], ..call });
        self.replace(&chain, made);
    }

    /// Collects the calls after the product `at` that its kernel can compute.
    fn follow(&self, at: usize) -> ProductChain {
        let mut chain = ProductChain { calls: vec![at], ..ProductChain::default() };
        let constant = |ids: &[ValueId]| ids[1..].iter().all(|&id| self.constant[id]);
        let (result, weights) = (self.result(&chain), &self.calls[at][0].inputs);
        if let Some((next, call)) = self.next(&chain)
            && let Some((_, norm)) = self.original::<BatchNormOp>(next)
            // A normalisation by running statistics has no other results.
            && norm.outputs() == 1
            && call.inputs[0] == result
            && constant(weights)
            && constant(&call.inputs)
        {
            chain.norm = Some((*norm, call.inputs.clone()));
            chain.calls.push(next);
        }
        let result = self.result(&chain);
        if let Some((next, call)) = self.next(&chain)
            && let Some(residual) = addend(self.values, call, result)
        {
            chain.residual = Some(residual);
            chain.calls.push(next);
        }
        if let Some((next, _)) = self.next(&chain).filter(|(_, call)| is_relu(call)) {
            chain.activation = Last::Relu;
            chain.calls.push(next);
        }
        chain
    }

    fn fuse_batch_norm(&mut self, at: usize) {
        let Some((call, norm)) = self.original::<BatchNormOp>(at) else { return };
        let (call, epsilon, outputs) = (call.clone(), norm.epsilon, norm.outputs());
        let mut chain = ProductChain { calls: vec![at], ..ProductChain::default() };
        let Some((next, _)) = self.next(&chain).filter(|(_, call)| is_relu(call)) else { return };
        if outputs == 1 {
            chain.calls.push(next);
            let op = FusedBatchNorm { epsilon, activation: Last::Relu };
            let fused = Call { op: Arc::new(op), outputs: vec![self.result(&chain)], ..call };
            self.replace(&chain, vec![fused]);
        }
    }

    /// Puts `made` at the end of the chain.
    fn replace(&mut self, chain: &ProductChain, made: Vec<Call>) {
        for &at in &chain.calls {
            self.is_original[at] = false;
            self.calls[at].clear();
        }
        self.calls[*chain.calls.last().expect("a chain begins with a call")] = made;
    }

    /// Makes a new call beside `call`, with a result of the shape of its first operand.
    fn make(&mut self, made: &mut Vec<Call>, call: &Call, op: impl Op, inputs: Vec<ValueId>) -> ValueId {
        let value = self.values.len();
        self.values.push(ValueInfo {
            shape: self.shape(inputs[0]).clone(),
            kind: ElementKind::F32,
            source: ValueSource::Call,
            origin: format!("{} ({})", call.path, op.kind()),
        });
        let (kind, path) = (op.kind(), call.path.clone());
        made.push(Call { op: Arc::new(op), inputs, outputs: vec![value], path, kind });
        value
    }
}
