//! The filters of the first layer as images.

use crate::{Error, Result};
use ocelli_graph::{Model, Tensor, ValueSource, ops::Conv2dOp};
use std::any::Any;

/// Returns the filters of the first convolution as images `[kernel_h, kernel_w, C]`, one for each output channel. C is 3 for
/// filters that see three channels, else 1, the mean over what they see. 0.5 stands for a weight of 0, and the largest
/// magnitude of each filter for 0 or 1.
///
/// # Errors
/// [`Error::Invalid`] if there is no convolution whose filters are parameters.
pub fn first_filters(model: &Model) -> Result<Vec<Tensor>> {
    let graph = model.graph();
    let weights = graph.calls.iter().find_map(|call| {
        let op: &dyn Any = &*call.op;
        let ValueSource::Parameter(path) = &graph.values[*call.inputs.get(1)?].source else { return None };
        op.is::<Conv2dOp>().then(|| model.parameters().value(path)).flatten()
    });
    let none = || Error::Invalid("the network has no convolution".into());
    let weights = weights.ok_or_else(none)?;
    let &[height, width, inputs, outputs] = weights.shape() else { return Err(none()) };
    let channels = if inputs == 3 { 3 } else { 1 };
    let filter = |output: usize| {
        let mut image = vec![0f32; height * width * channels];
        for (at, weights) in weights.data().chunks_exact(outputs).enumerate() {
            let (pixel, input) = (at / inputs, at % inputs);
            let channel = if channels == 3 { input } else { 0 };
            image[pixel * channels + channel] += weights[output] * channels as f32 / inputs as f32;
        }
        let largest = image.iter().fold(1e-12f32, |largest, weight| largest.max(weight.abs()));
        image.iter_mut().for_each(|weight| *weight = 0.5 + 0.5 * *weight / largest);
        Ok(Tensor::from_vec([height, width, channels], image)?)
    };
    (0..outputs).map(filter).collect()
}
