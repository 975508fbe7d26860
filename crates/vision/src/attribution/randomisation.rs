//! Cascading randomisation of weights: a map that does not change with them does not show what the network learned.

use crate::{Error, Result};
use ocelli_graph::{Key, Model, ParameterRole, Tensor, ValueSource};

/// The rest of a map when a layer, and all behind it, have random weights.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomisedLayer {
    /// The path of the layer that was randomised last.
    pub layer: String,
    /// The rank correlation of the magnitudes with those of the trained network's map: near 1 if nothing changed.
    pub correlation: f32,
}

/// Randomises the layers of a network one after the other, the last one first, each as its initialiser does, and compares the
/// map of each network on the way with that of the trained one (Adebayo et al. 2018, section 3, *cascading randomization*).
/// Running statistics stay. Maps are compared by Spearman's correlation of their magnitudes.
///
/// A map that follows the weights loses its correlation; guided backpropagation is known to keep much of it, because it
/// reconstructs edges of the image.
///
/// ```
/// use ocelli_graph::{Key, Model, Tensor};
/// use ocelli_models::LeNet5;
/// use ocelli_vision::attribution::{Attribution, cascading_randomisation};
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 1)?;
/// let image = Tensor::uniform([1, 32, 32, 1], Key::new(2));
/// let layers = cascading_randomisation(&model, Key::new(3), |model| Attribution::new(model)?.saliency(&image, 0))?;
/// assert_eq!((layers.len(), layers[0].layer.as_str()), (5, "output"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The errors of `map`, and [`Error::Invalid`] if its maps have different shapes.
pub fn cascading_randomisation(
    model: &Model,
    key: Key,
    mut map: impl FnMut(&Model) -> Result<Tensor>,
) -> Result<Vec<RandomisedLayer>> {
    let trained = map(model)?;
    let mut changed = model.clone();
    let mut steps = Vec::new();
    for (layer, paths) in layers_from_the_end(model) {
        for path in paths {
            let spec = &model.graph().parameters[&path];
            if let Some(value) = changed.parameters_mut().value_mut(&path) {
                spec.initializer.fill(&spec.axes, key.with(&path), value.data_mut());
            }
        }
        let random = map(&changed)?;
        if random.shape() != trained.shape() {
            return Err(Error::Invalid("maps of one image have one shape".into()));
        }
        let magnitudes = |map: &Tensor| map.data().iter().map(|value| value.abs()).collect::<Vec<f32>>();
        let correlation = rank_correlation(&magnitudes(&trained), &magnitudes(&random));
        steps.push(RandomisedLayer { layer, correlation });
    }
    Ok(steps)
}

/// Lists the layers that have trained parameters, with the paths of these, from the output to the input.
fn layers_from_the_end(model: &Model) -> Vec<(String, Vec<String>)> {
    let graph = model.graph();
    let mut layers: Vec<(String, Vec<String>)> = Vec::new();
    let used = graph.calls.iter().rev().flat_map(|call| &call.inputs);
    for path in used.filter_map(|&id| match &graph.values[id].source {
        ValueSource::Parameter(path) => Some(path),
        _ => None,
    }) {
        let trained = graph.parameters.get(path).is_some_and(|spec| spec.role == ParameterRole::Trained);
        if !trained || layers.iter().any(|(_, paths)| paths.contains(path)) {
            continue;
        }
        let layer = path.rsplit_once('.').map_or(path.as_str(), |(layer, _)| layer);
        match layers.iter_mut().find(|(known, _)| known == layer) {
            Some((_, paths)) => paths.push(path.clone()),
            None => layers.push((layer.into(), vec![path.clone()])),
        }
    }
    layers
}

/// Returns Spearman's rank correlation of two lists of equal length, from −1 to 1; 0 if either is constant. Equal values
/// share the mean of their ranks.
pub fn rank_correlation(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (ranks(a), ranks(b));
    let count = a.len().min(b.len()).max(1) as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let (mut product, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        product += (a - mean_a) * (b - mean_b);
        square_a += (a - mean_a).powi(2);
        square_b += (b - mean_b).powi(2);
    }
    let norm = (square_a * square_b).sqrt();
    if norm > 0.0 { (product / norm) as f32 } else { 0.0 }
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|&at| ranks[at] = rank);
        first += group.len();
    }
    ranks
}
