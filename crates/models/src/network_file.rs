//! A network in one file: its weights, and everything needed to use them.

#[cfg(test)]
mod tests;

use crate::{
    Best, Metadata, Network, TopK, UnknownNetwork, WeightFile, WeightLoader, WeightsError, by_name, save_weights,
    top_k_by,
    weights::{shown, shown_reason},
};
use ocelli_graph::{Graph, Layer, Model, ValueSource};
use ocelli_tensor::{ShapeText, element_count};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;

/// The metadata key of the description of the network.
const NETWORK: &str = "network";
/// The metadata key of the description of how images are prepared.
pub const PREPROCESSING: &str = "preprocessing";

/// A bound above the number of values in the input of any network: 4096 × 4096 pixels of four channels.
const MAX_SAMPLE: usize = 1 << 26;
/// A bound, in bytes of memory, above the graph of any network that [`by_name`] knows (ResNet-152: 0.8 MB). A file with
/// the weights of LeNet-5 may already take as much.
const LARGEST_GRAPH: u64 = 1_000_000;
/// Maximum number of classes of a [`NetworkDescription`] in a file: more than a network can distinguish.
pub const MAX_CLASSES: usize = 1 << 24;

/// The description of a network in its file: its name, the shape of its input and its classes.
///
/// It is one entry of the file's metadata, as JSON. Another, `preprocessing`, describes how images are prepared: any
/// `serde` type, as JSON too, such as `Preprocess` of `ocelli-data`.
///
/// A network that [`by_name`] knows is described by its name, and [`load_network`] needs nothing else. A custom network
/// is described by [`own`](NetworkDescription::own), and [`load_own_network`] takes its function or layer.
///
/// ```
/// use ocelli_graph::{Model, Tensor};
/// use ocelli_models::{NetworkDescription, by_name, load_network, save_network};
/// let model = Model::from_layer(by_name("lenet5", 3)?.layer, [32, 32, 1], 0)?;
/// let shapes = ["circle", "square", "star"];
/// let description = NetworkDescription::new("lenet5", shapes)?.preprocessing(&("mean", 0.5))?;
/// let path = std::env::temp_dir().join(format!("ocelli-doc-network-{}.safetensors", std::process::id()));
/// save_network(&model, &description, &path)?;
///
/// assert_eq!(NetworkDescription::read(&path)?, description);
/// let (model, description) = load_network(&path)?;
/// let scores = model.predict(&Tensor::zeros([1, 32, 32, 1]))?;
/// println!("{}", description.top_k(scores.data(), 2));
/// let prepared: (String, f32) = description.preprocessing_as()?;
/// # assert_eq!(prepared.1, 0.5);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkDescription {
    /// The name for [`by_name`]; `None` for a custom network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The shape of a sample: height, width and channels of images.
    pub sample: Vec<usize>,
    /// The number of classes; 0 if the output is something else.
    pub classes: usize,
    /// The names of the classes; empty if they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// The description of how images are prepared, as JSON, in its own entry of the file.
    #[serde(skip)]
    preprocessing: Option<String>,
}

/// An error of reading or writing a network in one file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file cannot be read or written, or is not a weight file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// No network has the given name.
    #[error(transparent)]
    Unknown(#[from] UnknownNetwork),
    /// The description is missing, invalid or not that of the weights.
    #[error("{path}: {reason}")]
    Description {
        /// The file.
        path: String,
        /// The fault.
        reason: String,
    },
    /// The settings for preparing images are missing, or cannot be written or parsed.
    #[error("how images are prepared {0}")]
    Preprocessing(String),
}

