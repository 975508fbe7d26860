//! The executor: runs a plan's steps over an arena. It allocates nothing for a step of up to [`INLINE_READS`] pieces;
//! kernels pack blocks into scratch memory that each thread keeps.

use crate::{
    Accumulate, ElementKind, Error, Fault, Key, Parameters, Plan, PlanStep, Result, Scratch, Value,
    kernel_context::{Data, KernelContext, KernelInputs, KernelOutputs, Operand, Output},
    memory,
    plan::OperandLocation,
};
use ocelli_kernels::beside_waiting_threads;
use ocelli_tensor::{Arena, Tensor};
use smallvec::SmallVec;
use std::{cell::Cell, collections::HashMap, ops::Range, sync::Arc};

/// Largest number of pieces that a step reads without an allocation.
const INLINE_READS: usize = 32;

/// The parameters, inputs and constants that a run reads.
#[derive(Clone, Copy)]
pub(crate) struct Feed<'a> {
    pub(crate) parameters: &'a [Tensor],
    /// Inputs in the order of [`Plan::inputs`].
    pub(crate) inputs: &'a [Given<'a>],
    /// Constants that the plan computed before the run.
    pub(crate) constants: &'a Constants,
    pub(crate) key: Key,
}

/// An input as the caller has it: a value of a batch, or a tensor, which is not copied.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    F32(&'a Tensor),
    U32(&'a Tensor<u32>),
}

impl<'a> Given<'a> {
    pub(crate) fn shape(self) -> &'a [usize] {
        match self {
            Given::F32(tensor) => tensor.shape(),
            Given::U32(tensor) => tensor.shape(),
        }
    }

    pub(crate) fn kind(self) -> ElementKind {
        match self {
            Given::F32(_) => ElementKind::F32,
            Given::U32(_) => ElementKind::U32,
        }
    }
}

impl<'a> From<&'a Value> for Given<'a> {
    fn from(value: &'a Value) -> Given<'a> {
        match value {
            Value::F32(tensor) => Given::F32(tensor),
            Value::U32(tensor) => Given::U32(tensor),
        }
    }
}

/// Constants of a plan: values that are computed once, from parameters only.
#[derive(Debug, Default)]
pub(crate) struct Constants {
    /// Constants in the order of their indices.
    list: Vec<SharedConstant>,
}

/// The constants of a plan that has none, as in training.
pub(crate) static NO_CONSTANTS: Constants = Constants { list: Vec::new() };

/// A constant in memory that several plans may read.
#[derive(Clone, Debug)]
struct SharedConstant {
    recipe: Option<Arc<str>>,
    memory: Arc<Arena>,
    range: Range<usize>,
}

impl Constants {
    /// Takes the constants that `others`, of the same parameters, already have, and computes the rest into new memory.
    pub(crate) fn new(plan: &Plan, parameters: &Parameters, key: Key, others: &[Arc<Constants>]) -> Result<Constants> {
        Constants::in_memory(None, plan, parameters, key, others)
    }

    /// Computes them anew, of other parameters, in the same memory.
    pub(crate) fn renewed(mut self, plan: &Plan, parameters: &Parameters, key: Key) -> Result<Constants> {
        let memory = self.list.pop().map(|constant| constant.memory);
        self.list.clear();
        Constants::in_memory(memory.and_then(Arc::into_inner), plan, parameters, key, &[])
    }

    fn in_memory(
        memory: Option<Arena>,
        plan: &Plan,
        parameters: &Parameters,
        key: Key,
        others: &[Arc<Constants>],
    ) -> Result<Constants> {
        let known: HashMap<&str, &SharedConstant> = others
            .iter()
            .flat_map(|other| &other.list)
            .filter_map(|shared| Some((shared.recipe.as_deref()?, shared)))
            .collect();
        let wanted = plan.constants.list();
        let mut list: Vec<Option<SharedConstant>> = wanted
            .iter()
            .map(|constant| known.get(constant.recipe.as_deref()?).map(|&shared| shared.clone()))
            .collect();
        let missing: Vec<usize> = (0..list.len()).filter(|&number| list[number].is_none()).collect();
        if !missing.is_empty() {
            let part = plan.constants.some(&missing);
            let mut memory = match memory.filter(|memory| memory.len() == part.len) {
                Some(memory) => memory,
                None => memory::arena(part.len)?,
            };
            let feed = Feed { parameters: parameters.values(), inputs: &[], constants: &NO_CONSTANTS, key };
            run(&part.steps, plan.scratch(), memory.as_mut_slice(), feed, &mut |_, _| ())?;
            let memory = Arc::new(memory);
            for (&number, range) in missing.iter().zip(&part.ranges) {
                let recipe = wanted[number].recipe.clone();
                list[number] = Some(SharedConstant { recipe, memory: memory.clone(), range: range.clone() });
            }
        }
        Ok(Constants { list: list.into_iter().flatten().collect() })
    }

