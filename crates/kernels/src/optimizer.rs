//! Optimiser steps, each one pass over memory: parameters and state are read and written once.
//!
//! If the square of a gradient overflows `f32`, for gradients beyond 10¹⁹, parameters become NaN rather than stay
//! unchanged.
//!
//! Values that do not depend on the element (learning rate schedules, bias corrections, norms for clipping) are
//! computed by the caller and passed in.

mod norm;
mod rules;
#[cfg(test)]
mod tests;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

pub use norm::sum_of_squares;
use rules::{AdagradRule, AdamRule, GradientRule, MomentumRule, RmsPropMomentumRule, RmsPropRule};

use crate::elementwise::chunks::CHUNK;
use crate::parallel::both;

/// Scaling and clipping of a gradient before anything else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientTransform {
    /// Multiplies the gradient: for clipping by norm, or the mean over accumulated batches.
    pub scale: f32,
    /// Bounds the absolute value of each element afterwards; infinity bounds nothing.
    pub limit: f32,
}

impl Default for GradientTransform {
    fn default() -> Self {
        Self { scale: 1.0, limit: f32::INFINITY }
    }
}

/// Kind of weight decay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WeightDecay {
    /// No weight decay.
    #[default]
    None,
    /// Adds this times the parameter to its gradient.
    Coupled(f32),
    /// Multiplies the parameter first by 1 minus this times the learning rate (Loshchilov and Hutter 2019).
    Decoupled(f32),
}

/// Rule by which momentum enters the step; `g` is the gradient, weight decay included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Momentum {
    /// `v = m v + g`, `w -= lr v`
    #[default]
    Classical,
    /// `v = m v + g`, `w -= lr (g + m v)` (Nesterov 1983, as in PyTorch)
    Nesterov,
    /// `v = m v - lr g`, `w += v`: the learning rate enters the velocity (Krizhevsky et al. 2012, section 5)
    InsideVelocity,
}

/// The settings of [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate `lr`.
    pub learning_rate: f32,
    /// Momentum `m`.
    pub momentum: f32,
    /// Rule by which the momentum enters the step.
    pub rule: Momentum,
    /// Weight decay.
    pub weight_decay: WeightDecay,
    /// Scaling and clipping of the gradient.
    pub gradient: GradientTransform,
}

/// Takes a step of stochastic gradient descent.
///
/// Without a velocity it is `w -= lr g`, whatever the momentum; a velocity begins at zero.
pub fn sgd(w: &mut [f32], g: &[f32], velocity: Option<&mut [f32]>, step: &SgdStep) {
    let gradient = GradientRule::new(step.gradient, step.weight_decay, step.learning_rate);
    match velocity {
        None => update(rules::PlainRule { gradient, learning_rate: step.learning_rate }, w, g, []),
        Some(velocity) => {
            let rule =
                MomentumRule { gradient, learning_rate: step.learning_rate, momentum: step.momentum, rule: step.rule };
            update(rule, w, g, [velocity]);
        }
    }
}

/// The settings of [`adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate `lr`.
    pub learning_rate: f32,
    /// Decay `β₁` of the mean of gradients.
    pub beta1: f32,
    /// Decay `β₂` of the mean of squares.
    pub beta2: f32,
    /// Bias correction `1 - β₁ᵗ` at step `t`, counted from 1.
    pub bias_correction1: f32,
    /// Bias correction `1 - β₂ᵗ`.
    pub bias_correction2: f32,
    /// Constant `ε` that is added to the divisor.
    pub epsilon: f32,
    /// Weight decay: coupled in Adam, decoupled in AdamW.
    pub weight_decay: WeightDecay,
    /// Scaling and clipping of the gradient.
    pub gradient: GradientTransform,
}

/// Takes a step of Adam (Kingma and Ba 2015, algorithm 1) or AdamW: with `m = β₁ m + (1 - β₁) g` and
/// `v = β₂ v + (1 - β₂) g²`, `w -= lr (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)`.
pub fn adam(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: &AdamStep) {
    update(AdamRule::new(step), w, g, [m, v]);
}

/// The settings of [`rmsprop`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropStep {
    /// Learning rate `lr`.
    pub learning_rate: f32,
    /// Decay `α` of the mean of squares.
    pub smoothing: f32,
    /// Constant `ε` that is added to the divisor.
    pub epsilon: f32,
    /// Momentum `m`, used if there is a velocity.
    pub momentum: f32,
    /// Weight decay.
    pub weight_decay: WeightDecay,
    /// Scaling and clipping of the gradient.
    pub gradient: GradientTransform,
}

