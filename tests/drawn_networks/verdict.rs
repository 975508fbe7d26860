//! What is said of one network.

use crate::{
    case::{Made, make},
    checks,
    description::Network,
};
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{Mutex, PoisonError},
};

/// What became of a network that nothing is wrong with.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Refused,
    TooLarge,
    /// The checks that had something to look at.
    Checked(Vec<&'static str>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Refused => write!(f, "refused"),
            Verdict::TooLarge => write!(f, "too-large"),
            Verdict::Checked(checks) => write!(f, "checked {}", checks.join(" ")),
        }
    }
}

/// Where the last panic happened.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Builds a network and runs every check.
///
/// # Errors
/// The promise that is broken, and how.
pub fn of(network: Network) -> Result<Verdict, String> {
    let before = take_hook();
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
    let verdict = checked(network);
    set_hook(before);
    verdict
}

fn checked(network: Network) -> Result<Verdict, String> {
    let case = match unless_panic(|| make(network)).map_err(|why| format!("build: {why}"))? {
        Made::Refused => return Ok(Verdict::Refused),
        Made::TooLarge => return Ok(Verdict::TooLarge),
        Made::Case(case) => case,
    };
    let mut looked = Vec::new();
    for (name, check) in checks::ALL {
        if unless_panic(|| check(&case)).map_err(|why| format!("{name}: {why}"))? {
            looked.push(name);
        }
    }
    Ok(Verdict::Checked(looked))
}

fn unless_panic<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(format!("panicked at {place}: {}", message(&*payload)))
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
