//! The smallest network that breaks the same promise.

use crate::{
    description::{Loss, Network, Other, Part},
    verdict,
};

/// Takes away from a network what can be taken away so that it still breaks a promise as `why` says.
pub fn smallest(mut network: Network, why: &str) -> (Network, String) {
    let mut why = why.to_string();
    'smaller: loop {
        for candidate in candidates(&network) {
            if let Err(now) = verdict::of(candidate.clone())
                && kind(&now) == kind(&why)
            {
                (network, why) = (candidate, now);
                continue 'smaller;
            }
        }
        return (network, why);
    }
}

/// What is broken, without the numbers: the check, and where it panicked.
fn kind(why: &str) -> String {
    why.split(": ").take(2).collect::<Vec<_>>().join(": ").chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Networks with a little less in them.
fn candidates(network: &Network) -> Vec<Network> {
    let mut list: Vec<Network> =
        without(&network.parts).into_iter().map(|parts| Network { parts, ..network.clone() }).collect();
    for batch in [1, 2].into_iter().filter(|&batch| batch < network.batch) {
        list.push(Network { batch, ..network.clone() });
    }
    if network.loss != Loss::MeanSquare {
        list.push(Network { loss: Loss::MeanSquare, ..network.clone() });
    }
    for axis in 0..network.sample.len() {
        for size in [1, 2, 3, network.sample[axis].saturating_sub(1)] {
            if size < network.sample[axis] {
                let mut smaller = network.clone();
                smaller.sample[axis] = size;
                list.push(smaller);
            }
        }
    }
    list
}

/// Lists of parts with one part less, or with one in the place of which what is in it stands.
fn without(parts: &[Part]) -> Vec<Vec<Part>> {
    let mut list = Vec::new();
    for at in 0..parts.len() {
        let with = |instead: &[Part]| [&parts[..at], instead, &parts[at + 1..]].concat();
        list.push(with(&[]));
        if let Some(inner) = inner(&parts[at]) {
            list.push(with(inner));
            for smaller in without(inner) {
                let mut part = parts[at].clone();
                set_inner(&mut part, smaller);
                list.push(with(&[part]));
            }
        }
    }
    list
}

fn inner(part: &Part) -> Option<&[Part]> {
    match part {
        Part::Arithmetic { other: Other::Parts(inner), .. }
        | Part::Concatenation { other: inner, .. }
        | Part::Stacking { other: inner, .. }
        | Part::Residual { body: inner, .. }
        | Part::Twice(inner)
        | Part::Recomputed(inner) => Some(inner),
        _ => None,
    }
}

fn set_inner(part: &mut Part, parts: Vec<Part>) {
    match part {
        Part::Arithmetic { other: Other::Parts(inner), .. }
        | Part::Concatenation { other: inner, .. }
        | Part::Stacking { other: inner, .. }
        | Part::Residual { body: inner, .. }
        | Part::Twice(inner)
        | Part::Recomputed(inner) => *inner = parts,
        _ => (),
    }
}
