//! Activation maximisation: the image that excites a channel or a class most.

use super::{frequencies::Frequencies, rolled};
use crate::{
    Error, Result,
    moments::Moments,
    spatial::{find, image_input},
};
use ocelli_data::Pipeline;
use ocelli_graph::{Axis, BackwardRules, Batch, Key, Mode, Model, Objective, Tensor, Wrt};
use ocelli_losses::{Variation, total_variation};
use ocelli_train::StopFlag;

/// The activation that an image is to excite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The score of a class.
    Class(usize),
    /// The mean of a channel of a spatial activation.
    Channel {
        /// The name of the activation.
        layer: String,
        /// The channel.
        channel: usize,
    },
}

/// The parametrisation of the image: the numbers that gradient ascent changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Frequencies and decorrelated colours (Olah, Mordvintsev and Schubert 2017).
    Frequencies,
    /// The pixels, blurred after every so many steps (Yosinski et al. 2015); 0 for never.
    Pixels {
        /// Steps from one blur to the next.
        blur_every: usize,
    },
}

/// The settings of an activation maximisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Maximisation {
    /// Number of steps of Adam.
    pub steps: usize,
    /// The learning rate.
    pub rate: f32,
    /// Largest number of pixels by which the image is shifted at random before a step.
    pub jitter: usize,
    /// The weight of the mean squared difference of neighbouring pixels, which are from 0 to 1.
    pub variation: f32,
    /// The parametrisation of the image.
    pub basis: Basis,
    /// Seed of the first image and of the shifts.
    pub seed: u64,
}

impl Default for Maximisation {
    fn default() -> Maximisation {
        Maximisation { steps: 128, rate: 0.05, jitter: 4, variation: 1.0, basis: Basis::Frequencies, seed: 0 }
    }
}

/// The name of the activation that is to grow.
const ACTIVATION: &str = "maximisation.activation";

/// Finds an image that excites a channel or a class of a network (Erhan et al. 2009; Simonyan, Vedaldi and Zisserman 2013, eq.
/// 1), as `[H, W, C]` from 0 to 1, before it is normalised by the `pipeline` of the network. While the channel is silent, its
/// ReLUs pass on every gradient, because their own gradient of 0 leads nowhere. If `stop` is set, it returns the image so far.
///
/// ```
/// use ocelli_data::Pipeline;
/// use ocelli_graph::Model;
/// use ocelli_models::LeNet5;
/// use ocelli_train::StopFlag;
/// use ocelli_vision::remembered::{Goal, Maximisation, maximise};
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
/// let settings = Maximisation { steps: 8, ..Maximisation::default() };
/// let image = maximise(&model, &Pipeline::mnist([32, 32]), &Goal::Class(3), &settings, &StopFlag::new())?;
/// assert_eq!(image.shape(), [32, 32, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a class or channel that does not exist and a pipeline of other channels, [`Error::Graph`] if the network
/// cannot be run or its activation is not finite.
pub fn maximise(
    model: &Model,
    pipeline: &Pipeline,
    goal: &Goal,
    settings: &Maximisation,
    stop: &StopFlag,
) -> Result<Tensor> {
    let (input, sample) = image_input(model)?;
    let statistics = &pipeline.normalisation;
    let deviation = &statistics.deviation;
    if statistics.mean.len() != sample[2] || deviation.len() != sample[2] {
        return Err(Error::Invalid("the pipeline has other channels than the network".into()));
    }
    // the network reads pixels in other units
    let unit = deviation.iter().sum::<f32>() / deviation.len() as f32;
    let objective = |rules: &BackwardRules| objective(model, rules, &input, goal, settings.variation * unit * unit);
    let mut own = objective(&BackwardRules::new())?;
    let mut passing: Option<Objective> = None;
    let frequencies = Frequencies::new(sample, pipeline.channels);
    let mut stream = Key::new(settings.seed).with("maximisation").stream();
    let mut parameters: Vec<f32> = (0..frequencies.len()).map(|_| 0.01 * stream.normal()).collect();
    let mut moments = Moments::new([parameters.len()], [0.9, 0.999]);
    let [height, width, channels] = sample;
    // before the squashing function that keeps pixels between 0 and 1
    let raw = |parameters: &[f32]| match settings.basis {
        Basis::Frequencies => frequencies.image(parameters),
        Basis::Pixels { .. } => Ok(Tensor::from_vec([1, height, width, channels], parameters.to_vec())?),
    };
    for number in 1..=settings.steps {
        if stop.is_set() {
            break;
        }
        // the image, shifted, as the network reads it
        let pixels = squashed(raw(&parameters)?);
        let mut prepared = pixels.clone();
        statistics.normalise(prepared.data_mut());
        let shift = [height, width].map(|side| stream.below((2 * settings.jitter + 1).min(side)));
        let batch = Batch::new().with(&input, rolled(&prepared, shift));
        // the gradient, back through all of that
        let mut step = own.evaluate(model, &batch)?;
        if step.activation(ACTIVATION) == Some(&[0.0]) {
            let passing = match passing.take() {
                Some(made) => passing.insert(made),
                None => passing.insert(objective(&passing_on_everything())?),
            };
            step = passing.evaluate(model, &batch)?;
        }
        let gradient = step.gradient_tensor(&input)?;
        let mut gradient = rolled(&gradient, [height - shift[0], width - shift[1]]);
        for (at, (value, p)) in gradient.data_mut().iter_mut().zip(pixels.data()).enumerate() {
            *value *= p * (1.0 - p) / deviation[at % channels];
        }
        let gradient = match settings.basis {
            Basis::Frequencies => frequencies.gradient(&gradient),
            Basis::Pixels { .. } => gradient.into_vec(),
        };
        moments.step(&mut parameters, &gradient, settings.rate);
        if let Basis::Pixels { blur_every: every @ 1.. } = settings.basis
            && number % every == 0
        {
            blur(&mut parameters, sample);
        }
    }
    Ok(squashed(raw(&parameters)?).reshape(sample)?)
}

