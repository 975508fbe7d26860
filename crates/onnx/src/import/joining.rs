//! Pairs of operators that are one operation here.

use crate::{
    export::DOMAIN,
    proto::{GraphProto, NodeProto},
};
use std::{borrow::Cow, collections::HashMap};

/// The nodes of a graph in their order, where a product with a gate of its own operand, `x · sigmoid(x)`, is one node:
/// exporters have no operator for SiLU. `None` stands where a gate was that nothing else reads.
pub(crate) fn joined<'n, 'a>(graph: &'n GraphProto<'a>) -> Vec<Option<Cow<'n, NodeProto<'a>>>> {
    let nodes = &graph.nodes;
    let results = graph.outputs.iter().map(|output| output.name);
    let mut uses: HashMap<&str, usize> = HashMap::new();
    nodes.iter().flat_map(|node| node.inputs.iter().copied()).chain(results).for_each(|name| {
        *uses.entry(name).or_default() += 1;
    });
    let mut list: Vec<Option<Cow<'n, NodeProto<'a>>>> = nodes.iter().map(|node| Some(Cow::Borrowed(node))).collect();
    let mut gates: HashMap<&str, usize> = HashMap::new();
    for (number, node) in nodes.iter().enumerate().filter(|(_, node)| is_of_onnx(node)) {
        match (node.operator, &node.inputs[..], &node.outputs[..]) {
            ("Sigmoid", [_], [gate]) if uses.get(gate) == Some(&1) => {
                gates.insert(gate, number);
            }
            ("Mul", &[a, b], _) => {
                let gate = |gate: &str, x: &str| gates.get(gate).copied().filter(|&number| nodes[number].inputs == [x]);
                if let Some((x, gate)) = gate(b, a).map(|gate| (a, gate)).or(gate(a, b).map(|gate| (b, gate))) {
                    list[gate] = None;
                    let silu = NodeProto { operator: "Silu", domain: DOMAIN, inputs: vec![x], ..node.clone() };
                    list[number] = Some(Cow::Owned(silu));
                }
            }
            _ => {}
        }
    }
    list
}

fn is_of_onnx(node: &NodeProto<'_>) -> bool {
    matches!(node.domain, "" | "ai.onnx")
}
