//! Parts of a network: what lies between two activations, and a trunk with another head.

use crate::{
    Call, Error, Graph, Mode, Model, Node, ParameterSpec, Parameters, Result, Trace, ValueId, ValueSource,
    describe::finished, ops::DropoutOp,
};
use std::{any::Any, collections::HashSet};

impl Model {
    /// Returns the network between two activations, with its parameters under the same paths: from the input to a layer
    /// it is a *trunk* that computes features, from there to the output a *head*. Its input is called `input` and has the
    /// shape of `from`, its result is called `output`; other activations in between keep their names. Values of parameters
    /// are shared until one of the models is trained.
    ///
    /// ```
    /// use ocelli_graph::{Constant, Model, Node, Tensor};
    /// let scale = |x: &Node| x * x.trace().parameter("weight", [3], Constant(2.0));
    /// let model = Model::build(|x| x.scope("a", scale).scope("b", scale), [3], 0)?;
    /// let (trunk, head) = (model.part("input", "a")?, model.part("a", "output")?);
    /// let x = Tensor::full([1, 3], 1.0);
    /// assert_eq!(head.predict(&trunk.predict(&x)?)?, model.predict(&x)?);
    /// assert!(head.parameters().value("b.weight").is_some() && head.parameters().len() == 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that does not exist, [`Error::Part`] if `to` is not computed from `from`, or also from
    /// something else: a part has one input.
    pub fn part(&self, from: &str, to: &str) -> Result<Model> {
        let ids = self.graph().find_all(&[from, to])?;
        let refused = |reason| Error::Part { from: from.into(), to: to.into(), reason };
        let graph = part(self.graph(), ids[0], ids[1]).map_err(refused)?;
        self.with_graph(graph, self.seed())
    }

    /// Returns this network up to the activation `at`, followed by another `head`. Parameters up to there keep their values
    /// and stay frozen if they are; those of the head are drawn from `seed` and their paths. Paths of what was cut off are
    /// free again.
    ///
    /// ```
    /// use ocelli_graph::{Constant, Model, Node};
    /// let scale = |x: &Node| x * x.trace().parameter("weight", [3], Constant(2.0));
    /// let model = Model::build(|x| x.scope("a", scale).scope("b", scale), [3], 0)?;
    /// let model = model.with_head("a", |x| x.scope("b", |x| x.sum_over(&[ocelli_graph::Axis::C])), 42)?;
    /// assert_eq!(model.parameters().len(), 1);
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing is called `at`, [`Error::Build`] with the first mistake in the description of the head.
    pub fn with_head(&self, at: &str, head: impl FnOnce(&Node) -> Node, seed: u64) -> Result<Model> {
        let at = self.graph().find_all(&[at])?[0];
        let (trunk, places) = kept(self.graph(), &computing(self.graph(), &[at], None));
        let trace = Trace::extend(trunk);
        let at = places[at].expect("what is asked for is kept");
        self.with_graph(finished(&trace, &head(&trace.node(at)))?, seed)
    }

    /// Splits the network where what training changes begins: into a trunk whose results are the same in every epoch
    /// because all of its parameters are frozen and nothing in it is random, and the rest. Features that the trunk computes
    /// once serve a whole training of the rest, whose parameters go back by [`Parameters::copy_from`].
    ///
    /// `None` if nothing is frozen before the first layer that is trained, or if more than one activation goes from one to
    /// the other.
    pub fn split_frozen(&self) -> Option<(Model, Model)> {
        let graph = self.graph();
        let [input, output] = graph.find_all(&[graph.first_input()?, "output"]).ok()?[..] else { return None };
        let needed = computing(graph, &[output], None);
        let at = border(graph, &needed, |path| self.parameters().get(path).is_some_and(|known| known.frozen))?;
        let part = |from, to| self.with_graph(part(graph, from, to).ok()?, self.seed()).ok();
        Some((part(input, at)?, part(at, output)?))
    }

    /// Makes a model of another graph, with the values of this one for all parameters that they share.
    fn with_graph(&self, graph: Graph, seed: u64) -> Result<Model> {
        let parameters = Parameters::from_other(&graph, self.parameters(), seed, |_| true)?;
        Ok(Model::lowered(graph, parameters, seed)?.with_precision(self.precision()))
    }
}

/// Marks everything that the values `to` are computed of, `from` itself included and what is before it left out.
pub(crate) fn computing(graph: &Graph, to: &[ValueId], from: Option<ValueId>) -> Vec<bool> {
    let mut needed = vec![false; graph.values.len()];
    to.iter().for_each(|&id| needed[id] = true);
    for call in graph.calls.iter().rev() {
        if call.outputs.iter().any(|&id| needed[id] && Some(id) != from) {
            call.inputs.iter().for_each(|&id| needed[id] = true);
        }
    }
    needed
}

/// Marks what is computed from the given values, themselves included.
fn computed_from(graph: &Graph, is_start: impl Fn(ValueId) -> bool) -> Vec<bool> {
    let mut depends: Vec<bool> = (0..graph.values.len()).map(is_start).collect();
    for call in &graph.calls {
        if call.inputs.iter().any(|&id| depends[id]) {
            call.outputs.iter().for_each(|&id| depends[id] = true);
        }
    }
    depends
}

