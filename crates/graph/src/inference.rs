//! A model prepared for inference at one batch size.

use crate::{
    Batch, Error, Graph, Key, Model, Plan, Result, Tensor, ValueId, ValueSource,
    execute::{Constants, Feed, Given, execute},
    inputs::{bind, checked_size},
    lock::lock,
    plan::{Location, OperandLocation},
    results::{Elements, Results},
};
use ocelli_tensor::Arena;
use std::sync::{Arc, Mutex};

/// A model prepared for inference at one batch size, with a snapshot of its weights: normalisations folded into them,
/// packed and transformed once. `Send + Sync`, and cheap to clone: clones and sessions share the weights.
///
/// [`Inference::predict`] and [`Inference::run`] may be called by any number of threads, inside rayon's parallel
/// iterators too. Each call borrows a [`Session`], one caller's memory ([`Plan::arena_bytes`]), from the idle ones; the
/// shared memory is [`Plan::constant_bytes`] and those parameters that kernels read as they are.
///
/// ```
/// use ocelli_graph::{Key, Model, Tensor};
/// use rayon::prelude::*;
/// let model = Model::build(|x| (x * 2.0).relu(), [3], 0)?;
/// let inference = model.inference(2)?;
/// let results: Result<Vec<Tensor>, _> =
///     (0..10).into_par_iter().map(|seed| inference.predict(&Tensor::uniform([2, 3], Key::new(seed)))).collect();
/// assert_eq!(results?.len(), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A session owned by a thread gives its results without a copy:
///
/// ```
/// use ocelli_graph::{Key, Model, Tensor};
/// let model = Model::build(|x| (x * 2.0).relu(), [3], 0)?;
/// let inference = model.inference(2)?;
/// std::thread::scope(|scope| {
///     for seed in 0..2 {
///         let mut session = inference.session();
///         scope.spawn(move || {
///             let x = Tensor::uniform([2, 3], Key::new(seed));
///             for _ in 0..10 {
///                 assert_eq!(session.predict(&x)?.len(), 6);
///             }
///             Ok::<(), ocelli_graph::Error>(())
///         });
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Two inferences for different batch sizes need not have the same bits for one sample: see [`Model::predict`].
#[derive(Clone, Debug)]
pub struct Inference(Arc<InferenceState>);

#[derive(Debug)]
struct InferenceState {
    graph: Graph,
    plan: Arc<Plan>,
    constants: Arc<Constants>,
    /// Parameters that steps read, at their indices; an empty tensor in the place of others.
    parameters: Vec<Tensor>,
    /// Name of the input that [`Session::predict`] feeds.
    input: String,
    wanted: Vec<(String, ValueId)>,
    key: Key,
    /// Memory of the sessions that were borrowed and are idle.
    idle: Mutex<Vec<Arena>>,
}

impl InferenceState {
    /// The results of the run that left this arena.
    fn results<'a>(&'a self, arena: &'a [f32]) -> Results<'a> {
        Results { plan: &self.plan, arena, constants: &self.constants, parameters: &self.parameters }
    }
}

impl Inference {
    pub(crate) fn new(
        model: &Model,
        graph: &Graph,
        wanted: Vec<(String, ValueId)>,
        plan: Arc<Plan>,
        constants: Arc<Constants>,
    ) -> Inference {
        let locations = plan.steps.iter().flat_map(|step| step.operands.iter().map(|operand| &operand.location));
        let read = locations.filter_map(|location| match location {
            OperandLocation::Parameter(number) => Some(*number),
            _ => None,
        });
        let wanted_themselves = plan.roots.values().filter_map(|slot| match slot.location {
            Location::Parameter(number) => Some(number),
            _ => None,
        });
        let mut parameters = vec![Tensor::zeros([0]); model.parameters().len()];
        for number in read.chain(wanted_themselves) {
            parameters[number] = model.parameters().values()[number].clone();
        }
        // Only the inputs of the graph are read later.
        let values =
            graph.values.iter().filter(|value| matches!(value.source, ValueSource::Input(_))).cloned().collect();
        let input = graph.first_input().unwrap_or_default().to_string();
        let key = Key::new(model.seed());
        Inference(Arc::new(InferenceState {
            graph: Graph { values, ..Graph::default() },
            plan,
            constants,
            parameters,
            input,
            wanted,
            key,
            idle: Mutex::default(),
        }))
    }

    /// The plan that sessions run.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Computes the first requested value for one tensor of samples.
    ///
    /// # Errors
    /// An input that is refused, as for [`Session::predict`].
    pub fn predict(&self, x: &Tensor) -> Result<Tensor> {
        self.with_session(|session| {
            session.predict(x)?;
            let first =
                self.0.wanted.first().and_then(|(_, id)| session.results().tensor(*id, |_| Some(Given::F32(x))));
            Ok(first.unwrap_or_else(|| Tensor::zeros([0])))
        })
    }

