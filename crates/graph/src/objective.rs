//! An objective: a network with a scalar to be minimised, and its gradients.

use crate::{
    BackwardRules, Batch, Error, Graph, Mode, Model, Node, Plan, Precision, Result, Trace, ValueId,
    diagnose::{broken_element, origin},
    execute::{Constants, Feed, NO_CONSTANTS, execute, execute_watched},
    inputs::{batch_size, bind},
    memory,
    passes::{Program, TRAINING},
    plan::{Location, Planning, Weights},
    recent::Recent,
    results::Results,
};
use ocelli_tensor::{Arena, Key, Tensor};
use std::{iter::Peekable, ops::Range, sync::Arc, vec::IntoIter};

/// Number of plans kept, for the most recently used batch sizes: a training has few, and each plan of a deep network
/// takes hundreds of kilobytes.
const KEPT_PLANS: usize = 8;

/// Number of plans for which prepared weights are kept: the shards of a batch have two sizes.
const KEPT_PREPARED: usize = 2;

/// The values that an objective differentiates with respect to.
#[derive(Clone, Copy, Debug)]
pub enum Wrt<'a> {
    /// Every parameter that is neither frozen nor state.
    Parameters,
    /// Inputs, activations or parameters by their names, and nothing else.
    Values(&'a [&'a str]),
    /// Every parameter that is neither frozen nor state, and the named values.
    ParametersAnd(&'a [&'a str]),
}

/// A network with a scalar to be minimised, and its gradients. It owns its copy of the graph and its memory: the
/// optimiser may change the model freely, and [`Model::run`] works between steps.
#[derive(Debug)]
pub struct Objective {
    graph: Graph,
    mode: Mode,
    loss: ValueId,
    /// Index of the first value that differentiation made.
    first_gradient: ValueId,
    /// Names and gradients, in the order in which backward produces them.
    gradients: Arc<Vec<(String, ValueId)>>,
    /// Activations that a step can return.
    watched: Vec<(String, ValueId)>,
    fingerprint: u64,
    /// True for each parameter that was frozen, in the order of the model; `None` where nothing depends on it.
    frozen: Option<Vec<bool>>,
    plans: Recent<usize, Plan>,
    weights: Weights,
    /// Weights that several runs share, in the forms that kernels read.
    prepared: Prepared,
    arena: Arena,
    key: Key,
    steps: u64,
    precision: Precision,
}

impl Objective {
    pub(crate) fn new(
        model: &Model,
        rules: &BackwardRules,
        mode: Mode,
        wrt: Wrt<'_>,
        loss: impl FnOnce(&Trace) -> Node,
    ) -> Result<Objective> {
        if model.precision() == Precision::Bf16 {
            return Err(Error::InferenceOnly(Precision::Bf16));
        }
        let trace = Trace::reopen(model.graph().clone());
        let loss = loss(&trace);
        Self::of_loss(model, rules, mode, wrt, &trace, &loss)
    }

