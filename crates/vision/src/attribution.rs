//! Where a network looks: maps of the pixels that a score comes from.

mod class_activation;
mod faithfulness;
mod input_gradients;
mod integrated;
mod method;
mod occlusion;
mod overlay;
mod randomisation;
#[cfg(test)]
mod tests;

pub use faithfulness::{Curve, Faithfulness, FaithfulnessSettings, faithfulness};
pub use integrated::IntegratedGradients;
pub use method::Method;
pub use occlusion::Window;
pub use overlay::{heat, overlay};
pub use randomisation::{RandomisedLayer, cascading_randomisation, rank_correlation};

use crate::{Error, Result, spatial::image_input};
use ocelli_data::Ranking;
use ocelli_graph::{BackwardRules, Batch, Mode, Model, Objective, Tensor, Wrt};
use std::collections::BTreeMap;

/// The name of the input that chooses the score to differentiate.
const CHOICE: &str = "attribution.choice";
/// Number of images that are differentiated at once.
const AT_ONCE: usize = 8;

/// Asks a classifier of images where it looks. Each method takes an image `[1, H, W, C]`, prepared as the network expects,
/// and a class, and returns a map: one number for each pixel, or for each place of an activation.
///
/// The score of a class is the network's own output, before any softmax; of a network whose smallest output is the
/// answer it is the negative output.
///
/// ```
/// use ocelli_graph::{Key, Model, Tensor};
/// use ocelli_models::LeNet5;
/// use ocelli_vision::attribution::Attribution;
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
/// let image = Tensor::uniform([1, 32, 32, 1], Key::new(1));
/// let mut attribution = Attribution::new(&model)?;
/// assert_eq!(attribution.saliency(&image, 3)?.shape(), [32, 32]);
/// assert_eq!(attribution.grad_cam(&image, 3)?.shape(), [5, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Attribution<'m> {
    model: &'m Model,
    ranking: Ranking,
    input: String,
    sample: [usize; 3],
    classes: usize,
    /// Objectives by their rules and what they differentiate with respect to.
    objectives: BTreeMap<(Rules, String), Objective>,
}

/// The backward rules of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rules {
    Own,
    Guided,
    Deconvnet,
}

/// A score of several images and its gradient.
struct ScoreGradient {
    /// The score of each image.
    scores: Vec<f32>,
    /// The value that the score was differentiated with respect to, `[N, …]`.
    value: Tensor,
    /// The gradient, of the same shape.
    gradient: Tensor,
}

impl<'m> Attribution<'m> {
    /// Prepares a classifier of images `[H, W, C]`, whose output is `[N, classes]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a network of another form.
    pub fn new(model: &'m Model) -> Result<Attribution<'m>> {
        let (input, sample) = image_input(model)?;
        let graph = model.graph();
        let output = graph.find("output").map(|id| graph.values[id].shape.at(1)).unwrap_or_default();
        let [1, classes] = output[..] else {
            return Err(Error::Invalid("expected a classifier, whose output is [N, classes]".into()));
        };
        let (ranking, objectives) = (Ranking::Largest, BTreeMap::new());
        Ok(Attribution { model, ranking, input, sample, classes, objectives })
    }

    /// Sets the rule that ranks the outputs; by default the largest is the answer.
    pub fn ranking(self, ranking: Ranking) -> Attribution<'m> {
        Attribution { ranking, ..self }
    }

    /// Returns the scores `[N, classes]` of prepared images, of which the largest is the answer.
    ///
    /// # Errors
    /// [`Error::Graph`] for images of another shape.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let batch = Batch::new().with(&self.input, images);
        let mut scores = self.model.run(&batch, &["output"])?.swap_remove(0);
        let sign = self.sign();
        scores.data_mut().iter_mut().for_each(|score| *score *= sign);
        Ok(scores)
    }

    fn sign(&self) -> f32 {
        if self.ranking == Ranking::Largest { 1.0 } else { -1.0 }
    }

    fn check_image(&self, image: &Tensor) -> Result<()> {
        let [height, width, channels] = self.sample;
        match *image.shape() == [1, height, width, channels] {
            true => Ok(()),
            false => Err(Error::Invalid(format!("expected one image [1, {height}, {width}, {channels}]"))),
        }
    }

    /// Differentiates the score of a class of each image with respect to the value called `of`.
    fn gradient(&mut self, rules: Rules, of: &str, images: &Tensor, class: usize) -> Result<ScoreGradient> {
        let classes = self.classes;
        if class >= classes {
            return Err(Error::Invalid(format!("there is no class {class} among {classes}")));
        }
        let key = (rules, of.to_string());
        if !self.objectives.contains_key(&key) {
            let table = match rules {
                Rules::Own => BackwardRules::new(),
                Rules::Guided => BackwardRules::guided(),
                Rules::Deconvnet => BackwardRules::deconvnet(),
            };
            let objective = self.model.objective_with(&table, Mode::Infer, Wrt::Values(&[of]), |t| {
                (t.output() * t.input(CHOICE, [classes])).sum()
            })?;
            self.objectives.insert(key.clone(), objective.watching(&["output", of])?);
        }
        let samples = images.shape().first().copied().unwrap_or(0);
        let sign = self.sign();
        let choice = Tensor::from_fn([samples, classes], |at| if at[1] == class { sign } else { 0.0 });
        let batch = Batch::new().with(&self.input, images).with(CHOICE, &choice);
        let objective = self.objectives.get_mut(&key).expect("it was just made");
        let step = objective.evaluate(self.model, &batch)?;
        let output = step.activation("output").unwrap_or_default();
        Ok(ScoreGradient {
            scores: output.chunks_exact(classes).map(|scores| sign * scores[class]).collect(),
            value: step.activation_tensor(of)?,
            gradient: step.gradient_tensor(of)?,
        })
    }
}
