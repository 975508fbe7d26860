//! The convolutions of a VGG as features of images: what style is compared in.

use crate::{Error, Result};
use ocelli_graph::{Key, Layer, Model, Node, Tensor};
use ocelli_layers::{AvgPool2d, BatchNorm, Conv2d, MaxPool2d, Pad2d};
use ocelli_models::{WeightFile, WeightLoader};
use std::{collections::BTreeSet, path::Path};

/// The convolutions of a VGG (Simonyan and Zisserman 2014), cut anywhere, with their weights and the preparation of images
/// that these expect.
///
/// It reads red, green and blue from 0 to 1; the preparation is its first layer, a 1 × 1 convolution, so that gradients
/// reach the pixels. Activations are named by the paper's numbers: `relu4_2` is the one behind the second convolution of
/// stage 4.
///
/// ```
/// use ocelli_vision::VggFeatures;
/// let features = VggFeatures::random(&[2, 2, 4], 42);
/// assert_eq!(features.layers().last().unwrap(), "relu3_4");
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct VggFeatures {
    /// Number of convolutions of each stage.
    stages: Vec<usize>,
    batch_norm: bool,
    border: ConvBorder,
    first_border: ConvBorder,
    partial_windows: bool,
    pooling: Pooling,
    /// Parameters by their paths in the network.
    weights: Vec<(String, Tensor)>,
}

/// The pixels beyond the edge of an image that a 3 × 3 convolution sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvBorder {
    /// Zeros, as in VGG.
    Zeros,
    /// The mirror image, as in the networks of Li et al. 2017.
    Mirror,
    /// The pixels at the edge.
    Edge,
}

/// The pooling between stages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pooling {
    /// The maximum of 2 × 2 pixels, as in VGG.
    Max,
    /// `factor` times their mean (Gatys et al. 2015 with a factor of 1).
    Average {
        /// The factor.
        factor: f32,
    },
    /// `factor` times the root of the sum of their squares.
    L2 {
        /// The factor.
        factor: f32,
    },
}

/// The preparation of red, green and blue from 0 to 1 that weights expect, where their file does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preparation {
    /// Normalised by the statistics of ImageNet, as torchvision's weights expect.
    Torchvision,
    /// Blue, green and red from 0 to 255, less these means.
    Caffe {
        /// The means of blue, green and red.
        means: [f32; 3],
    },
}

/// Channels of each stage.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
/// Keeps the slope of a square root finite.
const SMALLEST_SQUARE: f32 = 1e-8;

impl VggFeatures {
    /// Reads the convolutions that a weight file has: as `features.N` in torchvision's order, with batch normalisation or
    /// without, or as `convS_N`. Everything else in the file is left out.
    ///
    /// The preparation of images is chosen by the file: a layer called `preprocess` in it; or metadata `input` that begin
    /// with `BGR 0..255 minus` and three means; torchvision's otherwise. See [`VggFeatures::preparation`].
    ///
    /// # Errors
    /// [`Error::Weights`] if the file cannot be read or does not fit, [`Error::Invalid`] if it has no such convolutions.
    pub fn load(path: impl AsRef<Path>) -> Result<VggFeatures> {
        let mut file = WeightFile::open(path)?;
        let found = Convolutions::find(&file)?;
        let has_preparation = file.info("preprocess.weight").is_some();
        let means = file.metadata().get("input").and_then(|text| caffe_means(text));
        let (border, partial_windows) = match (has_preparation, means) {
            // The normalised networks of Li et al.
            (true, _) => (ConvBorder::Mirror, true),
            (false, Some(_)) => (ConvBorder::Zeros, true),
            (false, None) => (ConvBorder::Zeros, false),
        };
        let mut features = VggFeatures {
            stages: found.stages,
            batch_norm: found.batch_norm,
            border,
            first_border: border,
            partial_windows,
            pooling: Pooling::Max,
            weights: Vec::new(),
        };
        // every parameter gets the path that it has in the network
        let mut model = features.model(features.stages.len(), [32, 32], Node::clone)?;
        let mut loader = WeightLoader::new();
        for (from, to) in &found.names {
            loader = loader.rename(from.clone(), to.clone());
        }
        let used: BTreeSet<&str> = found.names.iter().map(|(from, _)| from.as_str()).collect();
        let others = file.tensors().map(|(name, _)| name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_string());
        for other in
            others.filter(|name| !used.contains(name.as_str()) && name != "preprocess").collect::<BTreeSet<_>>()
        {
            loader = loader.ignore(other);
        }
        if !has_preparation {
            loader = loader.except("preprocess");
        }
        loader.load_from(&mut model, &mut file)?;
        features.weights =
            model.parameters().iter().map(|(parameter, value)| (parameter.path.clone(), value.clone())).collect();
        if has_preparation {
            return Ok(features);
        }
        Ok(features.preparation(match means {
            Some(means) => Preparation::Caffe { means },
            None => Preparation::Torchvision,
        }))
    }

