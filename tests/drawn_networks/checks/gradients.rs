//! Gradients are the same however they are planned: at either precision, with convolutions by their definition, for some
//! values alone, and in a step that updates; with activations computed again they have the same bits.

use super::{expect_equal, loss_and_gradients, unless_refused};
use crate::{
    case::Case,
    noise::{Reference, changed},
};
use ocelli::prelude::*;

/// With respect to what objectives differentiate.
pub const WRT: Wrt<'static> = Wrt::ParametersAnd(&["input"]);

pub fn check(case: &Case) -> Result<bool, String> {
    let batch = &case.batch;
    let Some(mut objective) = unless_refused(case.objective(&case.strict, WRT))? else { return Ok(false) };
    let Some(strict) = loss_and_gradients(&mut objective, &case.strict, batch)? else { return Ok(false) };
    let results = strict.clone();
    let mut scratch = case.strict.clone();
    let mut reference = Reference::new(strict.clone(), |draw| {
        let batch = changed(&mut scratch, &case.strict, batch, Reference::change(), draw);
        loss_and_gradients(&mut objective, &scratch, &batch).ok().flatten()
    });
    for (who, model) in [("fast", &case.fast), ("by definition", &case.defined)] {
        let mut objective = case.objective(model, WRT).map_err(|error| format!("{who}: {error}"))?;
        if let Some(got) = loss_and_gradients(&mut objective, model, batch)? {
            reference.compare(who, &got)?;
        }
    }
    let names: Vec<&str> = strict.iter().skip(1).map(|(name, _)| name.as_str()).step_by(2).collect();
    let mut some = case.objective(&case.strict, Wrt::Values(&names)).map_err(|error| error.to_string())?;
    if let Some(got) = loss_and_gradients(&mut some, &case.strict, batch)? {
        reference.compare("some gradients alone", &got)?;
    }
    recomputed(case, &results)?;
    stepped(case, &results)?;
    Ok(true)
}

/// Every second part computed again for backward.
fn recomputed(case: &Case, expected: &crate::noise::Results) -> Result<(), String> {
    let mut model = case.strict.clone();
    for part in (0..case.network.parts.len()).step_by(2) {
        // A part that only renames its input has no calls.
        let _ = model.recompute(&part.to_string());
    }
    let mut objective = case.objective(&model, WRT).map_err(|error| format!("computed again: {error}"))?;
    match loss_and_gradients(&mut objective, &model, &case.batch)? {
        Some(got) => expect_equal("computed again", expected, &got),
        None => Err("computed again: refused".into()),
    }
}

/// A step has the loss and gradients that were evaluated, and leaves every state finite.
fn stepped(case: &Case, expected: &crate::noise::Results) -> Result<(), String> {
    let mut model = case.strict.clone();
    let mut objective = case.objective(&model, WRT).map_err(|error| error.to_string())?;
    let step = objective.step(&mut model, &case.batch).map_err(|error| format!("a step: {error}"))?;
    let gradients = step.gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec()));
    let got = std::iter::once(("loss".to_string(), vec![step.loss()])).chain(gradients).collect();
    expect_equal("a step", expected, &got)?;
    let broken = model.parameters().iter().find(|(_, value)| value.data().iter().any(|number| !number.is_finite()));
    match broken {
        Some((parameter, _)) => Err(format!("after a step {} is not finite", parameter.path)),
        None => Ok(()),
    }
}