    /// Apart from [`new`](Self::new), which is compiled for every loss function.
    fn of_loss(
        model: &Model,
        rules: &BackwardRules,
        mode: Mode,
        wrt: Wrt<'_>,
        trace: &Trace,
        loss: &Node,
    ) -> Result<Objective> {
        if loss.id().is_some() && !trace.is_dead() {
            if !loss.trace().is_same(trace) {
                trace.fail("objective", "the loss is a node of another network");
            } else if loss.shape().rank() != 0 {
                let shape = loss.shape();
                trace.fail("objective", format!("expected a scalar loss, got {shape}; a mean() or sum() is missing"));
            }
        }
        let graph = trace.close()?;
        let trains = !matches!(wrt, Wrt::Values(_));
        let loss = loss.id().ok_or_else(|| Error::Unknown { name: "loss".into(), known: graph.known_names() })?;
        let wanted = wanted(model, &graph, wrt)?;
        let ids: Vec<ValueId> = wanted.iter().map(|(_, id)| *id).collect();
        let roots = ids.iter().copied().chain([loss]).collect();
        let mut program = Program {
            is_frozen: &|path| model.parameters().get(path).is_some_and(|parameter| parameter.frozen),
            derivative: Some((loss, ids.clone())),
            rules: rules.clone(),
            ..Program::new(graph, mode, roots)
        };
        program.run(TRAINING.once)?;
        let Program { graph, gradients: found, first_gradient, .. } = program;
        let named = wanted.into_iter().zip(found);
        let mut gradients: Vec<(String, ValueId)> =
            named.filter_map(|((name, _), gradient)| gradient.map(|id| (name, id))).collect();
        // Indices of values are given as they are made: higher indices are produced later.
        gradients.sort_by_key(|(_, id)| *id);
        if gradients.is_empty() && !ids.is_empty() {
            let reason =
                "the loss depends on nothing that a gradient is wanted for, such as a parameter that is not frozen";
            return Err(Error::NothingToTrain(reason.into()));
        }
        Ok(Objective {
            graph,
            mode,
            loss,
            first_gradient,
            gradients: Arc::new(gradients),
            watched: Vec::new(),
            fingerprint: model.parameters().fingerprint(),
            frozen: (trains || mode != Mode::Infer).then(|| model.parameters().frozen().collect()),
            plans: Recent::new(KEPT_PLANS),
            weights: Weights::Changing,
            prepared: Prepared { of_plans: Recent::new(KEPT_PREPARED) },
            arena: Arena::new(0),
            precision: model.precision(),
            key: Key::new(model.seed()).with("step"),
            steps: 0,
        })
    }

    /// Adds activations that every step returns, such as `output` for the training accuracy.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that does not exist, and for labels, which the batch has.
    pub fn watching(mut self, names: &[&str]) -> Result<Objective> {
        for (&name, id) in names.iter().zip(self.graph.find_all(names)?) {
            if !self.graph.is_differentiable(id) {
                let (name, known) = (format!("{name} (labels are read from the batch)"), self.graph.known_names());
                return Err(Error::Unknown { name, known });
            }
            let id = if self.graph.is_computed(id) { id } else { self.graph.copy_of(id) };
            self.watched.push((name.to_string(), id));
        }
        self.plans.clear();
        Ok(self)
    }

    /// Keeps what kernels prepare of the weights, such as transformed filters, until the weights change: for several runs
    /// with the same ones, as of the shards of a batch. That takes memory ([`Plan::constant_bytes`]); results have the same
    /// bits.
    pub fn preparing_once(mut self) -> Objective {
        self.weights = Weights::Shared;
        self.plans.clear();
        self
    }

    /// Returns the plan for `n` samples. Plans of the most recently used batch sizes are kept.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::TooLarge`], [`Error::Compile`].
    pub fn plan(&mut self, model: &Model, n: usize) -> Result<&Plan> {
        if self.plans.get(&n).is_none() {
            let plan = self.new_plan(model, n)?;
            self.plans.put(n, plan);
        }
        Ok(self.plan_of(n))
    }

    fn new_plan(&self, model: &Model, n: usize) -> Result<Plan> {
        let gradients = self.gradients.iter().map(|(_, id)| *id);
        let watched = self.watched.iter().map(|(_, id)| *id);
        let updates = self.graph.updates.iter().map(|(_, id)| *id);
        let roots: Vec<ValueId> = std::iter::once(self.loss).chain(gradients).chain(watched).chain(updates).collect();
        let planning = Planning {
            batch: n,
            parameters: model.parameters().index(),
            precision: self.precision,
            weights: self.weights,
        };
        let first_gradient = self.first_gradient;
        let mut program = Program { first_gradient, ..Program::new(self.graph.clone(), self.mode, roots) };
        program.run(TRAINING.each_plan)?;
        Plan::new(program, planning)
    }

    fn plan_of(&self, n: usize) -> &Plan {
        self.plans.peek(&n).expect("a batch runs on the plan that was used last")
    }

    /// The graph with loss and gradients.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Names of the values that have gradients, in the order in which backward produces them.
    pub fn gradient_names(&self) -> impl Iterator<Item = &str> {
        self.gradients.iter().map(|(name, _)| name.as_str())
    }

    /// Names of the states that a step updates, in the order of [`Step::updates`].
    pub fn update_names(&self) -> impl Iterator<Item = &str> {
        self.graph.updates.iter().map(|(path, _)| path.as_str())
    }