    /// Elements of a constant.
    pub(crate) fn get(&self, number: usize) -> &[f32] {
        let SharedConstant { memory, range, .. } = &self.list[number];
        &memory.as_slice()[range.clone()]
    }
}

/// Runs every step. The arena must be at least as long as the plan says.
pub(crate) fn execute(plan: &Plan, arena: &mut Arena, feed: Feed<'_>) -> Result<()> {
    run(&plan.steps, plan.scratch(), arena.as_mut_slice(), feed, &mut |_, _| ())
}

/// Is called after a step, with its index and the arena.
type After<'a> = dyn FnMut(usize, &[f32]) + Send + 'a;

/// Runs every step, and calls `after` with its index and the arena when it is done.
pub(crate) fn execute_watched(plan: &Plan, arena: &mut Arena, feed: Feed<'_>, after: &mut After<'_>) -> Result<()> {
    run(&plan.steps, plan.scratch(), arena.as_mut_slice(), feed, after)
}

/// Returns true if some of a plan's kernels may use several threads, by the length of its arena: that of LeNet-5 for one
/// digit is shorter, that of ResNet-20 for one picture longer.
pub(crate) fn is_threaded(arena_len: usize) -> bool {
    const LEAST: usize = 1 << 15;
    arena_len >= LEAST
}

fn run(steps: &[PlanStep], scratch: Scratch, memory: &mut [f32], feed: Feed<'_>, after: &mut After<'_>) -> Result<()> {
    if !is_threaded(memory.len()) {
        scratch.reserve();
        return run_steps(steps, memory, feed, after, run_one);
    }
    // Enters the pool once: a kernel that is called outside wakes one of its threads and sleeps until that is done, which
    // took a quarter of LeNet-5's training step.
    rayon::scope(|_| {
        reserve_on_all_threads(scratch);
        run_steps(steps, memory, feed, after, |step, memory, feed| {
            beside_waiting_threads(|| run_one(step, memory, feed))
        })
    })
}

thread_local! {
    /// The scratch memory that every thread of this thread's pool was told to reserve.
    static ANNOUNCED: Cell<Scratch> = const { Cell::new(Scratch::NONE) };
}

/// Makes every thread of the pool reserve its scratch memory once, before it runs the first task of a plan that needs
/// it.
///
/// The caller does not wait for that: a thread may be busy with something that waits for this very run, such as a lock
/// that its caller holds. It is enough that a thread reserves the announced memory before it takes a task from another
/// one.
fn reserve_on_all_threads(scratch: Scratch) {
    let announced = ANNOUNCED.get();
    if announced.or(scratch) == announced {
        return;
    }
    let reserve = move || {
        ANNOUNCED.set(ANNOUNCED.get().or(scratch));
        scratch.reserve();
    };
    if rayon::current_num_threads() > 1 {
        rayon::spawn_broadcast(move |_| reserve());
    }
    reserve();
}

