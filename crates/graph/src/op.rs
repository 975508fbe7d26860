//! What an operation is.

use crate::{Compiled, ElementKind, Fault, Grads, Node, OpIdentity, Request, Shape};
use std::{ops::RangeInclusive, sync::Arc};

/// What a plan is for. It is an argument of planning, in no global and no layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Training: dropout draws, statistics are of the batch.
    Train,
    /// Training in which dropout keeps everything: for gradients that are compared with those of others.
    TrainWithoutDropout,
    /// Inference.
    Infer,
}

/// Which part of its first operand one element of an operation's result sees, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The element at the same place.
    Point,
    /// A window, as convolution and pooling have it.
    Window {
        /// Height and width with dilation counted in.
        size: [usize; 2],
        /// Pixels from one window to the next.
        stride: [usize; 2],
    },
    /// All of it: dense layers, global pooling.
    Everything,
}

/// An operation as it is described: shape rule, backward rule, cost, and what the planner asks. Plain data, so that passes, other
/// backends and file formats recognise it by its type and read its settings; [`OpIdentity`] compares two. [`Op::compile`] makes of it
/// what runs.
///
/// An operation has one to several results, all `f32`. What [`backward`](Op::backward) does not read is not kept alive;
/// a shape that it needs is configuration.
pub trait Op: OpIdentity + Send + Sync {
    /// How many operands it takes. A call of fewer or more is a mistake before the shapes are asked for; an operation that takes any
    /// number looks for itself.
    fn operands(&self) -> RangeInclusive<usize> {
        0..=usize::MAX
    }

    /// The shapes of the results, as many as [`outputs`](Op::outputs) says. The number of samples may be the first axis and no
    /// other, and no axis has length 0.
    ///
    /// # Errors
    /// The [`Fault`] that the operands or the settings have.
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault>;

    /// Compiles one call for the CPU: the kernel for these shapes, this precision and this machine, and the memory that it takes.
    /// Asked once for each call of a plan. Whatever depends on the shapes is found here and not when the kernel runs; shapes
    /// are those that [`infer`](Op::infer) accepted and gave, for some number of samples.
    ///
    /// # Errors
    /// A [`Fault`] if there is no kernel for this request. It is an error of planning, with the path of the layer.
    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault>;

    /// The gradient with respect to each operand, as nodes of the operand's shape; `None` where [`Grads::want`] says that nobody
    /// asks. Called only where a gradient must pass. Another number of gradients, one of another shape, and `None` where one is
    /// wanted are errors of the build; [`check_gradients`](crate::check_gradients) compares the values with differences.
    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        g.not_differentiable()
    }

    /// What this operation is called in messages and summaries; the name of its type unless it says otherwise.
    fn kind(&self) -> String {
        type_name::<Self>()
    }

    /// How many results it has.
    fn outputs(&self) -> usize {
        1
    }

    /// How many of the results, from the first on, a gradient can come to. Those behind are for backward or for the end of a step,
    /// such as the places of maxima; a loss that depends on one of them is an error of the build.
    fn differentiable_outputs(&self) -> usize {
        1
    }

    /// Returns false for an operand that no differentiable result depends on, or that no gradient is to reach: the running
    /// statistics of a batch normalisation in training. A backward rule is never asked for its gradient.
    fn has_gradient(&self, _input: usize) -> bool {
        true
    }

    /// The kind of number that operand `input` holds.
    fn operand_kind(&self, _input: usize) -> ElementKind {
        ElementKind::F32
    }

    /// Multiply-accumulates for the given shapes, with a batch of one.
    fn macs(&self, _x: &[&Shape], _y: &[&Shape]) -> u64 {
        0
    }

    /// Which part of its first operand one element of the result sees.
    fn reach(&self, _x: &[&Shape]) -> Reach {
        Reach::Point
    }

    /// The operation to run instead in this mode: dropout is the identity in inference. Results beyond those of the new
    /// operation fall away.
    fn lower(&self, _mode: Mode) -> Option<Arc<dyn Op>> {
        None
    }

    /// Returns true if the only result is the first operand under another shape: no kernel is run.
    fn is_view(&self) -> bool {
        false
    }

    /// The operand whose storage the first result may take over when nobody needs it afterwards and both have as many elements. The
    /// kernel then finds [`Source::InPlace`](ocelli_kernels::elementwise::Source) there.
    fn in_place(&self) -> Option<usize> {
        None
    }

    /// Whether the kernel adds to its first result where [`KernelContext::accumulate`](crate::KernelContext::accumulate) says so.
    fn accumulates(&self) -> bool {
        false
    }
}

/// The last part of a type's path, without generics and without a trailing `Op`.
pub(crate) fn type_name<T: ?Sized>() -> String {
    let full = std::any::type_name::<T>();
    let base = full.split('<').next().unwrap_or(full);
    let last = base.rsplit("::").next().unwrap_or(base);
    last.strip_suffix("Op").unwrap_or(last).to_string()
}