    /// Number of steps taken. Random draws of a step (dropout) are a function of the model's seed and this number.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Continues the count of an earlier run, so that a resumed run draws what an uninterrupted one would have drawn.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Current size of the arena, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.arena.len() * size_of::<f32>()
    }

    /// Runs forward and backward for one batch, and updates the model's state. The batch may have any size.
    ///
    /// # Errors
    /// An input that is missing, of the wrong shape or not finite; data that an operation refuses (a label out of
    /// range); a model that the objective was not made from, or with parameters that were frozen since.
    /// [`Error::Diverged`] if the loss is not finite, [`Error::BrokenUpdate`] if a gradient or a new value of the state
    /// is not; both name the operation that produced the value, and nothing is updated then.
    pub fn step(&mut self, model: &mut Model, batch: &Batch) -> Result<Step<'_>> {
        let n = self.run(model, batch, None)?;
        let plan = self.plan_of(n);
        for (path, id) in &self.graph.updates {
            let Location::Arena(range) = &plan.roots[id].location else { continue };
            if let Some(value) = model.parameters_mut().value_mut(path) {
                value.data_mut().copy_from_slice(&self.arena.as_slice()[range.clone()]);
            }
        }
        self.steps += 1;
        Ok(self.results(n))
    }

    /// Computes loss, gradients and watched activations for one batch, without any update: for validation and for
    /// optimised inputs.
    ///
    /// # Errors
    /// The errors of [`Objective::step`].
    pub fn evaluate(&mut self, model: &Model, batch: &Batch) -> Result<Step<'_>> {
        let n = self.run(model, batch, None)?;
        Ok(self.results(n))
    }

    /// Computes as [`Objective::evaluate`], and calls `made` with the name and the numbers of each gradient as soon as
    /// they are final, in the order of [`Objective::gradient_names`] and up to the first one that no step computes.
    /// Backward goes on when `made` returns. Whether the numbers are finite is checked in the end.
    ///
    /// # Errors
    /// The errors of [`Objective::step`].
    pub fn evaluate_watched(&mut self, model: &Model, batch: &Batch, made: &mut Made<'_>) -> Result<Step<'_>> {
        let n = self.run(model, batch, Some(made))?;
        Ok(self.results(n))
    }

    fn run(&mut self, model: &Model, batch: &Batch, made: Option<&mut Made<'_>>) -> Result<usize> {
        self.check_model(model)?;
        let n = batch_size(&self.graph, batch)?;
        let needed = self.plan(model, n)?.arena_len();
        if self.arena.len() < needed {
            // The old arena is freed first: both at once would exceed the plan's memory.
            self.arena = Arena::new(0);
            self.arena = memory::arena(needed)?;
        }
        let plan = self.plans.peek(&n).expect("it was just made");
        if self.weights == Weights::Shared {
            self.prepared.renew(plan, model)?;
        }
        let inputs = bind(plan, batch)?;
        let feed = Feed {
            parameters: model.parameters().values(),
            inputs: &inputs,
            constants: self.prepared.of(plan),
            key: self.key.at(self.steps),
        };
        match made {
            None => execute(plan, &mut self.arena, feed)?,
            Some(made) => {
                let mut watch = GradientWatch::new(plan, &self.gradients);
                execute_watched(plan, &mut self.arena, feed, &mut |step, memory| watch.after(step, memory, made))?;
            }
        }
        let loss = self.results(n).loss();
        if let Some(Broken { what, id, value }) = self.broken(n, loss) {
            let parameters = model.parameters();
            let hint = origin(plan, self.arena.as_mut_slice(), feed, parameters, id, self.first_gradient);
            return Err(match what {
                None => Error::Diverged { loss, hint },
                Some(what) => Error::BrokenUpdate { what, value, loss, hint },
            });
        }
        Ok(n)
    }

    fn check_model(&self, model: &Model) -> Result<()> {
        let parameters = model.parameters();
        if parameters.fingerprint() != self.fingerprint {
            return Err(Error::ForeignModel(format!("this one has {}", parameters.known_paths())));
        }
        let Some(frozen) = &self.frozen else { return Ok(()) };
        let mut changed = parameters.iter().zip(frozen).filter(|((parameter, _), was)| parameter.frozen != **was);
        match changed.next() {
            None => Ok(()),
            Some(((parameter, _), _)) => {
                Err(Error::FrozenSince { path: parameter.path.clone(), frozen: parameter.frozen })
            }
        }
    }

    /// Finds the first value of a run that is not finite and must not get into a model: in the loss, in a gradient, in
    /// a new value of the state.
    fn broken(&self, n: usize, loss: f32) -> Option<Broken> {
        if !loss.is_finite() {
            return Some(Broken { what: None, id: self.loss, value: loss });
        }
        let results = self.results(n);
        let find = |id: ValueId| broken_element(results.read(id)?);
        let of_gradient = |(name, id): &(String, ValueId)| {
            let value = find(*id)?;
            Some(Broken { what: Some(format!("the gradient of {name}")), id: *id, value })
        };
        let of_update = |(path, id): &(String, ValueId)| {
            let value = find(*id)?;
            Some(Broken { what: Some(format!("the new value of {path}")), id: *id, value })
        };
        self.gradients.iter().find_map(of_gradient).or_else(|| self.graph.updates.iter().find_map(of_update))
    }

    fn results(&self, n: usize) -> Step<'_> {
        let (plan, arena) = (self.plan_of(n), self.arena.as_slice());
        Step { objective: self, results: Results { plan, arena, constants: &NO_CONSTANTS, parameters: &[] } }
    }
}

