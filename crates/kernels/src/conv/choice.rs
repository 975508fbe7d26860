//! The choice of an algorithm for a convolution: the cheapest by a small cost model.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::algorithm::{Algorithm, Pass, planned};
use super::geometry::Conv2dGeometry;
use super::naive::Naive;
use crate::gemm::packed_len;

/// Bound on the error of a result.
///
/// The algorithm of a convolution also depends on the number of samples. At [`Precision::Fast`] a single sample may use
/// another algorithm than a batch, and its last bits may differ (some 1e-5 of the result); in batches of 2 or more it
/// has the same bits in all of them, and at [`Precision::Strict`] in every batch, alone too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// Any algorithm, Winograd's among them: a relative error (L2) of some 1e-6.
    #[default]
    Fast,
    /// Only algorithms that round nothing but the products and sums of the definition, in any order.
    Strict,
    /// As [`Precision::Fast`], in inference alone: weights are kept in bf16 (eight bits of precision, rounded to the
    /// nearest) where a kernel multiplies with them as they are, in dense layers and 1 × 1 convolutions, and sums are
    /// made in `f32`. That halves the bytes of these weights, which for one image are most of what a network such as
    /// AlexNet reads. Logits are 1e-3 to 4e-3 off.
    Bf16,
}

/// Returns the number of vectors of the current instruction set that hold so many neighbouring elements.
pub(super) fn vectors(numbers: usize) -> f64 {
    numbers.div_ceil(lanes()) as f64
}

/// Rounds a number of neighbouring elements up to whole vectors of the current instruction set.
pub(super) fn filled(numbers: usize) -> f64 {
    numbers.next_multiple_of(lanes()) as f64
}

/// Returns the time to store `numbers` neighbouring elements, if a vector takes `stored`, and a partial one `in_part`
/// more.
pub(super) fn storing(numbers: usize, stored: f64, in_part: f64) -> f64 {
    let is_whole = numbers.is_multiple_of(lanes());
    stored * vectors(numbers) + if is_whole { 0.0 } else { in_part }
}

fn lanes() -> usize {
    packed_len(1, 1)
}

/// An algorithm with the reason for its choice; displayed as a clause.
#[derive(Clone, Copy)]
pub struct Choice {
    /// Algorithm that was chosen.
    pub algorithm: &'static dyn Algorithm,
    reason: Reason,
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    Forced,
    Only,
    Cheapest { cost: f64, next: &'static str, next_cost: f64 },
}

impl Choice {
    /// Returns the algorithm of that name, if there is one and it supports the pass; otherwise the cheapest.
    #[must_use]
    pub fn forced(name: &str, precision: Precision, g: &Conv2dGeometry, pass: Pass) -> Self {
        let forced = super::by_name(name).filter(|algorithm| algorithm.supports(g, pass));
        forced.map_or_else(|| choose(g, pass, precision), |algorithm| Self { algorithm, reason: Reason::Forced })
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.algorithm.name();
        match self.reason {
            Reason::Forced => write!(f, "{name} (asked for)"),
            Reason::Only => write!(f, "{name} (alone supports it)"),
            Reason::Cheapest { cost, next, next_cost } => {
                write!(f, "{name} (est. {:.2} of {next})", cost / next_cost)
            }
        }
    }
}

/// Chooses the cheapest of [`planned`] that supports the pass at this precision; among equals, the first. The
/// definition is chosen only where nothing else is left.
#[must_use]
pub fn choose(g: &Conv2dGeometry, pass: Pass, precision: Precision) -> Choice {
    let fit = |algorithm: &&'static dyn Algorithm| {
        let is_precise = precision != Precision::Strict || algorithm.precision() == Precision::Strict;
        algorithm.supports(g, pass) && is_precise
    };
    let mut best: Option<(&'static dyn Algorithm, f64)> = None;
    let mut second: Option<(&'static dyn Algorithm, f64)> = None;
    for algorithm in planned().iter().copied().filter(fit) {
        let cost = algorithm.cost(g, pass);
        if best.is_none_or(|(_, least)| cost < least) {
            second = best.replace((algorithm, cost));
        } else if second.is_none_or(|(_, least)| cost < least) {
            second = Some((algorithm, cost));
        }
    }
    match (best, second) {
        (Some((algorithm, cost)), Some((next, next_cost))) => {
            Choice { algorithm, reason: Reason::Cheapest { cost, next: next.name(), next_cost } }
        }
        (Some((algorithm, _)), None) => Choice { algorithm, reason: Reason::Only },
        (None, _) => Choice { algorithm: &Naive, reason: Reason::Only },
    }
}
