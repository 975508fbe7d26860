//! A network in one file: weights, and everything that is needed to use them.

#[cfg(test)]
mod tests;

use crate::{
    Best, Metadata, Network, TopK, UnknownNetwork, WeightFile, WeightLoader, WeightsError, by_name, save_weights,
    top_k_by,
    weights::{shown, shown_reason},
};
use ocelli_graph::{Graph, Layer, Model, Source};
use ocelli_tensor::{ShapeText, element_count};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;

/// The key of the description among what a file says of itself.
const NETWORK: &str = "network";
/// The key, among the metadata of a network's file, of how images are prepared.
pub const PREPROCESSING: &str = "preprocessing";

/// More numbers than a picture that a network reads can have: 4096 × 4096 of four channels.
const MAX_SAMPLE: usize = 1 << 26;
/// More bytes of memory than the description of any network takes that [`by_name`] knows (ResNet-152: 0.8 MB). Even LeNet-5's
/// weights take a file that may have as much.
const LARGEST_GRAPH: u64 = 1_000_000;
/// As many classes as a [`NetworkDescription`] in a file may have: more than a network can tell apart.
pub const MAX_CLASSES: usize = 1 << 24;

/// What a file says of its network: which one it is, what it reads and what it tells apart.
///
/// It is one entry of the file's metadata, as JSON. Another, `preprocessing`, holds how pictures are prepared: any `serde`
/// type, as JSON too, such as `Preprocess` of `ocelli-data`.
///
/// A network that [`by_name`] knows is described by its name, and [`load_network`] needs nothing else. One of one's own is
/// described by [`own`](NetworkDescription::own), and [`load_own_network`] is given the function or layer that it is.
///
/// ```
/// use ocelli_graph::{Model, Tensor};
/// use ocelli_models::{NetworkDescription, by_name, load_network, save_network};
/// let model = Model::of(by_name("lenet5", 3)?.layer, [32, 32, 1], 0)?;
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
    /// Its name, as [`by_name`] knows it; `None` for a network of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The shape of what it reads: height, width and channels of pictures.
    pub sample: Vec<usize>,
    /// How many classes it tells apart; 0 if its output is something else.
    pub classes: usize,
    /// What these are called; empty where nobody knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// How pictures are prepared, as JSON. An entry of its own in the file.
    #[serde(skip)]
    preprocessing: Option<String>,
}

