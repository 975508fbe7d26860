//! Style transfer without optimisation: the statistics of features are exchanged, and a decoder paints what has them.

use crate::eigen::{SymmetricEigen, product};
use crate::{Error, Result, VggFeatures};
use ocelli_graph::{Batch, Layer, Model, Node, Tensor, ops::Interpolation};
use ocelli_layers::{Conv2d, Pad2d};
use ocelli_models::{WeightFile, WeightLoader};
use std::path::Path;

/// Fast style transfer: the features of the content get the statistics of the style's, from the deepest level to the
/// first, and decoders make images of them (Li et al. 2017).
///
/// It is for the normalised VGG-19 and the decoders that were trained for it, one for each of `relu1_1`, `relu2_1` and
/// `relu3_1`.
#[derive(Clone, Debug)]
pub struct FastStyle {
    features: VggFeatures,
    /// Parameters of the decoders by their paths.
    decoders: Vec<(String, Tensor)>,
}

/// The statistics of the features that are taken from the style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean and deviation of each channel: adaptive instance normalisation (Huang and Belongie 2017).
    MeanAndDeviation,
    /// Mean and covariance of the channels: whitening and colouring (Li et al. 2017).
    Covariance,
}

/// The convolutions of the decoders, deepest level first, with their channels; true where the image is doubled before.
const DECODERS: [&[(&str, usize, bool)]; 3] = [
    &[("conv1_1", 3, false)],
    &[("conv2_1", 64, false), ("conv1_2", 64, true), ("conv1_1", 3, false)],
    &[
        ("conv3_1", 128, false),
        ("conv2_2", 128, true),
        ("conv2_1", 64, false),
        ("conv1_2", 64, true),
        ("conv1_1", 3, false),
    ],
];

/// Channels of the features of each level.
const CHANNELS: [usize; 3] = [64, 128, 256];

impl FastStyle {
    /// Reads the decoders, `decL.convS_N` for the levels L from 1 to 3, for these features.
    ///
    /// # Errors
    /// [`Error::Weights`] if the file cannot be read or does not fit; [`Error::Invalid`] if the features end before
    /// `relu3_1`.
    pub fn load(features: VggFeatures, decoders: impl AsRef<Path>) -> Result<FastStyle> {
        features.stage_of("relu3_1")?;
        let path = decoders.as_ref();
        let mut parameters = Vec::new();
        for (level, channels) in CHANNELS.into_iter().enumerate() {
            let mut model = Model::zeroed(Decoder { level }, [8, 8, channels])?;
            let mut file = WeightFile::open(path)?;
            let mut loader = WeightLoader::new();
            for other in (0..DECODERS.len()).filter(|other| *other != level) {
                loader = loader.ignore(format!("dec{}", other + 1));
            }
            loader.load_from(&mut model, &mut file)?;
            parameters.extend(model.parameters().iter().map(|(p, value)| (p.path.clone(), value.clone())));
        }
        Ok(FastStyle { features, decoders: parameters })
    }