/// A model's weights in the forms that kernels read.
#[derive(Debug)]
struct Prepared {
    /// Constants of a plan, and the revision of the weights that they were computed of.
    of_plans: Recent<u64, (u64, Constants)>,
}

impl Prepared {
    /// Computes the constants of a plan, unless they are of these weights.
    fn renew(&mut self, plan: &Plan, model: &Model) -> Result<()> {
        let (revision, id) = (model.revision(), plan.id());
        let kept = self.of_plans.take(&id);
        let constants = match kept {
            Some((known, constants)) if known == revision => constants,
            Some((_, constants)) => constants.renewed(plan, model.parameters(), Key::new(model.seed()))?,
            None => Constants::new(plan, model.parameters(), Key::new(model.seed()), &[])?,
        };
        self.of_plans.put(id, (revision, constants));
        Ok(())
    }

    /// Returns the constants of a plan; none if nothing was prepared for it.
    fn of(&self, plan: &Plan) -> &Constants {
        self.of_plans.peek(&plan.id()).map_or(&NO_CONSTANTS, |(_, constants)| constants)
    }
}

/// A function that is called with the name and the numbers of a gradient; see [`Objective::evaluate_watched`].
pub type Made<'m> = dyn FnMut(&str, &[f32]) + Send + 'm;

/// Gradients that are reported in their order, each as soon as it and those before it are final.
struct GradientWatch<'o> {
    /// Name, place and last step of each that is left.
    left: Peekable<IntoIter<(&'o str, Range<usize>, usize)>>,
}

impl<'o> GradientWatch<'o> {
    fn new(plan: &Plan, gradients: &'o [(String, ValueId)]) -> GradientWatch<'o> {
        let place = |(name, id): &'o (String, ValueId)| match &plan.roots[id].location {
            Location::Arena(range) => Some((name.as_str(), range.clone(), plan.last_write(range)?)),
            Location::Constant(_) | Location::Parameter(_) | Location::Input(_) => None,
        };
        GradientWatch { left: gradients.iter().map_while(place).collect::<Vec<_>>().into_iter().peekable() }
    }

    fn after(&mut self, step: usize, memory: &[f32], made: &mut Made<'_>) {
        while let Some((name, range, _)) = self.left.next_if(|(_, _, last)| *last <= step) {
            made(name, &memory[range]);
        }
    }
}

/// A value that is not finite, in a result of a run.
struct Broken {
    /// Description of the tensor that holds it; `None` for the loss.
    what: Option<String>,
    id: ValueId,
    value: f32,
}

