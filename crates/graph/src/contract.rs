//! Checks of the answers of an operation, where they come in, so that a mistake in one is a sentence with its name.

use crate::{Call, Fault, Mode, Node, Op, Shape};
use std::ops::RangeInclusive;

/// Writes a count with its noun: `1 shape`, `2 shapes`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Writes the allowed number of operands: `2 operands`, `2 to 3 operands`.
fn bounds(operands: &RangeInclusive<usize>) -> String {
    match (operands.start(), operands.end()) {
        (least, most) if least == most => counted(*most, "operand"),
        (least, &usize::MAX) => format!("{least} or more operands"),
        (least, most) => format!("{least} to {most} operands"),
    }
}

/// Infers the shapes of an operation's results, and checks them.
///
/// # Errors
/// The fault that the operation finds, or the one that it has: too few or too many operands, a wrong number of shapes,
/// a shape that no value can have, a view of another length than its operand, another operation in some mode whose
/// results do not fit.
pub(crate) fn infer(op: &dyn Op, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
    let wrong = |sentence: String| Err(Fault::Setting(sentence));
    let (kind, operands) = (op.kind(), op.operands());
    if !operands.contains(&x.len()) {
        return wrong(format!("{kind} takes {}, got {}", bounds(&operands), x.len()));
    }
    let shapes = op.infer(x)?;
    let (given, outputs) = (shapes.len(), op.outputs());
    if outputs == 0 {
        return wrong(format!("`{kind}::outputs` is 0; an operation has one result or more"));
    }
    if given != outputs {
        return wrong(format!("`{kind}::infer` gives {}, `{kind}::outputs` is {outputs}", counted(given, "shape")));
    }
    if let Some((shape, objection)) = shapes.iter().find_map(|shape| Some((shape, shape.objection()?))) {
        return wrong(format!("the result of shape {shape} {objection}"));
    }
    if op.is_view() {
        // Lengths are linear in N: if they are equal for two batch sizes, they are equal for all.
        let shows = |x: &&Shape| [1, 2].iter().all(|&n| x.checked_len(n) == shapes[0].checked_len(n));
        if outputs != 1 || !x.first().is_some_and(shows) {
            return wrong(format!("{kind} is a view, and so has one result of as many elements as its first operand"));
        }
    }
    let modes = [Mode::Train, Mode::TrainWithoutDropout, Mode::Infer];
    for lowered in modes.into_iter().filter_map(|mode| op.lower(mode)) {
        let others = lowered.infer(x)?;
        if others.len() != lowered.outputs() || others.is_empty() || !shapes.starts_with(&others) {
            return wrong(format!("`{kind}::lower` gives {}, whose results have other shapes", lowered.kind()));
        }
    }
    Ok(shapes)
}

/// Describes in a sentence what is wrong with the gradients that the backward rule of `call` gives for its operands
/// `x`; `None` if they are right.
pub(crate) fn mistake_in_gradients(
    call: &Call,
    x: &[Node],
    wants: &[bool],
    gradients: &[Option<Node>],
) -> Option<String> {
    let (kind, given, operands) = (call.op.kind(), gradients.len(), x.len());
    // one gradient for each operand
    if given != operands {
        let (given, operands) = (counted(given, "gradient"), counted(operands, "operand"));
        return Some(format!("`{kind}::backward` gives {given} for {operands}"));
    }
    // each of this network, of the operand's shape, and missing only where none must pass
    for (number, ((x, wanted), gradient)) in x.iter().zip(wants).zip(gradients).enumerate() {
        let Some(gradient) = gradient else {
            if *wanted {
                let operand = x.description();
                return Some(format!(
                    "`{kind}::backward` gives no gradient for operand {number}, {operand}, and one must pass there"
                ));
            }
            continue;
        };
        if !gradient.trace().is_same(x.trace()) {
            return Some(format!("`{kind}::backward` gives a node of another network for operand {number}"));
        }
        let (shape, operand) = (gradient.shape(), x.description());
        if *wanted && gradient.id().is_some() && shape != x.shape() {
            return Some(format!(
                "`{kind}::backward` gives a gradient of shape {shape} for operand {number}, {operand}"
            ));
        }
    }
    None
}