    /// Computes every requested value for inputs by name, in the order of the request; labels come back as `f32`.
    ///
    /// # Errors
    /// An input that is refused or missing, as for [`Session::run`].
    pub fn run(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        self.with_session(|session| {
            let outputs = session.run(batch)?;
            let tensor = |(_, id): &(String, ValueId)| {
                let tensor = outputs.results().tensor(*id, |number| outputs.input(number));
                tensor.expect("what was requested is a root of the plan")
            };
            Ok(self.0.wanted.iter().map(tensor).collect())
        })
    }

    /// Calls `f` with a session that nobody else uses: an idle one, or a new one if there is none. No caller waits for
    /// another, so `f` may run anywhere, on a thread of rayon's too.
    ///
    /// There are as many sessions as calls ran at once; up to as many as the pool has threads are kept for later calls.
    pub fn with_session<T>(&self, f: impl FnOnce(&mut Session) -> T) -> T {
        let idle = lock(&self.0.idle).pop();
        let arena = idle.unwrap_or_else(|| Arena::new(self.0.plan.arena_len()));
        let mut session = Session { state: self.0.clone(), arena };
        let result = f(&mut session);
        let mut idle = lock(&self.0.idle);
        if idle.len() < rayon::current_num_threads() {
            idle.push(session.arena);
        }
        result
    }

    #[cfg(test)]
    pub(crate) fn idle_sessions(&self) -> usize {
        lock(&self.0.idle).len()
    }

    /// Makes a session for one caller. It may move to another thread.
    pub fn session(&self) -> Session {
        Session { state: self.0.clone(), arena: Arena::new(self.0.plan.arena_len()) }
    }
}

/// One caller's memory for an [`Inference`]. After the first run on a thread a session allocates nothing, with these
/// exceptions: a convolution forced to the `naive` algorithm, an operation of more than 16 operands, user-defined
/// operations, and the queue of rayon's pool, now and then, if it is called from outside.
///
/// A session behind a lock, or in a `RefCell` of each thread, does not work with rayon's parallel iterators: a thread
/// that waits for a part of its run takes another item of the iterator meanwhile, and would take the lock, or borrow
/// the cell, a second time. [`Inference::predict`] and [`Inference::with_session`] are made for that.
#[derive(Debug)]
pub struct Session {
    state: Arc<InferenceState>,
    arena: Arena,
}

impl Session {
    /// Computes the first requested value for one tensor of samples, in row-major order.
    ///
    /// # Errors
    /// An input of the wrong shape, of another batch size than the plan's, or not finite; a network of several inputs;
    /// data that an operation refuses.
    pub fn predict<'s>(&'s mut self, x: &'s Tensor) -> Result<&'s [f32]> {
        let given = Given::F32(x);
        let state = self.state.clone();
        let InferenceState { graph, plan, input, wanted, .. } = &*state;
        checked_size(graph, Some(plan.batch()), &|name| (name == input).then_some(given))?;
        if let Some(other) = plan.inputs.iter().find(|name| *name != input) {
            return Err(Error::MissingInput { name: other.clone(), known: input.clone() });
        }
        self.run_on(&[given][..plan.inputs.len()])?;
        let Some((_, id)) = wanted.first() else { return Ok(&[]) };
        Ok(self.results().read(*id, |_| Some(given)).and_then(Elements::f32).unwrap_or(&[]))
    }

    /// Computes every requested value for inputs by name.
    ///
    /// # Errors
    /// An input that is refused, as for [`Session::predict`], or missing.
    pub fn run<'s>(&'s mut self, batch: &'s Batch) -> Result<Outputs<'s>> {
        checked_size(&self.state.graph, Some(self.state.plan.batch()), &|name| batch.get(name).map(Given::from))?;
        let state = self.state.clone();
        self.run_on(&bind(&state.plan, batch)?)?;
        Ok(Outputs { state: &self.state, arena: self.arena.as_slice(), batch })
    }

    fn results(&self) -> Results<'_> {
        self.state.results(self.arena.as_slice())
    }

    fn run_on(&mut self, inputs: &[Given<'_>]) -> Result<()> {
        let InferenceState { plan, constants, parameters, key, .. } = &*self.state;
        let feed = Feed { parameters, inputs, constants, key: *key };
        execute(plan, &mut self.arena, feed)
    }
}

/// The values of one run, in the session's memory.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'s> {
    state: &'s InferenceState,
    arena: &'s [f32],
    batch: &'s Batch,
}

impl<'s> Outputs<'s> {
    /// Elements of the requested value called `name`, in row-major order; `None` if it was not requested, and for
    /// labels.
    pub fn get(&self, name: &str) -> Option<&'s [f32]> {
        let (_, id) = self.state.wanted.iter().find(|(known, _)| known == name)?;
        self.results().read(*id, |number| self.input(number))?.f32()
    }

    fn results(&self) -> Results<'s> {
        self.state.results(self.arena)
    }

    /// The plan's input of that number.
    fn input(&self, number: usize) -> Option<Given<'s>> {
        self.batch.get(&self.state.plan.inputs[number]).map(Given::from)
    }

    /// Sizes of the requested value called `name`.
    pub fn shape(&self, name: &str) -> Option<&'s [usize]> {
        let (_, id) = self.state.wanted.iter().find(|(known, _)| known == name)?;
        Some(&self.state.plan.roots[id].shape)
    }
}
