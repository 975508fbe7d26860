//! Projections of one activation back to the pixels.

use crate::{
    Error, Result,
    spatial::{SpatialLayer, find, image_input},
};
use ocelli_graph::{BackwardRules, Batch, Mode, Model, Objective, Tensor, Wrt};

/// The name of the input that chooses the unit.
const UNIT: &str = "projection.unit";

/// Projects single activations of a layer back to the pixels by other backward rules: what in the image excited them.
///
/// ```
/// use ocelli_graph::{BackwardRules, Key, Model, Tensor};
/// use ocelli_models::LeNet5;
/// use ocelli_vision::units::Projector;
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
/// let mut projector = Projector::new(&model, "s4", &BackwardRules::deconvnet())?;
/// let projection = projector.project(&Tensor::uniform([1, 32, 32, 1], Key::new(1)), 5, [2, 2])?;
/// assert_eq!(projection.shape(), [32, 32, 1]);
/// // The unit sees rows and columns 8 to 23; nothing outside of them takes part.
/// assert_eq!(projection[[7, 10, 0]], 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Projector<'m> {
    model: &'m Model,
    layer: SpatialLayer,
    input: String,
    sample: [usize; 3],
    objective: Objective,
}

impl<'m> Projector<'m> {
    /// Prepares projections of the activation called `layer`. With [`BackwardRules::deconvnet`] they are those of Zeiler and
    /// Fergus (2013, section 2.1): max pooling goes back through its switches, convolutions are transposed, and ReLUs pass
    /// on what is positive.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name of something else, [`Error::Graph`] if the network has no gradient.
    pub fn new(model: &'m Model, layer: &str, rules: &BackwardRules) -> Result<Projector<'m>> {
        let (input, sample) = image_input(model)?;
        let layer = find(model, layer)?;
        let objective = model.objective_with(rules, Mode::Infer, Wrt::Values(&[&input]), |t| {
            (t.tap(&layer.name) * t.input(UNIT, layer.shape)).sum()
        })?;
        Ok(Projector { model, layer, input, sample, objective })
    }

    /// Projects the activation of one channel at one unit `[row, column]` for an image `[1, H, W, C]`, all others being 0.
    /// Returns `[H, W, C]`, for an activation of 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a unit that does not exist, [`Error::Graph`] for an image of another shape.
    pub fn project(&mut self, image: &Tensor, channel: usize, unit: [usize; 2]) -> Result<Tensor> {
        let [height, width, channels] = self.layer.shape;
        if channel >= channels || unit[0] >= height || unit[1] >= width {
            let [row, column] = unit;
            let shape = format!("[{height}, {width}, {channels}]");
            let text = format!("there is no unit [{row}, {column}, {channel}] in {} of {shape}", self.layer.name);
            return Err(Error::Invalid(text));
        }
        let mut choice = Tensor::zeros([1, height, width, channels]);
        choice[[0, unit[0], unit[1], channel]] = 1.0;
        let batch = Batch::new().with(&self.input, image).with(UNIT, &choice);
        let step = self.objective.evaluate(self.model, &batch)?;
        let gradient = step.gradient(&self.input).unwrap_or_default();
        Ok(Tensor::from_vec(self.sample, gradient.to_vec())?)
    }
}
