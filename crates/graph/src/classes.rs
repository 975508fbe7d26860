//! The layers of a network by their parameters, and a last layer for other classes.

use crate::{
    AxisRole, Error, Graph, Model, ParameterRole, ParameterSpec, Parameters, Result, Shape, ValueSource, contract,
};

impl Model {
    /// Returns this network for another number of classes: the last layer with weights gets as many outputs, and its
    /// parameters are drawn anew from `seed`. All others keep their values. [`last_layer`](Model::last_layer) is its path.
    ///
    /// # Errors
    /// [`Error::Part`] if no layer declares which axis of its weights is that of the outputs, or if the layers behind it
    /// do not take so many.
    pub fn with_classes(&self, classes: usize, seed: u64) -> Result<Model> {
        let refused = |reason| Error::Part { from: "input".into(), to: "output".into(), reason };
        let layer = self.last_layer().ok_or_else(|| refused("no layer has weights for its outputs".into()))?;
        let graph = resized(self.graph(), &layer, classes).map_err(refused)?;
        let is_kept = |path: &str| layer_of(path) != layer;
        let parameters = Parameters::from_other(&graph, self.parameters(), seed, is_kept)?;
        Ok(Model::lowered(graph, parameters, seed)?.with_precision(self.precision()))
    }

    /// Returns the path of the last layer with weights on the way to the output, such as `fc`: of a classifier, the layer
    /// that is replaced for other classes.
    pub fn last_layer(&self) -> Option<String> {
        self.layers().into_iter().rev().find(|layer| {
            let below = |path: &str| layer_of(path) == layer;
            let has_outputs = |spec: &ParameterSpec| spec.axes.iter().any(|axis| axis.role == AxisRole::Outputs);
            self.graph().parameters.iter().any(|(path, spec)| below(path) && has_outputs(spec))
        })
    }

    /// Lists the paths of all layers that have trained parameters, in the order in which the network applies them.
    pub fn layers(&self) -> Vec<String> {
        let graph = self.graph();
        let mut layers: Vec<String> = Vec::new();
        for id in graph.calls.iter().flat_map(|call| &call.inputs) {
            let ValueSource::Parameter(path) = &graph.values[*id].source else { continue };
            let layer = layer_of(path);
            if graph.parameters[path].role == ParameterRole::Trained && !layers.iter().any(|known| known == layer) {
                layers.push(layer.into());
            }
        }
        layers
    }
}

/// The path of the layer that a parameter belongs to; empty at the top.
fn layer_of(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(layer, _)| layer)
}

/// Gives the outputs of a layer another number, and infers every shape behind it again; `Err` is the reason why it cannot.
fn resized(graph: &Graph, layer: &str, outputs: usize) -> std::result::Result<Graph, String> {
    let mut graph = graph.clone();
    // the layer's parameters
    for (path, spec) in &mut graph.parameters {
        if layer_of(path) != layer {
            continue;
        }
        for axis in spec.axes.iter_mut().filter(|axis| axis.role == AxisRole::Outputs) {
            axis.size = outputs;
        }
        let sizes: Vec<usize> = spec.axes.iter().map(|axis| axis.size).collect();
        let shape = Shape::from(&sizes[..]);
        if let Some(objection) = shape.objection() {
            return Err(format!("{path} of shape {shape} {objection}"));
        }
        graph.values[spec.value].shape = shape;
    }
    // every result, in order
    for call in &graph.calls {
        let shapes = contract::infer(&*call.op, &graph.shapes(&call.inputs)).map_err(|_| {
            let operands: Vec<String> = call.inputs.iter().map(|&id| graph.values[id].description()).collect();
            let place = if call.path.is_empty() { &call.kind } else { &call.path };
            format!("with {outputs} outputs of {layer}, {place} does not take {}", operands.join(" and "))
        })?;
        for (&id, shape) in call.outputs.iter().zip(shapes) {
            graph.values[id].shape = shape;
        }
    }
    Ok(graph)
}
