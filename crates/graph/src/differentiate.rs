//! Reverse-mode differentiation: gradients are nodes of the same graph.

use crate::{BackwardRules, Call, Graph, Node, Op, Trace, ValueId, contract::mistake_in_gradients};

/// The operands, results and gradients that a backward rule sees.
#[derive(Debug)]
pub struct Grads<'a> {
    op: &'a dyn Op,
    x: &'a [Node],
    y: &'a [Node],
    dy: &'a [Option<Node>],
    wants: &'a [bool],
    /// Stands for a gradient that does not exist.
    poisoned: Node,
}

impl Grads<'_> {
    /// Number of operands of the call.
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

    /// The gradient with respect to the first result. An operation with several
    /// [differentiable results](Op::differentiable_outputs) asks [`Grads::dy_of`]: it is an error of the build here if
    /// nothing depends on the first of them.
    pub fn dy(&self) -> &Node {
        self.dy[0].as_ref().unwrap_or_else(|| {
            let reason = "has no gradient of its first result, and its backward rule reads one";
            self.trace().fail(&self.op.kind(), reason);
            &self.poisoned
        })
    }

    /// The gradient with respect to result `i`, if anything depends on it.
    pub fn dy_of(&self, i: usize) -> Option<&Node> {
        self.dy[i].as_ref()
    }

    /// Returns true if the gradient with respect to operand `i` is requested.
    pub fn wants(&self, i: usize) -> bool {
        self.wants[i]
    }

    /// Computes `f()` if the gradient with respect to operand `i` is requested.
    pub fn want(&self, i: usize, f: impl FnOnce() -> Node) -> Option<Node> {
        self.wants[i].then(f)
    }

    /// Returns the gradients by the operation's own rule, as if `dy` were the gradient with respect to its first result:
    /// for a rule of [`BackwardRules`] that changes what comes in or what goes out.
    pub fn own_rule(&self, dy: &Node) -> Vec<Option<Node>> {
        let mut gradients = self.dy.to_vec();
        gradients[0] = Some(dy.clone());
        self.op.backward(&Grads { dy: &gradients, poisoned: self.poisoned.clone(), ..*self })
    }

    /// Records that the operation has no backward rule, which is an error of the build.
    pub fn not_differentiable(&self) -> Vec<Option<Node>> {
        let reason = "has no backward rule, and a gradient must pass through it";
        vec![Some(self.trace().fail(&self.op.kind(), reason)); self.x.len()]
    }

    fn trace(&self) -> &Trace {
        self.poisoned.trace()
    }
}

/// Appends d loss / d each of `wrt` to the graph, by the rules of the table and else by the operations' own; `None` where
/// the loss does not depend on it. Builds nothing that does not lead to `wrt`.
pub(crate) fn differentiate(
    trace: &Trace,
    loss: ValueId,
    wrt: &[ValueId],
    rules: &BackwardRules,
) -> Vec<Option<ValueId>> {
    let graph = trace.read(Clone::clone);
    let needs = leading_to(&graph, wrt);
    let mut gradients: Vec<Option<Node>> = vec![None; graph.values.len()];
    if needs[loss] {
        gradients[loss] = Some(trace.filled(1.0, graph.values[loss].shape.clone()));
    }
    for call in graph.calls.iter().rev() {
        let wants: Vec<bool> =
            (0..call.inputs.len()).map(|i| call.op.has_gradient(i) && needs[call.inputs[i]]).collect();
        let dy: Vec<_> = call.outputs.iter().map(|&id| gradients[id].clone()).collect();
        if !wants.contains(&true) || dy.iter().all(Option::is_none) {
            continue;
        }
        trace.push_scope(Node::backward_scope(&call.path, String::new()));
        for ((&id, wanted), gradient) in call.inputs.iter().zip(&wants).zip(backward(trace, call, &dy, &wants, rules)) {
            let Some(gradient) = gradient.filter(|_| *wanted) else { continue };
            gradients[id] = Some(match gradients[id].take() {
                Some(sum) => &sum + &gradient,
                None => gradient,
            });
        }
        trace.pop_scope();
        if trace.is_dead() {
            break;
        }
    }
    wrt.iter().map(|&id| gradients[id].as_ref().and_then(Node::id)).collect()
}

/// Marks the values that a gradient must pass on its way to `wrt`.
fn leading_to(graph: &Graph, wrt: &[ValueId]) -> Vec<bool> {
    let mut needs = vec![false; graph.values.len()];
    wrt.iter().for_each(|&id| needs[id] = true);
    for call in &graph.calls {
        if call.inputs.iter().enumerate().any(|(i, &id)| needs[id] && call.op.has_gradient(i)) {
            call.outputs.iter().for_each(|&id| needs[id] = true);
        }
    }
    needs
}

/// Computes the gradients of a call's operands by the rule of the table or its own, and records a mistake of the rule in
/// the trace.
fn backward(
    trace: &Trace,
    call: &Call,
    dy: &[Option<Node>],
    wants: &[bool],
    rules: &BackwardRules,
) -> Vec<Option<Node>> {
    let further = (call.op.differentiable_outputs()..dy.len()).find(|&number| dy[number].is_some());
    if let Some(number) = further {
        trace.fail(
            &call.op.kind(),
            format!("result {number} is not differentiable, and a gradient must pass through it"),
        );
        return Vec::new();
    }
    let nodes = |ids: &[ValueId]| ids.iter().map(|&id| trace.node(id)).collect::<Vec<_>>();
    let (x, y) = (nodes(&call.inputs), nodes(&call.outputs));
    let grads = Grads { op: &*call.op, x: &x, y: &y, dy, wants, poisoned: trace.poisoned() };
    let dx = rules.apply(&call.op.kind(), &grads).unwrap_or_else(|| call.op.backward(&grads));
    if let Some(mistake) = mistake_in_gradients(call, &x, wants, &dx).filter(|_| !trace.is_dead()) {
        trace.fail(&call.op.kind(), mistake);
    }
    dx
}
