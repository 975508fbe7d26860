//! Plans: a graph for one batch size, laid out in memory, ready to run.

mod buffers;
mod explain;
mod offsets;

use crate::{Error, Graph, Op, Precision, Result, Source, ValueId, passes};
use buffers::Layout;
pub(crate) use buffers::Preparing;
use ocelli_kernels::Accumulate;
use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Numbers in a cache line. Every buffer of the arena starts on one.
const LINE: usize = 16;

/// Where a value is while a plan runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Location {
    /// Numbers of the arena.
    Arena(Range<usize>),
    /// A parameter, by its number in the model.
    Parameter(usize),
    /// An input, by its number in the plan.
    Input(usize),
}

/// Where one operand of a step is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// One of the step's disjoint pieces of the arena.
    Piece(usize),
    /// The storage of the step's first result.
    FirstResult,
    Parameter(usize),
    Input(usize),
}

/// A location and the sizes of what is there.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) location: Location,
    pub(crate) shape: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) place: Place,
    pub(crate) shape: Vec<usize>,
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct PlanStep {
    pub(crate) op: Arc<dyn Op>,
    pub(crate) path: String,
    pub(crate) operands: Vec<Operand>,
    pub(crate) output_shapes: Vec<Vec<usize>>,
    /// Disjoint pieces of the arena: the results, then workspace and prepared operand if there are, then what is read.
    pub(crate) pieces: Vec<Range<usize>>,
    pub(crate) has_workspace: bool,
    /// Whether there is a prepared operand, and how long it stays.
    pub(crate) preparing: Option<Preparing>,
    pub(crate) accumulate: Accumulate,
}

impl PlanStep {
    /// The operation.
    pub fn op(&self) -> &dyn Op {
        &*self.op
    }

    /// The path of the layer that it belongs to.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether its first result takes over the storage of an operand.
    pub fn is_in_place(&self) -> bool {
        self.operands.iter().any(|operand| operand.place == Place::FirstResult)
    }

    /// Whether its first result is added to what is there.
    pub fn accumulates(&self) -> bool {
        self.accumulate == Accumulate::Add
    }
}

/// A graph for one batch size, laid out in memory. A plan is data; the executor runs it over an arena.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) steps: Vec<PlanStep>,
    /// Names of the inputs that are read, by number.
    pub(crate) inputs: Vec<String>,
    pub(crate) roots: HashMap<ValueId, Slot>,
    pub(crate) batch: usize,
    arena_len: usize,
    bound: usize,
    id: u64,
}

/// How a plan is to be made, apart from the graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planning<'a> {
    pub(crate) batch: usize,
    /// The number of each parameter.
    pub(crate) parameters: &'a HashMap<String, usize>,
    pub(crate) precision: Precision,
    pub(crate) preparing: Preparing,
}

impl Plan {
    /// Lays out what `roots` need of a graph.
    pub(crate) fn new(mut graph: Graph, roots: &[ValueId], planning: Planning<'_>) -> Result<Plan> {
        let Planning { batch, parameters, precision, preparing } = planning;
        passes::prune(&mut graph, roots);
        passes::set_precision(&mut graph, precision);
        let accumulated = passes::fold_accumulation(&mut graph, roots);
        let layout = Layout::new(&graph, roots, batch, &accumulated, preparing).ok_or(Error::TooLarge(batch))?;
        let mut inputs: Vec<String> = Vec::new();
        let mut locate = |id: ValueId| match &graph.values[layout.storage_of(id)].source {
            Source::Parameter(path) => Location::Parameter(parameters[path]),
            Source::Input(name) => {
                let known = inputs.iter().position(|known| known == name);
                Location::Input(known.unwrap_or_else(|| {
                    inputs.push(name.clone());
                    inputs.len() - 1
                }))
            }
            Source::Call => Location::Arena(layout.range(id, graph.values[id].shape.len(batch))),
        };
        let mut steps = Vec::new();
        for (at, call) in graph.calls.iter().enumerate().filter(|(_, call)| !call.op.is_view()) {
            let shape = |id: &ValueId| graph.values[*id].shape.at(batch);
            let mut pieces: Vec<Range<usize>> = call
                .outputs
                .iter()
                .map(|&id| layout.range(id, graph.values[id].shape.len(batch)))
                .chain(layout.workspace(at))
                .chain(layout.prepared(at).map(|(range, _)| range))
                .collect();
            let operands = call.inputs.iter().map(|&id| {
                let place = match locate(id) {
                    Location::Parameter(number) => Place::Parameter(number),
                    Location::Input(number) => Place::Input(number),
                    Location::Arena(range) if range == pieces[0] => Place::FirstResult,
                    Location::Arena(range) => {
                        let known = pieces.iter().position(|piece| *piece == range);
                        Place::Piece(known.unwrap_or_else(|| {
                            pieces.push(range);
                            pieces.len() - 1
                        }))
                    }
                };
                Operand { place, shape: shape(&id) }
            });
            steps.push(PlanStep {
                op: call.op.clone(),
                path: call.path.clone(),
                operands: operands.collect(),
                output_shapes: call.outputs.iter().map(shape).collect(),
                has_workspace: layout.workspace(at).is_some(),
                preparing: layout.prepared(at).map(|(_, preparing)| preparing),
                accumulate: match accumulated.contains_key(&call.outputs[0]) {
                    true => Accumulate::Add,
                    false => Accumulate::Set,
                },
                pieces,
            });
        }
        let slot = |&id: &ValueId| (id, Slot { location: locate(id), shape: graph.values[id].shape.at(batch) });
        let roots = roots.iter().map(slot).collect();
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        Ok(Plan { steps, inputs, roots, batch, arena_len: layout.len(), bound: layout.bound(), id })
    }

    /// The steps in order.
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// The number of samples it was made for.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// A number that no other plan has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// How many numbers the arena holds: activations, gradients and workspace.
    pub(crate) fn arena_len(&self) -> usize {
        self.arena_len
    }

    /// Bytes of the arena that running this plan allocates: activations, gradients and workspace. Known before anything is
    /// run, and exactly what is then allocated. Parameters and inputs are there already and not counted.
    pub fn peak_bytes(&self) -> usize {
        self.arena_len * size_of::<f32>()
    }

    /// The most bytes that are alive at one step: no layout can need less. [`Plan::peak_bytes`] is within a few per cent.
    pub fn bound_bytes(&self) -> usize {
        self.bound * size_of::<f32>()
    }
}
