//! Gradients are the slopes of the loss.
//!
//! Along a random direction the loss is computed a step ahead and a step back. If the step is short, both one-sided
//! differences are the slope, up to curvature on opposite sides of it and up to rounding: the gradient's product with the
//! step must lie between them. Steps within which the two differ (a kink of a ReLU, strong curvature) or that rounding
//! drowns say nothing, and what one length of the step says against a gradient the next ones have to confirm, and no shorter one may
//! deny: a function that bends the same way on both sides, or has kinks close by on both, has equal differences that are not its
//! slope, but other ones on a shorter way. Nothing
//! is loosened for such cases: they are undecided, and at most a small part of all may be.

use super::{gradients::WRT, unless_refused};
use crate::{
    case::Case,
    description::Loss,
    noise::{Results, changed},
};
use ocelli::{
    prelude::*,
    tensor::{Key, Stream, Value},
};

/// Lengths of steps, as parts of the typical size of the numbers that are changed: ¼, ⅛, …
const STEPS: usize = 14;
/// One-sided differences that are farther apart, as a part of the larger, see a kink or a curve.
const SMOOTH: f64 = 0.04;
/// Rounding up to this part of a difference does not drown it.
const AUDIBLE: f64 = 0.01;
/// How far outside of the one-sided differences a slope may lie, as a part of the larger.
const TOLERANCE: f64 = 0.02;
/// Differences along a step and along half of it see the same slope if they are no farther apart than this part of it.
const SAME: f64 = 0.01;
/// Lengths of the step, each half of the one before, that have to see the same slope before it counts against a gradient: where there
/// are many kinks, two may agree by chance.
const AGREEING: usize = 3;
/// Values whose gradients are looked at in one network.
const VALUES: usize = 6;
/// Directions that are tried when the first one contradicts: one may cross two kinks that look like a slope.
const DIRECTIONS: usize = 5;

/// How a direction is drawn.
#[derive(Clone, Copy)]
enum Direction {
    /// Every sign by chance: a mistake in few places shows.
    Random,
    /// Three quarters of the signs those of the gradient: a gradient that is a little too long or too short shows.
    Uphill,
}

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Agrees,
    Undecided,
    Contradicts(String),
}

/// What one length of the step says.
enum Evidence {
    For,
    None,
    /// With the slope that was measured.
    Against(f64, String),
}

pub fn check(case: &Case) -> Result<bool, String> {
    let Some(objective) = unless_refused(case.objective(&case.strict, WRT))? else { return Ok(false) };
    let mut slopes = match Slopes::new(case, objective)? {
        Some(slopes) => slopes,
        None => return Ok(false),
    };
    let mut names: Vec<String> = slopes.gradients.iter().map(|(name, _)| name.clone()).collect();
    slopes.stream.shuffle(&mut names);
    let mut decided = false;
    for name in names.iter().take(VALUES) {
        for direction in [Direction::Random, Direction::Uphill] {
            let first = slopes.verdict(name, direction);
            decided |= first != Verdict::Undecided;
            if let Verdict::Contradicts(why) = first {
                let others: Vec<Verdict> = (0..DIRECTIONS).map(|_| slopes.verdict(name, direction)).collect();
                let agreeing = others.iter().filter(|other| **other == Verdict::Agrees).count();
                let contradicting = others.iter().filter(|other| matches!(other, Verdict::Contradicts(_))).count();
                if 1 + contradicting > agreeing {
                    return Err(format!("the gradient of {name} is not the slope of the loss: {why}"));
                }
            }
        }
    }
    Ok(decided)
}

struct Slopes<'a> {
    case: &'a Case,
    objective: Objective,
    loss: f64,
    /// What rounding changes in the loss.
    noise: f64,
    gradients: Results,
    /// What rounding changes in each gradient: the sum over its elements.
    wobbles: Vec<f64>,
    stream: Stream,
}

