//! Compiled operations: an operation's description ([`Op`](crate::Op)) says what is computed, a [`Compiled`] says how.
//!
//! When a plan is made, each call is compiled once: for its shapes at the plan's batch size, for a precision, and for
//! this machine. Whatever depends on these (a geometry, the choice of an algorithm, how much memory that takes) is
//! decided there; the code that lays out, runs or explains the plan reads the [`Compiled`] and decides nothing again.
//!
//! # Other devices
//!
//! This is the extension point for them. [`Op::compile`](crate::Op::compile) is the compiler for the CPU. A backend for
//! another device is another function from an operation, which it recognises by its type and whose settings it reads,
//! and a [`Request`] to something that runs: it compiles the kinds that it knows, and answers any other with a
//! [`Fault`] that names it, which reaches the user with the path of the layer before anything is run.

use crate::{Fault, KernelContext, Precision, Scratch};
use std::{fmt, sync::Arc};

/// The shapes and the precision that a call is compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Sizes of the operands at the plan's batch size.
    pub operands: &'a [Vec<usize>],
    /// Sizes of the results.
    pub results: &'a [Vec<usize>],
    /// Precision required of the results.
    pub precision: Precision,
    /// True for each operand that is the same from run to run.
    pub(crate) constant: &'a [bool],
}

impl Request<'_> {
    /// Returns true if operand `i` is the same from run to run, as weights in inference are: a prepared form of it is
    /// made once, so preparing it pays.
    pub fn is_constant(&self, i: usize) -> bool {
        self.constant.get(i).copied().unwrap_or(false)
    }
}

type KernelFunction = dyn Fn(&mut KernelContext<'_>) -> Result<(), Fault> + Send + Sync;
type PrepareFunction = dyn Fn(&[f32], &mut [f32]) + Send + Sync;

/// A call ready to run: its kernel, and the memory that it takes. Cheap to clone.
#[derive(Clone)]
pub struct Compiled {
    kernel: Arc<KernelFunction>,
    workspace: usize,
    scratch: Scratch,
    prepared: Option<PreparedOperand>,
    note: Option<String>,
}

/// An operand that a kernel reads in a form of its own, such as a filter that is packed or transformed.
///
/// The form of a constant operand is made once and kept until the operand changes; that of any other is made before
/// each call.
#[derive(Clone)]
pub struct PreparedOperand {
    /// Index of the operand.
    pub operand: usize,
    /// Length of the form, in elements.
    pub len: usize,
    /// Name of the form. Under one name, the same operand has the same form in a call for any batch size, so that plans
    /// for several batch sizes can share it.
    pub form: &'static str,
    prepare: Arc<PrepareFunction>,
}

impl PreparedOperand {
    /// Describes the form of an operand; `prepare` makes it from the operand's elements, and writes all `len` elements
    /// of it.
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
    /// Makes a call from a kernel over slices of the arena that succeeds whatever the data are.
    pub fn new(kernel: impl Fn(&mut KernelContext<'_>) + Send + Sync + 'static) -> Compiled {
        Compiled::fallible(move |k| {
            kernel(k);
            Ok(())
        })
    }

    /// Makes a call from a kernel that answers with a [`Fault`] where the data break a rule, such as a label out of
    /// range. It must not panic, whatever the data are.
    pub fn fallible(kernel: impl Fn(&mut KernelContext<'_>) -> Result<(), Fault> + Send + Sync + 'static) -> Compiled {
        Compiled { kernel: Arc::new(kernel), workspace: 0, scratch: Scratch::NONE, prepared: None, note: None }
    }

    /// Gives the kernel `elements` elements of workspace in the arena: [`KernelContext::output_and_workspace`].
    pub fn with_workspace(self, elements: usize) -> Compiled {
        Compiled { workspace: elements, ..self }
    }

    /// Declares the scratch memory that the kernel takes on each thread for packing blocks of its work.
    pub fn with_scratch(self, scratch: Scratch) -> Compiled {
        Compiled { scratch, ..self }
    }

    /// Has an operand prepared for the kernel, which then finds it in [`KernelContext::prepared`] and nowhere else.
    pub fn with_prepared(self, prepared: impl Into<Option<PreparedOperand>>) -> Compiled {
        Compiled { prepared: prepared.into(), ..self }
    }

    /// Adds a clause for [`Plan::explain`](crate::Plan::explain): the algorithm that the kernel uses, and why.
    pub fn with_note(self, note: impl Into<String>) -> Compiled {
        Compiled { note: Some(note.into()), ..self }
    }

    /// Runs the kernel.
    ///
    /// # Errors
    /// Returns the [`Fault`] that the kernel finds in the data.
    pub(crate) fn run(&self, k: &mut KernelContext<'_>) -> Result<(), Fault> {
        (self.kernel)(k)
    }

    /// Size of its workspace in the arena, in elements.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// Scratch memory that it takes on each thread.
    pub fn scratch(&self) -> Scratch {
        self.scratch
    }

    /// The operand that the kernel reads in a prepared form, if there is one.
    pub fn prepared(&self) -> Option<&PreparedOperand> {
        self.prepared.as_ref()
    }

    /// The algorithm that the kernel uses, and why, in words.
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
