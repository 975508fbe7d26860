//! A network that is only run any more.

use crate::{
    Batch, Error, Graph, Key, Model, Plan, Result, Source, Tensor, Value, ValueId,
    execute::{Constants, Feed, execute},
    model::{bind, checked_size, first_input},
    plan::{Location, Place},
};
use ocelli_tensor::Arena;
use std::sync::Arc;

/// A network for a fixed batch size with its weights as they were when it was made: normalisations folded into them, packed
/// and transformed once. `Send + Sync`, and cheap to clone: clones and sessions share the weights.
///
/// Each caller has a [`Session`] with memory of its own ([`Plan::arena_bytes`]); what is shared is
/// [`Plan::constant_bytes`] and those parameters that kernels read as they are.
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
#[derive(Clone, Debug)]
pub struct Inference(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    graph: Graph,
    plan: Arc<Plan>,
    constants: Arc<Constants>,
    /// Those that steps read, at their numbers; nothing in the place of others.
    parameters: Vec<Tensor>,
    /// The input that [`Session::predict`] means.
    input: String,
    wanted: Vec<(String, ValueId)>,
    key: Key,
}

impl Inference {
    pub(crate) fn new(
        model: &Model,
        graph: &Graph,
        wanted: Vec<(String, ValueId)>,
        plan: Arc<Plan>,
        constants: Arc<Constants>,
    ) -> Inference {
        let places = plan.steps.iter().flat_map(|step| step.operands.iter().map(|operand| &operand.place));
        let read = places.filter_map(|place| match place {
            Place::Parameter(number) => Some(*number),
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
        // Of the graph only the inputs are looked at.
        let values = graph.values.iter().filter(|value| matches!(value.source, Source::Input(_))).cloned().collect();
        let input = first_input(graph).unwrap_or_default().to_string();
        let key = Key::new(model.seed());
        Inference(Arc::new(Shared {
            graph: Graph { values, ..Graph::default() },
            plan,
            constants,
            parameters,
            input,
            wanted,
            key,
        }))
    }

    /// The plan that sessions run.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Memory for one caller. A session may go to another thread.
    pub fn session(&self) -> Session {
        Session { shared: self.0.clone(), arena: Arena::new(self.0.plan.arena_len()) }
    }
}

/// One caller's memory for an [`Inference`]. After the first one, [`Session::run`] allocates nothing.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    arena: Arena,
}

impl Session {
    /// The first wanted value for one tensor of samples, in row-major order. A handle to the tensor, with its few sizes, is all
    /// that is allocated.
    ///
    /// # Errors
    /// An input of the wrong shape, of another batch size than the plan's, or not finite; a network of several inputs;
    /// data that an operation refuses.
    pub fn predict<'s>(&'s mut self, x: &'s Tensor) -> Result<&'s [f32]> {
        let given = Value::F32(x.clone());
        let shared = self.shared.clone();
        let Shared { graph, plan, input, wanted, .. } = &*shared;
        checked_size(graph, Some(plan.batch()), |name| (name == input).then_some(&given))?;
        if let Some(other) = plan.inputs.iter().find(|name| *name != input) {
            return Err(Error::MissingInput { name: other.clone(), known: input.clone() });
        }
        let inputs = [&given];
        self.run_on(&inputs[..plan.inputs.len()])?;
        let Some((_, id)) = wanted.first() else { return Ok(&[]) };
        Ok(read(&self.shared, self.arena.as_slice(), *id).unwrap_or(x.data()))
    }

    /// Every wanted value for inputs by name.
    ///
    /// # Errors
    /// As [`Session::predict`], and an input that is missing.
    pub fn run<'s>(&'s mut self, batch: &'s Batch) -> Result<Outputs<'s>> {
        checked_size(&self.shared.graph, Some(self.shared.plan.batch()), |name| batch.get(name))?;
        let shared = self.shared.clone();
        self.run_on(&bind(&shared.plan, batch)?)?;
        Ok(Outputs { shared: &self.shared, arena: self.arena.as_slice(), batch })
    }

    fn run_on(&mut self, inputs: &[&Value]) -> Result<()> {
        let Shared { plan, constants, parameters, key, .. } = &*self.shared;
        let feed = Feed { parameters, inputs, constants, key: *key };
        execute(plan, &mut self.arena, feed)
    }
}

/// The values of one run, in the session's memory.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'s> {
    shared: &'s Shared,
    arena: &'s [f32],
    batch: &'s Batch,
}

impl<'s> Outputs<'s> {
    /// The wanted value called `name`, in row-major order; `None` if it was not wanted, and for labels.
    pub fn get(&self, name: &str) -> Option<&'s [f32]> {
        let (_, id) = self.shared.wanted.iter().find(|(known, _)| known == name)?;
        let of_input = || match &self.shared.plan.roots[id].location {
            Location::Input(number) => self.batch.tensor(&self.shared.plan.inputs[*number]).ok().map(Tensor::data),
            _ => None,
        };
        read(self.shared, self.arena, *id).or_else(of_input)
    }

    /// The sizes of the wanted value called `name`.
    pub fn shape(&self, name: &str) -> Option<&'s [usize]> {
        let (_, id) = self.shared.wanted.iter().find(|(known, _)| known == name)?;
        Some(&self.shared.plan.roots[id].shape)
    }
}

/// The numbers of a wanted value; `None` if it is an input.
fn read<'s>(shared: &'s Shared, arena: &'s [f32], id: ValueId) -> Option<&'s [f32]> {
    match &shared.plan.roots[&id].location {
        Location::Arena(range) => Some(&arena[range.clone()]),
        Location::Constant(number) => Some(shared.constants.get(*number)),
        Location::Parameter(number) => Some(shared.parameters[*number].data()),
        Location::Input(_) => None,
    }
}
