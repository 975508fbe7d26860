//! The update of each optimiser on one vector of parameters.

use ocelli_simd::Isa;

use super::{AdamStep, GradientTransform, Momentum, RmsPropStep, Rule, WeightDecay};
use crate::finite::nan_if_infinite;

/// The part that all optimisers have in common: transform of the gradient and weight decay.
#[derive(Clone, Copy)]
pub(super) struct GradientRule {
    transform: GradientTransform,
    /// Factor of the parameter that is added to the gradient.
    coupled: f32,
    /// Factor of the parameter before the step.
    shrink: f32,
}

impl GradientRule {
    pub(super) fn new(transform: GradientTransform, decay: WeightDecay, learning_rate: f32) -> Self {
        let (coupled, shrink) = match decay {
            WeightDecay::None => (0.0, 1.0),
            WeightDecay::Coupled(decay) => (decay, 1.0),
            WeightDecay::Decoupled(decay) => (0.0, 1.0 - learning_rate * decay),
        };
        Self { transform, coupled, shrink }
    }

    /// Returns the parameters and the gradient that the step starts from.
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector) -> (I::Vector, I::Vector) {
        let g = isa.mul(g, isa.splat(self.transform.scale));
        // The order of operands lets a NaN through.
        let limit = isa.splat(self.transform.limit);
        let g = isa.max(isa.neg(limit), isa.min(limit, g));
        let g = isa.mul_add(w, isa.splat(self.coupled), g);
        (isa.mul(w, isa.splat(self.shrink)), g)
    }
}

/// The rule of plain gradient descent, `w -= lr g`.
#[derive(Clone, Copy)]
pub(super) struct PlainRule {
    pub gradient: GradientRule,
    pub learning_rate: f32,
}

impl Rule<0> for PlainRule {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, state: [I::Vector; 0]) -> (I::Vector, [I::Vector; 0]) {
        let (w, g) = self.gradient.apply(isa, w, g);
        (isa.neg_mul_add(g, isa.splat(self.learning_rate), w), state)
    }
}

/// The rules of [`Momentum`].
#[derive(Clone, Copy)]
pub(super) struct MomentumRule {
    pub gradient: GradientRule,
    pub learning_rate: f32,
    pub momentum: f32,
    pub rule: Momentum,
}

impl Rule<1> for MomentumRule {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, [v]: [I::Vector; 1]) -> (I::Vector, [I::Vector; 1]) {
        let (w, g) = self.gradient.apply(isa, w, g);
        let (rate, momentum) = (isa.splat(self.learning_rate), isa.splat(self.momentum));
        match self.rule {
            Momentum::Classical => {
                let v = isa.mul_add(momentum, v, g);
                (isa.neg_mul_add(rate, v, w), [v])
            }
            Momentum::Nesterov => {
                let v = isa.mul_add(momentum, v, g);
                (isa.neg_mul_add(rate, isa.mul_add(momentum, v, g), w), [v])
            }
            Momentum::InsideVelocity => {
                let v = isa.neg_mul_add(rate, g, isa.mul(momentum, v));
                (isa.add(w, v), [v])
            }
        }
    }
}

/// The rule of [`adam`](super::adam).
#[derive(Clone, Copy)]
pub(super) struct AdamRule {
    gradient: GradientRule,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// Step size `lr / (1 - β₁ᵗ)`.
    rate: f32,
    /// Bias correction `1 / √(1 - β₂ᵗ)`.
    root: f32,
}

impl AdamRule {
    pub(super) fn new(step: &AdamStep) -> Self {
        Self {
            gradient: GradientRule::new(step.gradient, step.weight_decay, step.learning_rate),
            beta1: step.beta1,
            beta2: step.beta2,
            epsilon: step.epsilon,
            rate: step.learning_rate / step.bias_correction1,
            root: 1.0 / step.bias_correction2.sqrt(),
        }
    }
}

/// Returns `β a + (1 - β) b`.
#[inline(always)]
fn blend<I: Isa>(isa: I, beta: f32, a: I::Vector, b: I::Vector) -> I::Vector {
    isa.mul_add(isa.splat(beta), a, isa.mul(isa.splat(1.0 - beta), b))
}

impl Rule<2> for AdamRule {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, [m, v]: [I::Vector; 2]) -> (I::Vector, [I::Vector; 2]) {
        let (w, g) = self.gradient.apply(isa, w, g);
        let m = blend(isa, self.beta1, m, g);
        let v = blend(isa, self.beta2, v, isa.mul(g, g));
        let size = isa.mul_add(isa.sqrt(v), isa.splat(self.root), isa.splat(self.epsilon));
        let direction = nan_if_infinite(isa, isa.div(m, size), v);
        (isa.neg_mul_add(isa.splat(self.rate), direction, w), [m, v])
    }
}

/// The rule of [`rmsprop`](super::rmsprop).
#[derive(Clone, Copy)]
pub(super) struct RmsPropRule {
    gradient: GradientRule,
    learning_rate: f32,
    smoothing: f32,
    epsilon: f32,
}

impl RmsPropRule {
    pub(super) fn new(step: &RmsPropStep) -> Self {
        Self {
            gradient: GradientRule::new(step.gradient, step.weight_decay, step.learning_rate),
            learning_rate: step.learning_rate,
            smoothing: step.smoothing,
            epsilon: step.epsilon,
        }
    }

    /// Returns `u` and `s`.
    #[inline(always)]
    fn normalised<I: Isa>(self, isa: I, g: I::Vector, s: I::Vector) -> (I::Vector, I::Vector) {
        let s = blend(isa, self.smoothing, s, isa.mul(g, g));
        let direction = isa.div(g, isa.add(isa.sqrt(s), isa.splat(self.epsilon)));
        (nan_if_infinite(isa, direction, s), s)
    }
}

impl Rule<1> for RmsPropRule {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, [s]: [I::Vector; 1]) -> (I::Vector, [I::Vector; 1]) {
        let (w, g) = self.gradient.apply(isa, w, g);
        let (u, s) = self.normalised(isa, g, s);
        (isa.neg_mul_add(isa.splat(self.learning_rate), u, w), [s])
    }
}

/// [`RmsPropRule`] with a velocity.
#[derive(Clone, Copy)]
pub(super) struct RmsPropMomentumRule {
    pub rule: RmsPropRule,
    pub momentum: f32,
}

impl Rule<2> for RmsPropMomentumRule {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, [s, v]: [I::Vector; 2]) -> (I::Vector, [I::Vector; 2]) {
        let (w, g) = self.rule.gradient.apply(isa, w, g);
        let (u, s) = self.rule.normalised(isa, g, s);
        let v = isa.mul_add(isa.splat(self.momentum), v, u);
        (isa.neg_mul_add(isa.splat(self.rule.learning_rate), v, w), [s, v])
    }
}

/// The rule of [`adagrad`](super::adagrad).
#[derive(Clone, Copy)]
pub(super) struct AdagradRule {
    pub gradient: GradientRule,
    pub learning_rate: f32,
    pub epsilon: f32,
}

impl Rule<1> for AdagradRule {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, w: I::Vector, g: I::Vector, [s]: [I::Vector; 1]) -> (I::Vector, [I::Vector; 1]) {
        let (w, g) = self.gradient.apply(isa, w, g);
        let s = isa.mul_add(g, g, s);
        let size = isa.add(isa.sqrt(s), isa.splat(self.epsilon));
        let direction = nan_if_infinite(isa, isa.div(g, size), s);
        (isa.neg_mul_add(isa.splat(self.learning_rate), direction, w), [s])
    }
}