    /// Creates random filters for stages of so many convolutions, at most five stages, with torchvision's preparation:
    /// their Gram matrices carry textures too, if poorer ones (Ustyuzhaninov et al. 2016).
    pub fn random(stages: &[usize], seed: u64) -> VggFeatures {
        let mut features = VggFeatures {
            stages: stages.iter().copied().take(WIDTHS.len()).collect(),
            batch_norm: false,
            border: ConvBorder::Zeros,
            first_border: ConvBorder::Zeros,
            partial_windows: false,
            pooling: Pooling::Max,
            weights: Vec::new(),
        };
        let mut inputs = 3;
        for (stage, count) in features.stages.clone().into_iter().enumerate() {
            for number in 1..=count {
                let (path, outputs) = (conv_path(stage, number), WIDTHS[stage]);
                let mut stream = Key::new(seed).with(&path).stream();
                let deviation = (2.0 / (9 * inputs) as f32).sqrt();
                let filter = Tensor::from_fn([3, 3, inputs, outputs], |_| deviation * stream.normal());
                features.weights.push((format!("{path}.weight"), filter));
                features.weights.push((format!("{path}.bias"), Tensor::zeros([outputs])));
                inputs = outputs;
            }
        }
        features.preparation(Preparation::Torchvision)
    }

    /// Sets the preparation of images, in place of the one that was chosen by the file.
    pub fn preparation(mut self, preparation: Preparation) -> VggFeatures {
        // `[in, out]` of a 1 × 1 convolution
        let mut weight = Tensor::zeros([1, 1, 3, 3]);
        let mut bias = Tensor::zeros([3]);
        for (channel, (mean, deviation)) in IMAGENET_MEAN.into_iter().zip(IMAGENET_DEVIATION).enumerate() {
            match preparation {
                Preparation::Torchvision => {
                    weight[[0, 0, channel, channel]] = 1.0 / deviation;
                    bias[[channel]] = -mean / deviation;
                }
                Preparation::Caffe { means } => {
                    weight[[0, 0, 2 - channel, channel]] = 255.0;
                    bias[[channel]] = -means[channel];
                }
            }
        }
        self.weights.retain(|(path, _)| !path.starts_with("preprocess."));
        self.weights.extend([("preprocess.weight".to_string(), weight), ("preprocess.bias".to_string(), bias)]);
        self
    }

    /// Sets the pooling between stages; the maximum unless it is set.
    pub fn pooling(mut self, pooling: Pooling) -> VggFeatures {
        self.pooling = pooling;
        self
    }

    /// Sets what the first convolution sees beyond the edge of the image.
    pub fn first_border(mut self, border: ConvBorder) -> VggFeatures {
        self.first_border = border;
        self
    }

    /// Returns the names of all activations, from the first to the deepest.
    pub fn layers(&self) -> Vec<String> {
        let of_stage = |(stage, count): (usize, &usize)| {
            (1..=*count).map(move |number| format!("relu{}_{number}", stage + 1)).collect::<Vec<_>>()
        };
        self.stages.iter().enumerate().flat_map(of_stage).collect()
    }

    /// Returns the index of the stage of an activation: its image is smaller by 2 to the power of that.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is not one of [`VggFeatures::layers`].
    pub fn stage_of(&self, layer: &str) -> Result<usize> {
        let known = self.layers();
        if !known.iter().any(|name| name == layer) {
            let known = known.join(", ");
            return Err(Error::Invalid(format!("the network has no layer {layer}; there are: {known}")));
        }
        Ok(layer.as_bytes()["relu".len()].saturating_sub(b'1').into())
    }

    /// Returns the path in the model of an activation.
    ///
    /// # Errors
    /// As for [`VggFeatures::stage_of`].
    pub fn path(&self, layer: &str) -> Result<String> {
        Ok(format!("stage{}.{layer}", self.stage_of(layer)? + 1))
    }

    /// Builds the model of the first `stages` for images of `size`, with its weights. `end` describes its output from the
    /// deepest activation; it finds the others by [`tap`](ocelli_graph::Trace::tap) and their [paths](VggFeatures::path).
    ///
    /// # Errors
    /// [`Error::Graph`] if the image is too small for the network.
    pub fn model(&self, stages: usize, size: [usize; 2], end: impl Fn(&Node) -> Node) -> Result<Model> {
        let [height, width] = size;
        let mut model = Model::zeroed(Network { features: self, stages, end }, [height, width, 3])?;
        for (path, value) in &self.weights {
            if model.parameters().get(path).is_some() {
                model.parameters_mut().set(path, value.clone())?;
            }
        }
        Ok(model)
    }

    fn network(&self, stages: usize, x: &Node) -> Node {
        let mut x = x.apply("preprocess", Conv2d::new(3, 1));
        for (stage, &count) in self.stages.iter().enumerate().take(stages) {
            let first = stage == 0;
            x = x.scope(format!("stage{}", stage + 1), move |x: &Node| self.stage(stage, count, first, x));
        }
        x
    }

