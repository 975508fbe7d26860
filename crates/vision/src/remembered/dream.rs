//! Dreams: an image in which a layer sees more of what it sees already.

use super::rolled;
use crate::{
    Error, Result, resize,
    spatial::{find, image_input},
};
use ocelli_graph::{Batch, Key, Mode, Model, Tensor, Wrt};
use ocelli_train::StopFlag;

/// The settings of a dream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dream {
    /// Number of steps.
    pub steps: usize,
    /// The root of the mean square of a step at each scale, in the units of the network's input.
    pub rate: f32,
    /// Largest number of pixels by which the image is shifted at random before a step.
    pub jitter: usize,
    /// Number of scales, each half as fine as the one before, whose parts of the gradient get the same size.
    pub scales: usize,
    /// Seed of the shifts.
    pub seed: u64,
}

impl Default for Dream {
    fn default() -> Dream {
        Dream { steps: 40, rate: 0.02, jitter: 16, scales: 3, seed: 0 }
    }
}

/// Changes an image `[1, H, W, C]`, in the units of the network's input, so that the mean square of the activation at `layer`
/// grows (Mordvintsev, Olah and Tyka 2015, *Inceptionism*). Coarse and fine parts of the gradient are scaled to one size.
///
/// # Errors
/// [`Error::Invalid`] for a layer that is no spatial activation and no scales, [`Error::Graph`] for an image of another shape.
pub fn dream(model: &Model, layer: &str, image: &Tensor, settings: &Dream, stop: &StopFlag) -> Result<Tensor> {
    let (input, [height, width, _]) = image_input(model)?;
    find(model, layer)?;
    if settings.scales == 0 {
        return Err(Error::Invalid("a dream has at least one scale".into()));
    }
    let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&[&input]), |t| t.tap(layer).square().mean())?;
    let (mut image, mut stream) = (image.clone(), Key::new(settings.seed).with("dream").stream());
    for _ in 0..settings.steps {
        if stop.is_set() {
            break;
        }
        let shift = [height, width].map(|side| stream.below((settings.jitter + 1).min(side)));
        let step = objective.evaluate(model, &Batch::new().with(&input, rolled(&image, shift)))?;
        let gradient = step.gradient_tensor(&input)?;
        let gradient = rolled(&gradient, [height - shift[0], width - shift[1]]);
        for part in parts(&gradient, settings.scales)? {
            let square: f64 = part.data().iter().map(|value| f64::from(*value).powi(2)).sum();
            let size = (square / part.len() as f64).sqrt() as f32;
            if size > 0.0 {
                let factor = settings.rate / size;
                image.data_mut().iter_mut().zip(part.data()).for_each(|(x, g)| *x += factor * g);
            }
        }
    }
    Ok(image)
}

/// Splits an image into what is left at each scale when the coarser ones are taken away; they sum to the image.
fn parts(image: &Tensor, scales: usize) -> Result<Vec<Tensor>> {
    let [height, width] = [image.shape()[1], image.shape()[2]];
    let (mut parts, mut rest) = (Vec::new(), image.clone());
    for scale in 1..scales.min(16) {
        let size = [height, width].map(|side| (side >> scale).max(1));
        let coarse = resize(&resize(&rest, size)?, [height, width])?;
        rest.data_mut().iter_mut().zip(coarse.data()).for_each(|(fine, coarse)| *fine -= coarse);
        parts.push(rest);
        rest = coarse;
    }
    parts.push(rest);
    Ok(parts)
}
