//! The rules, each a thin cover over a kernel.

use super::{Descent, Now, Rule, WeightDecay};
use ocelli_kernels::optimizer::{AdagradStep, AdamStep, Momentum, RmsPropStep, SgdStep, adagrad, adam, rmsprop, sgd};

/// The rule of [`Sgd`](super::Sgd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdRule {
    momentum: f32,
    form: Momentum,
}

impl Descent<SgdRule> {
    /// Gradient descent without momentum.
    pub fn new(learning_rate: f32) -> Self {
        Descent::of(SgdRule { momentum: 0.0, form: Momentum::Classical }, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// With a velocity that keeps this share of itself at each step.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// How the velocity is used: [`Momentum::Classical`] unless said otherwise.
    pub fn form(mut self, form: Momentum) -> Self {
        self.rule.form = form;
        self
    }

    /// With the gradient where the velocity leads (Sutskever et al. 2013).
    pub fn nesterov(self) -> Self {
        self.form(Momentum::Nesterov)
    }
}

impl Rule for SgdRule {
    const NAME: &'static str = "Sgd";

    fn slots(&self) -> usize {
        usize::from(self.momentum != 0.0)
    }

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], now: &Now) {
        let step = SgdStep {
            learning_rate: now.learning_rate,
            momentum: self.momentum,
            rule: self.form,
            weight_decay: now.decay,
            gradient: now.gradient,
        };
        sgd(w, g, slots.first_mut().map(Vec::as_mut_slice), &step);
    }
}

/// The rule of [`Adam`](super::Adam).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamRule {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

/// The rule of [`AdamW`](super::AdamW).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWRule(AdamRule);

const ADAM: AdamRule = AdamRule { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

impl Descent<AdamRule> {
    /// With β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    pub fn new(learning_rate: f32) -> Self {
        Descent::of(ADAM, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// The shares of themselves that the moments keep.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.rule.beta1, self.rule.beta2) = (beta1, beta2);
        self
    }

    /// What is added to the root of the second moment.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.rule.epsilon = epsilon;
        self
    }
}

impl Descent<AdamWRule> {
    /// With β₁ = 0.9, β₂ = 0.999, ε = 1e-8 and a weight decay of 0.01.
    pub fn new(learning_rate: f32) -> Self {
        Descent::of(AdamWRule(ADAM), learning_rate, WeightDecay::Decoupled(0.01))
    }

    /// The shares of themselves that the moments keep.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.rule.0.beta1, self.rule.0.beta2) = (beta1, beta2);
        self
    }

    /// What is added to the root of the second moment.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.rule.0.epsilon = epsilon;
        self
    }
}

impl Rule for AdamRule {
    const NAME: &'static str = "Adam";

    fn slots(&self) -> usize {
        2
    }

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], now: &Now) {
        // In f64: 1 − 0.999ᵗ loses digits for small t.
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(now.step as f64)) as f32;
        let step = AdamStep {
            learning_rate: now.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            bias_correction1: correction(self.beta1),
            bias_correction2: correction(self.beta2),
            weight_decay: now.decay,
            gradient: now.gradient,
        };
        if let [first, second] = slots {
            adam(w, g, first, second, &step);
        }
    }
}

impl Rule for AdamWRule {
    const NAME: &'static str = "AdamW";

    fn slots(&self) -> usize {
        self.0.slots()
    }

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], now: &Now) {
        self.0.update(w, g, slots, now);
    }
}

/// The rule of [`RmsProp`](super::RmsProp).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropRule {
    alpha: f32,
    epsilon: f32,
    momentum: f32,
}

impl Descent<RmsPropRule> {
    /// With α = 0.99, ε = 1e-8, no momentum.
    pub fn new(learning_rate: f32) -> Self {
        let rule = RmsPropRule { alpha: 0.99, epsilon: 1e-8, momentum: 0.0 };
        Descent::of(rule, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// The share of itself that the mean of squares keeps.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.rule.alpha = alpha;
        self
    }

    /// What is added to its root.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.rule.epsilon = epsilon;
        self
    }

    /// Momentum of the scaled gradient.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.rule.momentum = momentum;
        self
    }
}

impl Rule for RmsPropRule {
    const NAME: &'static str = "RmsProp";

    fn slots(&self) -> usize {
        1 + usize::from(self.momentum != 0.0)
    }

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], now: &Now) {
        let step = RmsPropStep {
            learning_rate: now.learning_rate,
            smoothing: self.alpha,
            epsilon: self.epsilon,
            momentum: self.momentum,
            weight_decay: now.decay,
            gradient: now.gradient,
        };
        if let [squares, velocity @ ..] = slots {
            rmsprop(w, g, squares, velocity.first_mut().map(Vec::as_mut_slice), &step);
        }
    }
}

/// The rule of [`AdaGrad`](super::AdaGrad).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaGradRule {
    epsilon: f32,
}

impl Descent<AdaGradRule> {
    /// With ε = 1e-10.
    pub fn new(learning_rate: f32) -> Self {
        Descent::of(AdaGradRule { epsilon: 1e-10 }, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// What is added to the root of the sum of squares.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.rule.epsilon = epsilon;
        self
    }
}

impl Rule for AdaGradRule {
    const NAME: &'static str = "AdaGrad";

    fn slots(&self) -> usize {
        1
    }

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], now: &Now) {
        let step = AdagradStep {
            learning_rate: now.learning_rate,
            epsilon: self.epsilon,
            weight_decay: now.decay,
            gradient: now.gradient,
        };
        if let [squares] = slots {
            adagrad(w, g, squares, &step);
        }
    }
}
