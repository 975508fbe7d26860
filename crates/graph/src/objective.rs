//! An objective: a network with a scalar to be minimised, and its gradients.

use crate::{
    Batch, Error, Graph, Mode, Model, Node, Plan, Precision, Result, Trace, ValueId,
    differentiate::differentiate,
    execute::{Constants, Feed, execute},
    memory,
    model::{batch_size, bind, find_all, is_differentiable},
    passes,
    plan::{Location, Planning, Weights},
};
use ocelli_tensor::{Arena, Key};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// What an objective differentiates with respect to.
#[derive(Clone, Copy, Debug)]
pub enum Wrt<'a> {
    /// Every parameter that is neither frozen nor state.
    Parameters,
    /// Inputs, activations or parameters by their names, and nothing else.
    Values(&'a [&'a str]),
    /// Every such parameter, and these.
    ParametersAnd(&'a [&'a str]),
}

/// A network with a scalar to be minimised. It owns its copy of the graph and its memory: the optimiser takes the model
/// freely, and [`Model::run`] works between steps.
#[derive(Debug)]
pub struct Objective {
    graph: Graph,
    loss: ValueId,
    /// Values from this number on were made by differentiation.
    first_gradient: ValueId,
    /// Names and gradients, in the order in which backward produces them.
    gradients: Arc<Vec<(String, ValueId)>>,
    /// Activations that a step can be asked for.
    watched: Vec<(String, ValueId)>,
    fingerprint: u64,
    plans: HashMap<usize, Plan>,
    arena: Arena,
    key: Key,
    steps: u64,
    precision: Precision,
}

impl Objective {
    pub(crate) fn new(model: &Model, mode: Mode, wrt: Wrt<'_>, loss: impl FnOnce(&Trace) -> Node) -> Result<Objective> {
        let trace = Trace::reopen(model.graph().clone());
        let loss = loss(&trace);
        if loss.id().is_some() && !trace.is_dead() {
            if !loss.trace().is_same(&trace) {
                trace.fail("objective", "the loss is a node of another network");
            } else if loss.shape().rank() != 0 {
                let shape = loss.shape();
                trace.fail("objective", format!("expected a scalar loss, got {shape}; a mean() or sum() is missing"));
            }
        }
        let mut graph = trace.close()?;
        let loss = loss.id().ok_or_else(|| Error::Unknown { name: "loss".into(), known: graph.known_names() })?;
        let is_frozen = |path: &str| model.parameters().get(path).is_some_and(|parameter| parameter.frozen);
        passes::hold_frozen(&mut graph, is_frozen);
        passes::lower(&mut graph, mode);
        let wanted = wanted(model, &graph, wrt)?;
        let ids: Vec<ValueId> = wanted.iter().map(|(_, id)| *id).collect();
        let updated = graph.updates.iter().map(|(_, id)| *id);
        let asked: Vec<ValueId> = ids.iter().copied().chain([loss]).chain(updated).collect();
        passes::fuse_batch_norm(&mut graph, &asked);
        let first_gradient = graph.values.len();
        let trace = Trace::reopen(graph);
        let found = differentiate(&trace, loss, &ids);
        let graph = trace.close()?;
        let named = wanted.into_iter().zip(found);
        let mut gradients: Vec<(String, ValueId)> =
            named.filter_map(|((name, _), gradient)| gradient.map(|id| (name, id))).collect();
        // Values are numbered as they are made: later numbers are produced later.
        gradients.sort_by_key(|(_, id)| *id);
        Ok(Objective {
            graph,
            loss,
            first_gradient,
            gradients: Arc::new(gradients),
            watched: Vec::new(),
            fingerprint: model.parameters().fingerprint(),
            plans: HashMap::new(),
            arena: Arena::new(0),
            precision: model.precision(),
            key: Key::new(model.seed()).with("step"),
            steps: 0,
        })
    }

    /// This objective with activations that every step can be asked for, such as `output` for the training accuracy.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that nothing bears.
    pub fn watching(mut self, names: &[&str]) -> Result<Objective> {
        let ids = find_all(&self.graph, names)?;
        self.watched.extend(names.iter().map(|name| name.to_string()).zip(ids));
        self.plans.clear();
        Ok(self)
    }

