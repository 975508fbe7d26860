//! Optimisers: what they all share around the rule for one parameter.

mod rules;

use crate::{Error, Result, pattern::matches};
use ocelli_graph::{Model, Parameters, Step};
use ocelli_kernels::{
    finite::first_non_finite,
    optimizer::{GradientTransform, sum_of_squares},
};
pub use rules::{AdaGradRule, AdamRule, AdamWRule, RmsPropRule, SgdRule};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Debug};

pub use ocelli_kernels::optimizer::WeightDecay;

/// A source of gradients by the paths of their parameters: a [`Step`], or [`AccumulatedGradients`](crate::AccumulatedGradients).
pub trait Gradients {
    /// Calls `f` with every path and gradient, always in the same order.
    fn each(&self, f: &mut dyn FnMut(&str, &[f32]));

    /// Returns the factor by which every gradient is still to be multiplied.
    fn scale(&self) -> f32 {
        1.0
    }

    /// Returns the number of samples that the gradients are the mean over. It is their weight in
    /// [`AccumulatedGradients`](crate::AccumulatedGradients).
    fn samples(&self) -> usize {
        1
    }

    /// Returns the path and the value of the first element that is NaN or infinite.
    fn first_non_finite(&self) -> Option<(String, f32)> {
        let mut found = None;
        self.each(&mut |path, gradient| {
            if found.is_none() {
                found = first_non_finite(gradient).map(|at| (path.to_string(), gradient[at]));
            }
        });
        found
    }
}

impl Gradients for Step<'_> {
    fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
        self.gradients().for_each(|(path, gradient)| f(path, gradient));
    }

    fn samples(&self) -> usize {
        self.batch()
    }

    /// Returns `None`: the objective refuses such gradients before it returns a step.
    fn first_non_finite(&self) -> Option<(String, f32)> {
        None
    }
}

/// A bound on gradients, also called gradient clipping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Clip {
    /// Every element is clamped to at most this magnitude.
    Value(f32),
    /// The gradients together are scaled down to this Euclidean norm if theirs is larger (Pascanu et al. 2013).
    Norm(f32),
}

/// A group of parameters, by a pattern of their paths, with settings of its own.
///
/// ```
/// use ocelli_train::{Group, Sgd, WeightDecay};
/// let sgd = Sgd::new(0.1).weight_decay(5e-4).group(Group::new("*.bias").rate(2.0).weight_decay(WeightDecay::Coupled(0.0)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pattern: String,
    rate: f32,
    decay: Option<WeightDecay>,
}

impl Group {
    /// Creates the group of parameters whose paths match; `*` stands for any characters: `*.bias`, `features.*`.
    pub fn new(pattern: impl Into<String>) -> Group {
        Group { pattern: pattern.into(), rate: 1.0, decay: None }
    }

    /// Sets the factor by which their learning rate is multiplied.
    pub fn rate(mut self, factor: f32) -> Group {
        self.rate = factor;
        self
    }

    /// Sets their weight decay.
    pub fn weight_decay(mut self, decay: WeightDecay) -> Group {
        self.decay = Some(decay);
        self
    }
}

/// The state of an optimiser, as checkpoints hold it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OptimizerState {
    /// The name of the optimiser that it belongs to.
    pub kind: String,
    /// The number of steps taken.
    pub steps: u64,
    /// The vectors for each parameter by its path, each as long as the parameter.
    pub slots: BTreeMap<String, Vec<Vec<f32>>>,
}

/// An optimiser: changes the parameters of a model by their gradients.
pub trait Optimizer {
    /// Takes one step. Frozen parameters and running statistics stay as they are; after an error everything does.
    ///
    /// # Errors
    /// [`Error::Gradient`] or [`Error::State`] if gradients or state are not those of the model, [`Error::NonFiniteGradient`] if
    /// they are not finite, [`Error::Exploded`] if there is no norm to clip to, [`Error::Setting`] for a [`Group`] without
    /// parameters, a learning rate that is not finite, and a step without a gradient for a parameter that is not frozen.
    fn step(&mut self, model: &mut Model, gradients: &dyn Gradients) -> Result<()>;

    /// Sets the factor by which the initial learning rate is multiplied, as a schedule decides it.
    fn set_rate_factor(&mut self, factor: f32);

    /// Returns the current learning rate.
    fn learning_rate(&self) -> f32;

    /// Returns the state.
    fn state(&self) -> &OptimizerState;

    /// Continues from the state of an optimiser of the same kind.
    ///
    /// # Errors
    /// [`Error::Setting`] for the state of another kind.
    fn set_state(&mut self, state: OptimizerState) -> Result<()>;

    /// Describes the settings in a line. A run is resumed only with an optimiser of the same description.
    fn describe(&self) -> String;
}