/// Finds the values to differentiate with respect to, by name.
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
    for (&name, id) in named.iter().zip(graph.find_all(named)?) {
        if !graph.is_differentiable(id) {
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
    results: Results<'o>,
}

impl<'o> Step<'o> {
    fn read(&self, id: ValueId) -> Option<&'o [f32]> {
        self.results.read(id, |_| None)?.f32()
    }

    fn tensor(&self, name: &str, among: &[(String, ValueId)]) -> Result<Tensor> {
        let found = among.iter().find(|(known, _)| known == name);
        let Some((id, data)) = found.and_then(|(_, id)| Some((*id, self.read(*id)?))) else {
            let known: Vec<&str> = among.iter().take(40).map(|(known, _)| known.as_str()).collect();
            return Err(Error::Unknown { name: name.into(), known: known.join(", ") });
        };
        let shape = self.objective.graph.values[id].shape.at(self.batch());
        Ok(Tensor::from_vec(shape, data.to_vec()).expect("a result has the elements of its shape"))
    }

    /// The loss.
    pub fn loss(&self) -> f32 {
        self.read(self.objective.loss).and_then(|loss| loss.first().copied()).unwrap_or(f32::NAN)
    }

    /// Number of samples.
    pub fn batch(&self) -> usize {
        self.results.plan.batch()
    }

    /// Gradient with respect to the parameter, input or activation called `name`, in row-major order of its shape.
    pub fn gradient(&self, name: &str) -> Option<&'o [f32]> {
        let (_, id) = self.objective.gradients.iter().find(|(known, _)| known == name)?;
        self.read(*id)
    }

    /// Copies the gradient with respect to the value called `name` into a tensor of its shape, samples first: the
    /// gradient of an image `[1, H, W, C]` is another.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a value that the objective has no gradient for.
    ///
    /// ```
    /// use ocelli_graph::{Batch, Mode, Model, Tensor, Wrt};
    /// let model = Model::build(|x| x.square(), [2, 2], 0)?;
    /// let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), |t| t.output().sum())?;
    /// let step = objective.evaluate(&model, &Batch::new().with("input", Tensor::full([1, 2, 2], 3.0)))?;
    /// assert_eq!(step.gradient_tensor("input")?, Tensor::full([1, 2, 2], 6.0));
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    pub fn gradient_tensor(&self, name: &str) -> Result<Tensor> {
        self.tensor(name, &self.objective.gradients)
    }

    /// Names and gradients, in the order in which backward produces them.
    pub fn gradients(&self) -> impl Iterator<Item = (&'o str, &'o [f32])> + use<'o> {
        let this = *self;
        this.objective.gradients.iter().filter_map(move |(name, id)| Some((name.as_str(), this.read(*id)?)))
    }

    /// Names and new values of the states that the step updates, such as running statistics.
    pub fn updates(&self) -> impl Iterator<Item = (&'o str, &'o [f32])> + use<'o> {
        let this = *self;
        this.objective.graph.updates.iter().filter_map(move |(path, id)| Some((path.as_str(), this.read(*id)?)))
    }

    /// A watched activation, in row-major order; see [`Objective::watching`].
    pub fn activation(&self, name: &str) -> Option<&'o [f32]> {
        let (_, id) = self.objective.watched.iter().find(|(known, _)| known == name)?;
        self.read(*id)
    }

    /// Copies a watched activation into a tensor of its shape, samples first.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a value that is not watched.
    pub fn activation_tensor(&self, name: &str) -> Result<Tensor> {
        self.tensor(name, &self.objective.watched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Constant, Tensor};

    /// A loader of batches of any size would fill the memory with plans.
    #[test]
    fn plans_of_a_few_batch_sizes_are_kept() {
        let network = |x: &Node| x * x.trace().parameter("w", [3], Constant(1.0));
        let mut model = Model::build(network, [3], 0).unwrap();
        let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
        let mut step = |n: usize| {
            let batch = Batch::new().with("input", Tensor::full([n, 3], 1.0));
            let loss = objective.step(&mut model, &batch).unwrap().loss();
            (loss, objective.plans.values().map(Plan::batch).collect::<Vec<_>>())
        };
        for n in 1..=100 {
            let (loss, kept) = step(n);
            assert!((loss - 1.0).abs() < 1e-6);
            assert!(kept.len() <= KEPT_PLANS && kept.ends_with(&[n]));
        }
        let (_, kept) = step(95);
        assert_eq!(kept, [93, 94, 96, 97, 98, 99, 100, 95]);
    }
}
