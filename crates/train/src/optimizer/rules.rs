//! The rules of the optimisers, each a thin layer over a kernel.

use super::{Descent, Rule, UpdateSettings, WeightDecay};
use ocelli_kernels::optimizer::{AdagradStep, AdamStep, Momentum, RmsPropStep, SgdStep, adagrad, adam, rmsprop, sgd};

/// The rule of [`Sgd`](super::Sgd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdRule {
    momentum: f32,
    form: Momentum,
}

impl Descent<SgdRule> {
    /// Creates gradient descent without momentum.
    pub fn new(learning_rate: f32) -> Self {
        Descent::from_rule(
            SgdRule { momentum: 0.0, form: Momentum::Classical },
            learning_rate,
            WeightDecay::Coupled(0.0),
        )
    }

    /// Sets the share of itself that the velocity keeps at each step.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.rule.momentum = momentum;
        self
    }

    /// Sets how the velocity is used; [`Momentum::Classical`] by default.
    pub fn form(mut self, form: Momentum) -> Self {
        self.rule.form = form;
        self
    }

    /// Uses Nesterov's momentum: the gradient at the point to which the velocity leads (Sutskever et al. 2013).
    pub fn nesterov(self) -> Self {
        self.form(Momentum::Nesterov)
    }
}

impl Rule for SgdRule {
    const NAME: &'static str = "Sgd";

    fn slots(&self) -> usize {
        usize::from(self.momentum != 0.0)
    }

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], settings: &UpdateSettings) {
        let step = SgdStep {
            learning_rate: settings.learning_rate,
            momentum: self.momentum,
            rule: self.form,
            weight_decay: settings.decay,
            gradient: settings.gradient,
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
    /// Creates Adam with β₁ = 0.9, β₂ = 0.999 and ε = 1e-8.
    pub fn new(learning_rate: f32) -> Self {
        Descent::from_rule(ADAM, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// Sets the shares of themselves that the two moments keep at each step.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.rule.beta1, self.rule.beta2) = (beta1, beta2);
        self
    }

    /// Sets ε, which is added to the root of the second moment.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.rule.epsilon = epsilon;
        self
    }
}

impl Descent<AdamWRule> {
    /// Creates AdamW with β₁ = 0.9, β₂ = 0.999, ε = 1e-8 and a weight decay of 0.01.
    pub fn new(learning_rate: f32) -> Self {
        Descent::from_rule(AdamWRule(ADAM), learning_rate, WeightDecay::Decoupled(0.01))
    }

    /// Sets the shares of themselves that the two moments keep at each step.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        (self.rule.0.beta1, self.rule.0.beta2) = (beta1, beta2);
        self
    }

    /// Sets ε, which is added to the root of the second moment.
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

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], settings: &UpdateSettings) {
        // In f64: 1 − 0.999ᵗ loses digits for small t.
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(settings.step as f64)) as f32;
        let step = AdamStep {
            learning_rate: settings.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            bias_correction1: correction(self.beta1),
            bias_correction2: correction(self.beta2),
            weight_decay: settings.decay,
            gradient: settings.gradient,
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

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], settings: &UpdateSettings) {
        self.0.update(w, g, slots, settings);
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
    /// Creates RMSprop with α = 0.99, ε = 1e-8 and no momentum.
    pub fn new(learning_rate: f32) -> Self {
        let rule = RmsPropRule { alpha: 0.99, epsilon: 1e-8, momentum: 0.0 };
        Descent::from_rule(rule, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// Sets α, the share of itself that the mean of squares keeps at each step.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.rule.alpha = alpha;
        self
    }

    /// Sets ε, which is added to the root of the mean of squares.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.rule.epsilon = epsilon;
        self
    }

    /// Sets the momentum of the scaled gradient.
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

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], settings: &UpdateSettings) {
        let step = RmsPropStep {
            learning_rate: settings.learning_rate,
            smoothing: self.alpha,
            epsilon: self.epsilon,
            momentum: self.momentum,
            weight_decay: settings.decay,
            gradient: settings.gradient,
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
    /// Creates AdaGrad with ε = 1e-10.
    pub fn new(learning_rate: f32) -> Self {
        Descent::from_rule(AdaGradRule { epsilon: 1e-10 }, learning_rate, WeightDecay::Coupled(0.0))
    }

    /// Sets ε, which is added to the root of the sum of squares.
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

    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], settings: &UpdateSettings) {
        let step = AdagradStep {
            learning_rate: settings.learning_rate,
            epsilon: self.epsilon,
            weight_decay: settings.decay,
            gradient: settings.gradient,
        };
        if let [squares] = slots {
            adagrad(w, g, squares, &step);
        }
    }
}
