//! Plans: a graph for one batch size, laid out in memory, ready to run.

mod buffers;
mod compiled;
mod constants;
mod dot;
mod explain;
mod offsets;
mod steps;

use crate::{
    Compiled, Error, Graph, Op, Precision, Result, Scratch, ValueId,
    execute::is_threaded,
    passes::{Program, separate_constants},
};
use buffers::{Layout, Sequence, storages};
pub(crate) use compiled::CompiledCall;
pub(crate) use constants::ConstantPlan;
use ocelli_tensor::Size;
use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use steps::Steps;

/// Elements in a cache line. Every buffer of the arena starts on one.
const LINE: usize = 16;

/// Location of a value while a plan runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Location {
    /// A range of the arena, in elements.
    Arena(Range<usize>),
    /// A constant, by its index in the plan.
    Constant(usize),
    /// A parameter, by its index in the model.
    Parameter(usize),
    /// An input, by its index in the plan.
    Input(usize),
}

/// Location of one operand of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OperandLocation {
    /// One of the step's disjoint pieces of the arena.
    Piece(usize),
    /// The storage of the step's first result.
    FirstResult,
    /// A constant.
    Constant(usize),
    /// A constant, in the form that the kernel requested.
    Prepared(usize),
    Parameter(usize),
    Input(usize),
}

/// A location, and the sizes of the value there.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) location: Location,
    pub(crate) shape: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct StepOperand {
    pub(crate) location: OperandLocation,
    pub(crate) shape: Vec<usize>,
    /// The value that owns the storage: of a view, the viewed one.
    pub(crate) value: ValueId,
}

/// One call of a kernel.
#[derive(Clone, Debug)]
pub struct PlanStep {
    pub(crate) op: Arc<dyn Op>,
    pub(crate) compiled: Compiled,
    pub(crate) path: String,
    pub(crate) operands: Vec<StepOperand>,
    pub(crate) output_shapes: Vec<Vec<usize>>,
    /// The values of its results.
    pub(crate) outputs: Vec<ValueId>,
    /// Disjoint pieces of the arena: the results, then workspace and prepared operand if there are any, then the
    /// operands.
    pub(crate) pieces: Vec<Range<usize>>,
    pub(crate) has_workspace: bool,
    /// True if it prepares an operand for itself in each run.
    pub(crate) prepares: bool,
    /// The value that its first result is added to.
    pub(crate) sum: Option<ValueId>,
}

impl PlanStep {
    /// The operation.
    pub fn op(&self) -> &dyn Op {
        &*self.op
    }

    /// The compiled form of the operation.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The path of the layer that it belongs to.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns true if its first result takes over the storage of an operand.
    pub fn is_in_place(&self) -> bool {
        self.operands.iter().any(|operand| operand.location == OperandLocation::FirstResult)
    }

    /// Returns true if its first result is added to the content of its destination.
    pub fn accumulates(&self) -> bool {
        self.sum.is_some()
    }
}

/// A graph for one batch size, laid out in memory. A plan is data; the executor runs it over an arena.
///
/// In inference, values computed from parameters only (weights with a normalisation folded in, and weights packed or
/// transformed for a kernel) are not part of the steps: such *constants* are computed once, until a parameter changes,
/// into memory of their own. Plans of one model share equal constants.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The part that computes the constants.
    pub(crate) constants: ConstantPlan,
    pub(crate) steps: Vec<PlanStep>,
    /// Names of the inputs that are read, by index.
    pub(crate) inputs: Vec<String>,
    pub(crate) roots: HashMap<ValueId, Slot>,
    pub(crate) batch: usize,
    arena_len: usize,
    bound: usize,
    /// Scratch memory that its kernels take on each thread.
    scratch: Scratch,
    id: u64,
}

/// Says if the parameters stay the same from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// They stay, as in inference: preparing them pays.
    Steady,
    /// They change, as in training.
    Changing,
    /// They change, but several runs read them in between: what kernels prepare of them is prepared once.
    Shared,
}

/// Settings of a plan, apart from the graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planning<'a> {
    pub(crate) batch: usize,
    /// Index of each parameter in the model.
    pub(crate) parameters: &'a HashMap<String, usize>,
    pub(crate) precision: Precision,
    pub(crate) weights: Weights,
}

/// Returns true if every value that is computed or read can be addressed for this batch size.
fn is_addressable(graph: &Graph, roots: &[ValueId], batch: usize) -> bool {
    let mut read = graph.calls.iter().flat_map(|call| call.inputs.iter().chain(&call.outputs)).chain(roots);
    read.all(|&id| graph.values[id].shape.element_count(batch).is_some())
}