/// Takes a step of RMSprop as in PyTorch: `s = α s + (1 - α) g²`, `u = g / (√s + ε)`, and `w -= lr u`, or with a
/// velocity `v = m v + u`, `w -= lr v`.
pub fn rmsprop(w: &mut [f32], g: &[f32], squares: &mut [f32], velocity: Option<&mut [f32]>, step: &RmsPropStep) {
    let rule = RmsPropRule::new(step);
    match velocity {
        None => update(rule, w, g, [squares]),
        Some(velocity) => update(RmsPropMomentumRule { rule, momentum: step.momentum }, w, g, [squares, velocity]),
    }
}

/// The settings of [`adagrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdagradStep {
    /// Learning rate `lr`.
    pub learning_rate: f32,
    /// Constant `ε` that is added to the divisor.
    pub epsilon: f32,
    /// Weight decay.
    pub weight_decay: WeightDecay,
    /// Scaling and clipping of the gradient.
    pub gradient: GradientTransform,
}

/// Takes a step of Adagrad (Duchi et al. 2011): `s += g²`, `w -= lr g / (√s + ε)`.
pub fn adagrad(w: &mut [f32], g: &[f32], squares: &mut [f32], step: &AdagradStep) {
    let gradient = GradientRule::new(step.gradient, step.weight_decay, step.learning_rate);
    update(AdagradRule { gradient, learning_rate: step.learning_rate, epsilon: step.epsilon }, w, g, [squares]);
}

/// An optimiser with `S` values of state for each parameter.
trait Rule<const S: usize>: Copy + Sync {
    /// Returns the new parameters and state; implementations must be `#[inline(always)]`.
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, state: [I::Vector; S]) -> (I::Vector, [I::Vector; S]);
}

fn update<R: Rule<S>, const S: usize>(rule: R, w: &mut [f32], g: &[f32], mut state: [&mut [f32]; S]) {
    assert_eq!(w.len(), g.len(), "there is a gradient for each parameter");
    for state in &state {
        assert_eq!(w.len(), state.len(), "there is state for each parameter");
    }
    halve(InstructionSet::current(), rule, w, g, &mut state);
}

/// Halves the work (at multiples of a chunk) until it is one chunk. Leaves the lower half of the state.
fn halve<R: Rule<S>, const S: usize>(
    set: InstructionSet,
    rule: R,
    w: &mut [f32],
    g: &[f32],
    state: &mut [&mut [f32]; S],
) {
    if w.len() <= CHUNK {
        return dispatch_on(set, Update { rule, w, g, state: state.each_mut().map(|state| &mut **state) });
    }
    let middle = w.len().div_ceil(CHUNK) / 2 * CHUNK;
    let (w, upper_w) = w.split_at_mut(middle);
    let (g, upper_g) = g.split_at(middle);
    let mut upper_state = state.each_mut().map(|state| state.split_off_mut(middle..).unwrap_or_default());
    both(&mut || halve(set, rule, w, g, state), &mut || halve(set, rule, upper_w, upper_g, &mut upper_state));
}

struct Update<'a, R, const S: usize> {
    rule: R,
    w: &'a mut [f32],
    g: &'a [f32],
    state: [&'a mut [f32]; S],
}

impl<R: Rule<S>, const S: usize> Kernel for Update<'_, R, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rule, w, g, state } = self;
        let whole = w.len() / I::LANES * I::LANES;
        // `for` loops, not closures: the instruction set reaches them.
        for i in (0..whole).step_by(I::LANES) {
            let mut old = [isa.zero(); S];
            for s in 0..S {
                old[s] = isa.load(&state[s][i..]);
            }
            let (new_w, new) = rule.apply(isa, isa.load(&w[i..]), isa.load(&g[i..]), old);
            isa.store(new_w, &mut w[i..]);
            for s in 0..S {
                isa.store(new[s], &mut state[s][i..]);
            }
        }
        let mut old = [isa.zero(); S];
        for s in 0..S {
            old[s] = isa.load_partial(&state[s][whole..]);
        }
        let (new_w, new) = rule.apply(isa, isa.load_partial(&w[whole..]), isa.load_partial(&g[whole..]), old);
        isa.store_partial(new_w, &mut w[whole..]);
        for s in 0..S {
            isa.store_partial(new[s], &mut state[s][whole..]);
        }
    }
}
