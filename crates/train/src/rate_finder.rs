//! The search for a learning rate.

use crate::{BatchSource, Error, Optimizer, Result};
use ocelli_graph::{Model, Node, Trace};
use serde::{Deserialize, Serialize};

/// Finds a learning rate by training a copy of a model for some batches while the rate grows exponentially (Smith 2017,
/// section 3.3: the range test).
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let network = |x: &ocelli_graph::Node| x * x.trace().parameter("w", [2], Constant(1.0));
/// # let batches = vec![Batch::new().with("input", Tensor::full([4, 2], 1.0))];
/// use ocelli_train::{RateFinder, Sgd};
/// let model = Model::build(network, [2], 42)?;
/// let curve = RateFinder::new(1e-4, 10.0).run(&model, |t| t.output().square().mean(), &mut Sgd::new(1.0), &batches)?;
/// let rate = curve.suggestion().expect("the loss falls somewhere");
/// assert!(rate > 1e-4 && rate < 10.0);
/// # Ok::<(), ocelli_train::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateFinder {
    first: f32,
    last: f32,
    steps: usize,
}

/// The loss by learning rate, as [`RateFinder::run`] measured it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RateCurve {
    /// Learning rate and smoothed loss of each step. The curve ends where the loss is four times the lowest or not finite.
    pub points: Vec<(f32, f32)>,
}

/// The weight of all losses before in the smoothed one.
const SMOOTHING: f32 = 0.9;

impl RateFinder {
    /// Creates a search from one learning rate to another in 100 steps.
    pub fn new(first: f32, last: f32) -> RateFinder {
        RateFinder { first, last, steps: 100 }
    }

    /// Sets the number of steps.
    pub fn steps(self, steps: usize) -> RateFinder {
        RateFinder { steps: steps.max(2), ..self }
    }

    /// Trains a copy of the model and returns the curve. `optimizer` must be new, with any learning rate but 0; it is spent
    /// afterwards.
    ///
    /// # Errors
    /// The error of model, data or optimiser with its batch; [`Error::Setting`] if there are no batches, or the rates are not
    /// positive and ascending.
    pub fn run(
        &self,
        model: &Model,
        loss: impl Fn(&Trace) -> Node,
        optimizer: &mut dyn Optimizer,
        source: &(impl BatchSource + ?Sized),
    ) -> Result<RateCurve> {
        let RateFinder { first, last, steps } = *self;
        optimizer.set_rate_factor(1.0);
        let unit = optimizer.learning_rate();
        if !(first > 0.0 && last > first && last.is_finite() && unit > 0.0) {
            return Err(Error::Setting(format!("no learning rates to try from {first} to {last}")));
        }
        if source.batches() == 0 {
            return Err(Error::Setting("there are no batches to find a learning rate with".into()));
        }
        let mut model = model.clone();
        let mut objective = model.objective(loss)?;
        let mut curve = RateCurve::default();
        let (mut smoothed, mut lowest) = (0.0, f32::INFINITY);
        let epochs = 0..steps.div_ceil(source.batches()) as u64;
        for (step, batch) in epochs.flat_map(|epoch| source.epoch_from(epoch, 0)).take(steps).enumerate() {
            let rate = first * (last / first).powf(step as f32 / (steps - 1) as f32);
            optimizer.set_rate_factor(rate / unit);
            let batch = batch.map_err(|error| error.at(|| format!("step {}", step + 1)))?;
            let result = match objective.step(&mut model, &batch) {
                // the rate was too large: that is what the search wants to know
                Err(ocelli_graph::Error::Diverged { .. } | ocelli_graph::Error::BrokenUpdate { .. }) => break,
                other => other?,
            };
            // a mean of exponentially falling weights, which add up to one from the first step on
            smoothed = SMOOTHING * smoothed + (1.0 - SMOOTHING) * result.loss();
            let loss = smoothed / (1.0 - SMOOTHING.powi(step as i32 + 1));
            if !loss.is_finite() || loss > 4.0 * lowest {
                break;
            }
            lowest = lowest.min(loss);
            curve.points.push((rate, loss));
            optimizer.step(&mut model, &result)?;
        }
        Ok(curve)
    }
}

impl RateCurve {
    /// Returns a tenth of the rate at which the loss was lowest, but no less than the one at which it fell fastest: a rate
    /// to begin with. `None` if the loss fell nowhere.
    pub fn suggestion(&self) -> Option<f32> {
        let lowest = self.points.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let falls = self.points.windows(2).map(|pair| (pair[0].0, pair[1].1 - pair[0].1));
        let steepest = falls.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, fall)| *fall < 0.0)?;
        Some(steepest.0.max(lowest.0 / 10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sgd;
    use ocelli_graph::{Batch, Constant, Tensor};

    fn curve(finder: RateFinder) -> Result<RateCurve> {
        let network = |x: &Node| x * x.trace().parameter("w", [2], Constant(1.0));
        let model = Model::build(network, [2], 42).unwrap();
        let batches = vec![Batch::new().with("input", Tensor::full([4, 2], 1.0)); 3];
        let curve = finder.run(&model, |t| t.output().square().mean(), &mut Sgd::new(0.5), &batches);
        assert_eq!(model.parameters().value("w").unwrap().data(), [1.0; 2]);
        curve
    }

    /// The cost is w², whose slope is w for each of two: a rate of 2 and more makes it grow.
    #[test]
    fn the_curve_falls_and_ends_where_it_explodes() {
        let curve = curve(RateFinder::new(1e-3, 100.0)).unwrap();
        let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
        assert_eq!(first, (1e-3, 1.0));
        assert!(last.0 > 1.0 && last.0 < 50.0, "{last:?}");
        let rate = curve.suggestion().unwrap();
        assert!((0.01..2.0).contains(&rate), "{rate}");
    }

    #[test]
    fn mistakes_are_sentences() {
        let error = curve(RateFinder::new(1.0, 0.1)).unwrap_err().to_string();
        assert_eq!(error, "no learning rates to try from 1 to 0.1");
        assert_eq!(RateCurve::default().suggestion(), None);
        assert_eq!(RateCurve { points: vec![(0.1, 1.0), (0.2, 2.0)] }.suggestion(), None);
    }
}
