//! The activations of a network that are images.

use crate::{Error, Result};
use ocelli_graph::{Dim, Graph, Model, ValueId, ValueInfo, ValueSource};
use std::collections::BTreeMap;

/// A named activation `[N, H, W, C]` of more than one pixel that the output of a network is computed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpatialLayer {
    /// The shortest of its names.
    pub name: String,
    /// Height, width and channels.
    pub shape: [usize; 3],
    pub(crate) id: ValueId,
}

/// Returns the spatial activations between input and output, in order of execution.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::LeNet5;
/// use ocelli_vision::spatial_layers;
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?;
/// let layers = spatial_layers(&model);
/// let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
/// assert_eq!(names, ["c1", "s2", "c3", "s4"]);
/// assert_eq!(layers[3].shape, [5, 5, 16]);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
pub fn spatial_layers(model: &Model) -> Vec<SpatialLayer> {
    let graph = model.graph();
    let is_between = between_input_and_output(graph);
    let mut names: BTreeMap<ValueId, &str> = BTreeMap::new();
    for (name, &id) in &graph.names {
        if names.get(&id).is_none_or(|known| name.len() < known.len()) {
            names.insert(id, name);
        }
    }
    let named = names.into_iter().filter(|(id, _)| is_between[*id]);
    named.filter_map(|(id, name)| spatial_layer(graph, id, name)).collect()
}

/// Describes a value, unless it is no image of more than one pixel.
fn spatial_layer(graph: &Graph, id: ValueId, name: &str) -> Option<SpatialLayer> {
    match *graph.values[id].shape.dims() {
        [Dim::Batch(1), Dim::Fixed(height), Dim::Fixed(width), Dim::Fixed(channels)] if height * width > 1 => {
            Some(SpatialLayer { name: name.into(), shape: [height, width, channels], id })
        }
        _ => None,
    }
}

/// Returns the last of the spatial activations of each size, in order of execution: a few layers that stand for all.
pub fn last_of_each_size(model: &Model) -> Vec<SpatialLayer> {
    let layers = spatial_layers(model);
    let is_last = |(at, layer): &(usize, &SpatialLayer)| {
        layers.get(at + 1).is_none_or(|next| next.shape[..2] != layer.shape[..2])
    };
    layers.iter().enumerate().filter(is_last).map(|(_, layer)| layer.clone()).collect()
}

/// Returns the last spatial activation: the deepest that still says where.
///
/// # Errors
/// [`Error::Invalid`] if the network has none with a name.
pub fn last_spatial_layer(model: &Model) -> Result<SpatialLayer> {
    let none = || Error::Invalid("the network has no named activation [N, H, W, C] of more than one pixel".into());
    spatial_layers(model).pop().ok_or_else(none)
}

/// Finds a spatial activation by any of its names.
pub(crate) fn find(model: &Model, name: &str) -> Result<SpatialLayer> {
    let graph = model.graph();
    let id = graph.find(name).filter(|&id| between_input_and_output(graph)[id]);
    id.and_then(|id| spatial_layer(graph, id, name)).ok_or_else(|| {
        let known: Vec<String> = spatial_layers(model).into_iter().take(40).map(|layer| layer.name).collect();
        Error::Invalid(format!("\"{name}\" is no spatial activation; these are: {}", known.join(", ")))
    })
}

/// The input of a network of images: its name, and height, width and channels.
///
/// # Errors
/// [`Error::Invalid`] if it has another input than one of images.
pub(crate) fn image_input(model: &Model) -> Result<(String, [usize; 3])> {
    let inputs: Vec<_> =
        model.graph().values.iter().filter(|value| matches!(value.source, ValueSource::Input(_))).collect();
    if let [value] = inputs[..]
        && let ValueSource::Input(name) = &value.source
        && let [Dim::Batch(1), Dim::Fixed(height), Dim::Fixed(width), Dim::Fixed(channels)] = *value.shape.dims()
    {
        return Ok((name.clone(), [height, width, channels]));
    }
    Err(Error::Invalid("expected a network with one input, of images [N, H, W, C]".into()))
}

/// Marks the values that calls compute from an input and that the output is computed from.
fn between_input_and_output(graph: &Graph) -> Vec<bool> {
    let mut from_input: Vec<bool> =
        graph.values.iter().map(|value| matches!(value.source, ValueSource::Input(_))).collect();
    for call in &graph.calls {
        if call.inputs.iter().any(|&id| from_input[id]) {
            call.outputs.iter().for_each(|&id| from_input[id] = true);
        }
    }
    let mut to_output = vec![false; graph.values.len()];
    graph.find("output").into_iter().for_each(|id| to_output[id] = true);
    for call in graph.calls.iter().rev() {
        if call.outputs.iter().any(|&id| to_output[id]) {
            call.inputs.iter().for_each(|&id| to_output[id] = true);
        }
    }
    let is_between =
        |(id, value): (ValueId, &ValueInfo)| value.source == ValueSource::Call && from_input[id] && to_output[id];
    graph.values.iter().enumerate().map(is_between).collect()
}
