//! L-BFGS (Liu and Nocedal 1989): a quasi-Newton method for a cost that is the same function at every step.

mod line_search;
mod objectives;
#[cfg(test)]
mod tests;

use line_search::{Line, Settings};
use std::collections::VecDeque;

/// L-BFGS (Liu and Nocedal 1989) with a line search that ends at the strong Wolfe conditions (Nocedal and Wright 2006,
/// algorithms 7.4, 7.5 and 3.5), over one flat vector.
///
/// It is for costs without noise: whole datasets, optimised inputs, style transfer. A step looks the cost up as often as
/// it needs, so it takes a function and not the gradients of a [`Step`](ocelli_graph::Step) as an
/// [`Optimizer`](crate::Optimizer) does. [`Lbfgs::step_parameters`] and [`Lbfgs::step_input`] are for the parameters and
/// for an input of an [`Objective`](ocelli_graph::Objective).
///
/// No setting is compared with a cost or a gradient, only with their ratios: a cost that is multiplied by a power of two
/// is minimised through the same iterates, to the bit.
///
/// ```
/// use ocelli_train::Lbfgs;
/// // Rosenbrock's function, whose minimum is at (1, 1).
/// let cost = |x: &[f32], gradient: &mut [f32]| -> Result<f64, std::convert::Infallible> {
///     let (x, y) = (f64::from(x[0]), f64::from(x[1]));
///     gradient[0] = (-400.0 * x * (y - x * x) - 2.0 * (1.0 - x)) as f32;
///     gradient[1] = (200.0 * (y - x * x)) as f32;
///     Ok(100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2))
/// };
/// let (mut lbfgs, mut x) = (Lbfgs::new(), [-1.2, 1.0]);
/// for _ in 0..40 {
///     let Ok(step) = lbfgs.step(&mut x, cost);
///     if step.outcome != ocelli_train::LbfgsOutcome::Moved {
///         break;
///     }
/// }
/// assert!((x[0] - 1.0).abs() < 1e-3 && (x[1] - 1.0).abs() < 1e-3);
/// ```
#[derive(Clone, Debug)]
pub struct Lbfgs {
    history: usize,
    first_step: f32,
    line: Settings,
    pairs: VecDeque<Pair>,
    /// Cost and gradient where the last step ended.
    here: Option<(f64, Vec<f32>)>,
}

/// A step `s` and the change `y` of the gradient over it.
#[derive(Clone, Debug)]
struct Pair {
    s: Vec<f32>,
    y: Vec<f32>,
    /// `1 / (s · y)`
    rho: f64,
}

/// The report of one step of [`Lbfgs`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbfgsStep {
    /// The cost before the step.
    pub before: f64,
    /// The cost after it: lower if it moved, and the same otherwise.
    pub after: f64,
    /// The number of times that the cost was evaluated.
    pub evaluations: usize,
    /// The end of the step.
    pub outcome: LbfgsOutcome,
}

/// The end of a step of [`Lbfgs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbfgsOutcome {
    /// The vector moved to a lower cost.
    Moved,
    /// The gradient is zero.
    Stationary,
    /// No lower cost was found, not even along the gradient: the cost is as low as its rounding errors let it be seen.
    Stalled,
}

impl Default for Lbfgs {
    fn default() -> Lbfgs {
        Lbfgs::new()
    }
}

impl Lbfgs {
    /// Creates the optimiser with a history of 10 steps, and the constants c₁ = 10⁻⁴ and c₂ = 0.9 that Nocedal and Wright
    /// recommend.
    pub fn new() -> Lbfgs {
        Lbfgs {
            history: 10,
            first_step: 1.0,
            line: Settings { decrease: 1e-4, curvature: 0.9, evaluations: 25 },
            pairs: VecDeque::new(),
            here: None,
        }
    }

    /// Sets the number of steps that the curvature is estimated from, at least 1. Each takes two vectors of memory.
    pub fn history(mut self, steps: usize) -> Lbfgs {
        self.history = steps.max(1);
        self
    }

    /// Sets how far the first trial goes along the gradient: the sum of the magnitudes by which it changes the elements,
    /// 1 unless it is set. The line search corrects it.
    pub fn first_step(mut self, sum_of_changes: f32) -> Lbfgs {
        self.first_step = sum_of_changes;
        self
    }

    /// Sets the constants of the Wolfe conditions, `0 < decrease < curvature < 1`: the share of the decrease that the
    /// slope promises which a step must reach, and the share of the slope that may remain.
    pub fn wolfe(mut self, decrease: f64, curvature: f64) -> Lbfgs {
        self.line.decrease = decrease;
        self.line.curvature = curvature;
        self
    }

