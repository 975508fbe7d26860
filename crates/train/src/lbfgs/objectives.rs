//! L-BFGS over the parameters of a model and over an input.

use super::{Lbfgs, LbfgsOutcome, LbfgsStep};
use crate::{Error, Result};
use ocelli_graph::{Batch, Model, Objective, Step, Tensor};

impl Lbfgs {
    /// Takes one step over all parameters that the objective has gradients for, for the cost of one batch, which must be
    /// the same at each step. Running statistics are not updated; make the objective in
    /// [`Mode::Infer`](ocelli_graph::Mode::Infer) to use those that there are.
    ///
    /// # Errors
    /// The errors of [`Objective::evaluate`]. The parameters are unchanged then.
    pub fn step_parameters(
        &mut self,
        model: &mut Model,
        objective: &mut Objective,
        batch: &Batch,
    ) -> Result<LbfgsStep> {
        let parameters = model.parameters();
        let trained = |path: &&str| parameters.get(path).is_some();
        let paths: Vec<String> = objective.gradient_names().filter(trained).map(str::to_string).collect();
        let mut x: Vec<f32> = Vec::new();
        paths.iter().filter_map(|path| parameters.value(path)).for_each(|value| x.extend(value.data()));
        let before = x.clone();
        let outcome = self.step(&mut x, |x, gradient| {
            set_parameters(model, &paths, x);
            let step = match objective.evaluate(model, batch) {
                Ok(step) => step,
                Err(error) => return too_far(error, x == before),
            };
            let mut at = 0;
            for path in &paths {
                let part = step.gradient(path).unwrap_or_default();
                gradient[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            Ok(f64::from(step.loss()))
        });
        set_parameters(model, &paths, if outcome.is_ok() { &x } else { &before });
        outcome
    }

    /// Takes one step over the input called `name` of a batch, for which the objective was made with
    /// [`Wrt::Values`](ocelli_graph::Wrt): an image to be optimised. `read` takes from every evaluation whatever is of
    /// interest there, such as the parts of the cost; its answer for the input where the step ended is returned, `None`
    /// if the step moved nowhere.
    ///
    /// ```
    /// use ocelli_graph::{Batch, Mode, Model, Tensor, Wrt};
    /// use ocelli_train::Lbfgs;
    /// let model = Model::build(|x| (x - 3.0).square(), [2], 0)?;
    /// let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), |t| t.output().sum())?;
    /// let mut x = Tensor::zeros([1, 2]);
    /// let mut lbfgs = Lbfgs::new();
    /// for _ in 0..5 {
    ///     let x = ("input", &mut x);
    ///     let (step, loss) = lbfgs.step_input(&model, &mut objective, &Batch::new(), x, |evaluation| evaluation.loss())?;
    ///     assert!(loss.is_none_or(|loss| f64::from(loss) == step.after));
    /// }
    /// assert!(x.data().iter().all(|x| (x - 3.0).abs() < 1e-3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Objective::evaluate`]; [`Error::Setting`] if the objective has no gradient for the input. The
    /// input is unchanged then.
    pub fn step_input<T>(
        &mut self,
        model: &Model,
        objective: &mut Objective,
        others: &Batch,
        (name, value): (&str, &mut Tensor),
        mut read: impl FnMut(&Step<'_>) -> T,
    ) -> Result<(LbfgsStep, Option<T>)> {
        let mut x = value.data().to_vec();
        let (before, mut trial) = (x.clone(), value.clone());
        let mut readings: Vec<(f64, T)> = Vec::new();
        let step = self.step(&mut x, |x, gradient| {
            trial.data_mut().copy_from_slice(x);
            let step = match objective.evaluate(model, &others.clone().with(name, &trial)) {
                Ok(step) => step,
                Err(error) => return too_far(error, x == before),
            };
            let Some(found) = step.gradient(name) else {
                return Err(Error::Setting(format!("the objective has no gradient for \"{name}\"")));
            };
            gradient.copy_from_slice(found);
            let cost = f64::from(step.loss());
            readings.push((cost, read(&step)));
            Ok(cost)
        })?;
        value.data_mut().copy_from_slice(&x);
        let ended = |(cost, _): &(f64, T)| step.outcome == LbfgsOutcome::Moved && *cost == step.after;
        let reading = readings.into_iter().rev().find(ended).map(|(_, reading)| reading);
        Ok((step, reading))
    }
}

/// Returns an infinite cost for one that is not finite, which is an error where the step begins.
fn too_far(error: ocelli_graph::Error, begins: bool) -> Result<f64> {
    match error {
        ocelli_graph::Error::Diverged { .. } | ocelli_graph::Error::BrokenUpdate { .. } if !begins => Ok(f64::INFINITY),
        error => Err(error.into()),
    }
}

fn set_parameters(model: &mut Model, paths: &[String], mut x: &[f32]) {
    let parameters = model.parameters_mut();
    for path in paths {
        let Some(value) = parameters.value_mut(path) else { continue };
        let (here, rest) = x.split_at(value.len());
        value.data_mut().copy_from_slice(here);
        x = rest;
    }
}