/// The rule by which one parameter changes.
pub trait Rule: Debug {
    /// The optimiser's name. State is only restored into an optimiser of the same name.
    const NAME: &'static str;

    /// Returns the number of state vectors for each parameter.
    fn slots(&self) -> usize;

    /// Updates the weights `w` of one parameter by their gradients `g` in one pass over memory. `slots` are its state vectors.
    fn update(&self, w: &mut [f32], g: &[f32], slots: &mut [Vec<f32>], settings: &UpdateSettings);
}

/// The settings of one update, which the optimiser passes to its [`Rule`].
#[derive(Clone, Copy, Debug)]
pub struct UpdateSettings {
    /// The learning rate of this parameter at this step.
    pub learning_rate: f32,
    /// Its weight decay.
    pub decay: WeightDecay,
    /// The transformation of the gradient before the rule applies.
    pub gradient: GradientTransform,
    /// The number of this step, from 1.
    pub step: u64,
}

/// An optimiser made of a [`Rule`] with learning rate, weight decay, groups and clipping; see [`Sgd`], [`Adam`], [`AdamW`],
/// [`RmsProp`] and [`AdaGrad`].
#[derive(Clone, Debug)]
pub struct Descent<R> {
    rule: R,
    learning_rate: f32,
    rate_factor: f32,
    decay: WeightDecay,
    groups: Vec<Group>,
    clip: Option<Clip>,
    state: OptimizerState,
}

/// Gradient descent with momentum: `v = m·v + g; w -= r·v`.
pub type Sgd = Descent<SgdRule>;
/// Adam (Kingma and Ba 2015); weight decay is added to the gradient.
pub type Adam = Descent<AdamRule>;
/// Adam with weight decay beside the gradient (Loshchilov and Hutter 2019).
pub type AdamW = Descent<AdamWRule>;
/// RMSprop (Tieleman and Hinton 2012).
pub type RmsProp = Descent<RmsPropRule>;
/// AdaGrad (Duchi et al. 2011).
pub type AdaGrad = Descent<AdaGradRule>;

impl<R: Rule> Descent<R> {
    /// Creates an optimiser from any rule.
    pub fn from_rule(rule: R, learning_rate: f32, decay: WeightDecay) -> Descent<R> {
        Descent {
            rule,
            learning_rate,
            rate_factor: 1.0,
            decay,
            groups: Vec::new(),
            clip: None,
            state: OptimizerState { kind: R::NAME.into(), ..OptimizerState::default() },
        }
    }

    /// Sets the weight decay in this optimiser's convention: added to the gradient (L2) unless it is AdamW.
    pub fn weight_decay(mut self, strength: f32) -> Descent<R> {
        self.decay = match self.decay {
            WeightDecay::None | WeightDecay::Coupled(_) => WeightDecay::Coupled(strength),
            WeightDecay::Decoupled(_) => WeightDecay::Decoupled(strength),
        };
        self
    }

    /// Sets the weight decay in the convention of one's choice.
    pub fn decay(mut self, decay: WeightDecay) -> Descent<R> {
        self.decay = decay;
        self
    }

    /// Adds a group of parameters with settings of its own. The last group that matches counts.
    pub fn group(mut self, group: Group) -> Descent<R> {
        self.groups.push(group);
        self
    }

    /// Sets a bound on gradients.
    pub fn clip(mut self, clip: Clip) -> Descent<R> {
        self.clip = Some(clip);
        self
    }

    /// Returns the size of the state in bytes.
    pub fn state_bytes(&self) -> usize {
        self.state.slots.values().flatten().map(Vec::len).sum::<usize>() * size_of::<f32>()
    }

    /// Refuses groups without parameters: a misspelt pattern would go unnoticed for a whole training.
    fn check_groups(&self, model: &Model) -> Result<()> {
        let paths = || model.parameters().iter().map(|(parameter, _)| parameter.path.as_str());
        match self.groups.iter().find(|group| !paths().any(|path| matches(&group.pattern, path))) {
            None => Ok(()),
            Some(Group { pattern, .. }) => {
                let known = paths().collect::<Vec<_>>().join(", ");
                Err(Error::Setting(format!("no parameter matches \"{pattern}\"; there are: {known}")))
            }
        }
    }

    /// Returns the settings for one parameter at step `number`.
    fn settings(&self, path: &str, gradient: GradientTransform, number: u64) -> UpdateSettings {
        let group = self.groups.iter().rev().find(|group| matches(&group.pattern, path));
        UpdateSettings {
            learning_rate: self.learning_rate * self.rate_factor * group.map_or(1.0, |group| group.rate),
            decay: group.and_then(|group| group.decay).unwrap_or(self.decay),
            gradient,
            step: number,
        }
    }