    /// Sets the largest number of evaluations of one line search, 25 unless it is set.
    pub fn evaluations(mut self, most: usize) -> Lbfgs {
        self.line.evaluations = most.max(1);
        self
    }

    /// Forgets cost, gradient and curvature: for when the vector was changed, or the cost is another.
    pub fn reset(&mut self) {
        self.pairs.clear();
        self.here = None;
    }

    /// Returns the bytes that the optimiser takes beside a vector of `elements` once its history is full.
    pub fn bytes(&self, elements: usize) -> usize {
        // the history, and: gradient, direction, trial, two gradients of the search
        (2 * self.history + 5).saturating_mul(elements).saturating_mul(size_of::<f32>())
    }

    /// Takes one step from `x`. `evaluate` returns the cost at a vector and writes its gradient; a cost that is not
    /// finite is a step that is too long. `x` must be where the last step left it; see [`Lbfgs::reset`].
    ///
    /// # Errors
    /// The first error of `evaluate`. `x` is unchanged then.
    pub fn step<E>(
        &mut self,
        x: &mut [f32],
        mut evaluate: impl FnMut(&[f32], &mut [f32]) -> Result<f64, E>,
    ) -> Result<LbfgsStep, E> {
        let mut evaluations = 0;
        let (before, gradient) = match self.here.take().filter(|(_, gradient)| gradient.len() == x.len()) {
            Some(here) => here,
            None => {
                self.pairs.clear();
                let mut gradient = vec![0.0; x.len()];
                evaluations += 1;
                (evaluate(x, &mut gradient)?, gradient)
            }
        };
        let report = |after, evaluations, outcome| LbfgsStep { before, after, evaluations, outcome };
        if gradient.iter().all(|g| *g == 0.0) {
            self.here = Some((before, gradient));
            return Ok(report(before, evaluations, LbfgsOutcome::Stationary));
        }
        loop {
            let direction = self.direction(&gradient);
            let slope = dot(&gradient, &direction);
            if slope < 0.0 {
                let line = Line { x, direction: &direction, cost: before, slope, gradient: &gradient };
                let found = line.search(&self.line, &mut evaluate)?;
                evaluations += found.evaluations;
                if let Some(end) = found.end {
                    self.remember(x, &end.x, &gradient, &end.gradient);
                    x.copy_from_slice(&end.x);
                    self.here = Some((end.cost, end.gradient));
                    return Ok(report(end.cost, evaluations, LbfgsOutcome::Moved));
                }
            }
            if self.pairs.is_empty() {
                self.here = Some((before, gradient));
                return Ok(report(before, evaluations, LbfgsOutcome::Stalled));
            }
            // An estimate of the curvature that leads nowhere is worth less than none.
            self.pairs.clear();
        }
    }

    /// Returns the direction `−H g` by the two loops of algorithm 7.4; along the gradient while there is no history.
    fn direction(&self, gradient: &[f32]) -> Vec<f32> {
        let Some(last) = self.pairs.back() else {
            let sum: f64 = gradient.iter().map(|g| f64::from(g.abs())).sum();
            let factor = -f64::from(self.first_step) / sum;
            return gradient.iter().map(|g| (factor * f64::from(*g)) as f32).collect();
        };
        let mut q: Vec<f32> = gradient.iter().map(|g| -g).collect();
        let mut weights = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let weight = pair.rho * dot(&pair.s, &q);
            add(&mut q, -weight, &pair.y);
            weights.push(weight);
        }
        // equation 7.20
        let scale = 1.0 / (last.rho * dot(&last.y, &last.y));
        q.iter_mut().for_each(|q| *q = (scale * f64::from(*q)) as f32);
        for (pair, weight) in self.pairs.iter().zip(weights.into_iter().rev()) {
            let correction = weight - pair.rho * dot(&pair.y, &q);
            add(&mut q, correction, &pair.s);
        }
        q
    }

    /// Adds the step from `x` to `end` to the history, unless the gradient says nothing about the curvature along it.
    fn remember(&mut self, x: &[f32], end: &[f32], before: &[f32], after: &[f32]) {
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
        let (s, y) = (difference(end, x), difference(after, before));
        let curvature = dot(&s, &y);
        if curvature <= 1e-10 * (dot(&s, &s) * dot(&y, &y)).sqrt() {
            return;
        }
        if self.pairs.len() == self.history {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { s, y, rho: 1.0 / curvature });
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn add(sum: &mut [f32], factor: f64, x: &[f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum = (f64::from(*sum) + factor * f64::from(*x)) as f32);
}