    /// The plan for `n` samples.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::TooLarge`].
    pub fn plan(&mut self, model: &Model, n: usize) -> Result<&Plan> {
        let loss_and_gradients = std::iter::once(self.loss).chain(self.gradients.iter().map(|(_, id)| *id));
        let watched = self.watched.iter().map(|(_, id)| *id);
        let updates = self.graph.updates.iter().map(|(_, id)| *id);
        match self.plans.entry(n) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let planning = Planning {
                    batch: n,
                    parameters: model.parameters().index(),
                    precision: self.precision,
                    weights: Weights::Changing,
                };
                let roots: Vec<ValueId> = loss_and_gradients.chain(watched).chain(updates).collect();
                let mut graph = self.graph.clone();
                passes::prune(&mut graph, &roots);
                // Before some are computed again on purpose.
                passes::share(&mut graph, &roots);
                passes::recompute(&mut graph, self.first_gradient, &roots);
                Ok(entry.insert(Plan::new(graph, &roots, planning)?))
            }
        }
    }

    /// The graph with loss and gradients.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The names that there are gradients for, in the order in which backward produces them.
    pub fn gradient_names(&self) -> impl Iterator<Item = &str> {
        self.gradients.iter().map(|(name, _)| name.as_str())
    }

    /// How many steps were taken. Random draws of a step (dropout) are a function of the model's seed and this number.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Continues the count of an earlier run, so that a resumed run draws what an uninterrupted one would have drawn.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Bytes of the arena as it is allocated now.
    pub fn allocated_bytes(&self) -> usize {
        self.arena.len() * size_of::<f32>()
    }

    /// Forward and backward for one batch, and the updates of the model's state. The batch may have any size.
    ///
    /// # Errors
    /// An input that is missing, of the wrong shape or not finite; data that an operation refuses (a label out of range);
    /// a model that the objective was not made from; [`Error::Diverged`] if the loss is not finite, before anything is
    /// updated.
    pub fn step(&mut self, model: &mut Model, batch: &Batch) -> Result<Step<'_>> {
        let n = self.run(model, batch)?;
        let plan = &self.plans[&n];
        for (path, id) in &self.graph.updates {
            let Location::Arena(range) = &plan.roots[id].location else { continue };
            if let Some(value) = model.parameters_mut().value_mut(path) {
                value.data_mut().copy_from_slice(&self.arena.as_slice()[range.clone()]);
            }
        }
        self.steps += 1;
        Ok(self.results(n))
    }

    /// Loss, gradients and watched activations for one batch, without any update: for validation and for pictures.
    ///
    /// # Errors
    /// As [`Objective::step`].
    pub fn evaluate(&mut self, model: &Model, batch: &Batch) -> Result<Step<'_>> {
        let n = self.run(model, batch)?;
        Ok(self.results(n))
    }

    fn run(&mut self, model: &Model, batch: &Batch) -> Result<usize> {
        let fingerprint = model.parameters().fingerprint();
        if fingerprint != self.fingerprint {
            return Err(Error::ForeignModel(format!("this one has {}", model.parameters().known_paths())));
        }
        let n = batch_size(&self.graph, batch)?;
        let needed = self.plan(model, n)?.arena_len();
        if self.arena.len() < needed {
            // The old one goes first: both at once would be more than was promised.
            self.arena = Arena::new(0);
            self.arena = memory::arena(needed)?;
        }
        let plan = &self.plans[&n];
        let inputs = bind(plan, batch)?;
        let feed = Feed {
            parameters: model.parameters().values(),
            inputs: &inputs,
            constants: &Constants::default(),
            key: self.key.at(self.steps),
        };
        execute(plan, &mut self.arena, feed)?;
        let loss = self.results(n).loss();
        if !loss.is_finite() {
            return Err(Error::Diverged { loss, hint: divergence_hint(model) });
        }
        Ok(n)
    }

    fn results(&self, n: usize) -> Step<'_> {
        let plan = &self.plans[&n];
        Step { objective: self, plan, arena: self.arena.as_slice() }
    }
}

/// Where the infinite number came from, as far as can be said afterwards.
fn divergence_hint(model: &Model) -> String {
    let broken = model.parameters().iter().find_map(|(parameter, value)| {
        let at = ocelli_kernels::finite::first_non_finite(value.data())?;
        Some(format!("parameter {} holds {}; lower the learning rate", parameter.path, value.data()[at]))
    });
    broken.unwrap_or_else(|| "every parameter is finite too; activations overflow, lower the learning rate".into())
}

/// The values to differentiate with respect to, by name.
fn wanted(model: &Model, graph: &Graph, wrt: Wrt<'_>) -> Result<Vec<(String, ValueId)>> {
    let named = match wrt {
        Wrt::Parameters => &[][..],
        Wrt::Values(names) | Wrt::ParametersAnd(names) => names,
    };
    let mut list = Vec::new();
    if !matches!(wrt, Wrt::Values(_)) {
        let trained = |path: &str| model.parameters().get(path).is_some_and(crate::Parameter::is_trained);
        let parameters = graph.parameters.iter().filter(|(path, _)| trained(path));
        list.extend(parameters.map(|(path, spec)| (path.clone(), spec.value)));
    }
    for (&name, id) in named.iter().zip(find_all(graph, named)?) {
        if !is_differentiable(graph, id) {
            let known = graph.known_names();
            return Err(Error::Unknown { name: format!("{name} (labels have no gradient)"), known });
        }
        list.push((name.to_string(), id));
    }
    Ok(list)
}

/// The loss and the gradients of one step. Borrows the objective, not the model.
#[derive(Clone, Copy, Debug)]
pub struct Step<'o> {
    objective: &'o Objective,
    plan: &'o Plan,
    arena: &'o [f32],
}

impl<'o> Step<'o> {
    fn read(&self, id: ValueId) -> Option<&'o [f32]> {
        match &self.plan.roots.get(&id)?.location {
            Location::Arena(range) => Some(&self.arena[range.clone()]),
            _ => None,
        }
    }

    /// The loss.
    pub fn loss(&self) -> f32 {
        self.read(self.objective.loss).and_then(|loss| loss.first().copied()).unwrap_or(f32::NAN)
    }

    /// The number of samples.
    pub fn batch(&self) -> usize {
        self.plan.batch()
    }

    /// The gradient with respect to the parameter, input or activation called `name`, in row-major order of its shape.
    pub fn gradient(&self, name: &str) -> Option<&'o [f32]> {
        let (_, id) = self.objective.gradients.iter().find(|(known, _)| known == name)?;
        self.read(*id)
    }

    /// Names and gradients, in the order in which backward produces them.
    pub fn gradients(&self) -> impl Iterator<Item = (&'o str, &'o [f32])> + use<'o> {
        let this = *self;
        this.objective.gradients.iter().filter_map(move |(name, id)| Some((name.as_str(), this.read(*id)?)))
    }

    /// A watched activation; see [`Objective::watching`].
    pub fn activation(&self, name: &str) -> Option<&'o [f32]> {
        let (_, id) = self.objective.watched.iter().find(|(known, _)| known == name)?;
        self.read(*id)
    }
}
