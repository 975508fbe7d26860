//! Finds the operation that produced a value which is not finite.

use crate::{
    Error, Parameters, Plan, PlanStep, ValueId,
    execute::{Feed, Given, run_one},
    plan::OperandLocation,
};
use ocelli_kernels::finite::first_non_finite;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Largest value, in elements, that one thread searches alone: up to it, the search is done before other threads are
/// awake.
const SHARED: usize = 1 << 20;
/// Operands larger than this have grown without a bound: products of a few overflow.
const GROWN: f32 = 1e12;
/// Not even an exponential of operands up to this overflows. An operation that makes infinity or NaN of them does so by
/// its definition.
const MODERATE: f32 = 64.0;

/// Returns the first element that is NaN or infinite; large values are searched by all threads.
pub(crate) fn broken_element(values: &[f32]) -> Option<f32> {
    let is_whole = |part: &[f32]| first_non_finite(part).is_none();
    if values.len() > SHARED && values.par_chunks(SHARED / 8).all(is_whole) {
        return None;
    }
    first_non_finite(values).map(|at| values[at])
}

/// Says which operation or parameter made the value `broken` of a plan not finite. The plan is run again step by step,
/// from the same inputs, random draws and parameters.
pub(crate) fn origin(
    plan: &Plan,
    memory: &mut [f32],
    feed: Feed<'_>,
    parameters: &Parameters,
    broken: ValueId,
    first_gradient: ValueId,
) -> String {
    let mut values = parameters.iter();
    if let Some((path, value)) = values.find_map(|(p, value)| Some((&p.path, broken_element(value.data())?))) {
        return format!("parameter {path} holds {value}; lower the learning rate, or load weights that are finite");
    }
    match replay(plan, memory, feed) {
        Ok(replay) => replay.sentence(plan, broken, first_gradient),
        Err(error) => format!("run again, {error}"),
    }
}

/// The values that a second run of a plan found not to be finite.
struct Replay {
    /// Values that are not finite, and the steps that produced them.
    makers: HashMap<ValueId, usize>,
    /// Steps that produced such a value from finite operands, and the largest magnitude among those operands.
    culprits: HashMap<usize, f32>,
}

fn replay(plan: &Plan, memory: &mut [f32], feed: Feed<'_>) -> Result<Replay, Error> {
    let mut replay = Replay { makers: HashMap::new(), culprits: HashMap::new() };
    for (number, step) in plan.steps.iter().enumerate() {
        // Before the step, which may write over an operand.
        let largest = largest_operand(step, memory, feed);
        run_one(step, memory, feed)?;
        for (&id, piece) in step.outputs.iter().zip(&step.pieces) {
            if broken_element(&memory[piece.clone()]).is_some() {
                replay.makers.insert(id, number);
                if largest.is_finite() {
                    replay.culprits.insert(number, largest);
                }
            }
        }
    }
    Ok(replay)
}

/// Returns the largest magnitude among a step's operands and the sum that it adds to; NaN or infinity if one of them is
/// not finite.
fn largest_operand(step: &PlanStep, memory: &[f32], feed: Feed<'_>) -> f32 {
    let of_operands = step.operands.iter().map(|operand| match &operand.location {
        OperandLocation::Piece(piece) => &memory[step.pieces[*piece].clone()],
        OperandLocation::FirstResult => &memory[step.pieces[0].clone()],
        OperandLocation::Constant(number) | OperandLocation::Prepared(number) => feed.constants.get(*number),
        OperandLocation::Parameter(number) => feed.parameters[*number].data(),
        OperandLocation::Input(number) => match feed.inputs[*number] {
            Given::F32(tensor) => tensor.data(),
            Given::U32(_) => &[],
        },
    });
    let sum = step.sum.map(|_| &memory[step.pieces[0].clone()]);
    // A NaN counts as larger than everything, so that it is not lost.
    let larger = |a: f32, b: &f32| if b.is_nan() || b.abs() > a { b.abs() } else { a };
    let of_slice = |values: &[f32]| values.iter().fold(0.0, larger);
    of_operands.chain(sum).map(of_slice).fold(0.0, |a, b| larger(a, &b))
}

impl Replay {
    /// Follows operands that are not finite back to the step that made the first of them so.
    fn culprit(&self, plan: &Plan, broken: ValueId) -> Option<usize> {
        let mut seen = HashSet::new();
        let mut next = vec![broken];
        while let Some(id) = next.pop() {
            let Some(&number) = self.makers.get(&id) else { continue };
            if self.culprits.contains_key(&number) {
                return Some(number);
            }
            if seen.insert(number) {
                let step = &plan.steps[number];
                next.extend(step.operands.iter().map(|operand| operand.value).chain(step.sum));
            }
        }
        None
    }

    fn sentence(&self, plan: &Plan, broken: ValueId, first_gradient: ValueId) -> String {
        // The value may be a view of a step's result.
        let first = || self.culprits.keys().min().copied();
        let Some(number) = self.culprit(plan, broken).or_else(first) else {
            return "every number was finite when the operations ran again: one of them is no function of its operands"
                .into();
        };
        let (step, largest) = (&plan.steps[number], self.culprits[&number]);
        let pass = if step.outputs[0] >= first_gradient { "the backward pass of " } else { "" };
        let kind = step.op.kind();
        let place = if step.path.is_empty() { kind } else { format!("{} ({kind})", step.path) };
        let size =
            if largest == 0.0 || (1e-3..1e6).contains(&largest) { largest.to_string() } else { format!("{largest:e}") };
        let advice = advice(largest);
        format!("the first such number comes from {pass}{place}, of operands no larger than {size}: {advice}")
    }
}

/// Says what can be done about an operation that produces a value which is not finite, given the magnitude of its
/// operands.
fn advice(largest: f32) -> &'static str {
    if largest > GROWN {
        "they have grown too large, lower the learning rate"
    } else if largest > MODERATE {
        "if they have grown from step to step, lower the learning rate; else the operation has no finite result for them"
    } else {
        "the operation has no finite result for them, as for a division by zero or the slope of a root at zero"
    }
}
