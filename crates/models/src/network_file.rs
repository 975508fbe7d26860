//! A network in one file: weights, and everything that is needed to use them.

#[cfg(test)]
mod tests;

use crate::{
    Best, Metadata, Network, TopK, UnknownNetwork, WeightFile, WeightLoader, WeightsError, by_name, save_weights,
    top_k_by,
};
use ocelli_graph::{Graph, Model};
use ocelli_tensor::ShapeText;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;

/// The key of the description among what a file says of itself.
const NETWORK: &str = "network";
/// The key of how pictures are prepared.
const PREPROCESSING: &str = "preprocessing";

/// More numbers than a picture that a network reads can have: 4096 × 4096 of four channels.
const MAX_SAMPLE: usize = 1 << 26;
/// As many classes as a [`NetworkDescription`] in a file may have: more than a network can tell apart.
pub const MAX_CLASSES: usize = 1 << 24;

/// What a file says of its network: its name, which is its architecture with its options, and what it tells apart.
///
/// It is one entry of the file's metadata, as JSON. Another, `preprocessing`, holds how pictures are prepared: any `serde`
/// type, as JSON too. This crate decodes no pictures; who does brings the type, such as `Preprocess` of `ocelli-data`, and
/// the file is where both meet.
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
    /// Its name, as [`by_name`] knows it.
    pub network: String,
    /// Height, width and channels of the pictures that it reads.
    pub sample: [usize; 3],
    /// How many classes it tells apart.
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
            network: name.into(),
            sample,
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
        Ok(NetworkDescription { network: name.into(), sample, classes, class_names: vec![], preprocessing: None })
    }

    /// What a file that [`save_network`] wrote says of its network. Its weights are not read, but compared with what is said.
    ///
    /// # Errors
    /// [`NetworkError::Weights`] if the file cannot be read, [`NetworkError::Description`] if it says nothing or something
    /// impossible.
    pub fn read(path: impl AsRef<Path>) -> Result<NetworkDescription, NetworkError> {
        described(&WeightFile::open(path)?)
    }

    /// For pictures of another size: height, width and channels.
    pub fn sample(mut self, sample: [usize; 3]) -> NetworkDescription {
        self.sample = sample;
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
        let wrong = |error| NetworkError::Preprocessing(format!("cannot be understood: {error}"));
        serde_json::from_str(text).map_err(wrong)
    }

    /// The `k` best answers to one sample, from its scores, with the names of the classes.
    pub fn top_k(&self, scores: &[f32], k: usize) -> TopK<'_> {
        let best = by_name(&self.network, self.classes).map_or(Best::Largest, |network| network.best);
        top_k_by(best, scores, k).named(&self.class_names)
    }

    /// The network without memory for its weights; `Err` is the reason why this cannot be it.
    fn graph(&self) -> Result<Graph, String> {
        let NetworkDescription { network, sample, classes, class_names, .. } = self;
        let numbers = sample.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if numbers.is_none_or(|numbers| numbers == 0 || numbers > MAX_SAMPLE) {
            return Err(format!("no network reads pictures of {}", ShapeText(sample)));
        }
        if *classes == 0 || *classes > MAX_CLASSES {
            return Err(format!("no network tells {classes} classes apart"));
        }
        if !class_names.is_empty() && class_names.len() != *classes {
            return Err(format!("{} names for {classes} classes", class_names.len()));
        }
        let network = by_name(network, *classes).map_err(|error| error.to_string())?;
        Graph::of(network.layer, sample).map_err(|error| error.to_string())
    }
}

/// Writes a model with what is needed to use it into one safetensors file. The write is atomic, and the file's weights are
/// read by [`load_weights`](crate::load_weights) and by other programs as any others.
///
/// # Errors
/// [`NetworkError::Weights`] if the file cannot be written, [`NetworkError::Description`] if the model is not the one that is
/// described.
pub fn save_network(
    model: &Model,
    description: &NetworkDescription,
    path: impl AsRef<Path>,
) -> Result<(), NetworkError> {
    let path = path.as_ref();
    let wrong = |reason| NetworkError::Description { path: path.display().to_string(), reason };
    let graph = description.graph().map_err(wrong)?;
    let parameters = || model.parameters().iter().map(|(parameter, value)| (&parameter.path, value.shape().to_vec()));
    let described = graph.parameters.iter().map(|(path, spec)| (path, graph.values[spec.value].shape.at(1)));
    if !described.eq(parameters()) {
        return Err(wrong(format!(
            "the model that is to be written has not the parameters of {}",
            description.network
        )));
    }
    let text = serde_json::to_string(description).expect("names and numbers are written as JSON");
    let mut metadata = Metadata::from([(NETWORK.into(), text)]);
    metadata.extend(description.preprocessing.clone().map(|text| (PREPROCESSING.into(), text)));
    Ok(save_weights(model, path, &metadata)?)
}

/// Reads a network that [`save_network`] wrote.
///
/// Nothing in the file is trusted: sizes are compared with what the file holds before memory is taken for them.
///
/// # Errors
/// [`NetworkError::Weights`] or [`NetworkError::Description`].
pub fn load_network(path: impl AsRef<Path>) -> Result<(Model, NetworkDescription), NetworkError> {
    load_from(&mut WeightFile::open(path)?)
}

fn load_from(file: &mut WeightFile) -> Result<(Model, NetworkDescription), NetworkError> {
    let description = described(file)?;
    let network = by_name(&description.network, description.classes)?;
    let mut model = Model::zeroed(network.layer, description.sample).map_err(|error| {
        let reason = format!("the network cannot be built: {error}");
        NetworkError::Description { path: file.name().into(), reason }
    })?;
    WeightLoader::new().load_from(&mut model, file)?;
    Ok((model, description))
}

/// What the file says of its network, which fits what it holds.
fn described(file: &WeightFile) -> Result<NetworkDescription, NetworkError> {
    let wrong = |reason| NetworkError::Description { path: file.name().into(), reason };
    let missing = || wrong("weights alone, without the description of a network".into());
    let text = file.metadata().get(NETWORK).ok_or_else(missing)?;
    let mut description: NetworkDescription = serde_json::from_str(text)
        .map_err(|error| wrong(format!("the description of the network cannot be understood: {error}")))?;
    description.preprocessing = file.metadata().get(PREPROCESSING).cloned();
    let graph = description.graph().map_err(wrong)?;
    compare(&graph, file).map_err(wrong)?;
    Ok(description)
}

/// Whether the file has as many numbers as each parameter. How these lie there is compared when they are read.
fn compare(graph: &Graph, file: &WeightFile) -> Result<(), String> {
    for (path, spec) in &graph.parameters {
        let count = |shape: &[usize]| shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let shape = graph.values[spec.value].shape.at(1);
        let Some(info) = file.info(path) else { return Err(format!("{path} of the network is missing")) };
        if count(&shape).is_none() || count(&shape) != count(&info.shape) {
            let (ours, theirs) = (ShapeText(&shape), ShapeText(&info.shape));
            return Err(format!("{path} is {theirs}, which is not as many numbers as {ours} of the network described"));
        }
    }
    Ok(())
}
