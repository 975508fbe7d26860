//! What rounding may change.
//!
//! Two ways to compute a network round differently, and how far their results may then be apart depends on the network: a
//! normalisation of nearly equal numbers enlarges every rounding before it. So it is measured: parameters and inputs are
//! changed by about as much as the rounding of an algorithm, at random, and results may differ by a small multiple of what
//! that changes.

use ocelli::{
    prelude::*,
    tensor::{Key, Stream, Value},
};

/// By what part of itself a number is changed: what Winograd's algorithm is off by, ten times the rounding of one number.
const CHANGE: f32 = 1.0 / (1 << 20) as f32;
/// Results may be apart by so many times what a change did at most.
const FACTOR: f64 = 4.0;
/// Roundings of the largest number that are always allowed.
const ROUNDINGS: f64 = 16.0;
/// Changes that are made at first, and in all before two results are said to differ: where a number lies next to a kink,
/// only some changes reach the other side.
const DRAWS: [usize; 2] = [3, 40];

/// Tensors by name.
pub type Results = Vec<(String, Vec<f32>)>;

/// A model and a batch with every number changed a little.
pub fn changed(model: &mut Model, original: &Model, batch: &Batch, change: f32, draw: u64) -> Batch {
    let mut stream = Key::new(draw).with("change").stream();
    for ((_, value), (_, original)) in model.parameters_mut().iter_mut().zip(original.parameters().iter()) {
        change_all(value.data_mut(), original.data(), change, &mut stream);
    }
    let mut changed = Batch::new();
    for (name, value) in batch.iter() {
        let Value::F32(tensor) = value else {
            changed.set(name, value.clone());
            continue;
        };
        let mut copy = tensor.clone();
        change_all(copy.data_mut(), tensor.data(), change, &mut stream);
        changed.set(name, copy);
    }
    changed
}

fn change_all(numbers: &mut [f32], original: &[f32], change: f32, stream: &mut Stream) {
    for (number, original) in numbers.iter_mut().zip(original) {
        *number = original * (1.0 + if stream.below(2) == 0 { change } else { -change });
    }
}

/// Results with what rounding may change in them.
pub struct Reference<'a> {
    results: Results,
    /// The most that a change did to each result so far.
    moved: Vec<f64>,
    draws: usize,
    /// Computes the results with a change of this number.
    again: Box<dyn FnMut(u64) -> Option<Results> + 'a>,
}

impl<'a> Reference<'a> {
    /// Results, and how to compute them once more with everything changed a little.
    pub fn new(results: Results, again: impl FnMut(u64) -> Option<Results> + 'a) -> Reference<'a> {
        let moved = vec![0.0; results.len()];
        Reference { results, moved, draws: 0, again: Box::new(again) }
    }

    fn draw(&mut self, most: usize) {
        for draw in self.draws..most {
            let Some(again) = (self.again)(draw as u64) else { continue };
            for ((moved, (_, now)), (_, before)) in self.moved.iter_mut().zip(&again).zip(&self.results) {
                *moved = moved.max(distance(now, before));
            }
        }
        self.draws = self.draws.max(most);
    }

    /// Compares other results with these, those that are among both.
    ///
    /// # Errors
    /// The first that is farther away than rounding explains.
    pub fn compare(&mut self, who: &str, others: &Results) -> Result<(), String> {
        for (name, other) in others {
            let Some(at) = self.results.iter().position(|(known, _)| known == name) else { continue };
            if self.results[at].1.len() != other.len() {
                return Err(format!(
                    "{who}: {name} has {} elements instead of {}",
                    other.len(),
                    self.results[at].1.len()
                ));
            }
            let apart = distance(other, &self.results[at].1);
            for draws in DRAWS {
                if apart <= self.allowed(at) {
                    break;
                }
                self.draw(draws);
            }
            let allowed = self.allowed(at);
            if apart > allowed {
                let expected = &self.results[at].1;
                let worst = (0..other.len()).max_by(|&a, &b| {
                    let apart = |i: usize| f64::from((other[i] - expected[i]).abs());
                    apart(a).total_cmp(&apart(b))
                });
                let worst = worst.unwrap_or(0);
                return Err(format!(
                    "{who}: {name}[{worst}] of {} is {} instead of {}, off by {apart:.1e}; rounding explains {allowed:.1e}",
                    other.len(),
                    other[worst],
                    expected[worst]
                ));
            }
        }
        Ok(())
    }

    fn allowed(&self, at: usize) -> f64 {
        let largest = self.results[at].1.iter().fold(0.0, |largest: f64, number| largest.max(f64::from(number.abs())));
        FACTOR * self.moved[at] + ROUNDINGS * f64::from(f32::EPSILON) * largest
    }

    /// By how much every number is changed.
    pub fn change() -> f32 {
        CHANGE
    }
}

/// The largest distance of two numbers at the same place; infinite if one of them alone is not a number.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let apart = |(a, b): (&f32, &f32)| {
        if a == b || (a.is_nan() && b.is_nan()) {
            return 0.0;
        }
        let apart = (f64::from(*a) - f64::from(*b)).abs();
        if apart.is_nan() { f64::INFINITY } else { apart }
    };
    a.iter().zip(b).map(apart).fold(0.0, f64::max)
}