impl Plan {
    /// Compiles the calls that the passes left and lays them out in memory.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::TooLarge`], [`Error::Compile`].
    pub(crate) fn new(program: Program<'_>, planning: Planning<'_>) -> Result<Plan> {
        let Program { mut graph, roots, known, accumulated, .. } = program;
        let Planning { batch, parameters, .. } = planning;
        if batch == 0 {
            return Err(Error::NoSamples);
        }
        // The code below multiplies sizes without checks.
        if !is_addressable(&graph, &roots, batch) {
            return Err(Error::TooLarge(batch));
        }
        let (calls, constant) = compiled::compile(&mut graph, planning)?;
        let (calls, constants) = separate_constants(&mut graph.values, calls, &constant, &roots);
        let storage = storages(graph.values.len(), constants.calls.iter().chain(&calls));
        let too_large = || Error::TooLarge(batch);
        let constant_plan =
            ConstantPlan::new(&graph.values, &constants, &storage, known, planning).ok_or_else(too_large)?;
        let each_run = Sequence {
            values: &graph.values,
            calls: &calls,
            storage: &storage,
            roots: &roots,
            accumulated: &accumulated,
            prepared: &constants.prepared,
            batch,
        };
        let layout = Layout::new(each_run).ok_or_else(too_large)?;
        let all_bytes = (Size::from(constant_plan.all().len) + layout.len()) * size_of::<f32>();
        let all_bytes = all_bytes.get().filter(|&bytes| isize::try_from(bytes).is_ok());
        all_bytes.ok_or_else(too_large)?;
        let indices = constant_plan.indices();
        let mut steps = Steps::new(each_run, &layout, &indices, parameters);
        let all = steps.all();
        let scratch = all
            .iter()
            .chain(&constant_plan.all().steps)
            .map(|step| step.compiled.scratch())
            .fold(Scratch::NONE, Scratch::or);
        static LAST: AtomicU64 = AtomicU64::new(0);
        Ok(Plan {
            steps: all,
            roots: roots.iter().map(|&id| (id, steps.slot(id))).collect(),
            inputs: steps.inputs,
            batch,
            arena_len: layout.len(),
            bound: constant_plan.all().bound + layout.bound(),
            constants: constant_plan,
            scratch,
            id: LAST.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// The steps in order.
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// The batch size that the plan was made for.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// A number that no other plan has.
    /// Returns the index of the last step that writes to a range of the arena.
    pub(crate) fn last_write(&self, range: &Range<usize>) -> Option<usize> {
        let writes = |step: &PlanStep| {
            let results = &step.pieces[..step.output_shapes.len()];
            results.iter().any(|piece| piece.start < range.end && range.start < piece.end)
        };
        self.steps.iter().rposition(writes)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Length of the arena in elements: activations, gradients and workspace.
    pub(crate) fn arena_len(&self) -> usize {
        self.arena_len
    }

    /// Bytes that running this plan takes: the arena with activations, gradients and workspace, the constants, and the
    /// scratch memory of the threads. Known before anything is run, and exactly what is then allocated, unless other
    /// plans have constants or scratch memory to share. Parameters and inputs exist already and are not counted.
    pub fn peak_bytes(&self) -> usize {
        (self.arena_bytes() + self.constant_bytes()).saturating_add(self.scratch_bytes())
    }

    /// The part of [`Plan::peak_bytes`] that each concurrent run needs for itself.
    pub fn arena_bytes(&self) -> usize {
        self.arena_len * size_of::<f32>()
    }

    /// The part of [`Plan::peak_bytes`] that holds constants, computed once from the parameters; concurrent runs of an
    /// [`Inference`](crate::Inference) share it.
    pub fn constant_bytes(&self) -> usize {
        self.constants.all().len * size_of::<f32>()
    }

    /// Scratch memory that its kernels take on each thread.
    pub(crate) fn scratch(&self) -> Scratch {
        self.scratch
    }

    /// The part of [`Plan::peak_bytes`] in which kernels pack blocks of their work, on all threads of the current pool,
    /// with huge pages. Threads keep it for later work.
    pub fn scratch_bytes(&self) -> usize {
        let threads = if is_threaded(self.arena_len) { rayon::current_num_threads() } else { 1 };
        threads.saturating_mul(self.scratch.bytes())
    }

    /// The most bytes that are alive at one step, without scratch memory: no layout can need less. The plan's arena is
    /// within a few per cent of it.
    pub fn bound_bytes(&self) -> usize {
        self.bound * size_of::<f32>()
    }
}