    /// Paints the content with the statistics of the style, both `[1, H, W, 3]` of any size from 8 pixels on. `strength` from 0 to 1
    /// mixes the features of the content with those that have the style.
    ///
    /// # Errors
    /// [`Error::Graph`] for images that are too small or have another shape.
    pub fn run(&self, content: &Tensor, style: &Tensor, statistic: Statistic, strength: f32) -> Result<Tensor> {
        let &[1, height, width, 3] = content.shape() else {
            return Err(Error::Invalid("the content is an image [1, H, W, 3]".into()));
        };
        let mut image = content.clone();
        for level in (0..DECODERS.len()).rev() {
            let layer = format!("relu{}_1", level + 1);
            let mut features = self.features_of(&image, &layer)?;
            let of_style = self.features_of(style, &layer)?;
            let before = features.clone();
            match statistic {
                Statistic::MeanAndDeviation => exchange_deviations(&mut features, &of_style),
                Statistic::Covariance => exchange_covariances(&mut features, &of_style),
            }
            let mix = |(new, old): (&mut f32, &f32)| *new = strength * *new + (1.0 - strength) * old;
            features.data_mut().iter_mut().zip(before.data()).for_each(mix);
            image = self.decoded(level, &features)?;
            image.data_mut().iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        // pooled images of odd sizes come back a pixel or three larger
        let rows = image.shape()[2];
        let cropped = Tensor::from_fn([1, height, width, 3], |at| image.data()[(at[1] * rows + at[2]) * 3 + at[3]]);
        Ok(cropped)
    }

    fn features_of(&self, image: &Tensor, layer: &str) -> Result<Tensor> {
        let &[1, height, width, 3] = image.shape() else {
            return Err(Error::Invalid("a style is an image [1, H, W, 3]".into()));
        };
        let model = self.features.model(self.features.stage_of(layer)? + 1, [height, width], Node::clone)?;
        let path = self.features.path(layer)?;
        Ok(model.run(&Batch::new().with("input", image), &[&path])?.swap_remove(0))
    }

    fn decoded(&self, level: usize, features: &Tensor) -> Result<Tensor> {
        let mut model = Model::zeroed(Decoder { level }, &features.shape()[1..])?;
        for (path, value) in self.decoders.iter().filter(|(path, _)| path.starts_with(&format!("dec{}.", level + 1))) {
            model.parameters_mut().set(path, value.clone())?;
        }
        Ok(model.predict(features)?)
    }
}

/// A decoder: convolutions padded by the mirror image, ReLU after each but the last, nearest neighbours in between.
struct Decoder {
    level: usize,
}

impl Layer for Decoder {
    fn forward(&self, x: &Node) -> Node {
        let convolutions = DECODERS[self.level];
        x.scope(format!("dec{}", self.level + 1), move |x: &Node| {
            let mut x = x.clone();
            for (number, &(name, channels, doubled)) in convolutions.iter().enumerate() {
                if doubled {
                    x = x.upsample(2, Interpolation::Nearest);
                }
                x = x.apply(format!("pad_{name}"), Pad2d::reflect(1)).apply(name, Conv2d::new(channels, 3));
                if number + 1 < convolutions.len() {
                    x = x.relu();
                }
            }
            x
        })
    }
}

/// The mean of each channel.
fn means(x: &Tensor) -> Vec<f64> {
    let channels = x.shape()[3];
    let count = (x.len() / channels) as f64;
    let mut means = vec![0.0; channels];
    for pixel in x.data().chunks_exact(channels) {
        means.iter_mut().zip(pixel).for_each(|(mean, value)| *mean += f64::from(*value) / count);
    }
    means
}

fn deviations(x: &Tensor, means: &[f64]) -> Vec<f64> {
    let count = (x.len() / means.len()) as f64;
    let mut squares = vec![0.0; means.len()];
    for pixel in x.data().chunks_exact(means.len()) {
        for ((square, mean), value) in squares.iter_mut().zip(means).zip(pixel) {
            *square += (f64::from(*value) - mean).powi(2) / count;
        }
    }
    squares.into_iter().map(|square| (square + 1e-8).sqrt()).collect()
}

fn exchange_deviations(x: &mut Tensor, style: &Tensor) {
    let (from, to) = (means(x), means(style));
    let (old, new) = (deviations(x, &from), deviations(style, &to));
    let channels = from.len();
    for pixel in x.data_mut().chunks_exact_mut(channels) {
        for (c, value) in pixel.iter_mut().enumerate() {
            *value = ((f64::from(*value) - from[c]) * new[c] / old[c] + to[c]) as f32;
        }
    }
}

/// Covariance of the channels, as a product of matrices in single precision.
fn covariance(x: &Tensor, means: &[f64]) -> Vec<f64> {
    use ocelli_kernels::{
        Accumulate,
        matrices::{Matrices, products},
    };
    let channels = means.len();
    let pixels = x.len() / channels;
    let mut centred = x.clone();
    for pixel in centred.data_mut().chunks_exact_mut(channels) {
        pixel.iter_mut().zip(means).for_each(|(value, mean)| *value -= *mean as f32);
    }
    let centred = Matrices::new(centred.data(), pixels, channels);
    let mut sums = vec![0.0; channels * channels];
    products(centred.transposed(), centred, &mut sums, Accumulate::Set);
    sums.into_iter().map(|sum| f64::from(sum) / pixels as f64).collect()
}

/// Eigenvalues below this share of the largest are noise (Li et al. 2017 leave out those below 10⁻⁵).
const SMALLEST_SHARE: f64 = 1e-5;

fn exchange_covariances(x: &mut Tensor, style: &Tensor) {
    use ocelli_kernels::{
        Accumulate,
        matrices::{Matrices, products},
    };
    let (from, to) = (means(x), means(style));
    let channels = from.len();
    let whiten = SymmetricEigen::new(&covariance(x, &from), channels).power(-0.5, SMALLEST_SHARE);
    let colour = SymmetricEigen::new(&covariance(style, &to), channels).power(0.5, SMALLEST_SHARE);
    // Both are symmetric: (colour · whiten)ᵀ = whiten · colour, which pixels as rows are multiplied by.
    let map: Vec<f32> = product(&whiten, &colour, channels).into_iter().map(|value| value as f32).collect();
    let mut centred = x.clone();
    for pixel in centred.data_mut().chunks_exact_mut(channels) {
        pixel.iter_mut().zip(&from).for_each(|(value, mean)| *value -= *mean as f32);
    }
    let pixels = x.len() / channels;
    let matrix = Matrices::new(&map, channels, channels);
    products(Matrices::new(centred.data(), pixels, channels), matrix, x.data_mut(), Accumulate::Set);
    for pixel in x.data_mut().chunks_exact_mut(channels) {
        pixel.iter_mut().zip(&to).for_each(|(value, mean)| *value += *mean as f32);
    }
}