impl NetworkDescription {
    /// Describes the network called `name` at its published image size, for classes of these names.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] if no network has that name.
    pub fn new(
        name: &str,
        class_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<NetworkDescription, NetworkError> {
        let class_names: Vec<String> = class_names.into_iter().map(Into::into).collect();
        let Network { name, sample, .. } = by_name(name, class_names.len())?;
        Ok(NetworkDescription {
            network: Some(name.into()),
            sample: sample.into(),
            classes: class_names.len(),
            class_names,
            preprocessing: None,
        })
    }

    /// Describes the network called `name` for `classes` classes without names; `None` for the published number.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] if no network has that name.
    pub fn unnamed(name: &str, classes: impl Into<Option<usize>>) -> Result<NetworkDescription, NetworkError> {
        let Network { name, sample, classes, .. } = by_name(name, classes)?;
        let (network, sample) = (Some(name.into()), sample.into());
        Ok(NetworkDescription { network, sample, classes, class_names: vec![], preprocessing: None })
    }

    /// Describes a custom network for classes of these names; for none (`own([""; 0])`) if it is not a classifier.
    /// [`save_network`] takes the shape of a sample from the model.
    ///
    /// ```
    /// use ocelli_graph::{Model, Node, Tensor, func};
    /// use ocelli_layers::{Conv2d, Dense};
    /// use ocelli_models::{NetworkDescription, load_own_network, save_network};
    ///
    /// fn network(x: &Node) -> Node {
    ///     x.apply("conv", Conv2d::new(8, 3)).relu().global_avg_pool().apply("fc", Dense::new(2))
    /// }
    ///
    /// let trained = Model::build(network, [16, 16, 3], 0)?;
    /// let description = NetworkDescription::own(["cat", "dog"]).preprocessing(&("mean", 0.5))?;
    /// let path = std::env::temp_dir().join(format!("ocelli-doc-own-{}.safetensors", std::process::id()));
    /// save_network(&trained, &description, &path)?;
    ///
    /// // Another program, with the same function, prepares an image and classifies it.
    /// let (model, description) = load_own_network(func(network), &path)?;
    /// assert_eq!((&description.sample[..], description.classes), (&[16, 16, 3][..], 2));
    /// let prepared: (String, f32) = description.preprocessing_as()?;
    /// let scores = model.predict(&Tensor::full([1, 16, 16, 3], prepared.1))?;
    /// println!("{}", description.top_k(scores.data(), 2));
    /// # assert_eq!(scores, trained.predict(&Tensor::full([1, 16, 16, 3], 0.5))?);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn own(class_names: impl IntoIterator<Item = impl Into<String>>) -> NetworkDescription {
        let class_names: Vec<String> = class_names.into_iter().map(Into::into).collect();
        let (classes, sample) = (class_names.len(), Vec::new());
        NetworkDescription { network: None, sample, classes, class_names, preprocessing: None }
    }

    /// Reads the description from a file that [`save_network`] wrote. The weights are not read, but their shapes are
    /// compared with the description where it names the network.
    ///
    /// # Errors
    /// [`NetworkError::Weights`] if the file cannot be read, [`NetworkError::Description`] if the description is
    /// missing or invalid.
    pub fn read(path: impl AsRef<Path>) -> Result<NetworkDescription, NetworkError> {
        let file = WeightFile::open(path)?;
        let description = described(&file)?;
        if description.network.is_some() {
            description.named_network(&file)?;
        }
        Ok(description)
    }

    /// Sets the shape of a sample: height, width and channels of images. Custom networks may read samples of any rank.
    pub fn sample(mut self, sample: impl Into<Vec<usize>>) -> NetworkDescription {
        self.sample = sample.into();
        self
    }

    /// Adds settings that describe how images are prepared.
    ///
    /// # Errors
    /// [`NetworkError::Preprocessing`] if they cannot be written as JSON.
    pub fn preprocessing(mut self, settings: &impl Serialize) -> Result<NetworkDescription, NetworkError> {
        let unwritable = |error| NetworkError::Preprocessing(format!("cannot be written as JSON: {error}"));
        self.preprocessing = Some(serde_json::to_string(settings).map_err(unwritable)?);
        Ok(self)
    }

    /// Returns the settings that describe how images are prepared, as a `T`.
    ///
    /// # Errors
    /// [`NetworkError::Preprocessing`] if there are none or they are not a `T`.
    pub fn preprocessing_as<T: DeserializeOwned>(&self) -> Result<T, NetworkError> {
        let missing = || NetworkError::Preprocessing("is not said in the file of the network".into());
        let text = self.preprocessing.as_ref().ok_or_else(missing)?;
        let wrong = |error: serde_json::Error| {
            NetworkError::Preprocessing(format!("cannot be understood: {}", shown_reason(&error.to_string())))
        };
        serde_json::from_str(text).map_err(wrong)
    }

