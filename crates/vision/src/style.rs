//! Neural style transfer (Gatys, Ecker and Bethge 2015): an image with the content of one and the style of others, found by
//! optimising its pixels.

mod colour;
mod fast;
mod run;
mod scale;
#[cfg(test)]
mod tests;

pub use colour::{match_colours, with_colours_of};
pub use fast::{FastStyle, Statistic};
pub use run::{ScaleMemory, StyleStep, Stylised};

use crate::{ConvBorder, Error, Pooling, Result, VggFeatures};
use ocelli_graph::Tensor;
use ocelli_losses::{ContentNormalisation, StyleNormalisation, Variation};

/// The settings of a style transfer: `J = α J_content + β J_style + γ variation`, over the pixels of an image from 0 to 1.
///
/// Start from a preset, [fit](StyleTransfer::fitted_to) it to the layers that the weights at hand have, change what you
/// like, and [run](StyleTransfer::run) it:
///
/// ```
/// use ocelli_graph::{Key, Tensor};
/// use ocelli_train::StopFlag;
/// use ocelli_vision::{VggFeatures, style::{Style, StyleTransfer}};
/// let features = VggFeatures::random(&[1, 1], 0);
/// let mut transfer = StyleTransfer::course().fitted_to(&features)?;
/// transfer.scales = StyleTransfer::one_scale(16, 3);
/// let content = Tensor::uniform([1, 16, 16, 3], Key::new(1));
/// let style = Style::new(Tensor::uniform([1, 12, 16, 3], Key::new(2)));
/// let stylised = transfer.run(&features, &content, &[style], &StopFlag::new(), |_| ())?;
/// assert_eq!(stylised.image.shape(), [1, 16, 16, 3]);
/// assert!(stylised.totals.windows(2).all(|pair| pair[1] <= pair[0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StyleTransfer {
    /// The activations that content is compared in, with their weights.
    pub content_layers: Vec<(String, f32)>,
    /// The activations whose Gram matrices are compared, with their weights.
    pub style_layers: Vec<(String, f32)>,
    /// α, the weight of the content.
    pub alpha: f32,
    /// β, the weight of the style.
    pub beta: f32,
    /// γ, the weight of the variation between neighbouring pixels.
    pub gamma: f32,
    /// The factor of the content cost.
    pub content_normalisation: ContentNormalisation,
    /// The factor of the style cost.
    pub style_normalisation: StyleNormalisation,
    /// The measure of the variation.
    pub variation: Variation,
    /// The image that the optimisation starts from.
    pub start: Start,
    /// The optimiser of the pixels.
    pub optimizer: PixelOptimizer,
    /// Sizes from coarse to fine; each begins with the image of the one before, enlarged.
    pub scales: Vec<Scale>,
    /// The origin of the colours.
    pub colour: Colour,
    /// The memory in bytes above which activations are computed again for backward in place of being kept.
    pub memory_limit: Option<usize>,
    /// The pooling of the network.
    pub pooling: Pooling,
    /// The border that the first convolution sees around the image; `None` keeps that of the published network.
    pub first_border: Option<ConvBorder>,
}

/// A style image.
#[derive(Clone, Debug)]
pub struct Style {
    /// The image `[1, H, W, 3]`, from 0 to 1, of any size.
    pub image: Tensor,
    /// Its share among several.
    pub weight: f32,
    /// The pixels of the content image that take this style, `[1, H, W, 1]` from 0 to 1, of any size; all if there is none.
    pub mask: Option<Tensor>,
}

impl Style {
    /// Creates a style with the share 1 of the whole image.
    pub fn new(image: Tensor) -> Style {
        Style { image, weight: 1.0, mask: None }
    }
}

/// The image that an optimisation starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The content image.
    Content,
    /// The style image, or the first of them, stretched.
    Style,
    /// Noise around grey, drawn by a seed.
    Noise(u64),
}

/// The optimiser of the pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PixelOptimizer {
    /// [L-BFGS](ocelli_train::Lbfgs), whose cost falls at every step.
    Lbfgs {
        /// Number of steps that the curvature is estimated from.
        history: usize,
    },
    /// Adam, with pixels clamped to 0 and 1 after each step. Its moments are resampled to the next scale.
    Adam {
        /// The learning rate, in units of the pixels.
        rate: f32,
        /// The decay of an average over the iterates, which is the result and the start of the next scale.
        averaged: Option<f32>,
    },
}

/// One size of the image and the steps at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The longer side in pixels.
    pub side: usize,
    /// The number of steps.
    pub steps: usize,
}

/// The origin of the colours (Gatys et al. 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The style.
    Style,
    /// The content: the result gives the luminance alone.
    LuminanceOnly,
    /// The content: the colours of the style images are matched to its mean and covariance before.
    Matched,
}

/// Shares of the five layers of the style, as published.
fn layers(names: [&str; 5], weights: [f32; 5]) -> Vec<(String, f32)> {
    names.iter().zip(weights).map(|(name, weight)| (name.to_string(), weight)).collect()
}

const FIRST_OF_EACH_STAGE: [&str; 5] = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"];