impl<'a> Slopes<'a> {
    fn new(case: &'a Case, mut objective: Objective) -> Result<Option<Slopes<'a>>, String> {
        let Some(step) = unless_refused(objective.evaluate(&case.strict, &case.batch))? else { return Ok(None) };
        let loss = f64::from(step.loss());
        let gradients = step.gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec()));
        let gradients: Results = gradients.filter(|(_, gradient)| !gradient.is_empty()).collect();
        let mut wobbles = vec![0.0; gradients.len()];
        let mut scratch = case.strict.clone();
        // These are logarithms of sums that are 1 and more, or differences of numbers that are: a loss near zero is rounded as one
        // of 1 is.
        let of_logarithms = matches!(case.network.loss, Loss::CrossEntropy { .. } | Loss::MaximumAPosteriori);
        let least = if of_logarithms { 1.0 } else { 0.0 };
        let mut noise = f64::from(f32::EPSILON) * loss.abs().max(least);
        for draw in 0..4 {
            let batch = changed(&mut scratch, &case.strict, &case.batch, f32::EPSILON, draw);
            if let Ok(step) = objective.evaluate(&scratch, &batch) {
                noise = noise.max((f64::from(step.loss()) - loss).abs());
                for (wobble, (name, gradient)) in wobbles.iter_mut().zip(&gradients) {
                    let now = step.gradient(name).unwrap_or_default();
                    let apart = now.iter().zip(gradient).map(|(a, b)| f64::from((a - b).abs())).sum();
                    *wobble = f64::max(*wobble, apart);
                }
            }
        }
        let stream = Key::new(case.network.number).with("directions").stream();
        Ok(Some(Slopes { case, objective, loss, noise, gradients, wobbles, stream }))
    }

    /// What steps of several lengths along one direction say of the gradient of `name`.
    fn verdict(&mut self, name: &str, direction: Direction) -> Verdict {
        let Some(value) = self.value(name) else { return Verdict::Undecided };
        let Some(at) = self.gradients.iter().position(|(known, _)| known == name) else { return Verdict::Undecided };
        let (gradient, wobble) = (self.gradients[at].1.clone(), self.wobbles[at]);
        let mean_square = value.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / value.len() as f64;
        let typical = mean_square.sqrt().max(0.05) as f32;
        let stream = &mut self.stream;
        let mut sign = |gradient: &f32| match direction {
            Direction::Uphill if stream.below(2) == 0 => gradient.signum(),
            _ => [1.0, -1.0][stream.below(2)],
        };
        let signs: Vec<f32> = gradient.iter().map(&mut sign).collect();
        let (mut against, mut contradiction) = (Vec::new(), None);
        for exponent in 2..2 + STEPS {
            let step = typical * 0.5f32.powi(exponent as i32);
            let moved = |length: f32| -> Vec<f32> { value.iter().zip(&signs).map(|(x, s)| x + length * s).collect() };
            let (there, back) = (moved(step), moved(-step));
            let (Some(ahead), Some(behind)) = (self.loss_at(name, &there), self.loss_at(name, &back)) else { continue };
            // The way as it was gone: rounding may have made it shorter or longer than the step.
            let pairs = gradient.iter().zip(&there).zip(&back);
            let expected: f64 = pairs.map(|((g, a), b)| f64::from(*g) * (f64::from(*a) - f64::from(*b))).sum();
            let noise = 2.0 * self.noise + 2.0 * wobble * f64::from(step);
            match judge([ahead - self.loss, self.loss - behind], 0.5 * expected, &gradient, step, noise) {
                Evidence::For => return Verdict::Agrees,
                Evidence::None => against.clear(),
                Evidence::Against(slope, why) => {
                    against.retain(|before: &f64| (slope - before).abs() <= SAME * slope.abs());
                    against.push(slope);
                    if against.len() == AGREEING {
                        contradiction = Some(why);
                    }
                }
            }
        }
        contradiction.map_or(Verdict::Undecided, Verdict::Contradicts)
    }

    fn value(&self, name: &str) -> Option<Vec<f32>> {
        let parameter = self.case.strict.parameters().value(name).map(|value| value.data().to_vec());
        parameter.or_else(|| self.case.batch.tensor(name).ok().map(|value| value.data().to_vec()))
    }

    /// The loss with other numbers in the parameter or input called `name`.
    fn loss_at(&mut self, name: &str, numbers: &[f32]) -> Option<f64> {
        let mut batch = self.case.batch.clone();
        let mut model = None;
        if let Some(Value::F32(tensor)) = self.case.batch.get(name) {
            batch.set(name, Tensor::from_vec(tensor.shape().to_vec(), numbers.to_vec()).ok()?);
        } else {
            let mut copy = self.case.strict.clone();
            copy.parameters_mut().value_mut(name)?.data_mut().copy_from_slice(numbers);
            model = Some(copy);
        }
        let model = model.as_ref().unwrap_or(&self.case.strict);
        self.objective.evaluate(model, &batch).ok().map(|step| f64::from(step.loss()))
    }
}

/// What the differences along one step say, with so much noise in them.
fn judge(sides: [f64; 2], expected: f64, gradient: &[f32], step: f32, noise: f64) -> Evidence {
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt() * f64::from(step);
    let larger = norm.max(sides[0].abs()).max(sides[1].abs()).max(expected.abs());
    if noise > AUDIBLE * larger || (sides[0] - sides[1]).abs() > SMOOTH * larger {
        return Evidence::None;
    }
    let (low, high) = (sides[0].min(sides[1]), sides[0].max(sides[1]));
    let allowed = TOLERANCE * larger + noise;
    if (low - allowed..=high + allowed).contains(&expected) {
        return Evidence::For;
    }
    let [ahead, back] = sides;
    let why = format!(
        "a step of {step:.1e} changes it by {ahead:.4e} ahead and {back:.4e} back, the gradient says {expected:.4e}"
    );
    Evidence::Against(0.5 * (ahead + back) / f64::from(step), why)
}
