//! An operation compiled for a call: its description ([`Op`](crate::Op)) says what is computed, a [`Compiled`] how.
//!
//! When a plan is made, each call is compiled once: for the shapes that it has at the plan's batch size, for a precision, and
//! for this machine. Whatever depends on these (a geometry, the choice of an algorithm, how much memory that takes) is
//! decided there, and whoever lays out, runs or explains the plan reads the [`Compiled`]; nobody decides again.
//!
//! # Other devices
//!
//! This is the seam for them. [`Op::compile`](crate::Op::compile) is the compiler for the CPU. A backend for another device is
//! another function from an operation, which it recognises by its type and whose settings it reads, and a [`Request`] to
//! something that runs: it compiles the kinds that it knows, and answers for any other with a [`Fault`] that names it, which
//! reaches the user with the path of the layer before anything is run.

use crate::{Fault, KernelContext, Precision, Scratch};
use std::{fmt, sync::Arc};

/// What a call is compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The sizes of the operands at the plan's batch size.
    pub operands: &'a [Vec<usize>],
    /// The sizes of the results.
    pub results: &'a [Vec<usize>],
    /// How exact results have to be.
    pub precision: Precision,
    /// For each operand, whether it is the same from run to run.
    pub(crate) constant: &'a [bool],
}

impl Request<'_> {
    /// Returns true if operand `i` is the same from run to run, as weights in inference are: a form of it is prepared once, so
    /// that it pays.
    pub fn is_constant(&self, i: usize) -> bool {
        self.constant.get(i).copied().unwrap_or(false)
    }
}

type Kernel = dyn Fn(&mut KernelContext<'_>) -> Result<(), Fault> + Send + Sync;
type Prepare = dyn Fn(&[f32], &mut [f32]) + Send + Sync;

/// A call ready to run: its kernel, and the memory that this takes. Cheap to clone.
#[derive(Clone)]
pub struct Compiled {
    kernel: Arc<Kernel>,
    workspace: usize,
    scratch: Scratch,
    prepared: Option<PreparedOperand>,
    note: Option<String>,
}

/// An operand that a kernel reads in a form of its own, such as a filter that is packed or transformed.
///
/// The form of a constant operand is made once for as long as it stays what it is, that of any other before each call.
#[derive(Clone)]
pub struct PreparedOperand {
    /// The number of the operand.
    pub operand: usize,
    /// The elements of the form.
    pub len: usize,
    /// The name of the form. Under one name, the same operand has the same form in a call for any number of samples, so
    /// that plans for several can share it.
    pub form: &'static str,
    prepare: Arc<Prepare>,
}

impl PreparedOperand {
    /// Describes the form of an operand; `prepare` makes it: from the operand's elements, into `len` elements, all of which it
    /// writes.
    pub fn new(
        operand: usize,
        len: usize,
        form: &'static str,
        prepare: impl Fn(&[f32], &mut [f32]) + Send + Sync + 'static,
    ) -> PreparedOperand {
        PreparedOperand { operand, len, form, prepare: Arc::new(prepare) }
    }

    /// Writes the form of the elements `x`.
    pub(crate) fn prepare(&self, x: &[f32], form: &mut [f32]) {
        (self.prepare)(x, form);
    }
}

impl Compiled {
    /// A kernel over slices of the arena, which can do its work whatever the data are.
    pub fn new(kernel: impl Fn(&mut KernelContext<'_>) + Send + Sync + 'static) -> Compiled {
        Compiled::fallible(move |k| {
            kernel(k);
            Ok(())
        })
    }

    /// A kernel that answers with a [`Fault`] where the data break a rule, such as a label out of range. It does not panic,
    /// whatever the data are.
    pub fn fallible(kernel: impl Fn(&mut KernelContext<'_>) -> Result<(), Fault> + Send + Sync + 'static) -> Compiled {
        Compiled { kernel: Arc::new(kernel), workspace: 0, scratch: Scratch::NONE, prepared: None, note: None }
    }

    /// Gives the kernel memory of its own in the arena: [`KernelContext::output_and_workspace`].
    pub fn with_workspace(self, elements: usize) -> Compiled {
        Compiled { workspace: elements, ..self }
    }

    /// Says what the kernel takes of the memory that each thread keeps for blocks of its work.
    pub fn with_scratch(self, scratch: Scratch) -> Compiled {
        Compiled { scratch, ..self }
    }

    /// Has an operand prepared for the kernel, which then finds it in [`KernelContext::prepared`] and nowhere else.
    pub fn with_prepared(self, prepared: impl Into<Option<PreparedOperand>>) -> Compiled {
        Compiled { prepared: prepared.into(), ..self }
    }

    /// Adds a clause for [`Plan::explain`](crate::Plan::explain) on how the kernel goes about it, and why.
    pub fn with_note(self, note: impl Into<String>) -> Compiled {
        Compiled { note: Some(note.into()), ..self }
    }

    /// Runs the kernel.
    ///
    /// # Errors
    /// The [`Fault`] that the data have.
    pub(crate) fn run(&self, k: &mut KernelContext<'_>) -> Result<(), Fault> {
        (self.kernel)(k)
    }

    /// The elements of its workspace in the arena.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// What it takes on each thread.
    pub fn scratch(&self) -> Scratch {
        self.scratch
    }

    /// The operand that it wants prepared.
    pub fn prepared(&self) -> Option<&PreparedOperand> {
        self.prepared.as_ref()
    }

    /// How it goes about it, and why.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiled { kernel: _, workspace, scratch, prepared, note } = self;
        let mut parts = f.debug_struct("Compiled");
        parts.field("workspace", workspace).field("scratch", scratch).field("prepared", prepared).field("note", note);
        parts.finish_non_exhaustive()
    }
}

impl fmt::Debug for PreparedOperand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PreparedOperand { operand, len, form, prepare: _ } = self;
        f.debug_struct("PreparedOperand")
            .field("operand", operand)
            .field("len", len)
            .field("form", form)
            .finish_non_exhaustive()
    }
}
