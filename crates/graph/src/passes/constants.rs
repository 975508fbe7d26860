//! What is computed of parameters only: once, for as long as they stay as they are.

use crate::{
    Call, Compiled, ElementKind, Fault, Graph, Op, OpIdentity, PreparedOperand, Request, Shape, Source, ValueId,
    ValueInfo, plan::CompiledCall,
};
use std::{collections::HashMap, sync::Arc};

/// The part of a graph that only parameters go into.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    /// Its calls, operands before results.
    pub(crate) calls: Vec<CompiledCall>,
    /// Its values that the other part or the user reads.
    pub(crate) kept: Vec<ValueId>,
    /// For calls of the other part, by their first results: the operand that the kernel reads in a form of its own, and
    /// the constant that has this form.
    pub(crate) prepared: HashMap<ValueId, (usize, ValueId)>,
}

/// How each result of `calls` is computed of parameters, in words. Those of the network's `known` first values go by their
/// numbers, which all its plans share; what passes added goes by its operation, because they number it anew for each plan.
/// Equal recipes are equal numbers in all plans of a network; what an operation without identity added has none.
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

/// Which values are parameters or computed of parameters only.
pub(crate) fn constant_values(graph: &Graph) -> Vec<bool> {
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

/// Takes the constant part out of calls. An operand that a kernel wants prepared and that is constant is prepared there; what
/// only that needed (a filter before it was packed) is not kept. What is left is run each time.
pub(crate) fn separate_constants(
    values: &mut Vec<ValueInfo>,
    calls: Vec<CompiledCall>,
    constant: &[bool],
    roots: &[ValueId],
) -> (Vec<CompiledCall>, Constants) {
    let mut constants = Constants::default();
    let mut each_run = Vec::with_capacity(calls.len());
    for compiled_call in calls {
        let CompiledCall { call, compiled } = &compiled_call;
        if constant[call.outputs[0]] {
            constants.calls.push(compiled_call);
            continue;
        }
        let prepared = compiled.prepared().filter(|prepared| constant[call.inputs[prepared.operand]]);
        if let Some(prepared) = prepared {
            let form = values.len();
            values.push(ValueInfo {
                shape: Shape::from([prepared.len]),
                kind: ElementKind::F32,
                source: Source::Call,
                origin: format!("weights of {}", call.path),
            });
            constants.prepared.insert(call.outputs[0], (prepared.operand, form));
            constants.kept.push(form);
            constants.calls.push(preparation(call, prepared, form));
        }
        let operand = prepared.map(|prepared| prepared.operand);
        let read = call.inputs.iter().enumerate().filter(|&(i, &id)| constant[id] && Some(i) != operand);
        constants.kept.extend(read.map(|(_, &id)| id));
        each_run.push(compiled_call);
    }
    constants.kept.extend(roots.iter().filter(|&&id| constant[id]));
    (each_run, constants)
}

/// The call that prepares an operand of `call` as its kernel wants it, to the value `form`.
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

/// The preparation of an operand as an operation of its own.
#[derive(Debug)]
struct Prepare {
    prepared: PreparedOperand,
    /// The first result of the call that it is for.
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

/// Sizes that change with the number of samples do not tell two apart.
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
