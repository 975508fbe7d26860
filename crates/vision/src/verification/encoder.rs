//! Encoders of faces: a network, how images are prepared for it, and the threshold that was measured with it.

use super::{more_people::mirror, preparation::Contrast};
use crate::{Error, Result};
use ocelli_data::{Image, Pipeline, Scratch, Statistics};
use ocelli_graph::{Layer, Model, Node};
use ocelli_models::{
    DlibFaceEncoder, FaceResNet, NetworkDescription, OpenFaceEncoder, WeightLoader, load_own_network, save_network,
};
use ocelli_tensor::{Key, ShapeText, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The network of a [`FaceEncoder`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// [`DlibFaceEncoder`].
    Dlib,
    /// [`OpenFaceEncoder`].
    OpenFace,
    /// [`FaceResNet`].
    Residual {
        /// Number of features of an embedding.
        features: usize,
        /// Number of stages.
        stages: usize,
        /// Channels of the first stage.
        width: usize,
        /// Probability of dropout, in training.
        dropout: f32,
    },
}

impl Architecture {
    /// A bound above the sizes of any encoder that is worth training; a file may not ask for more.
    const LARGEST: usize = 1024;

    fn check(self) -> Result<()> {
        match self {
            Architecture::Residual { features, width, .. } if features.max(width) > Self::LARGEST => {
                let largest = Self::LARGEST;
                Err(Error::Invalid(format!(
                    "an encoder of {features} features and {width} channels: {largest} are the most"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl Layer for Architecture {
    fn forward(&self, x: &Node) -> Node {
        match *self {
            Architecture::Dlib => DlibFaceEncoder.forward(x),
            Architecture::OpenFace => OpenFaceEncoder.forward(x),
            Architecture::Residual { features, stages, width, dropout } => {
                FaceResNet { features, stages, width, dropout }.forward(x)
            }
        }
    }

    fn kind(&self) -> String {
        "FaceEncoder".into()
    }
}

/// The views of an image whose embeddings are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The image.
    One,
    /// The image and its mirror image: twice the work, for fewer errors.
    WithMirrored,
}

/// The length of the embeddings that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Unit length.
    Unit,
    /// The length that the network gives them.
    Free,
}

/// The settings of a [`FaceEncoder`]: everything that it has beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSettings {
    /// The network.
    pub architecture: Architecture,
    /// Height, width and channels (1 or 3) of what it reads.
    pub sample: [usize; 3],
    /// The change of values from 0 to 1 before the network reads them.
    pub contrast: Contrast,
    /// The views of an image whose embeddings are averaged.
    pub views: Views,
    /// The length of embeddings.
    pub length: Length,
    /// The distance up to which two images are taken to show one person.
    pub threshold: f32,
}

/// Number of images that are encoded at a time.
const BATCH: usize = 32;

/// Most pixels of a frame around an image: those of any photograph, and not of a line of pixels in a square.
const MOST_PIXELS: usize = 1 << 26;

impl EncoderSettings {
    /// Describes dlib's encoder as it was published: its preparation of pixels, and its threshold for aligned faces.
    pub fn dlib() -> EncoderSettings {
        let mean = [122.782, 117.001, 104.298].map(|mean: f32| mean / 255.0);
        EncoderSettings {
            architecture: Architecture::Dlib,
            sample: [150, 150, 3],
            contrast: Contrast::Global(Statistics { mean: mean.into(), deviation: vec![1.0; 3] }),
            views: Views::One,
            length: Length::Free,
            threshold: 0.6,
        }
    }

    /// Describes OpenFace's encoder as it was published.
    pub fn open_face() -> EncoderSettings {
        EncoderSettings {
            architecture: Architecture::OpenFace,
            sample: [96, 96, 3],
            contrast: Contrast::Global(Statistics { mean: vec![0.0; 3], deviation: vec![1.0; 3] }),
            views: Views::One,
            length: Length::Unit,
            threshold: 0.99,
        }
    }

    /// Describes a small residual encoder of grey faces of this height and width, to be trained.
    pub fn residual(size: [usize; 2]) -> EncoderSettings {
        let FaceResNet { features, stages, width, dropout } = FaceResNet::default();
        // The last pixels should still be those of parts of the face.
        let stages = if size[0].min(size[1]) < 64 { stages - 1 } else { stages };
        EncoderSettings {
            architecture: Architecture::Residual { features, stages, width, dropout },
            sample: [size[0], size[1], 1],
            contrast: Contrast::Local { radius: (size[0] / 11).clamp(1, 64), softening: 0.05 },
            views: Views::WithMirrored,
            length: Length::Unit,
            threshold: 1.0,
        }
    }

    fn check(&self) -> Result<()> {
        self.architecture.check()?;
        let [height, width, channels] = self.sample;
        if ![1, 3].contains(&channels) {
            return Err(Error::Invalid(format!("an encoder of images of {channels} channels")));
        }
        self.contrast.check(channels)?;
        if height == 0 || width == 0 || height.max(width) > 4096 {
            return Err(Error::Invalid(format!("an encoder of images of {height} x {width} pixels")));
        }
        if !(self.threshold >= 0.0 && self.threshold.is_finite()) {
            return Err(Error::Invalid(format!("the threshold {} is not a distance", self.threshold)));
        }
        Ok(())
    }

    /// Prepares an image of any size: repeats its edges until it has the proportions of what the network reads, resizes
    /// it as a [`Pipeline`] does, and takes the luminance if the network reads one channel. The result,
    /// `[1, height, width, C]`, has values from 0 to 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the image has no pixels or is hardly more than a line of them.
    pub fn framed(&self, image: &Image) -> Result<Tensor> {
        let [height, width, channels] = self.sample;
        let mut framed = self.frame(image)?;
        let stretched = Pipeline::stretch([height, width]);
        let pipeline = if channels == 1 { stretched.grey() } else { stretched };
        let mut values = Tensor::try_zeros([1, height, width, channels])?;
        pipeline.apply(&mut framed, Key::new(0), &mut Scratch::default(), values.data_mut())?;
        Ok(values)
    }

    /// Repeats the edges of an image until it has the proportions of what the network reads.
    fn frame(&self, image: &Image) -> Result<Image> {
        let [height, width, _] = self.sample;
        let ([rows, columns], channels) = (image.size(), image.channels());
        if rows == 0 || columns == 0 {
            return Err(Error::Invalid("an image without pixels".into()));
        }
        let wide = rows.saturating_mul(width).div_ceil(height).max(columns);
        let high = columns.saturating_mul(height).div_ceil(width).max(rows);
        if high.saturating_mul(wide) > MOST_PIXELS {
            return Err(Error::Invalid(format!(
                "an image of {rows} x {columns} pixels cannot be framed: {high} x {wide}"
            )));
        }
        let (left, top) = ((wide - columns) / 2, (high - rows) / 2);
        let mut pixels = Vec::with_capacity(high * wide * channels);
        for y in 0..high {
            let row = &image.pixels()[y.saturating_sub(top).min(rows - 1) * columns * channels..][..columns * channels];
            let [first, last] = [&row[..channels], &row[(columns - 1) * channels..]];
            (0..left).for_each(|_| pixels.extend_from_slice(first));
            pixels.extend_from_slice(row);
            (left + columns..wide).for_each(|_| pixels.extend_from_slice(last));
        }
        Ok(Image::new([high, wide, channels], pixels)?)
    }

    /// Gives framed images `[N, height, width, C]` the contrast that the network reads, in place.
    pub fn prepare(&self, images: &mut Tensor) {
        self.contrast.apply(images.data_mut(), self.sample);
    }
}

/// An encoder of faces: images become embeddings, whose Euclidean distances say whether they show one person.
///
/// ```
/// use ocelli_tensor::Tensor;
/// use ocelli_vision::{EncoderSettings, FaceEncoder};
/// let encoder = FaceEncoder::untrained(EncoderSettings::residual([56, 46]), 7)?;
/// let embeddings = encoder.embed(&Tensor::full([2, 56, 46, 1], 0.3))?;
/// assert_eq!(embeddings.shape(), [2, 128]);
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
#[derive(Debug)]
pub struct FaceEncoder {
    model: Model,
    settings: EncoderSettings,
}

impl FaceEncoder {
    /// Makes an encoder with initial weights, to be trained.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the settings make no sense, [`Error::Graph`] if the network cannot read such images.
    pub fn untrained(settings: EncoderSettings, seed: u64) -> Result<FaceEncoder> {
        settings.check()?;
        let model = Model::from_layer(settings.architecture, settings.sample, seed)?;
        Ok(FaceEncoder { model, settings })
    }

    /// Loads published weights of the architecture of `settings`, such as dlib's.
    ///
    /// # Errors
    /// [`Error::Weights`] if they are no weights of that network.
    pub fn with_weights(settings: EncoderSettings, path: impl AsRef<Path>) -> Result<FaceEncoder> {
        settings.check()?;
        let mut model = Model::zeroed(settings.architecture, settings.sample)?;
        WeightLoader::new().load(&mut model, path)?;
        Ok(FaceEncoder { model, settings })
    }

    /// Loads an encoder from its single file, which [`FaceEncoder::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Network`] if it is no such file.
    pub fn load(path: impl AsRef<Path>) -> Result<FaceEncoder> {
        let path = path.as_ref();
        let settings: EncoderSettings = NetworkDescription::read(path)?.preprocessing_as()?;
        settings.check()?;
        let (model, description) = load_own_network(settings.architecture, path)?;
        if description.sample != settings.sample {
            return Err(Error::Invalid(format!("{}: two sizes of the images that it reads", path.display())));
        }
        Ok(FaceEncoder { model, settings })
    }

    /// Writes network, weights and settings as one file, atomically.
    ///
    /// # Errors
    /// [`Error::Network`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let description = NetworkDescription::own([""; 0]).preprocessing(&self.settings)?;
        Ok(save_network(&self.model, &description, path)?)
    }

    /// Returns the settings.
    pub fn settings(&self) -> &EncoderSettings {
        &self.settings
    }

    /// Returns the distance up to which two images are taken to show one person.
    pub fn threshold(&self) -> f32 {
        self.settings.threshold
    }

    /// Sets that distance, which is stored with the encoder: see [`Roc`](crate::Roc).
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not a finite number from 0 on.
    pub fn set_threshold(&mut self, threshold: f32) -> Result<()> {
        let settings = EncoderSettings { threshold, ..self.settings.clone() };
        settings.check()?;
        self.settings = settings;
        Ok(())
    }

    /// Sets the views whose embeddings are averaged.
    pub fn views(mut self, views: Views) -> FaceEncoder {
        self.settings.views = views;
        self
    }

    /// Returns the network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the network, to train it.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// Returns the number of features of an embedding.
    pub fn features(&self) -> usize {
        match self.settings.architecture {
            Architecture::Residual { features, .. } => features,
            Architecture::Dlib | Architecture::OpenFace => 128,
        }
    }

    /// Encodes framed images `[N, height, width, C]` of values from 0 to 1: see [`EncoderSettings::framed`]. The
    /// result is `[N, features]`.
    ///
    /// # Errors
    /// [`Error::Graph`] if the images are of another shape.
    pub fn embed(&self, images: &Tensor) -> Result<Tensor> {
        let [height, width, channels] = self.settings.sample;
        let (sample, features) = (height * width * channels, self.features());
        if images.shape().len() != 4 || images.shape()[1..] != self.settings.sample {
            let (got, expected) = (ShapeText(images.shape()), ShapeText(&self.settings.sample));
            return Err(Error::Invalid(format!("images of shape {got}; each must be {expected}")));
        }
        let mut embeddings = Vec::with_capacity(images.shape()[0] * features);
        for block in images.data().chunks(BATCH * sample) {
            let mut x = Tensor::from_vec([block.len() / sample, height, width, channels], block.to_vec())?;
            self.settings.prepare(&mut x);
            let mut sum = self.model.predict(&x)?;
            if self.settings.views == Views::WithMirrored {
                mirror(x.data_mut(), width, channels);
                let mirrored = self.model.predict(&x)?;
                sum.data_mut().iter_mut().zip(mirrored.data()).for_each(|(sum, other)| *sum = 0.5 * (*sum + other));
            }
            if self.settings.length == Length::Unit {
                sum.data_mut().chunks_exact_mut(features).for_each(|row| {
                    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                    row.iter_mut().for_each(|x| *x /= norm);
                });
            }
            embeddings.extend_from_slice(sum.data());
        }
        Ok(Tensor::from_vec([images.shape()[0], features], embeddings)?)
    }

    /// Encodes one image of any size.
    ///
    /// # Errors
    /// Fails as [`EncoderSettings::framed`] and [`FaceEncoder::embed`] do.
    pub fn embed_image(&self, image: &Image) -> Result<Vec<f32>> {
        Ok(self.embed(&self.settings.framed(image)?)?.data().to_vec())
    }

    /// Returns a number that encoders share whose embeddings can be compared: a hash of the weights and of all settings
    /// but the threshold.
    pub fn fingerprint(&self) -> u64 {
        /// FNV-1a (Fowler, Noll and Vo), by words of 64 bits.
        fn add(hash: u64, word: u64) -> u64 {
            (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
        }
        let settings = EncoderSettings { threshold: 0.0, ..self.settings.clone() };
        let text = format!("{settings:?}");
        let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| add(hash, u64::from(byte)));
        for (parameter, value) in self.model.parameters().iter() {
            hash = parameter.path.bytes().fold(hash, |hash, byte| add(hash, u64::from(byte)));
            hash = value.data().iter().fold(hash, |hash, value| add(hash, u64::from(value.to_bits())));
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> FaceEncoder {
        let mut settings = EncoderSettings::residual([28, 24]);
        settings.architecture = Architecture::Residual { features: 8, stages: 3, width: 2, dropout: 0.1 };
        FaceEncoder::untrained(settings, 3).unwrap()
    }

    #[test]
    fn one_file_holds_all_of_an_encoder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encoder.safetensors");
        let mut encoder = small();
        encoder.set_threshold(0.75).unwrap();
        encoder.save(&path).unwrap();
        let read = FaceEncoder::load(&path).unwrap();
        assert_eq!(read.settings(), encoder.settings());
        let x = Tensor::uniform([3, 28, 24, 1], Key::new(1));
        assert_eq!(read.embed(&x).unwrap(), encoder.embed(&x).unwrap());
        assert_eq!(read.fingerprint(), encoder.fingerprint());
        // Another threshold is the same encoder; other views or weights are not.
        encoder.set_threshold(0.5).unwrap();
        assert_eq!(read.fingerprint(), encoder.fingerprint());
        assert_ne!(read.fingerprint(), encoder.views(Views::One).fingerprint());
        let mut other = small();
        other.model_mut().parameters_mut().value_mut("fc.weight").unwrap().data_mut()[0] += 1e-3;
        assert_ne!(read.fingerprint(), other.fingerprint());
    }

    #[test]
    fn mirrored_images_have_one_embedding() {
        let encoder = small();
        let x = Tensor::uniform([40, 28, 24, 1], Key::new(1));
        let mut mirrored = x.clone();
        mirror(mirrored.data_mut(), 24, 1);
        let (a, b) = (encoder.embed(&x).unwrap(), encoder.embed(&mirrored).unwrap());
        a.data().iter().zip(b.data()).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
        let norms = a.data().chunks(8).map(|row| row.iter().map(|x| x * x).sum::<f32>());
        norms.for_each(|norm| assert!((norm - 1.0).abs() < 1e-5));
    }

    #[test]
    fn images_of_any_size_are_framed() {
        let settings = EncoderSettings { sample: [6, 6, 1], ..EncoderSettings::residual([6, 6]) };
        // One column less on each side: the edges are repeated.
        let pixels = (0..6 * 4 * 3).map(|at| (at / 3 % 4 * 51) as u8).collect();
        let framed = settings.framed(&Image::new([6, 4, 3], pixels).unwrap()).unwrap();
        let row: Vec<f32> = framed.data()[..6].to_vec();
        let expected = [0.0, 0.0, 0.2, 0.4, 0.6, 0.6];
        row.iter().zip(expected).for_each(|(got, expected)| assert!((got - expected).abs() < 1e-6, "{row:?}"));
        for ([height, width], channels) in [([1, 1], 1), ([3, 50], 3), ([50, 3], 1), ([70, 60], 3)] {
            let image = Image::new([height, width, channels], vec![51; height * width * channels]).unwrap();
            for sample in [[6, 6, 1], [6, 6, 3]] {
                let framed = EncoderSettings { sample, ..settings.clone() }.framed(&image).unwrap();
                assert_eq!(framed.shape(), [1, 6, 6, sample[2]]);
                assert!(framed.data().iter().all(|x| (x - 0.2).abs() < 1e-5));
            }
        }
        let line = Image::new([1, 16_384, 1], vec![0; 16_384]).unwrap();
        let error = settings.framed(&line).unwrap_err().to_string();
        assert_eq!(error, "an image of 1 x 16384 pixels cannot be framed: 16384 x 16384");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let error = |change: fn(&mut EncoderSettings)| {
            let mut settings = EncoderSettings::residual([28, 24]);
            change(&mut settings);
            FaceEncoder::untrained(settings, 0).unwrap_err().to_string()
        };
        let text =
            error(|s| s.architecture = Architecture::Residual { features: 1 << 40, stages: 3, width: 2, dropout: 0.0 });
        assert_eq!(text, "an encoder of 1099511627776 features and 2 channels: 1024 are the most");
        assert_eq!(error(|s| s.sample[2] = 2), "an encoder of images of 2 channels");
        let two = Statistics { mean: vec![0.0; 2], deviation: vec![1.0; 2] };
        let mut settings = EncoderSettings { contrast: Contrast::Global(two), ..EncoderSettings::residual([28, 24]) };
        let text = FaceEncoder::untrained(settings.clone(), 0).unwrap_err().to_string();
        assert_eq!(text, "an encoder of 1 channels with statistics of 2");
        for (radius, softening) in [(0, 0.1), (1 << 40, 0.1), (3, 0.0), (3, f32::NAN)] {
            settings.contrast = Contrast::Local { radius, softening };
            let text = FaceEncoder::untrained(settings.clone(), 0).unwrap_err().to_string();
            assert_eq!(text, format!("a local contrast within {radius} pixels, softened by {softening}"));
        }
        assert_eq!(error(|s| s.sample[0] = 0), "an encoder of images of 0 x 24 pixels");
        assert_eq!(error(|s| s.threshold = f32::NAN), "the threshold NaN is not a distance");
    }
}
