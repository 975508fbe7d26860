//! A plan as a graph for Graphviz.

use super::{OperandLocation, Plan, PlanStep};
use crate::ValueId;
use std::{collections::HashMap, fmt::Write as _};

impl Plan {
    /// Writes the steps as a file for Graphviz (`dot -Tsvg plan.dot`): nodes with path, operations, algorithm of the
    /// kernel, and shape and bytes of the first result; edges from each step to the steps that read its results.
    /// Parameters and constants computed from them are left out.
    ///
    /// ```
    /// let model = ocelli_graph::Model::build(|x| x.relu().named("relu"), [3], 0)?;
    /// let dot = model.plan(2, &["output"])?.to_dot();
    /// assert!(dot.starts_with("digraph plan {"), "{dot}");
    /// assert!(dot.contains("input_0 -> step_0"), "{dot}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_dot(&self) -> String {
        let mut dot = String::from("digraph plan {\n    node [shape=box, fontname=\"sans-serif\"];\n");
        for (number, name) in self.inputs.iter().enumerate() {
            let _ = writeln!(dot, "    input_{number} [label={}, shape=ellipse];", quoted(std::slice::from_ref(name)));
        }
        // The step that produced the current content of a value.
        let mut makers: HashMap<ValueId, usize> = HashMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(dot, "    step_{number} [label={}];", quoted(&lines(step)));
            for operand in &step.operands {
                let from = match &operand.location {
                    OperandLocation::Input(input) => format!("input_{input}"),
                    OperandLocation::Piece(_) | OperandLocation::FirstResult => match makers.get(&operand.value) {
                        Some(maker) => format!("step_{maker}"),
                        None => continue,
                    },
                    OperandLocation::Parameter(_) | OperandLocation::Constant(_) | OperandLocation::Prepared(_) => {
                        continue;
                    }
                };
                let label = quoted(&[format!("{:?}", operand.shape)]);
                let _ = writeln!(dot, "    {from} -> step_{number} [label={label}];");
            }
            if let Some(sum) = step.sum
                && let Some(maker) = makers.get(&sum)
            {
                let _ = writeln!(dot, "    step_{maker} -> step_{number} [label=\"sum so far\"];");
            }
            makers.extend(step.outputs.iter().map(|&id| (id, number)));
        }
        dot.push_str("}\n");
        dot
    }
}

fn lines(step: &PlanStep) -> Vec<String> {
    let result = format!("{:?}, {} bytes", step.output_shapes[0], step.result_bytes());
    let named = [step.path.clone(), step.op.kind()].into_iter().filter(|line| !line.is_empty());
    named.chain(step.notes()).chain([result]).collect()
}

/// Quotes a string for Graphviz: quotes and backslashes are escaped, lines end with `\n`.
fn quoted(lines: &[String]) -> String {
    let escaped = |line: &String| line.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
    format!("\"{}\"", lines.iter().map(escaped).collect::<Vec<_>>().join("\\n"))
}
