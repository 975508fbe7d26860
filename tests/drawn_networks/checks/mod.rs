//! What a network that was built must keep, one promise a file.

mod alone;
mod differences;
mod forward;
mod gradients;
mod memory;
mod threads;

use crate::{case::Case, noise::Results};
use ocelli::{graph::Error, prelude::*};

/// A check: `Ok(false)` where it has nothing to look at.
pub type Check = fn(&Case) -> Result<bool, String>;

/// All of them, by what they are called in a failure and in the counts.
pub const ALL: [(&str, Check); 6] = [
    ("forward", forward::check),
    ("alone", alone::check),
    ("gradients", gradients::check),
    ("differences", differences::check),
    ("threads", threads::check),
    ("memory", memory::check),
];

/// Named values of a run in inference mode; `None` if the library refuses in a sentence.
fn values(model: &Model, batch: &Batch, names: &[&str]) -> Result<Option<Results>, String> {
    let run = model.run(batch, names);
    let named = |tensors: Vec<Tensor>| {
        let tensors = tensors.into_iter().map(Tensor::into_vec);
        names.iter().map(|name| name.to_string()).zip(tensors).collect()
    };
    unless_refused(run.map(named))
}

/// Loss and gradients of an objective; `None` if the library refuses in a sentence.
fn loss_and_gradients(objective: &mut Objective, model: &Model, batch: &Batch) -> Result<Option<Results>, String> {
    let step = objective.evaluate(model, batch).map(|step| {
        let gradients = step.gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec()));
        std::iter::once(("loss".to_string(), vec![step.loss()])).chain(gradients).collect()
    });
    unless_refused(step)
}

fn unless_refused<T>(result: Result<T, Error>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => crate::case::expect_sentence(&error).map(|()| None),
    }
}

/// Compares bits.
fn expect_equal(who: &str, expected: &Results, got: &Results) -> Result<(), String> {
    for ((name, expected), (_, got)) in expected.iter().zip(got) {
        let differing = expected.iter().zip(got).position(|(a, b)| a.to_bits() != b.to_bits());
        if let Some(at) = differing {
            return Err(format!("{who}: {name}[{at}] is {:e} instead of {:e}, bit by bit", got[at], expected[at]));
        }
        if expected.len() != got.len() {
            return Err(format!("{who}: {name} has {} elements instead of {}", got.len(), expected.len()));
        }
    }
    if expected.len() == got.len() {
        Ok(())
    } else {
        Err(format!("{who}: {} results instead of {}", got.len(), expected.len()))
    }
}
