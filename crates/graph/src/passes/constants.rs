//! ConstantPart: values computed from parameters only, once per change of these.

use crate::{
    Call, Compiled, ElementKind, Fault, Graph, Op, OpIdentity, PreparedOperand, Request, Shape, ValueId, ValueInfo,
    ValueSource, plan::CompiledCall,
};
use std::{collections::HashMap, sync::Arc};

/// The part of a graph that depends on parameters only.
#[derive(Debug, Default)]
pub(crate) struct ConstantPart {
    /// Calls of the part, operands before results.
    pub(crate) calls: Vec<CompiledCall>,
    /// Values of the part that the other part or the user reads.
    pub(crate) kept: Vec<ValueId>,
    /// For calls of the other part, by their first results: the operand that the kernel reads in a prepared form, and
    /// the constant that has this form.
    pub(crate) prepared: HashMap<ValueId, (usize, ValueId)>,
}

/// Describes how each result of `calls` is computed from parameters, as text. The network's first `known` values go by
/// their indices, which all its plans share; values that passes added go by their operation, because passes number them
/// anew for each plan. Equal recipes are equal values in all plans of a network; the result of an added operation
/// without identity has none.
pub(crate) fn recipes(calls: &[CompiledCall], known: usize) -> HashMap<ValueId, String> {
    let mut recipes: HashMap<ValueId, String> = HashMap::new();
    for CompiledCall { call, .. } in calls {
        let recipe_of = |&id: &ValueId| recipes.get(&id).cloned().or_else(|| (id < known).then(|| format!("#{id}")));
        let operands: Option<Vec<String>> = call.inputs.iter().map(recipe_of).collect();
        let key = call.op.key();
        let recipe = |id: ValueId| {
            let made = || Some(format!("{}({})", key.as_ref()?, operands.as_ref()?.join(", ")));
            if id < known { Some(format!("#{id} by {}", call.op.kind())) } else { made() }
        };
        let results: Vec<_> = call.outputs.iter().filter_map(|&id| Some((id, recipe(id)?))).collect();
        recipes.extend(results);
    }
    recipes
}

/// Returns true for a parameter.
pub(crate) fn is_parameter(value: &ValueInfo) -> bool {
    matches!(value.source, ValueSource::Parameter(_))
}

/// True for each value that is a parameter or computed from parameters only.
pub(crate) fn constant_values(graph: &Graph) -> Vec<bool> {
    let mut constant: Vec<bool> = graph.values.iter().map(is_parameter).collect();
    for call in &graph.calls {
        // A call without operands fills a tensor of the batch's size: cheaper to repeat than to keep.
        let of_constants = !call.inputs.is_empty() && call.inputs.iter().all(|&id| constant[id]);
        call.outputs.iter().for_each(|&id| constant[id] = of_constants);
    }
    constant
}

/// Lists the values that are computed from parameters only.
pub(crate) fn constants(graph: &Graph) -> Vec<ValueId> {
    let constant = constant_values(graph);
    (0..graph.values.len()).filter(|&id| constant[id]).collect()
}

/// Splits calls into those of each run, which it returns, and the constant part. A constant operand that a kernel reads
/// in a prepared form is prepared in the constant part; values that only the preparation needed (a filter before it was
/// packed) are not kept.
pub(crate) fn separate_constants(
    values: &mut Vec<ValueInfo>,
    calls: Vec<CompiledCall>,
    constant: &[bool],
    roots: &[ValueId],
) -> (Vec<CompiledCall>, ConstantPart) {
    let mut constants = ConstantPart::default();
    let mut each_run = Vec::with_capacity(calls.len());
    for compiled_call in calls {
        let CompiledCall { call, compiled } = &compiled_call;
        if constant[call.outputs[0]] {
            constants.calls.push(compiled_call);
            continue;
        }
        // add a call that prepares the operand
        let prepared = compiled.prepared().filter(|prepared| constant[call.inputs[prepared.operand]]);
        if let Some(prepared) = prepared {
            let form = values.len();
            values.push(ValueInfo {
                shape: Shape::from([prepared.len]),
                kind: ElementKind::F32,
                source: ValueSource::Call,
                origin: format!("weights of {}", call.path),
            });
            constants.prepared.insert(call.outputs[0], (prepared.operand, form));
            constants.kept.push(form);
            constants.calls.push(preparation(call, prepared, form));
        }
        // keep the other constants that the call reads
        let operand = prepared.map(|prepared| prepared.operand);
        let read = call.inputs.iter().enumerate().filter(|&(i, &id)| constant[id] && Some(i) != operand);
        constants.kept.extend(read.map(|(_, &id)| id));
        each_run.push(compiled_call);
    }
    constants.kept.extend(roots.iter().filter(|&&id| constant[id]));
    (each_run, constants)
}

/// Makes the call that prepares an operand of `call` for its kernel, to the value `form`.
fn preparation(call: &Call, prepared: &PreparedOperand, form: ValueId) -> CompiledCall {
    let prepare = Prepare { prepared: prepared.clone(), of: call.outputs[0] };
    let compiled = prepare.compiled();
    let call = Call {
        inputs: vec![call.inputs[prepared.operand]],
        outputs: vec![form],
        path: call.path.clone(),
        kind: prepare.kind(),
        op: Arc::new(prepare),
    };
    CompiledCall { call, compiled }
}

/// An operation that prepares an operand.
#[derive(Debug)]
struct Prepare {
    prepared: PreparedOperand,
    /// First result of the call whose operand is prepared.
    of: ValueId,
}

impl Prepare {
    fn compiled(&self) -> Compiled {
        let prepared = self.prepared.clone();
        Compiled::new(move |k| {
            let x = k.input(0);
            prepared.prepare(x, k.output(0));
        })
    }
}

/// Identifies a form by its name and its call: sizes that change with the batch size do not make two forms differ.
impl OpIdentity for Prepare {
    fn key(&self) -> Option<String> {
        Some(format!("{} for #{}", self.prepared.form, self.of))
    }
}

impl Op for Prepare {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![Shape::from([self.prepared.len])])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(self.compiled())
    }
}