    /// Checks everything that a step can be refused for, before anything is changed.
    fn check(&self, parameters: &Parameters, gradients: &dyn Gradients) -> Result<()> {
        if let Some((path, value)) = gradients.first_non_finite() {
            return Err(Error::NonFiniteGradient { path, value });
        }
        let (mut outcome, mut trained) = (Ok(()), 0);
        gradients.each(&mut |path, gradient| {
            trained += usize::from(is_trained(parameters, path));
            if outcome.is_ok() {
                outcome = self.check_one(parameters, path, gradient);
            }
        });
        outcome?;
        // Cleared sums have no samples, and change nothing on purpose.
        if trained == 0 && gradients.samples() > 0 {
            return Err(Error::nothing_to_train());
        }
        Ok(())
    }

    fn check_one(&self, parameters: &Parameters, path: &str, gradient: &[f32]) -> Result<()> {
        let expected = parameters.value(path).map_or(0, |value| value.len());
        if expected != gradient.len() {
            return Err(Error::Gradient { path: path.into(), expected, got: gradient.len() });
        }
        if let Some(slots) = self.state.slots.get(path) {
            let wrong = slots.iter().map(Vec::len).find(|len| *len != expected);
            if wrong.is_some() || slots.len() != self.rule.slots() {
                let got = wrong.or(slots.first().map(Vec::len)).unwrap_or(0);
                return Err(Error::State { path: path.into(), expected, got });
            }
        }
        let rate = self.settings(path, GradientTransform::default(), 0).learning_rate;
        if !rate.is_finite() {
            return Err(Error::Setting(format!("the learning rate for {path} is {rate}")));
        }
        Ok(())
    }

    /// Returns the transformation of every gradient of this step.
    fn transform(&self, parameters: &Parameters, gradients: &dyn Gradients) -> Result<GradientTransform> {
        let scale = gradients.scale();
        match self.clip {
            None => Ok(GradientTransform { scale, ..GradientTransform::default() }),
            Some(Clip::Value(limit)) => Ok(GradientTransform { scale, limit }),
            Some(Clip::Norm(limit)) => {
                let (mut squares, mut broken) = (0.0, None);
                gradients.each(&mut |path, gradient| {
                    if !is_trained(parameters, path) {
                        return;
                    }
                    let sum = sum_of_squares(gradient);
                    squares += sum;
                    if !sum.is_finite() && broken.is_none() {
                        broken = Some(path.to_string());
                    }
                });
                if let Some(path) = broken {
                    return Err(Error::Exploded { path });
                }
                // As PyTorch's `clip_grad_norm_` does.
                let norm = squares.sqrt() * f64::from(scale.abs());
                let factor = (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32;
                Ok(GradientTransform { scale: scale * factor, ..GradientTransform::default() })
            }
        }
    }
}

fn is_trained(parameters: &Parameters, path: &str) -> bool {
    parameters.get(path).is_some_and(ocelli_graph::Parameter::is_trained)
}

impl<R: Rule> Optimizer for Descent<R> {
    fn step(&mut self, model: &mut Model, gradients: &dyn Gradients) -> Result<()> {
        if self.state.steps == 0 {
            self.check_groups(model)?;
        }
        self.check(model.parameters(), gradients)?;
        let transform = self.transform(model.parameters(), gradients)?;
        self.state.steps += 1;
        let parameters = model.parameters_mut();
        gradients.each(&mut |path, gradient| {
            if !is_trained(parameters, path) {
                return;
            }
            let settings = self.settings(path, transform, self.state.steps);
            let Some(value) = parameters.value_mut(path) else { return };
            if !self.state.slots.contains_key(path) {
                self.state.slots.insert(path.into(), vec![vec![0.0; gradient.len()]; self.rule.slots()]);
            }
            let slots = self.state.slots.get_mut(path).expect("it was just made");
            self.rule.update(value.data_mut(), gradient, slots, &settings);
        });
        Ok(())
    }

    fn set_rate_factor(&mut self, factor: f32) {
        self.rate_factor = factor;
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate * self.rate_factor
    }

    fn state(&self) -> &OptimizerState {
        &self.state
    }

    fn set_state(&mut self, state: OptimizerState) -> Result<()> {
        if state.kind != R::NAME {
            let (was, is) = (state.kind, R::NAME);
            return Err(Error::Setting(format!("the state of {was} cannot be restored into {is}")));
        }
        self.state = state;
        Ok(())
    }

    fn describe(&self) -> String {
        let Descent { rule, learning_rate, decay, groups, clip, .. } = self;
        let name = R::NAME;
        format!("{name} {rule:?}, learning rate {learning_rate}, decay {decay:?}, groups {groups:?}, clip {clip:?}")
    }
}

#[cfg(test)]
mod tests;