fn run_steps(
    steps: &[PlanStep],
    memory: &mut [f32],
    feed: Feed<'_>,
    after: &mut After<'_>,
    run_one: fn(&PlanStep, &mut [f32], Feed<'_>) -> Result<()>,
) -> Result<()> {
    steps.iter().enumerate().try_for_each(|(index, step)| {
        run_one(step, memory, feed)?;
        after(index, memory);
        Ok(())
    })
}

/// Runs one step; those before it must have run.
pub(crate) fn run_one(step: &PlanStep, memory: &mut [f32], feed: Feed<'_>) -> Result<()> {
    run_step(step, memory, feed).map_err(|fault| Error::Kernel {
        path: if step.path.is_empty() { String::new() } else { format!("{} ", step.path) },
        kind: step.op.kind(),
        reason: fault.to_string(),
    })
}

/// Cuts the arena into the step's pieces and calls its kernel. The number of pieces is a constant of the type, so that
/// the cutting is safe and needs no memory; a step with more than 32 pieces (a wide concatenation) is cut in a loop.
fn run_step(step: &PlanStep, memory: &mut [f32], feed: Feed<'_>) -> std::result::Result<(), Fault> {
    match step.pieces.len() {
        0..=4 => call(step, disjoint::<4>(memory, &step.pieces), feed),
        5..=8 => call(step, disjoint::<8>(memory, &step.pieces), feed),
        9..=32 => call(step, disjoint::<32>(memory, &step.pieces), feed),
        _ => call(step, cut(memory, &step.pieces), feed),
    }
}

const DISJOINT: &str = "the plan gives the pieces of a step disjoint places in the arena";

fn disjoint<'a, const N: usize>(memory: &'a mut [f32], pieces: &[Range<usize>]) -> [&'a mut [f32]; N] {
    let mut ranges: [Range<usize>; N] = std::array::from_fn(|_| 0..0);
    ranges.iter_mut().zip(pieces).for_each(|(to, from)| *to = from.clone());
    memory.get_disjoint_mut(ranges).expect(DISJOINT)
}

fn cut<'a>(memory: &'a mut [f32], pieces: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&i| pieces[i].start);
    let mut result: Vec<&'a mut [f32]> = pieces.iter().map(|_| Default::default()).collect();
    let (mut rest, mut base) = (memory, 0);
    for i in order {
        let (before, after) = rest.split_at_mut(pieces[i].end.checked_sub(base).expect(DISJOINT));
        result[i] = &mut before[pieces[i].start.checked_sub(base).expect(DISJOINT)..];
        (rest, base) = (after, pieces[i].end);
    }
    result
}

fn call<'a>(
    step: &'a PlanStep,
    pieces: impl IntoIterator<Item = &'a mut [f32]>,
    feed: Feed<'a>,
) -> std::result::Result<(), Fault> {
    // split the pieces: results, workspace, prepared form, operands
    let mut pieces = pieces.into_iter();
    let results = step.output_shapes.len();
    let outputs: KernelOutputs<'a> =
        step.output_shapes.iter().zip(pieces.by_ref()).map(|(shape, data)| Output { shape, data }).collect();
    let workspace = if step.has_workspace { pieces.next() } else { None };
    let form = if step.prepares { pieces.next() } else { None };
    let skipped = results + usize::from(step.has_workspace) + usize::from(step.prepares);
    let reads: SmallVec<[&'a [f32]; INLINE_READS]> = pieces.map(|piece| &*piece).collect();
    // find the data of each operand
    let inputs: KernelInputs<'a> = step
        .operands
        .iter()
        .map(|operand| Operand {
            shape: &operand.shape,
            data: match &operand.location {
                OperandLocation::Piece(piece) => Data::F32(reads[piece - skipped]),
                OperandLocation::FirstResult => Data::InPlace,
                OperandLocation::Constant(number) => Data::F32(feed.constants.get(*number)),
                OperandLocation::Prepared(number) => Data::Prepared(feed.constants.get(*number)),
                OperandLocation::Parameter(number) => Data::F32(feed.parameters[*number].data()),
                OperandLocation::Input(number) => match feed.inputs[*number] {
                    Given::F32(tensor) => Data::F32(tensor.data()),
                    Given::U32(tensor) => Data::U32(tensor.data()),
                },
            },
        })
        .collect();
    let mut k = KernelContext {
        inputs,
        outputs,
        workspace: workspace.unwrap_or_default(),
        accumulate: if step.accumulates() { Accumulate::Add } else { Accumulate::Set },
        key: feed.key,
    };
    // prepare an operand that changes from run to run
    if let (Some(prepared), Some(form)) = (step.compiled.prepared(), form) {
        prepared.prepare(k.input(prepared.operand), form);
        k.inputs[prepared.operand].data = Data::Prepared(form);
    }
    step.compiled.run(&mut k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pieces_are_cut_like_few() {
        let pieces = [30..40, 0..5, 10..20, 40..41];
        let mut a: Vec<f32> = (0..50).map(|i| i as f32).collect();
        let mut b = a.clone();
        let by_hand = cut(&mut a, &pieces);
        let by_type = disjoint::<4>(&mut b, &pieces);
        assert_eq!(by_hand, by_type);
    }
}
