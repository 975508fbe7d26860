//! Reverse-mode differentiation: gradients are nodes of the same graph.

use crate::{Node, Op, Trace, ValueId};

/// What a backward rule sees.
#[derive(Debug)]
pub struct Grads<'a> {
    op: &'a dyn Op,
    x: &'a [Node],
    y: &'a [Node],
    dy: &'a [Option<Node>],
    wants: &'a [bool],
}

impl Grads<'_> {
    /// How many operands the call has.
    pub fn operands(&self) -> usize {
        self.x.len()
    }

    /// Operand `i` of the call. Reading it keeps it alive until backward.
    pub fn x(&self, i: usize) -> &Node {
        &self.x[i]
    }

    /// Result `i` of the call. Reading it keeps it alive until backward.
    pub fn y(&self, i: usize) -> &Node {
        &self.y[i]
    }

    /// The gradient with respect to the first result.
    ///
    /// # Panics
    /// If only other results have gradients; an operation whose further results are differentiable asks
    /// [`Grads::dy_of`].
    pub fn dy(&self) -> &Node {
        self.dy[0].as_ref().expect("the first result is the one that is used further")
    }

    /// The gradient with respect to result `i`, if anything depends on it.
    pub fn dy_of(&self, i: usize) -> Option<&Node> {
        self.dy[i].as_ref()
    }

    /// Whether the gradient with respect to operand `i` is asked for.
    pub fn wants(&self, i: usize) -> bool {
        self.wants[i]
    }

    /// `f()` if the gradient with respect to operand `i` is asked for.
    pub fn want(&self, i: usize, f: impl FnOnce() -> Node) -> Option<Node> {
        self.wants[i].then(f)
    }

    /// The answer of an operation without a backward rule: an error of the build.
    pub fn not_differentiable(&self) -> Vec<Option<Node>> {
        let trace = self.x[0].trace();
        let reason = "has no backward rule, and a gradient must pass through it";
        vec![Some(trace.fail(&self.op.kind(), reason)); self.x.len()]
    }
}

/// d loss / d each of `wrt`, appended to the graph; `None` where the loss does not depend on it. Only what leads to `wrt`
/// is built.
pub(crate) fn differentiate(trace: &Trace, loss: ValueId, wrt: &[ValueId]) -> Vec<Option<ValueId>> {
    let graph = trace.read(Clone::clone);
    let mut needs = vec![false; graph.values.len()];
    wrt.iter().for_each(|&id| needs[id] = true);
    for call in &graph.calls {
        if call.inputs.iter().any(|&id| needs[id]) {
            call.outputs.iter().for_each(|&id| needs[id] = true);
        }
    }
    let mut gradients: Vec<Option<Node>> = vec![None; graph.values.len()];
    if needs[loss] {
        gradients[loss] = Some(trace.filled(1.0, graph.values[loss].shape.clone()));
    }
    for call in graph.calls.iter().rev() {
        let wants: Vec<bool> = call.inputs.iter().map(|&id| needs[id]).collect();
        let dy: Vec<_> = call.outputs.iter().map(|&id| gradients[id].clone()).collect();
        if !wants.contains(&true) || dy.iter().all(Option::is_none) {
            continue;
        }
        let nodes = |ids: &[ValueId]| ids.iter().map(|&id| trace.node(id)).collect::<Vec<_>>();
        let (x, y) = (nodes(&call.inputs), nodes(&call.outputs));
        trace.push_scope(Node::backward_scope(&call.path, String::new()));
        let dx = call.op.backward(&Grads { op: &*call.op, x: &x, y: &y, dy: &dy, wants: &wants });
        for (&id, gradient) in call.inputs.iter().zip(dx) {
            let Some(gradient) = gradient.filter(|_| needs[id]) else { continue };
            gradients[id] = Some(match gradients[id].take() {
                Some(sum) => &sum + &gradient,
                None => gradient,
            });
        }
        trace.pop_scope();
    }
    wrt.iter().map(|&id| gradients[id].as_ref().and_then(Node::id)).collect()
}
