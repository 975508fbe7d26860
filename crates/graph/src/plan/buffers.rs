//! Which values share storage, and when it is in use.

use super::{LINE, offsets};
use crate::{Graph, Needed, Source, ValueId};
use std::{collections::HashMap, ops::Range};

/// A piece of the arena and the steps at which it is in use.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub(super) first: usize,
    pub(super) last: usize,
    /// A multiple of a cache line.
    pub(super) len: usize,
    /// Where it starts; set by [`offsets::assign`].
    pub(super) start: usize,
}

/// Whether prepared operands outlive a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparing {
    /// Parameters are prepared once, until they change.
    Once,
    /// Parameters change with each run.
    EachRun,
}

/// Where a step's prepared operand is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared {
    buffer: usize,
    len: usize,
    pub(super) preparing: Preparing,
}

/// The arena of a plan.
#[derive(Debug)]
pub(super) struct Layout {
    buffers: Vec<Buffer>,
    /// The buffer of each value that has one.
    buffer_of: HashMap<ValueId, usize>,
    /// The value whose storage each value shows: itself unless it is a view.
    storage: Vec<ValueId>,
    /// Buffer and length of the workspace of each step that has one.
    workspaces: HashMap<usize, (usize, usize)>,
    /// The same for the prepared operand of each step that has one.
    prepared: HashMap<usize, Prepared>,
    len: usize,
}

impl Layout {
    /// `None` if the sizes cannot be addressed.
    pub(super) fn new(
        graph: &Graph,
        roots: &[ValueId],
        batch: usize,
        accumulated: &HashMap<ValueId, ValueId>,
        preparing: Preparing,
    ) -> Option<Layout> {
        let storage = storages(graph);
        let last_use = last_uses(graph, roots, accumulated, &storage);
        let mut layout = Layout {
            buffers: Vec::new(),
            buffer_of: HashMap::new(),
            storage,
            workspaces: HashMap::new(),
            prepared: HashMap::new(),
            len: 0,
        };
        for (at, call) in graph.calls.iter().enumerate() {
            if call.op.is_view() {
                continue;
            }
            for (i, &id) in call.outputs.iter().enumerate() {
                let len = padded(&graph.values[id].shape.at(batch))?;
                let taken = match accumulated.get(&id) {
                    Some(&sum) => layout.buffer_of.get(&layout.storage[sum]).copied(),
                    None if i == 0 => layout.in_place(call, at, len, &last_use),
                    None => None,
                };
                match taken {
                    Some(buffer) => {
                        layout.buffers[buffer].last = last_use[&id];
                        layout.buffer_of.insert(id, buffer);
                    }
                    None => {
                        let buffer = layout.add(Buffer { first: at, last: last_use[&id], len, start: 0 });
                        layout.buffer_of.insert(id, buffer);
                    }
                }
            }
            let shapes = |ids: &[ValueId]| ids.iter().map(|&id| graph.values[id].shape.at(batch)).collect::<Vec<_>>();
            let (x, y) = (shapes(&call.inputs), shapes(&call.outputs));
            if let Some(wish) = call.op.preparation(&x, &y) {
                let source = &graph.values[layout.storage[call.inputs[wish.operand]]].source;
                let kept = preparing == Preparing::Once && matches!(source, Source::Parameter(_));
                if kept || wish.needed == Needed::Always {
                    let (first, last) = if kept { (0, usize::MAX) } else { (at, at) };
                    let buffer = layout.add(Buffer { first, last, len: padded(&[wish.len])?, start: 0 });
                    let preparing = if kept { Preparing::Once } else { Preparing::EachRun };
                    layout.prepared.insert(at, Prepared { buffer, len: wish.len, preparing });
                }
            }
            let workspace = call.op.workspace(&x, &y);
            if workspace > 0 {
                let buffer = layout.add(Buffer { first: at, last: at, len: padded(&[workspace])?, start: 0 });
                layout.workspaces.insert(at, (buffer, workspace));
            }
        }
        layout.len = offsets::assign(&mut layout.buffers)?;
        Some(layout)
    }

    fn add(&mut self, buffer: Buffer) -> usize {
        self.buffers.push(buffer);
        self.buffers.len() - 1
    }

    /// The buffer that the first result of a call may take over: that of an operand which nothing reads afterwards, has the
    /// same size, and is not read by the same call a second time.
    fn in_place(&self, call: &crate::Call, at: usize, len: usize, last_use: &HashMap<ValueId, usize>) -> Option<usize> {
        let operand = call.op.in_place()?;
        let id = self.storage[call.inputs[operand]];
        let buffer = *self.buffer_of.get(&id)?;
        let again = call.inputs.iter().enumerate().any(|(i, x)| i != operand && self.storage[*x] == id);
        (last_use[&id] == at && self.buffers[buffer].len == len && !again).then_some(buffer)
    }

    /// The value whose storage `id` shows.
    pub(super) fn storage_of(&self, id: ValueId) -> ValueId {
        self.storage[id]
    }

    /// Where the `len` numbers of a value are.
    pub(super) fn range(&self, id: ValueId, len: usize) -> Range<usize> {
        let start = self.buffers[self.buffer_of[&self.storage[id]]].start;
        start..start + len
    }

    /// The workspace of the step `at`.
    pub(super) fn workspace(&self, at: usize) -> Option<Range<usize>> {
        let (buffer, len) = *self.workspaces.get(&at)?;
        let start = self.buffers[buffer].start;
        Some(start..start + len)
    }

    /// The prepared operand of the step `at`.
    pub(super) fn prepared(&self, at: usize) -> Option<(Range<usize>, Preparing)> {
        let Prepared { buffer, len, preparing } = *self.prepared.get(&at)?;
        let start = self.buffers[buffer].start;
        Some((start..start + len, preparing))
    }

    /// How many numbers the arena holds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The most numbers alive at one step.
    pub(super) fn bound(&self) -> usize {
        let steps = self.buffers.iter().map(|buffer| buffer.first);
        let alive = |step: usize| {
            let alive = self.buffers.iter().filter(|buffer| buffer.first <= step && step <= buffer.last);
            alive.map(|buffer| buffer.len).sum()
        };
        steps.map(alive).max().unwrap_or(0)
    }
}

/// A view shows the storage of its operand; every other value its own.
fn storages(graph: &Graph) -> Vec<ValueId> {
    let mut storage: Vec<ValueId> = (0..graph.values.len()).collect();
    for call in graph.calls.iter().filter(|call| call.op.is_view()) {
        storage[call.outputs[0]] = storage[call.inputs[0]];
    }
    storage
}

/// The last step that needs each storage; results of the plan are needed for ever.
fn last_uses(
    graph: &Graph,
    roots: &[ValueId],
    accumulated: &HashMap<ValueId, ValueId>,
    storage: &[ValueId],
) -> HashMap<ValueId, usize> {
    let mut last = HashMap::new();
    for (at, call) in graph.calls.iter().enumerate() {
        let added_into = call.outputs.iter().filter_map(|id| accumulated.get(id));
        for &id in call.inputs.iter().chain(&call.outputs).chain(added_into) {
            last.insert(storage[id], at);
        }
    }
    roots.iter().for_each(|&id| {
        last.insert(storage[id], usize::MAX);
    });
    last
}

/// The length of a shape in whole cache lines.
fn padded(shape: &[usize]) -> Option<usize> {
    let len = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))?;
    len.max(1).checked_next_multiple_of(LINE)
}
