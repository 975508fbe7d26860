//! Buffers: which values share storage, and when it is in use.

use super::{CompiledCall, LINE, offsets};
use crate::{ValueId, ValueInfo};
use ocelli_tensor::Size;
use std::{collections::HashMap, ops::Range};

/// A piece of the arena and the steps at which it is in use.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub(super) first: usize,
    pub(super) last: usize,
    /// Length in elements, a multiple of a cache line.
    pub(super) len: usize,
    /// Offset in the arena; set by [`offsets::assign`].
    pub(super) start: usize,
}

/// Calls that run one after the other, and the values that they lay out in one piece of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence<'a> {
    pub(super) values: &'a [ValueInfo],
    pub(super) calls: &'a [CompiledCall],
    /// The value whose storage each value uses: itself unless it is a view.
    pub(super) storage: &'a [ValueId],
    /// Values that are needed afterwards.
    pub(super) roots: &'a [ValueId],
    /// The value that each such result is added into.
    pub(super) accumulated: &'a HashMap<ValueId, ValueId>,
    /// Calls, by their first results, that read a prepared operand.
    pub(super) prepared: &'a HashMap<ValueId, (usize, ValueId)>,
    pub(super) batch: usize,
}

/// A buffer that one step alone uses, and the length of the part that it requested.
#[derive(Clone, Copy, Debug)]
struct Own {
    buffer: usize,
    len: usize,
}

/// Places of the values of a sequence.
#[derive(Debug)]
pub(super) struct Layout {
    buffers: Vec<Buffer>,
    /// The buffer of each value that has one.
    buffer_of: HashMap<ValueId, usize>,
    /// The workspace of each step that has one.
    workspaces: HashMap<usize, Own>,
    /// The buffer of each step that prepares an operand for itself.
    prepared: HashMap<usize, Own>,
    len: usize,
}

impl Layout {
    /// Assigns a buffer to every value; `None` if the sizes cannot be addressed.
    pub(super) fn new(sequence: Sequence<'_>) -> Option<Layout> {
        let Sequence { values, calls, storage, accumulated, batch, .. } = sequence;
        let last_use = last_uses(sequence);
        let mut layout = Layout {
            buffers: Vec::new(),
            buffer_of: HashMap::new(),
            workspaces: HashMap::new(),
            prepared: HashMap::new(),
            len: 0,
        };
        for (at, CompiledCall { call, compiled }) in calls.iter().enumerate() {
            if call.op.is_view() {
                continue;
            }
            // each result gets a buffer: that of the sum, of an operand in place, or a new one
            for (i, &id) in call.outputs.iter().enumerate() {
                let len = padded(&values[id].shape.at(batch))?;
                let taken = match accumulated.get(&id) {
                    Some(&sum) => layout.buffer_of.get(&storage[sum]).copied(),
                    None if i == 0 => layout.in_place(sequence, at, &last_use),
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
            // workspace and prepared operand are in use during this step only
            let mut own = |len: usize| {
                let buffer = layout.add(Buffer { first: at, last: at, len: padded(&[len])?, start: 0 });
                Some(Own { buffer, len })
            };
            let prepared = compiled.prepared().filter(|_| !sequence.prepared.contains_key(&call.outputs[0]));
            let prepared = prepared.map(|prepared| own(prepared.len));
            let workspace = Some(compiled.workspace()).filter(|&len| len > 0).map(own);
            if let Some(prepared) = prepared {
                layout.prepared.insert(at, prepared?);
            }
            if let Some(workspace) = workspace {
                layout.workspaces.insert(at, workspace?);
            }
        }
        layout.len = offsets::assign(&mut layout.buffers)?;
        Some(layout)
    }

    fn add(&mut self, buffer: Buffer) -> usize {
        self.buffers.push(buffer);
        self.buffers.len() - 1
    }

    /// Finds the buffer that the first result of a call may take over: that of an operand which nothing reads
    /// afterwards, has as many elements, and is not read by the same call a second time. Equal lengths of buffers do
    /// not prove that: they are padded.
    fn in_place(&self, sequence: Sequence<'_>, at: usize, last_use: &HashMap<ValueId, usize>) -> Option<usize> {
        let Sequence { values, calls, storage, batch, .. } = sequence;
        let (call, elements) = (&calls[at].call, |id: ValueId| values[id].shape.len(batch));
        let operand = call.op.in_place()?;
        let id = storage[*call.inputs.get(operand)?];
        let buffer = *self.buffer_of.get(&id)?;
        let again = call.inputs.iter().enumerate().any(|(i, x)| i != operand && storage[*x] == id);
        (last_use[&id] == at && elements(id) == elements(call.outputs[0]) && !again).then_some(buffer)
    }

    /// Range of the `len` elements of a storage, if it lies in this memory.
    pub(super) fn range(&self, storage: ValueId, len: usize) -> Option<Range<usize>> {
        let start = self.buffers[*self.buffer_of.get(&storage)?].start;
        Some(start..start + len)
    }

    fn range_of(&self, Own { buffer, len }: Own) -> Range<usize> {
        let start = self.buffers[buffer].start;
        start..start + len
    }

    /// Range of the workspace of the step `at`.
    pub(super) fn workspace(&self, at: usize) -> Option<Range<usize>> {
        self.workspaces.get(&at).map(|&own| self.range_of(own))
    }

    /// Range that the step `at` prepares an operand to, if it does that for itself.
    pub(super) fn prepared(&self, at: usize) -> Option<Range<usize>> {
        self.prepared.get(&at).map(|&own| self.range_of(own))
    }

    /// Length of the arena, in elements.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Largest number of elements alive at one step.
    pub(super) fn bound(&self) -> usize {
        let steps = self.buffers.iter().map(|buffer| buffer.first);
        let alive = |step: usize| {
            let alive = self.buffers.iter().filter(|buffer| buffer.first <= step && step <= buffer.last);
            alive.map(|buffer| buffer.len).sum()
        };
        steps.map(alive).max().unwrap_or(0)
    }
}

/// Returns the storage of each value: a view uses that of its operand, every other value its own.
pub(super) fn storages<'a>(values: usize, calls: impl Iterator<Item = &'a CompiledCall>) -> Vec<ValueId> {
    let mut storage: Vec<ValueId> = (0..values).collect();
    for CompiledCall { call, .. } in calls.filter(|compiled| compiled.call.op.is_view()) {
        storage[call.outputs[0]] = storage[call.inputs[0]];
    }
    storage
}

/// Returns the last step that needs each storage; roots are needed for ever.
fn last_uses(sequence: Sequence<'_>) -> HashMap<ValueId, usize> {
    let Sequence { calls, storage, roots, accumulated, .. } = sequence;
    let mut last = HashMap::new();
    for (at, CompiledCall { call, .. }) in calls.iter().enumerate() {
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

/// Returns the number of elements of a shape, rounded up to whole cache lines.
fn padded(shape: &[usize]) -> Option<usize> {
    let lines = Size::product_of(shape).get()?.max(1).div_ceil(LINE);
    (Size::from(lines) * LINE).get()
}
