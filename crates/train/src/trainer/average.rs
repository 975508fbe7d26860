//! An exponential moving average of the parameters.

use super::state::{Saved, snapshot};
use crate::Result;
use ocelli_graph::Model;
use ocelli_tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The moving average of every parameter and running statistic of a model: `a = d·a + (1 − d)·w` after each update, with
/// `d = min(decay, (1 + t) / (10 + t))` at update `t`, so that the first, random weights are soon forgotten.
#[derive(Clone, Debug)]
pub(super) struct Average {
    decay: f32,
    updates: u64,
    /// In the order of the model's parameters.
    values: Vec<Tensor>,
}

/// An average as a checkpoint holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedAverage {
    pub(super) updates: u64,
    pub(super) parameters: Vec<Saved>,
}

impl Average {
    pub(super) fn new(model: &Model, decay: f32) -> Average {
        let values = model.parameters().iter().map(|(_, value)| value.clone()).collect();
        Average { decay, updates: 0, values }
    }

    /// Continues the average of a checkpoint, whose parameters fit the model.
    pub(super) fn restore(model: &Model, decay: f32, saved: &SavedAverage, from: &str) -> Result<Average> {
        let mut averaged = model.clone();
        super::state::restore(&mut averaged, &saved.parameters, from)?;
        Ok(Average { updates: saved.updates, ..Average::new(&averaged, decay) })
    }

    /// Adds the parameters of a model after an update.
    pub(super) fn update(&mut self, model: &Model) {
        let t = self.updates as f32;
        let decay = self.decay.min((1.0 + t) / (10.0 + t));
        self.updates += 1;
        for (average, (_, value)) in self.values.iter_mut().zip(model.parameters().iter()) {
            for (a, w) in average.data_mut().iter_mut().zip(value.data()) {
                *a += (1.0 - decay) * (w - *a);
            }
        }
    }

    /// Exchanges the averages with the parameters of the model.
    pub(super) fn swap(&mut self, model: &mut Model) {
        for (average, (_, value)) in self.values.iter_mut().zip(model.parameters_mut().iter_mut()) {
            std::mem::swap(average, value);
        }
    }

    pub(super) fn saved(&self, model: &Model) -> SavedAverage {
        let mut parameters = snapshot(model);
        for (saved, average) in parameters.iter_mut().zip(&self.values) {
            saved.data.copy_from_slice(average.data());
        }
        SavedAverage { updates: self.updates, parameters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::Constant;

    #[test]
    fn averages_follow_and_come_back_from_a_checkpoint() {
        let network = |x: &ocelli_graph::Node| x * x.trace().parameter("w", [2], Constant(1.0));
        let mut model = Model::build(network, [2], 0).unwrap();
        let mut average = Average::new(&model, 0.9);
        model.parameters_mut().set("w", Tensor::full([2], 11.0)).unwrap();
        // (1 + 0) / (10 + 0)
        average.update(&model);
        assert_eq!(average.values[0].data(), [10.0; 2]);
        let mut restored = Average::restore(&model, 0.9, &average.saved(&model), "a test").unwrap();
        restored.update(&model);
        average.update(&model);
        assert_eq!((restored.values[0].data(), restored.updates), (average.values[0].data(), 2));
        average.swap(&mut model);
        assert_eq!(model.parameters().value("w").unwrap().data(), restored.values[0].data());
        assert_eq!(average.values[0].data(), [11.0; 2]);
    }
}
