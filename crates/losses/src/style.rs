//! The costs of neural style transfer (Gatys, Ecker and Bethge 2015): content, style and the variation of the image.

use ocelli_graph::Node;

/// The factor of the content cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentNormalisation {
    /// `½ Σ d²` (Gatys et al. 2015, equation 1).
    Gatys,
    /// `Σ d² / (4·H·W·C)`, as taught in the deep learning course of Ng (2017): Gatys' cost divided by `2·H·W·C`.
    Course,
    /// `Σ d² / Σ |d|`, whose gradient has about the same size for every layer and image (Crowson 2021).
    Scaled,
}

/// The Gram matrix and the factor of the style cost. `F` are the activations of `C` channels at `H·W` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StyleNormalisation {
    /// `G = FᵀF`, and `Σ d² / (4·C²·(H·W)²)` (Gatys et al. 2015, equations 3 and 4).
    Gatys,
    /// `G = FᵀF`, and `Σ d² / (2·H·W·C)²`, as taught in the deep learning course of Ng (2017): the same number as Gatys'.
    Course,
    /// `G = FᵀF / (H·W·C)`, and `Σ d²` (Johnson et al. 2016, equation 4): four times Gatys'.
    Johnson,
    /// `G = FᵀF / (H·W)`, and `Σ d² / Σ |d|` (Crowson 2021).
    Scaled,
}

/// Keeps `Σ d² / Σ |d|` defined where there is no difference.
const SMALLEST_SUM: f32 = 1e-8;

/// Computes how far activations are from those of the content image.
///
/// # Shapes
/// Two nodes `[N, H, W, C]` → `[]`, summed over the samples. Gradients go to `x` and to the target, if it is not an
/// input of its own.
///
/// ```
/// use ocelli_graph::{Batch, Mode, Model, Tensor, Wrt};
/// use ocelli_losses::{ContentNormalisation, content_cost};
/// let model = Model::build(|x| x * 1.0, [1, 2, 1], 0)?;
/// let cost = |t: &ocelli_graph::Trace| content_cost(&t.output(), &t.input("target", [1, 2, 1]), ContentNormalisation::Course);
/// let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), cost)?;
/// let batch = Batch::new().with("input", Tensor::full([1, 1, 2, 1], 3.0)).with("target", Tensor::full([1, 1, 2, 1], 1.0));
/// assert_eq!(objective.evaluate(&model, &batch)?.loss(), (4.0 + 4.0) / (4.0 * 2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn content_cost(x: &Node, target: &Node, normalisation: ContentNormalisation) -> Node {
    if let Some(mistake) = difference_in_shape(x, target) {
        return x.trace().fail("ContentCost", mistake);
    }
    let elements = x.shape().at(1).iter().map(|size| *size as f64).product::<f64>();
    match normalisation {
        ContentNormalisation::Gatys => (x - target).square().sum() * 0.5,
        ContentNormalisation::Course => (x - target).square().sum() * (0.25 / elements) as f32,
        ContentNormalisation::Scaled => scaled_square(&(x - target)),
    }
}

/// Computes the Gram matrix of each sample's channels that a style cost of this normalisation compares, divided so that
/// images of different sizes can be compared: by `H·W`, or by `H·W·C` where the cost is not [`Scaled`](StyleNormalisation::Scaled).
///
/// # Shapes
/// `[N, H, W, C]` → `[N, C, C]`.
#[track_caller]
pub fn style_gram(x: &Node, normalisation: StyleNormalisation) -> Node {
    match normalisation {
        StyleNormalisation::Scaled => x.gram() * x.channels() as f32,
        _ => x.gram(),
    }
}

/// Computes how far the Gram matrix of activations is from the `target` that [`style_gram`] made of the style image's.
/// The style image may have another size.
///
/// # Shapes
/// `x` `[N, H, W, C]`, target `[N, C, C]` → `[]`, summed over the samples.
///
/// ```
/// use ocelli_graph::{Batch, Mode, Model, Tensor, Wrt};
/// use ocelli_losses::{StyleNormalisation, style_cost};
/// let model = Model::build(|x| x * 1.0, [4, 4, 3], 0)?;
/// let cost = |t: &ocelli_graph::Trace| style_cost(&t.output(), &t.input("target", [3, 3]), StyleNormalisation::Gatys);
/// let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), cost)?;
/// let batch = Batch::new().with("input", Tensor::full([1, 4, 4, 3], 1.0)).with("target", Tensor::full([1, 3, 3], 1.0 / 3.0));
/// assert!(objective.evaluate(&model, &batch)?.loss() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn style_cost(x: &Node, target: &Node, normalisation: StyleNormalisation) -> Node {
    gram_cost(&style_gram(x, normalisation), target, normalisation)
}

/// Computes the style cost of two Gram matrices that [`style_gram`] made, for matrices of a region or a mixture.
///
/// # Shapes
/// Two nodes `[N, C, C]` → `[]`, summed over the samples.
#[track_caller]
pub fn gram_cost(gram: &Node, target: &Node, normalisation: StyleNormalisation) -> Node {
    if let Some(mistake) = difference_in_shape(gram, target) {
        return gram.trace().fail("StyleCost", mistake);
    }
    let difference = gram - target;
    match normalisation {
        // Both divide the sum of the squares of FᵀF by (2·H·W·C)², and the matrix here is divided by H·W·C already.
        StyleNormalisation::Gatys | StyleNormalisation::Course => difference.square().sum() * 0.25,
        StyleNormalisation::Johnson => difference.square().sum(),
        StyleNormalisation::Scaled => scaled_square(&difference),
    }
}

/// Computes `Σ d² / Σ |d|`.
fn scaled_square(difference: &Node) -> Node {
    difference.square().sum() / (difference.abs().sum() + SMALLEST_SUM)
}

fn difference_in_shape(x: &Node, target: &Node) -> Option<String> {
    let both = x.id().is_some() && target.id().is_some();
    (both && x.shape() != target.shape())
        .then(|| format!("shapes differ: {} and {}", x.description(), target.description()))
}
