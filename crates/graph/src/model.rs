//! A model: a network with its parameters.

use crate::{
    BackwardRules, Batch, Error, Graph, Inference, Layer, Mode, NetworkFunction, Node, Objective, Parameters, Plan,
    Precision, Result, Summary, Trace, ValueId, Wrt,
    describe::finished,
    execute::{Constants, Feed, execute},
    inputs::{batch_size, bind},
    lock::lock,
    memory,
    passes::{INFERENCE, Program},
    path::is_within,
    plan::{Planning, Weights},
    recent::Recent,
    results::Results,
};
use ocelli_tensor::{Arena, Key, Tensor};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Number of plans kept: the most recently used combinations of batch size and requested values.
const KEPT_PLANS: usize = 16;
/// Number of plans whose constants are kept: the most recently run. Equal constants are kept once.
const KEPT_CONSTANTS: usize = 8;
/// Number of arenas kept for threads that share a model.
const KEPT_ARENAS: usize = 8;

type PlanKey = (Vec<ValueId>, usize);

/// A network with its parameters. `Send + Sync`: threads can share one for inference.
///
/// ```
/// use ocelli_graph::{Model, Tensor};
/// let model = Model::build(|x| (x * 2.0).named("doubled").relu(), [3], 0)?;
/// let y = model.predict(&Tensor::from_vec([1, 3], vec![-1.0, 0.0, 4.0])?)?;
/// assert_eq!(y.data(), [0.0, 0.0, 8.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    /// The graph as traced; plans lower their own copies.
    graph: Graph,
    /// The graph lowered for inference.
    inference: Graph,
    parameters: Parameters,
    /// A number that is another one after parameters were written.
    revision: u64,
    seed: u64,
    plans: Mutex<Recent<PlanKey, Arc<Plan>>>,
    arenas: Mutex<Vec<Arena>>,
    /// Constants of the current parameters, by the id of the plan; the plans that ran last.
    constants: Mutex<Recent<u64, Arc<Constants>>>,
    precision: Precision,
}

/// Returns a number that was not returned before.
fn next_revision() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl Clone for Model {
    fn clone(&self) -> Model {
        let copy = Model::from_parts(self.graph.clone(), self.inference.clone(), self.parameters.clone(), self.seed);
        copy.with_precision(self.precision)
    }
}

impl Model {
    /// Builds a network of one input, called `input`, `[N] + sample`, and one result, called `output`. Every parameter
    /// is drawn from `seed` and its own path. A network that is a layer goes to [`Model::from_layer`]:
    ///
    /// ```compile_fail,E0277
    /// use ocelli_graph::{Layer, Model, Node};
    /// struct Identity;
    /// impl Layer for Identity {
    ///     fn forward(&self, x: &Node) -> Node {
    ///         x.clone()
    ///     }
    /// }
    /// Model::build(Identity, [3], 0); // a layer goes to `Model::from_layer(layer, sample, seed)`
    /// ```
    ///
    /// # Errors
    /// [`Error::Build`] with the first mistake in the description, [`Error::OutOfMemory`] if there is no room for the parameters.
    pub fn build(network: impl NetworkFunction, sample: impl AsRef<[usize]>, seed: u64) -> Result<Model> {
        let trace = Trace::default();
        let output = network(&trace.input("input", sample.as_ref()));
        Model::described(trace, output, seed)
    }

    /// Builds a network that is a layer; otherwise like [`Model::build`].
    ///
    /// # Errors
    /// The errors of [`Model::build`].
    pub fn from_layer(layer: impl Layer, sample: impl AsRef<[usize]>, seed: u64) -> Result<Model> {
        Model::build(|x| layer.forward(x), sample, seed)
    }

    /// Builds a network of any inputs. The node that is returned is called `output`; others are found by their names.
    ///
    /// # Errors
    /// The errors of [`Model::build`].
    pub fn trace(seed: u64, network: impl FnOnce(&Trace) -> Node) -> Result<Model> {
        let trace = Trace::default();
        let output = network(&trace);
        Model::described(trace, output, seed)
    }

    /// Apart from [`build`](Self::build) and [`trace`](Self::trace), which are compiled for every network.
    fn described(trace: Trace, output: Node, seed: u64) -> Result<Model> {
        let graph = finished(&trace, &output)?;
        let parameters = Parameters::initial(&graph, seed)?;
        Model::lowered(graph, parameters, seed)
    }