    /// Returns the `k` best answers for one sample from its scores, with the names of the classes. For a custom network
    /// the largest score is the best.
    pub fn top_k(&self, scores: &[f32], k: usize) -> TopK<'_> {
        let named = self.network.as_ref().and_then(|name| by_name(name, self.classes).ok());
        top_k_by(named.map_or(Best::Largest, |network| network.best), scores, k).named(&self.class_names)
    }

    /// Builds the graph of a network without memory for its weights; `Err` is the reason why it cannot be the
    /// described one.
    fn graph(&self, network: &impl Layer) -> Result<Graph, String> {
        let sample = &self.sample;
        if element_count(sample).is_none_or(|numbers| numbers == 0 || numbers > MAX_SAMPLE) {
            return Err(format!("no network reads images of {}", ShapeText(sample)));
        }
        Graph::from_layer(network, sample).map_err(|error| error.to_string())
    }

    /// Checks that the classes and their names are possible.
    fn check_classes(&self) -> Result<(), String> {
        let NetworkDescription { network, classes, class_names, .. } = self;
        if (*classes == 0 && network.is_some()) || *classes > MAX_CLASSES {
            return Err(format!("no network tells {classes} classes apart"));
        }
        if !class_names.is_empty() && class_names.len() != *classes {
            return Err(format!("{} names for {classes} classes", class_names.len()));
        }
        Ok(())
    }

    /// Returns the network that [`by_name`] knows, and its graph.
    fn named(&self) -> Result<(Network, Graph), String> {
        let missing = || "a network of one's own; load_own_network loads it into the function that made it".to_string();
        let name = self.network.as_ref().ok_or_else(missing)?;
        let unknown = |error: UnknownNetwork| UnknownNetwork { name: shown(&error.name) }.to_string();
        let network = by_name(name, self.classes).map_err(unknown)?;
        if self.sample.len() != network.sample.len() {
            return Err(format!("no network reads images of {}", ShapeText(&self.sample)));
        }
        let graph = self.graph(&network.layer)?;
        Ok((network, graph))
    }

    /// Returns the network of [`named`](NetworkDescription::named) if the file has its weights.
    fn named_network(&self, file: &WeightFile) -> Result<Network, NetworkError> {
        if let Some(name) = &self.network
            && file.budget().check(LARGEST_GRAPH).is_err()
        {
            return Err(wrong(file.name(), format!("too few bytes for the weights of {}", shown(name))));
        }
        let checked = self.named().and_then(|(network, graph)| compare(&graph, file).map(|()| network));
        checked.map_err(|reason| wrong(file.name(), reason))
    }
}

fn wrong(path: &str, reason: impl Into<String>) -> NetworkError {
    NetworkError::Description { path: path.into(), reason: reason.into() }
}

/// Writes a model and its description into one safetensors file. The write is atomic, and
/// [`load_weights`](crate::load_weights) and other programs read the weights as from any other file.
///
/// # Errors
/// [`NetworkError::Weights`] if weights are NaN or infinite or the file cannot be written,
/// [`NetworkError::Description`] if the model is not the described one, or reads more than one input.
pub fn save_network(
    model: &Model,
    description: &NetworkDescription,
    path: impl AsRef<Path>,
) -> Result<(), NetworkError> {
    let path = path.as_ref();
    let wrong = |reason: String| wrong(&path.display().to_string(), reason);
    description.check_classes().map_err(wrong)?;
    let description = match &description.network {
        Some(name) => {
            let (_, graph) = description.named().map_err(wrong)?;
            if !has_parameters(model, &graph) {
                return Err(wrong(format!("the model that is to be written has not the parameters of {name}")));
            }
            description.clone()
        }
        None => description.clone().sample(own_sample(model, description).map_err(wrong)?),
    };
    let text = serde_json::to_string(&description).expect("names and numbers are written as JSON");
    let mut metadata = Metadata::from([(NETWORK.into(), text)]);
    metadata.extend(description.preprocessing.map(|text| (PREPROCESSING.into(), text)));
    Ok(save_weights(model, path, &metadata)?)
}

fn has_parameters(model: &Model, graph: &Graph) -> bool {
    let described = graph.parameters.iter().map(|(path, spec)| (path, graph.values[spec.value].shape.at(1)));
    described.eq(model.parameters().iter().map(|(parameter, value)| (&parameter.path, value.shape().to_vec())))
}

