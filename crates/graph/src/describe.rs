//! From a network's function to its graph.

use crate::{Error, Graph, Layer, Node, Result, Trace};

impl Graph {
    /// Traces a network of one input `[N] + sample`, called `input`, without allocating its parameters: a network that
    /// is too large is noticed before memory is taken.
    ///
    /// # Errors
    /// [`Error::Build`](crate::Error::Build), as for [`Model::build`](crate::Model::build).
    ///
    /// ```
    /// use ocelli_graph::{Graph, func};
    /// let graph = Graph::from_layer(func(|x| x.relu().named("rectified")), [3])?;
    /// assert!(graph.find("rectified").is_some());
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    pub fn from_layer(layer: impl Layer, sample: impl AsRef<[usize]>) -> Result<Graph> {
        let trace = Trace::default();
        let output = layer.forward(&trace.input("input", sample.as_ref()));
        finished(&trace, &output)
    }
}

/// Ends the description of a network, whose result is called `output`.
pub(crate) fn finished(trace: &Trace, output: &Node) -> Result<Graph> {
    if let Some(id) = output.id().filter(|_| !trace.is_dead()) {
        if output.trace().is_same(trace) {
            trace.put_name(id, "output".into());
        } else {
            trace.fail("output", "the result is a node of another network");
        }
    }
    let graph = trace.close()?;
    if !graph.names.contains_key("output") {
        return Err(Error::Unknown { name: "output".into(), known: graph.known_names() });
    }
    Ok(graph)
}