    /// Builds a network that is a layer, with zeros for initial values: to read the sizes, costs and memory of a
    /// network, or before weights are loaded. Zeros take no time and no memory until they are written.
    ///
    /// # Errors
    /// The errors of [`Model::build`].
    pub fn zeroed(layer: impl Layer, sample: impl AsRef<[usize]>) -> Result<Model> {
        let graph = Graph::from_layer(layer, sample)?;
        let parameters = Parameters::zeros(&graph)?;
        Model::lowered(graph, parameters, 0)
    }

    /// Makes a model of a graph and its parameters.
    pub(crate) fn lowered(graph: Graph, parameters: Parameters, seed: u64) -> Result<Model> {
        let mut program = Program::new(graph.clone(), Mode::Infer, Vec::new());
        program.run(INFERENCE.once)?;
        Ok(Model::from_parts(graph, program.graph, parameters, seed))
    }

    fn from_parts(graph: Graph, inference: Graph, parameters: Parameters, seed: u64) -> Model {
        Model {
            graph,
            inference,
            parameters,
            revision: next_revision(),
            seed,
            plans: Mutex::new(Recent::new(KEPT_PLANS)),
            arenas: Mutex::default(),
            constants: Mutex::new(Recent::new(KEPT_CONSTANTS)),
            precision: Precision::default(),
        }
    }

