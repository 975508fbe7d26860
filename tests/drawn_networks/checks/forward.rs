//! Results in inference mode are the same however they are planned: at either precision, with convolutions by their
//! definition, with every activation tapped so that nothing is fused or overwritten, in a session, and in an objective.

use super::{unless_refused, values};
use crate::{
    case::Case,
    noise::{Reference, Results, changed},
};
use ocelli::prelude::*;

pub fn check(case: &Case) -> Result<bool, String> {
    let (batch, taps) = (&case.batch, case.taps());
    let Some(defined) = values(&case.defined, batch, &taps)? else { return Ok(false) };
    let mut scratch = case.defined.clone();
    let mut reference = Reference::new(defined, |draw| {
        let batch = changed(&mut scratch, &case.defined, batch, Reference::change(), draw);
        values(&scratch, &batch, &taps).ok().flatten()
    });
    for (who, model) in [("strict", &case.strict), ("fast", &case.fast)] {
        let refused = || format!("{who}: refused although the definition is not");
        reference.compare(who, &values(model, batch, &taps)?.ok_or_else(refused)?)?;
        let alone = values(model, batch, &["output"])?.ok_or_else(refused)?;
        reference.compare(&format!("{who}, the output alone"), &alone)?;
    }
    reference.compare("a session", &in_session(case)?)?;
    if let Some(watched) = watched(case)? {
        reference.compare("an objective in inference mode", &watched)?;
    }
    Ok(true)
}

fn in_session(case: &Case) -> Result<Results, String> {
    let inference = case.fast.inference(case.network.batch).map_err(|error| error.to_string())?;
    let (_, _) = (inference.plan().explain(), inference.plan().to_dot());
    let mut session = inference.session();
    let outputs = session.run(&case.batch).map_err(|error| error.to_string())?;
    let output = outputs.get("output").ok_or("the session has no output")?;
    Ok(vec![("output".into(), output.to_vec())])
}

/// The activations that an objective in inference mode saw.
fn watched(case: &Case) -> Result<Option<Results>, String> {
    let objective = case.fast.objective_of(Mode::Infer, Wrt::Parameters, |trace| trace.output().mean());
    let Some(objective) = unless_refused(objective)? else { return Ok(None) };
    let taps = case.taps();
    let mut objective = objective.watching(&taps).map_err(|error| error.to_string())?;
    let Some(step) = unless_refused(objective.evaluate(&case.fast, &case.batch))? else { return Ok(None) };
    let seen = |name: &&str| Some((name.to_string(), step.activation(name)?.to_vec()));
    Ok(Some(taps.iter().filter_map(seen).collect()))
}