/// Cuts out the part between two values; `Err` is the reason why there is none.
fn part(graph: &Graph, from: ValueId, to: ValueId) -> std::result::Result<Graph, String> {
    let of_inputs = computed_from(graph, |id| matches!(graph.values[id].source, ValueSource::Input(_)));
    if !of_inputs[from] {
        return Err("a part begins with an input or what is computed from one".into());
    }
    let behind = computed_from(graph, |id| id == from);
    if from == to || !behind[to] {
        return Err("the second is not computed from the first".into());
    }
    // whatever else comes from an input crosses the cut
    let needed = computing(graph, &[to], Some(from));
    let is_inside = |call: &&Call| call.outputs.iter().any(|&id| needed[id] && id != from && behind[id]);
    for call in graph.calls.iter().filter(is_inside) {
        if let Some(&id) = call.inputs.iter().find(|&&id| of_inputs[id] && !behind[id]) {
            let reader = if call.path.is_empty() { &call.kind } else { &call.path };
            let crossing = graph.values[id].description();
            return Err(format!(
                "{reader} also reads {crossing}, which is not computed from the first; cut where one activation carries \
                 everything"
            ));
        }
    }
    let (mut part, places) = kept(graph, &needed);
    let [from, to] = [from, to].map(|id| places[id].expect("both ends are kept"));
    part.values[from].source = ValueSource::Input("input".into());
    part.values[from].origin = "input \"input\"".into();
    part.names.insert("input".into(), from);
    part.names.insert("output".into(), to);
    Ok(part)
}

/// Copies the marked values and the calls that compute them; returns the new number of each value too. A value whose call
/// reads what is not marked becomes one without a call.
pub(crate) fn kept(graph: &Graph, needed: &[bool]) -> (Graph, Vec<Option<ValueId>>) {
    let is_kept = |call: &&Call| call.outputs.iter().any(|&id| needed[id]) && call.inputs.iter().all(|&id| needed[id]);
    let mut calls: Vec<&Call> = graph.calls.iter().filter(is_kept).collect();
    // new values of a state are computed by a kept layer, though no result depends on them
    let layers: HashSet<&str> = calls.iter().map(|call| call.path.as_str()).collect();
    let mut is_there = needed.to_vec();
    calls.iter().flat_map(|call| &call.outputs).for_each(|&id| is_there[id] = true);
    let updates: Vec<ValueId> = graph.updates.iter().map(|(_, id)| *id).collect();
    let for_updates = computing(graph, &updates, None);
    for call in &graph.calls {
        let is_wanted = call.outputs.iter().any(|&id| for_updates[id] && !is_there[id]);
        if is_wanted && layers.contains(call.path.as_str()) && call.inputs.iter().all(|&id| is_there[id]) {
            call.outputs.iter().for_each(|&id| is_there[id] = true);
            calls.push(call);
        }
    }
    // renumber
    let mut part = Graph { recomputed: graph.recomputed.clone(), ..Graph::default() };
    let mut places = vec![None; graph.values.len()];
    for id in (0..graph.values.len()).filter(|&id| is_there[id]) {
        places[id] = Some(part.values.len());
        part.values.push(graph.values[id].clone());
    }
    let moved = |ids: &[ValueId]| ids.iter().map(|&id| places[id].expect("it is there")).collect();
    calls.sort_by_key(|call| call.outputs.first().copied());
    part.calls = calls
        .into_iter()
        .map(|call| Call { inputs: moved(&call.inputs), outputs: moved(&call.outputs), ..call.clone() })
        .collect();
    part.names = graph.names.iter().filter_map(|(name, &id)| Some((name.clone(), places[id]?))).collect();
    let parameters = graph
        .parameters
        .iter()
        .filter_map(|(path, spec)| Some((path.clone(), ParameterSpec { value: places[spec.value]?, ..spec.clone() })));
    part.parameters = parameters.collect();
    let updates = graph.updates.iter().filter(|(path, _)| part.parameters.contains_key(path));
    part.updates = updates.filter_map(|(path, id)| Some((path.clone(), places[*id]?))).collect();
    (part, places)
}

/// Finds the one activation through which everything goes that training does not change, on its way to what it does.
fn border(graph: &Graph, needed: &[bool], is_frozen: impl Fn(&str) -> bool) -> Option<ValueId> {
    let is_random = |call: &Call| {
        let op: &dyn Any = &*call.op;
        op.is::<DropoutOp>() && call.op.lower(Mode::Train).is_none()
    };
    let mut is_fixed: Vec<bool> = graph
        .values
        .iter()
        .map(|value| match &value.source {
            ValueSource::Input(_) => true,
            ValueSource::Parameter(path) => is_frozen(path),
            ValueSource::Call => false,
        })
        .collect();
    let of_inputs = computed_from(graph, |id| matches!(graph.values[id].source, ValueSource::Input(_)));
    let mut crossing = None;
    for call in graph.calls.iter().filter(|call| call.outputs.iter().any(|&id| needed[id])) {
        if !is_random(call) && call.inputs.iter().all(|&id| is_fixed[id]) {
            call.outputs.iter().for_each(|&id| is_fixed[id] = true);
            continue;
        }
        for &id in call.inputs.iter().filter(|&&id| is_fixed[id] && of_inputs[id]) {
            if crossing.is_some_and(|known| known != id) {
                return None;
            }
            crossing = Some(id);
        }
    }
    crossing.filter(|&id| graph.values[id].source == ValueSource::Call)
}
