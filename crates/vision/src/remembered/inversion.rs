//! Feature inversion: an image that a layer cannot tell from another.

use crate::{
    Error, Result,
    spatial::{find, image_input},
};
use ocelli_graph::{Batch, Key, Mode, Model, Step, Tensor, Wrt};
use ocelli_losses::{Variation, total_variation};
use ocelli_train::{Lbfgs, StopFlag};

/// The name of the input that holds the activation to be met.
const TARGET: &str = "inversion.target";
/// The name of the distance from it.
const DISTANCE: &str = "inversion.distance";

/// An image that was found from an activation.
#[derive(Clone, Debug)]
pub struct Inversion {
    /// The image `[1, H, W, C]`, in the units of the network's input.
    pub image: Tensor,
    /// The squared distance of its activation from the target, as a share of the target's own square, before the first step and
    /// after each. There are fewer steps than were asked for if the last one found no better image.
    pub distances: Vec<f64>,
}

/// The settings of a feature inversion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InversionSettings {
    /// Number of steps of L-BFGS.
    pub steps: usize,
    /// The weight of the mean squared difference of neighbouring pixels, in units of `deviation`.
    pub variation: f32,
    /// The weight of the mean squared pixel, in units of `deviation`.
    pub energy: f32,
    /// The usual deviation of the values that the network reads: 1 for standardised images.
    pub deviation: f32,
    /// Seed of the noise to start from.
    pub seed: u64,
}

impl Default for InversionSettings {
    fn default() -> InversionSettings {
        InversionSettings { steps: 100, variation: 1e-3, energy: 1e-5, deviation: 1.0, seed: 0 }
    }
}

/// Finds an image whose activation at `layer` is that of a given image `[1, H, W, C]` (Mahendran and Vedaldi 2015, eq. 1 to 5,
/// with squares in both regularisers): what differs from the given image is what the layer forgot.
///
/// ```
/// use ocelli_graph::{Key, Model, Tensor};
/// use ocelli_models::LeNet5;
/// use ocelli_train::StopFlag;
/// use ocelli_vision::remembered::{InversionSettings, invert};
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
/// let image = Tensor::uniform([1, 32, 32, 1], Key::new(1));
/// let settings = InversionSettings { steps: 10, ..InversionSettings::default() };
/// let inversion = invert(&model, "c1", &image, &settings, &StopFlag::new())?;
/// assert!(inversion.distances[10] < inversion.distances[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a layer that is no spatial activation or is 0 everywhere for the image, [`Error::Graph`] for an image
/// of another shape.
pub fn invert(
    model: &Model,
    layer: &str,
    image: &Tensor,
    settings: &InversionSettings,
    stop: &StopFlag,
) -> Result<Inversion> {
    let (input, [height, width, channels]) = image_input(model)?;
    let shape = find(model, layer)?.shape;
    let target = model.run(&Batch::new().with(&input, image), &[layer])?.swap_remove(0);
    let square: f64 = target.data().iter().map(|value| f64::from(*value).powi(2)).sum();
    if square == 0.0 {
        return Err(Error::Invalid(format!("{layer} is 0 everywhere for this image: there is nothing to find")));
    }
    if !(settings.deviation > 0.0 && settings.deviation.is_finite()) {
        return Err(Error::Invalid("the deviation of what the network reads is a number above 0".into()));
    }
    let unit = 1.0 / settings.deviation.powi(2);
    let objective = model.objective_of(Mode::Infer, Wrt::Values(&[&input]), |t| {
        let x = t.tap(&input);
        let pixels = x.shape().len(1).max(1) as f32;
        let distance = ((t.tap(layer) - t.input(TARGET, shape)).square().sum() * (1.0 / square as f32)).named(DISTANCE);
        let variation = total_variation(&x, Variation::Squared) * (settings.variation * unit / pixels);
        distance + variation + x.square().mean() * (settings.energy * unit)
    })?;
    let mut objective = objective.watching(&[DISTANCE])?;
    let batch = Batch::new().with(TARGET, &target);
    let mut stream = Key::new(settings.seed).with("inversion").stream();
    let mut found = Tensor::try_zeros([1, height, width, channels])?;
    found.data_mut().iter_mut().for_each(|value| *value = 0.1 * settings.deviation * stream.normal());
    let mut lbfgs = Lbfgs::new();
    let distance = |step: &Step<'_>| {
        step.activation(DISTANCE).and_then(|distance| distance.first().copied()).map_or(f64::NAN, f64::from)
    };
    let mut distances = vec![distance(&objective.evaluate(model, &batch.clone().with(&input, &found))?)];
    for _ in 0..settings.steps {
        if stop.is_set() {
            break;
        }
        let (_, reached) = lbfgs.step_input(model, &mut objective, &batch, (&input, &mut found), distance)?;
        let Some(reached) = reached else { break };
        distances.push(reached);
    }
    Ok(Inversion { image: found, distances })
}