    /// Sets the precision of this model's plans, in inference and in objectives made afterwards. [`Precision::Strict`]
    /// excludes convolutions by Winograd's algorithm, whose results are some 1e-6 off, and with it every difference
    /// between a sample that is run alone and the same one in a batch: see [`Model::predict`].
    ///
    /// [`Precision::Bf16`] is for inference alone. It halves the bytes of the weights of dense layers and 1 × 1
    /// convolutions, which for one image are most of what a network such as AlexNet reads; the parameters of the model
    /// itself stay as they are, and an [`Inference`] without its model keeps the halves only:
    ///
    /// ```
    /// use ocelli_graph::{Constant, Key, Model, Node, Precision, Tensor, ops::LinearOp};
    /// let dense = |x: &Node| {
    ///     let w = x.trace().parameter("w", [512, 512], Constant(0.01));
    ///     Node::call(LinearOp, &[x, &w])
    /// };
    /// let exact = Model::build(dense, [512], 0)?;
    /// let rounded = exact.clone().with_precision(Precision::Bf16);
    /// let x = Tensor::uniform([1, 512], Key::new(0));
    /// let (y, z) = (exact.predict(&x)?, rounded.predict(&x)?);
    /// assert!(y.data().iter().zip(z.data()).all(|(y, z)| (y - z).abs() < 4e-3 * y.abs()));
    /// let bytes = |model: &Model| Ok::<usize, ocelli_graph::Error>(model.plan(1, &["output"])?.constant_bytes());
    /// assert_eq!(2 * bytes(&rounded)?, bytes(&exact)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_precision(mut self, precision: Precision) -> Model {
        self.precision = precision;
        lock(&self.plans).clear();
        lock(&self.constants).clear();
        self
    }

    /// Precision of the model's plans.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The network as traced.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The parameters, to write. The constants that were computed from them for inference are dropped.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        lock(&self.constants).clear();
        self.revision = next_revision();
        &mut self.parameters
    }

    /// Number that is another one in every other model, and after parameters were written.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Seed that the model was built with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Excludes every parameter at or below `path` from gradients, by whole segments (`"conv1"` freezes `conv1.weight`
    /// and not `conv10.weight`; `""` is everything). Objectives made afterwards neither compute nor keep values that
    /// only frozen parameters would need, and run a batch normalisation whose running statistics are frozen as in
    /// inference. Objectives made before do not follow: their next step is an error.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no such parameter.
    pub fn freeze(&mut self, path: &str) -> Result<()> {
        self.set_frozen(path, true)
    }

    /// Undoes [`Model::freeze`] for every parameter at or below `path`.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no such parameter.
    pub fn unfreeze(&mut self, path: &str) -> Result<()> {
        self.set_frozen(path, false)
    }

    fn set_frozen(&mut self, path: &str, frozen: bool) -> Result<()> {
        if self.parameters.set_frozen(path, frozen) == 0 {
            return Err(self.parameters.unknown(path));
        }
        Ok(())
    }

    /// Makes objectives made afterwards recompute the activations inside the layer at `path` in backward instead of
    /// keeping them (activation checkpointing), as if the layer were [`Recomputed`](crate::Recomputed): less memory for
    /// more time. Best applied to each of several blocks in a row; a layer that is named as a whole is recomputed as a
    /// whole.
    ///
    /// ```
    /// use ocelli_graph::Model;
    /// let mut model = Model::build(|x| x.scope("a", |x| x.tanh().tanh()).scope("b", |x| x.tanh().tanh()), [3], 0)?;
    /// for block in ["a", "b"] {
    ///     model.recompute(block)?;
    /// }
    /// assert!(model.recompute("c").is_err());
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no such layer.
    pub fn recompute(&mut self, path: &str) -> Result<()> {
        if !self.graph.calls.iter().any(|call| is_within(&call.path, path)) {
            return Err(Error::Unknown { name: path.into(), known: self.graph.known_names() });
        }
        self.graph.recomputed.insert(path.into());
        Ok(())
    }

    /// Returns the inference plan for `n` samples and the named values. Plans are kept.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that does not exist, [`Error::NoSamples`], [`Error::TooLarge`],
    /// [`Error::Compile`].
    pub fn plan(&self, n: usize, wanted: &[&str]) -> Result<Arc<Plan>> {
        let ids = self.inference.find_all(wanted)?;
        self.plan_for(n, ids)
    }

    fn plan_for(&self, n: usize, ids: Vec<ValueId>) -> Result<Arc<Plan>> {
        let mut plans = lock(&self.plans);
        let key = (ids, n);
        if let Some(plan) = plans.get(&key) {
            return Ok(plan.clone());
        }
        let planning = Planning {
            batch: n,
            parameters: self.parameters.index(),
            precision: self.precision,
            weights: Weights::Steady,
        };
        let mut program = Program::new(self.inference.clone(), Mode::Infer, key.0.clone());
        program.run(INFERENCE.each_plan)?;
        let plan = Arc::new(Plan::new(program, planning)?);
        plans.put(key, plan.clone());
        Ok(plan)
    }

    /// Runs the network in inference mode and returns the named values, in the order of the request.
    ///
    /// # Errors
    /// A name that does not exist, an input that is missing, of the wrong shape or not finite, or data that an
    /// operation refuses.
    pub fn run(&self, batch: &Batch, wanted: &[&str]) -> Result<Vec<Tensor>> {
        let n = batch_size(&self.inference, batch)?;
        let ids = self.inference.find_all(wanted)?;
        let plan = self.plan_for(n, ids.clone())?;
        let inputs = bind(&plan, batch)?;
        let constants = self.constants_of(&plan)?;
        let mut arena = self.take_arena(plan.arena_len())?;
        let feed = Feed {
            parameters: self.parameters.values(),
            inputs: &inputs,
            constants: &constants,
            key: Key::new(self.seed),
        };
        let outcome = execute(&plan, &mut arena, feed);
        // copy the requested values out of the arena before it is given back
        let (arena_elements, parameters) = (arena.as_slice(), self.parameters.values());
        let results = Results { plan: &plan, arena: arena_elements, constants: &constants, parameters };
        let read = |&id: &ValueId| {
            results.tensor(id, |number| inputs.get(number).copied()).expect("what was requested is a root of the plan")
        };
        let results = outcome.map(|()| ids.iter().map(read).collect());
        self.give_arena(arena);
        results
    }

    /// Computes the network's output for one tensor of samples, in inference mode.
    ///
    /// Equal tensors give equal bits at every call, on any number of threads. A sample has the same bits in batches
    /// of any size from 2 on; alone, at [`Precision::Fast`], a convolution may be computed by another algorithm, and
    /// its last bits may differ (some 1e-5 of the result). At [`Precision::Strict`] they are the same alone too.
    ///
    /// # Errors
    /// The errors of [`Model::run`].
    pub fn predict(&self, x: &Tensor) -> Result<Tensor> {
        let name = self.graph.first_input().map(str::to_string);
        let batch = Batch::new().with(name.unwrap_or_default(), x);
        Ok(self.run(&batch, &["output"])?.swap_remove(0))
    }

    /// Makes an objective: the network with a scalar to be minimised, in training mode, with gradients for every
    /// parameter that is neither frozen nor state. `loss` sees every activation by its path.
    ///
    /// # Errors
    /// [`Error::Build`] with the first mistake in the description of the loss, [`Error::NothingToTrain`] if there are such
    /// parameters and the loss depends on none of them, [`Error::InferenceOnly`] at [`Precision::Bf16`].
    pub fn objective(&self, loss: impl FnOnce(&Trace) -> Node) -> Result<Objective> {
        self.objective_of(Mode::Train, Wrt::Parameters, loss)
    }

    /// Makes an objective in either mode, with gradients for the values in `wrt`: for an image through frozen weights,
    /// for an activation.
    ///
    /// # Errors
    /// The errors of [`Model::objective`], and [`Error::Unknown`] for a name in `wrt` that does not exist.
    pub fn objective_of(&self, mode: Mode, wrt: Wrt<'_>, loss: impl FnOnce(&Trace) -> Node) -> Result<Objective> {
        Objective::new(self, &BackwardRules::new(), mode, wrt, loss)
    }

    /// Makes an objective whose gradients are computed by other [backward rules](BackwardRules) for some kinds of
    /// operation: guided backpropagation and the like. What its steps call gradients is then what the rules make of
    /// them.
    ///
    /// # Errors
    /// The errors of [`Model::objective_of`], and [`Error::Build`] for a rule that answers with gradients of another
    /// number or shape.
    pub fn objective_with(
        &self,
        rules: &BackwardRules,
        mode: Mode,
        wrt: Wrt<'_>,
        loss: impl FnOnce(&Trace) -> Node,
    ) -> Result<Objective> {
        Objective::new(self, rules, mode, wrt, loss)
    }

    /// Prepares the model for inference on `n` samples at a time, from any number of threads, with the weights that it
    /// has now.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::TooLarge`], [`Error::Compile`], and [`Error::OutOfMemory`] if there is no room for a session.
    pub fn inference(&self, n: usize) -> Result<Inference> {
        self.inference_of(n, &["output"])
    }

    /// Prepares the model for inference of the named values, on `n` samples at a time.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that does not exist, and those of [`Model::inference`].
    pub fn inference_of(&self, n: usize, wanted: &[&str]) -> Result<Inference> {
        let ids = self.inference.find_all(wanted)?;
        let plan = self.plan_for(n, ids.clone())?;
        memory::ask_for("the arena of a session", plan.arena_bytes())?;
        let constants = self.constants_of(&plan)?;
        let named = wanted.iter().map(|name| name.to_string()).zip(ids).collect();
        Ok(Inference::new(self, &self.inference, named, plan, constants))
    }

    /// Returns the network as a table, with the memory for `n` samples.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::TooLarge`], [`Error::Compile`].
    pub fn summary_for(&self, n: usize) -> Result<Summary> {
        Summary::for_batch(self, n)
    }

    /// Returns the network as a table, with the memory for one sample.
    pub fn summary(&self) -> Summary {
        Summary::for_one_sample(self)
    }

    /// Returns the constants of a plan: takes the ones that exist, and computes the rest.
    pub(crate) fn constants_of(&self, plan: &Plan) -> Result<Arc<Constants>> {
        let mut kept = lock(&self.constants);
        if let Some(constants) = kept.get(&plan.id()) {
            return Ok(constants.clone());
        }
        let others: Vec<_> = kept.values().cloned().collect();
        // The lock is released first: while kernels wait, this thread may run another task that takes it.
        drop(kept);
        let constants = Arc::new(Constants::new(plan, &self.parameters, Key::new(self.seed), &others)?);
        lock(&self.constants).put(plan.id(), constants.clone());
        Ok(constants)
    }

    /// Returns an arena of at least that length.
    fn take_arena(&self, len: usize) -> Result<Arena> {
        let mut arenas = lock(&self.arenas);
        let fits = arenas.iter().position(|arena| arena.len() >= len);
        let kept = fits.map(|i| arenas.swap_remove(i));
        drop(arenas);
        kept.map_or_else(|| memory::arena(len), Ok)
    }

    fn give_arena(&self, given: Arena) {
        let mut arenas = lock(&self.arenas);
        // A longer arena serves every plan that the shorter ones served.
        arenas.retain(|kept| kept.len() >= given.len());
        if arenas.len() < KEPT_ARENAS {
            arenas.push(given);
        }
    }
}