/// What can go wrong with a network in one file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file cannot be read or written, or is no weight file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is no such network.
    #[error(transparent)]
    Unknown(#[from] UnknownNetwork),
    /// The description is missing, makes no sense or is not that of the weights.
    #[error("{path}: {reason}")]
    Description {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Settings for pictures that cannot be written or understood, or that are missing.
    #[error("how pictures are prepared {0}")]
    Preprocessing(String),
}

impl NetworkDescription {
    /// Of the network called `name` for pictures of the size that it was published for, and for classes of these names.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`].
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

    /// The same without names, for so many classes; `None` for as many as the network was published for.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`].
    pub fn unnamed(name: &str, classes: impl Into<Option<usize>>) -> Result<NetworkDescription, NetworkError> {
        let Network { name, sample, classes, .. } = by_name(name, classes)?;
        let (network, sample) = (Some(name.into()), sample.into());
        Ok(NetworkDescription { network, sample, classes, class_names: vec![], preprocessing: None })
    }

    /// Of a network of one's own, for classes of these names; for none of them (`own([""; 0])`) if it tells no classes apart.
    /// What it reads, [`save_network`] takes from the model.
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
    /// // Another program, with the same function: what to do with a picture, and what it is.
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

    /// What a file that [`save_network`] wrote says of its network. Its weights are not read, but compared with what is said
    /// where that names the network.
    ///
    /// # Errors
    /// [`NetworkError::Weights`] if the file cannot be read, [`NetworkError::Description`] if it says nothing or something
    /// impossible.
    pub fn read(path: impl AsRef<Path>) -> Result<NetworkDescription, NetworkError> {
        let file = WeightFile::open(path)?;
        let description = described(&file)?;
        if description.network.is_some() {
            description.named_network(&file)?;
        }
        Ok(description)
    }

    /// For pictures of another size: height, width and channels. Networks of one's own may read samples of any rank.
    pub fn sample(mut self, sample: impl Into<Vec<usize>>) -> NetworkDescription {
        self.sample = sample.into();
        self
    }

    /// With settings that say how pictures are prepared.
    ///
    /// # Errors
    /// [`NetworkError::Preprocessing`] if they cannot be written as JSON.
    pub fn preprocessing(mut self, settings: &impl Serialize) -> Result<NetworkDescription, NetworkError> {
        let unwritable = |error| NetworkError::Preprocessing(format!("cannot be written as JSON: {error}"));
        self.preprocessing = Some(serde_json::to_string(settings).map_err(unwritable)?);
        Ok(self)
    }

    /// How pictures are prepared, in the type of whoever does it.
    ///
    /// # Errors
    /// [`NetworkError::Preprocessing`] if nothing is said or it is not of this type.
    pub fn preprocessing_as<T: DeserializeOwned>(&self) -> Result<T, NetworkError> {
        let missing = || NetworkError::Preprocessing("is not said in the file of the network".into());
        let text = self.preprocessing.as_ref().ok_or_else(missing)?;
        let wrong = |error: serde_json::Error| {
            NetworkError::Preprocessing(format!("cannot be understood: {}", shown_reason(&error.to_string())))
        };
        serde_json::from_str(text).map_err(wrong)
    }

    /// The `k` best answers to one sample, from its scores, with the names of the classes. The largest score of a network of
    /// one's own is the best.
    pub fn top_k(&self, scores: &[f32], k: usize) -> TopK<'_> {
        let named = self.network.as_ref().and_then(|name| by_name(name, self.classes).ok());
        top_k_by(named.map_or(Best::Largest, |network| network.best), scores, k).named(&self.class_names)
    }

    /// The network without memory for its weights; `Err` is the reason why this cannot be it.
    fn graph(&self, network: &impl Layer) -> Result<Graph, String> {
        let sample = &self.sample;
        if element_count(sample).is_none_or(|numbers| numbers == 0 || numbers > MAX_SAMPLE) {
            return Err(format!("no network reads pictures of {}", ShapeText(sample)));
        }
        Graph::of(network, sample).map_err(|error| error.to_string())
    }

    /// Returns an error if classes and their names cannot be meant.
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

    /// The network that [`by_name`] knows, and what it consists of.
    fn named(&self) -> Result<(Network, Graph), String> {
        let missing = || "a network of one's own; load_own_network loads it into the function that made it".to_string();
        let name = self.network.as_ref().ok_or_else(missing)?;
        let unknown = |error: UnknownNetwork| UnknownNetwork { name: shown(&error.name) }.to_string();
        let network = by_name(name, self.classes).map_err(unknown)?;
        if self.sample.len() != network.sample.len() {
            return Err(format!("no network reads pictures of {}", ShapeText(&self.sample)));
        }
        let graph = self.graph(&network.layer)?;
        Ok((network, graph))
    }

    /// The network of [`named`](NetworkDescription::named), whose weights the file has.
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

/// Writes a model with what is needed to use it into one safetensors file. The write is atomic, and the file's weights are
/// read by [`load_weights`](crate::load_weights) and by other programs as any others.
///
/// # Errors
/// [`NetworkError::Weights`] if weights are NaN or infinite or the file cannot be written, [`NetworkError::Description`] if the
/// model is not the one that is described, or reads more than one input.
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

/// What a model of one's own reads, if it fits the description.
fn own_sample(model: &Model, description: &NetworkDescription) -> Result<Vec<usize>, String> {
    let graph = model.graph();
    let shape = |name: &str| graph.find(name).map(|value| graph.values[value].shape.at(1));
    let mut inputs = graph.values.iter().filter_map(|value| match &value.source {
        Source::Input(name) => Some((name, value.shape.at(1))),
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

/// Reads a network of one's own that [`save_network`] wrote: the function or layer that the model was built of, with the weights,
/// for samples of the shape that the file says. [`NetworkDescription::own`] has an example.
///
/// # Errors
/// As [`load_network`]; the file must have all parameters of the network and no others.
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

/// The network with the weights of the file.
fn filled(network: impl Layer, description: &NetworkDescription, file: &mut WeightFile) -> Result<Model, NetworkError> {
    let unbuilt = |error| wrong(file.name(), format!("the network cannot be built: {error}"));
    let mut model = Model::zeroed(network, &description.sample).map_err(unbuilt)?;
    WeightLoader::new().load_from(&mut model, file)?;
    Ok(model)
}

/// What the file says of its network.
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

/// The most memory that a description takes: a text for each pair of quotes and a number for each comma, in vectors that are
/// there twice while they grow.
fn memory_of(text: &str) -> u64 {
    let count = |wanted: u8| text.bytes().filter(|byte| *byte == wanted).count();
    let (texts, items) = (count(b'"') / 2, count(b',') + 1);
    (text.len() + texts * 16 + items * 3 * size_of::<String>()) as u64
}

/// Whether the file has as many numbers as each parameter. How these lie there is compared when they are read.
fn compare(graph: &Graph, file: &WeightFile) -> Result<(), String> {
    for (path, spec) in &graph.parameters {
        let shape = graph.values[spec.value].shape.at(1);
        let Some(info) = file.info(path) else { return Err(format!("{path} of the network is missing")) };
        if element_count(&shape).is_none() || element_count(&shape) != element_count(&info.shape) {
            let (ours, theirs) = (ShapeText(&shape), ShapeText(&info.shape));
            return Err(format!("{path} is {theirs}, which is not as many numbers as {ours} of the network described"));
        }
    }
    Ok(())
}