/// ReLUs that pass on every gradient, whatever their arguments were.
fn passing_on_everything() -> BackwardRules {
    BackwardRules::new().with("Relu", |g| vec![g.want(0, || g.dy().clone())])
}

/// The negative activation, and the variation of the image.
fn objective(model: &Model, rules: &BackwardRules, input: &str, goal: &Goal, variation: f32) -> Result<Objective> {
    let graph = model.graph();
    let count = match goal {
        Goal::Class(_) => graph.find("output").map_or(0, |id| graph.values[id].shape.channels()),
        Goal::Channel { layer, .. } => find(model, layer)?.shape[2],
    };
    let (Goal::Class(wanted) | Goal::Channel { channel: wanted, .. }) = *goal;
    if wanted >= count {
        return Err(Error::Invalid(format!("there is no class or channel {wanted} among {count}")));
    }
    let objective = model.objective_with(rules, Mode::Infer, Wrt::Values(&[input]), |t| {
        let activation = match goal {
            Goal::Class(_) => t.output(),
            Goal::Channel { layer, .. } => t.tap(layer),
        };
        let image = t.tap(input);
        let pixels = image.shape().len(1).max(1) as f32;
        let activation = activation.slice(Axis::C, wanted..wanted + 1).mean().named(ACTIVATION);
        total_variation(&image, Variation::Squared) * (variation / pixels) - activation
    })?;
    Ok(objective.watching(&[ACTIVATION])?)
}

/// The logistic function, which keeps pixels between 0 and 1.
fn squashed(mut image: Tensor) -> Tensor {
    image.data_mut().iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
    image
}

/// Blurs an image by 1 2 1 along both axes.
fn blur(image: &mut [f32], [height, width, channels]: [usize; 3]) {
    for axis_step in [channels, width * channels] {
        let before = image.to_vec();
        for (at, value) in image.iter_mut().enumerate() {
            let (row, column) = (at / (width * channels), at / channels % width);
            let is_inside =
                if axis_step == channels { column > 0 && column + 1 < width } else { row > 0 && row + 1 < height };
            if is_inside {
                *value = 0.5 * before[at] + 0.25 * (before[at - axis_step] + before[at + axis_step]);
            }
        }
    }
}