/// Returns the shape of a sample of a custom model, if the model fits the description.
fn own_sample(model: &Model, description: &NetworkDescription) -> Result<Vec<usize>, String> {
    let graph = model.graph();
    let shape = |name: &str| graph.find(name).map(|value| graph.values[value].shape.at(1));
    let mut inputs = graph.values.iter().filter_map(|value| match &value.source {
        ValueSource::Input(name) => Some((name, value.shape.at(1))),
        _ => None,
    });
    let sample = match (inputs.next(), inputs.next()) {
        (Some((name, shape)), None) if name == "input" && !shape.is_empty() => shape[1..].to_vec(),
        _ => return Err("a network in one file has one input, called \"input\"".into()),
    };
    if ![&[][..], &sample].contains(&&description.sample[..]) {
        let (ours, theirs) = (ShapeText(&sample), ShapeText(&description.sample));
        return Err(format!("the model that is to be written reads {ours}, not {theirs}"));
    }
    let outputs = shape("output").and_then(|shape| shape.last().copied()).unwrap_or(0);
    // One score tells two classes apart.
    if description.classes > 0 && outputs != description.classes && outputs != 1 {
        return Err(format!(
            "the model that is to be written has {outputs} outputs for {} classes",
            description.classes
        ));
    }
    Ok(sample)
}

/// Reads a network that [`save_network`] wrote under its name.
///
/// Nothing in the file is trusted: sizes are compared with what the file holds before memory is taken for them.
///
/// # Errors
/// [`NetworkError::Weights`] or [`NetworkError::Description`].
pub fn load_network(path: impl AsRef<Path>) -> Result<(Model, NetworkDescription), NetworkError> {
    load_from(&mut WeightFile::open(path)?)
}

/// Reads a custom network that [`save_network`] wrote: builds the function or layer of the model for the sample shape
/// of the file, and loads the weights. [`NetworkDescription::own`] has an example.
///
/// # Errors
/// The errors of [`load_network`]; the file must have all parameters of the network and no others.
pub fn load_own_network(
    network: impl Layer,
    path: impl AsRef<Path>,
) -> Result<(Model, NetworkDescription), NetworkError> {
    let mut file = WeightFile::open(path)?;
    let description = described(&file)?;
    let graph = description.graph(&network);
    graph.and_then(|graph| compare(&graph, &file)).map_err(|reason| wrong(file.name(), reason))?;
    Ok((filled(network, &description, &mut file)?, description))
}

fn load_from(file: &mut WeightFile) -> Result<(Model, NetworkDescription), NetworkError> {
    let description = described(file)?;
    let network = description.named_network(file)?;
    Ok((filled(network.layer, &description, file)?, description))
}

/// Builds the network and loads the weights of the file.
fn filled(network: impl Layer, description: &NetworkDescription, file: &mut WeightFile) -> Result<Model, NetworkError> {
    let unbuilt = |error| wrong(file.name(), format!("the network cannot be built: {error}"));
    let mut model = Model::zeroed(network, &description.sample).map_err(unbuilt)?;
    WeightLoader::new().load_from(&mut model, file)?;
    Ok(model)
}

/// Returns the description in the file.
fn described(file: &WeightFile) -> Result<NetworkDescription, NetworkError> {
    let wrong = |reason: String| wrong(file.name(), reason);
    let missing = || wrong("weights alone, without the description of a network".into());
    let text = file.metadata().get(NETWORK).ok_or_else(missing)?;
    file.budget().check(memory_of(text)).map_err(|exhausted| wrong(exhausted.into()))?;
    let mut description: NetworkDescription = serde_json::from_str(text).map_err(|error| {
        let reason = shown_reason(&error.to_string());
        wrong(format!("the description of the network cannot be understood: {reason}"))
    })?;
    description.preprocessing = file.metadata().get(PREPROCESSING).cloned();
    description.check_classes().map_err(wrong)?;
    Ok(description)
}

/// Returns a bound on the memory of a description: a text for each pair of quotes and a number for each comma, in
/// vectors that are held twice while they grow.
fn memory_of(text: &str) -> u64 {
    let count = |wanted: u8| text.bytes().filter(|byte| *byte == wanted).count();
    let (texts, items) = (count(b'"') / 2, count(b',') + 1);
    (text.len() + texts * 16 + items * 3 * size_of::<String>()) as u64
}

/// Checks that the file has as many elements as each parameter. Their layout is compared when they are read.
fn compare(graph: &Graph, file: &WeightFile) -> Result<(), String> {
    for (path, spec) in &graph.parameters {
        let shape = graph.values[spec.value].shape.at(1);
        let Some(info) = file.info(path) else { return Err(format!("{path} of the network is missing")) };
        if element_count(&shape).is_none() || element_count(&shape) != element_count(&info.shape) {
            let (ours, theirs) = (ShapeText(&shape), ShapeText(&info.shape));
            return Err(format!(
                "{path} is {theirs}, which is not as many elements as {ours} of the network described"
            ));
        }
    }
    Ok(())
}