impl StyleTransfer {
    /// The paper's: content in `relu4_2`, style in the first activation of each stage, each a fifth, average pooling,
    /// L-BFGS from noise. β is for images of about 384 pixels: the content cost is a sum over pixels, the style cost is not, so
    /// that the same style takes half of β at half of the pixels.
    pub fn gatys() -> StyleTransfer {
        StyleTransfer {
            content_layers: vec![("relu4_2".into(), 1.0)],
            style_layers: layers(FIRST_OF_EACH_STAGE, [0.2; 5]),
            alpha: 1.0,
            beta: 1e8,
            gamma: 0.0,
            content_normalisation: ContentNormalisation::Gatys,
            style_normalisation: StyleNormalisation::Gatys,
            variation: Variation::Squared,
            start: Start::Noise(0),
            optimizer: PixelOptimizer::Lbfgs { history: 10 },
            scales: StyleTransfer::one_scale(384, 200),
            colour: Colour::Style,
            memory_limit: None,
            pooling: Pooling::Average { factor: 1.0 },
            first_border: None,
        }
    }

    /// The deep learning course's (Ng 2017): α = 10, β = 40, style layers weighted 0.2 each, from the content image with
    /// noise; here by L-BFGS from the content image.
    pub fn course() -> StyleTransfer {
        StyleTransfer {
            alpha: 10.0,
            beta: 40.0,
            content_normalisation: ContentNormalisation::Course,
            style_normalisation: StyleNormalisation::Course,
            start: Start::Content,
            ..StyleTransfer::gatys()
        }
    }

    /// The best-known modern implementation's (Crowson 2021): costs `Σ d² / Σ |d|`, Gram matrices over `H·W`, style weights
    /// 256 : 64 : 16 : 4 : 1, content 0.015, variation 2, pooling scaled, the first convolution padded by the edge, scales
    /// from 128 pixels by √2, 1,000 then 500 steps of Adam with rate 0.02, pixels clamped, iterates averaged with decay 0.99.
    pub fn modern() -> StyleTransfer {
        let sum = 256.0 + 64.0 + 16.0 + 4.0 + 1.0;
        StyleTransfer {
            style_layers: layers(FIRST_OF_EACH_STAGE, [256.0 / sum, 64.0 / sum, 16.0 / sum, 4.0 / sum, 1.0 / sum]),
            alpha: 0.015,
            beta: 1.0,
            gamma: 2.0,
            content_normalisation: ContentNormalisation::Scaled,
            style_normalisation: StyleNormalisation::Scaled,
            variation: Variation::NinePoints,
            start: Start::Content,
            optimizer: PixelOptimizer::Adam { rate: 0.02, averaged: Some(0.99) },
            scales: StyleTransfer::coarse_to_fine(128, 512, [1000, 500]),
            pooling: Pooling::Max,
            first_border: Some(ConvBorder::Edge),
            ..StyleTransfer::gatys()
        }
    }

    /// A single scale.
    pub fn one_scale(side: usize, steps: usize) -> Vec<Scale> {
        vec![Scale { side, steps }]
    }

    /// Scales from `first` to `last` pixels, each √2 times the one before, with so many steps at the first and at
    /// each of the others.
    pub fn coarse_to_fine(first: usize, last: usize, [first_steps, steps]: [usize; 2]) -> Vec<Scale> {
        let mut scales = Vec::new();
        let mut side = last as f64;
        while side.round() as usize >= first.clamp(1, last) && scales.len() < 64 {
            scales.insert(0, Scale { side: side.round() as usize, steps });
            side /= std::f64::consts::SQRT_2;
        }
        if let Some(scale) = scales.first_mut() {
            scale.steps = first_steps;
        }
        scales
    }

    /// Fits the layers to those that the features have: style layers that are deeper than the deepest are left out and the
    /// others keep their proportions, and content that would be compared deeper is compared in the deepest.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no style layer is left.
    pub fn fitted_to(mut self, features: &VggFeatures) -> Result<StyleTransfer> {
        let known = features.layers();
        let total: f32 = self.style_layers.iter().map(|(_, weight)| weight).sum();
        self.style_layers.retain(|(name, _)| known.contains(name));
        let left: f32 = self.style_layers.iter().map(|(_, weight)| weight).sum();
        if left.is_nan() || left <= 0.0 {
            return Err(Error::Invalid(format!("no style layer is one of {}", known.join(", "))));
        }
        self.style_layers.iter_mut().for_each(|(_, weight)| *weight *= total / left);
        let deepest = known.last().cloned().unwrap_or_default();
        for (name, _) in &mut self.content_layers {
            if !known.contains(name) {
                name.clone_from(&deepest);
            }
        }
        Ok(self)
    }

    fn check(&self, content: &Tensor, styles: &[Style]) -> Result<()> {
        let invalid = |text: &str| Err(Error::Invalid(text.into()));
        let is_image =
            |image: &Tensor, channels| matches!(*image.shape(), [1, h, w, c] if h > 0 && w > 0 && c == channels);
        if !is_image(content, 3) || !styles.iter().all(|style| is_image(&style.image, 3)) {
            return invalid("content and styles are images [1, H, W, 3]");
        }
        if !styles.iter().filter_map(|style| style.mask.as_ref()).all(|mask| is_image(mask, 1)) {
            return invalid("masks are images [1, H, W, 1]");
        }
        if styles.is_empty() || styles.iter().any(|style| !(style.weight > 0.0 && style.weight.is_finite())) {
            return invalid("a style transfer needs at least one style, and shares above 0");
        }
        if self.scales.is_empty() || self.scales.iter().any(|scale| scale.side == 0) {
            return invalid("a style transfer needs at least one scale, of at least one pixel");
        }
        let weights = [self.alpha, self.beta, self.gamma];
        if weights.iter().any(|weight| !(*weight >= 0.0 && weight.is_finite())) {
            return invalid("α, β and γ are numbers from 0 on");
        }
        Ok(())
    }
}