    fn stage(&self, stage: usize, count: usize, first: bool, x: &Node) -> Node {
        let mut x = if first { x.clone() } else { self.pooled(x) };
        for number in 1..=count {
            let border = if first && number == 1 { self.first_border } else { self.border };
            let name = format!("conv{}_{number}", stage + 1);
            let conv = Conv2d::new(WIDTHS[stage], 3);
            x = match border {
                ConvBorder::Zeros => x.apply(name, conv.same()),
                ConvBorder::Mirror => x.apply(format!("pad{name}"), Pad2d::reflect(1)).apply(name, conv),
                ConvBorder::Edge => x.apply(format!("pad{name}"), Pad2d::replicate(1)).apply(name, conv),
            };
            if self.batch_norm {
                x = x.apply(format!("norm{}_{number}", stage + 1), BatchNorm::new());
            }
            x = x.relu().named(&format!("relu{}_{number}", stage + 1));
        }
        x
    }
}

impl VggFeatures {
    fn pooled(&self, x: &Node) -> Node {
        let average = || match self.partial_windows {
            true => AvgPool2d::new(2).ceil(),
            false => AvgPool2d::new(2),
        };
        match self.pooling {
            Pooling::Max if self.partial_windows => x.apply("pool", MaxPool2d::new(2).ceil()),
            Pooling::Max => x.apply("pool", MaxPool2d::new(2)),
            Pooling::Average { factor: 1.0 } => x.apply("pool", average()),
            Pooling::Average { factor } => x.apply("pool", average()) * factor,
            Pooling::L2 { factor } => (x.square().apply("pool", average()) * 4.0 + SMALLEST_SQUARE).sqrt() * factor,
        }
    }
}

/// The first stages of the features, and what is made of them.
struct Network<'a, F> {
    features: &'a VggFeatures,
    stages: usize,
    end: F,
}

impl<F: Fn(&Node) -> Node> Layer for Network<'_, F> {
    fn forward(&self, x: &Node) -> Node {
        (self.end)(&self.features.network(self.stages, x))
    }
}

fn conv_path(stage: usize, number: usize) -> String {
    format!("stage{0}.conv{0}_{number}", stage + 1)
}

/// Reads the means of a description such as `BGR 0..255 minus 104 117 123`.
fn caffe_means(text: &str) -> Option<[f32; 3]> {
    let numbers = text.strip_prefix("BGR 0..255 minus ")?.split_whitespace();
    let means: Vec<f32> = numbers.map_while(|number| number.parse().ok()).collect();
    means.try_into().ok()
}

/// The convolutions that a file has.
struct Convolutions {
    stages: Vec<usize>,
    batch_norm: bool,
    /// Names of layers in the file, with the paths that they get.
    names: Vec<(String, String)>,
}

impl Convolutions {
    fn find(file: &WeightFile) -> Result<Convolutions> {
        let is_filter = |name: &str| file.info(name).is_some_and(|info| info.shape.len() == 4);
        let layers: Vec<&str> =
            file.tensors().filter_map(|(name, _)| name.strip_suffix(".weight").filter(|_| is_filter(name))).collect();
        // `features.N`: a pooling takes a number of its own, and so does a normalisation
        let mut numbers: Vec<usize> =
            layers.iter().filter_map(|name| name.strip_prefix("features.")?.parse().ok()).collect();
        numbers.sort_unstable();
        let mut found = Convolutions { stages: Vec::new(), batch_norm: false, names: Vec::new() };
        if numbers.is_empty() {
            found.by_name(&layers);
        } else {
            found.batch_norm = file.info(&format!("features.{}.running_mean", numbers[0] + 1)).is_some();
            found.by_number(&numbers);
        }
        if found.stages.is_empty() || found.stages.len() > WIDTHS.len() || found.stages.contains(&0) {
            let known = layers.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            return Err(Error::Invalid(format!(
                "{}: holds no convolutions of a VGG, called features.0 or conv1_1 and so on; its filters are: {known}",
                file.name()
            )));
        }
        Ok(found)
    }

    fn by_number(&mut self, numbers: &[usize]) {
        let (mut last, behind_pooling) = (None, if self.batch_norm { 4 } else { 3 });
        for &number in numbers {
            match last {
                Some(last) if number - last < behind_pooling => {}
                _ => self.stages.push(0),
            }
            last = Some(number);
            let stage = self.stages.len() - 1;
            self.stages[stage] += 1;
            let path = conv_path(stage, self.stages[stage]);
            if self.batch_norm {
                self.names.push((format!("features.{}", number + 1), path.replace("conv", "norm")));
            }
            self.names.push((format!("features.{number}"), path));
        }
    }

    fn by_name(&mut self, layers: &[&str]) {
        for stage in 0..WIDTHS.len() {
            let mut count = 0;
            while layers.contains(&format!("conv{}_{}", stage + 1, count + 1).as_str()) {
                count += 1;
                self.names.push((format!("conv{}_{count}", stage + 1), conv_path(stage, count)));
            }
            if count == 0 {
                break;
            }
            self.stages.push(count);
        }
    }
}
