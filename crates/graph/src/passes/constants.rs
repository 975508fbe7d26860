//! What is computed of parameters only: once, for as long as they stay as they are.

use crate::{
    Accumulate, Call, ElementKind, Fault, Graph, Op, Operands, Shape, Source, ValueId, ValueInfo,
    operands::{Data, Operand, Output},
};
use std::{collections::HashMap, fmt, sync::Arc};

/// The part of a graph that only parameters go into.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    /// Its calls, operands before results.
    pub(crate) calls: Vec<Call>,
    /// Its values that the other part or the user reads.
    pub(crate) kept: Vec<ValueId>,
    /// For calls of the other part, by their first results: the operand that the kernel reads in a form of its own, and
    /// the constant that has this form.
    pub(crate) prepared: HashMap<ValueId, (usize, ValueId)>,
}

/// How each result of `calls` is computed of parameters, in words. Those of the network's `known` first values go by their
/// numbers, which all its plans share; what passes added goes by its operation, because they number it anew for each plan.
/// Equal recipes are equal numbers in all plans of a network.
pub(crate) fn recipes(calls: &[Call], known: usize) -> HashMap<ValueId, String> {
    let mut recipes: HashMap<ValueId, String> = HashMap::new();
    for call in calls {
        let recipe_of = |id: &ValueId| recipes.get(id).cloned().unwrap_or_else(|| format!("#{id}"));
        let operands: Vec<String> = call.inputs.iter().map(recipe_of).collect();
        let made = format!("{:?}({})", call.op, operands.join(", "));
        let kind = call.op.kind();
        let recipe = |id: ValueId| if id < known { format!("#{id} by {kind}") } else { made.clone() };
        let results: Vec<_> = call.outputs.iter().map(|&id| (id, recipe(id))).collect();
        recipes.extend(results);
    }
    recipes
}

/// Which values are parameters or computed of parameters only.
pub(super) fn constant_values(graph: &Graph) -> Vec<bool> {
    let is_parameter = |value: &ValueInfo| matches!(value.source, Source::Parameter(_));
    let mut constant: Vec<bool> = graph.values.iter().map(is_parameter).collect();
    for call in &graph.calls {
        // A call without operands fills a tensor of the batch's size: cheaper to repeat than to keep.
        let of_constants = !call.inputs.is_empty() && call.inputs.iter().all(|&id| constant[id]);
        call.outputs.iter().for_each(|&id| constant[id] = of_constants);
    }
    constant
}

/// The values that are computed of parameters only.
pub(crate) fn constants(graph: &Graph) -> Vec<ValueId> {
    let constant = constant_values(graph);
    (0..graph.values.len()).filter(|&id| constant[id]).collect()
}

/// Takes the constant part out of a graph. An operand that a kernel wants prepared and that is constant is prepared there;
/// what only that needed (a filter before it was packed) is not kept.
pub(crate) fn separate_constants(graph: &mut Graph, roots: &[ValueId], batch: usize) -> Constants {
    let constant = constant_values(graph);
    let mut constants = Constants::default();
    for call in std::mem::take(&mut graph.calls) {
        if constant[call.outputs[0]] {
            constants.calls.push(call);
            continue;
        }
        let prepared = prepared(graph, &call, batch).filter(|prepare| constant[call.inputs[prepare.operand]]);
        let operand = prepared.as_ref().map(|prepare| prepare.operand);
        if let Some(prepare) = prepared {
            let value = graph.values.len();
            graph.values.push(ValueInfo {
                shape: Shape::from([prepare.len]),
                kind: ElementKind::F32,
                source: Source::Call,
                origin: format!("weights of {}", call.path),
            });
            constants.prepared.insert(call.outputs[0], (prepare.operand, value));
            constants.kept.push(value);
            constants.calls.push(Call {
                inputs: vec![call.inputs[prepare.operand]],
                outputs: vec![value],
                path: call.path.clone(),
                kind: prepare.kind(),
                op: Arc::new(prepare),
            });
        }
        let read = call.inputs.iter().enumerate().filter(|&(i, &id)| constant[id] && Some(i) != operand);
        constants.kept.extend(read.map(|(_, &id)| id));
        graph.calls.push(call);
    }
    constants.kept.extend(roots.iter().filter(|&&id| constant[id]));
    constants
}

/// The call that prepares an operand of `call` as its kernel wants it.
fn prepared(graph: &Graph, call: &Call, batch: usize) -> Option<Prepare> {
    let shapes = |ids: &[ValueId]| ids.iter().map(|&id| graph.values[id].shape.at(batch)).collect::<Vec<_>>();
    let (x, y) = (shapes(&call.inputs), shapes(&call.outputs));
    let wish = call.op.preparation(&x, &y)?;
    let of = call.outputs[0];
    Some(Prepare { op: call.op.clone(), of, form: wish.form, operand: wish.operand, len: wish.len, x, y })
}

/// [`Op::prepare`] as an operation of its own: its operand is the one that is prepared.
struct Prepare {
    op: Arc<dyn Op>,
    /// The first result of the call that it is for.
    of: ValueId,
    form: &'static str,
    operand: usize,
    len: usize,
    /// The sizes of the operands and results of `op`.
    x: Vec<Vec<usize>>,
    y: Vec<Vec<usize>>,
}

/// What tells it apart in a recipe; sizes that change with the number of samples are left out.
impl fmt::Debug for Prepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for #{}", self.form, self.of)
    }
}

impl Op for Prepare {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![Shape::from([self.len])])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let (source, key) = (k.inputs[0].data, k.key());
        let operand = |(i, shape)| Operand { shape, data: if i == self.operand { source } else { Data::F32(&[]) } };
        let mut of_op = Operands {
            inputs: self.x.iter().map(Vec::as_slice).enumerate().map(operand).collect(),
            outputs: self.y.iter().map(|shape| Output { shape, data: &mut [] }).collect(),
            workspace: &mut [],
            to_prepare: k.output(0),
            accumulate: Accumulate::Set,
            key,
        };
        self.op.prepare(&mut of_op)
    }
}
