//! Holistically-nested edge detection (Xie and Tu 2015).

use crate::{Error, Result, VggFeatures};
use ocelli_graph::{Axis, Batch, Model, Node, Tensor, ops::Interpolation};
use ocelli_layers::Conv2d;
use ocelli_models::{WeightFile, WeightLoader};
use std::path::Path;

/// A network that draws contours: the convolutions of VGG-16, an edge map from the last activation of each stage, and their
/// weighted sum (Xie and Tu 2015).
#[derive(Clone, Debug)]
pub struct Hed {
    trunk: VggFeatures,
    /// Parameters of the side outputs by their paths.
    sides: Vec<(String, Tensor)>,
}

/// Probabilities of an edge at each pixel.
#[derive(Clone, Debug)]
pub struct Contours {
    /// All five maps together, `[1, H, W, 1]`.
    pub fused: Tensor,
    /// The maps of each stage, from fine to coarse, `[1, H, W, 5]`.
    pub sides: Tensor,
}

/// The activation that each edge map is made of.
const SOURCES: [&str; 5] = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"];

impl Hed {
    /// Reads the weights: `trunk` holds the convolutions of VGG-16 as [`VggFeatures::load`] reads them, `sides` holds `side1` to
    /// `side5` and `fuse`.
    ///
    /// # Errors
    /// [`Error::Weights`] if a file cannot be read or does not fit; [`Error::Invalid`] if the trunk is not VGG-16's.
    pub fn load(trunk: impl AsRef<Path>, sides: impl AsRef<Path>) -> Result<Hed> {
        let mut hed = Hed { trunk: VggFeatures::load(trunk)?, sides: Vec::new() };
        let mut model = hed.model([32, 32])?;
        let mut loader = WeightLoader::new();
        for of_trunk in ["preprocess", "stage1", "stage2", "stage3", "stage4", "stage5"] {
            loader = loader.except(of_trunk);
        }
        loader.load_from(&mut model, &mut WeightFile::open(sides)?)?;
        let is_side = |path: &str| path.starts_with("side") || path.starts_with("fuse");
        let sides = model.parameters().iter().filter(|(parameter, _)| is_side(&parameter.path));
        hed.sides = sides.map(|(parameter, value)| (parameter.path.clone(), value.clone())).collect();
        Ok(hed)
    }

    /// Finds the contours of an image `[1, H, W, 3]`, red, green and blue from 0 to 1, of 16 pixels or more on each side.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another shape, [`Error::Graph`] for an image that is too small.
    pub fn contours(&self, image: &Tensor) -> Result<Contours> {
        let &[1, height, width, 3] = image.shape() else {
            return Err(Error::Invalid("contours are found in an image [1, H, W, 3]".into()));
        };
        let mut model = self.model([height, width])?;
        for (path, value) in &self.sides {
            model.parameters_mut().set(path, value.clone())?;
        }
        let mut found = model.run(&Batch::new().with("input", image), &["output", "side_probabilities"])?;
        let (sides, fused) = (found.swap_remove(1), found.swap_remove(0));
        Ok(Contours { fused, sides })
    }

    fn model(&self, size: [usize; 2]) -> Result<Model> {
        let paths: Vec<String> = SOURCES.iter().map(|layer| self.trunk.path(layer)).collect::<Result<_>>()?;
        self.trunk.model(SOURCES.len(), size, |deepest: &Node| {
            let side = |(number, path): (usize, &String)| {
                let map = deepest.trace().tap(path).apply(format!("side{}", number + 1), Conv2d::new(1, 1));
                map.resized(size, Interpolation::Bilinear)
            };
            let sides: Vec<Node> = paths.iter().enumerate().map(side).collect();
            let sides = Node::concat(&sides.iter().collect::<Vec<_>>(), Axis::C);
            sides.sigmoid().named("side_probabilities");
            sides.apply("fuse", Conv2d::new(1, 1)).sigmoid()
        })
    }
}
