//! The trait of operations.

use crate::{Compiled, ElementKind, Fault, Grads, Node, OpIdentity, Request, Shape};
use std::{ops::RangeInclusive, sync::Arc};

/// The purpose of a plan. It is an argument of planning, in no global and no layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Training: dropout draws, batch normalisation uses the statistics of the batch.
    Train,
    /// Training in which dropout keeps everything: to compare gradients with a reference.
    TrainWithoutDropout,
    /// Inference.
    Infer,
}

/// The part of its first operand that one element of an operation's result depends on, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The element at the same place.
    Point,
    /// A window, as in convolution and pooling.
    Window {
        /// Height and width, including dilation.
        size: [usize; 2],
        /// Distance from one window to the next, in pixels.
        stride: [usize; 2],
    },
    /// The whole operand: dense layers, global pooling.
    Everything,
}

/// An operation as it is described: shape rule, backward rule, cost, and the properties that the planner reads. Plain
/// data, so that passes, other backends and file formats recognise it by its type and read its settings; [`OpIdentity`]
/// compares two. [`Op::compile`] turns it into a kernel.
///
/// An operation has one or more results, all `f32`. Values that [`backward`](Op::backward) does not read are not kept
/// alive; a shape that it needs is a setting.
pub trait Op: OpIdentity + Send + Sync {
    /// Allowed number of operands. A call of fewer or more is a mistake before the shapes are inferred; an operation
    /// that takes any number checks it in [`infer`](Op::infer).
    fn operands(&self) -> RangeInclusive<usize> {
        0..=usize::MAX
    }

    /// Infers the shapes of the results, as many as [`outputs`](Op::outputs) says. The batch size may be the first axis
    /// and no other, and no axis has length 0.
    ///
    /// # Errors
    /// The [`Fault`] that the operands or the settings have.
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault>;

    /// Compiles one call for the CPU: the kernel for these shapes, this precision and this machine, and the memory that
    /// it takes. Called once for each call of a plan. Whatever depends on the shapes is computed here and not when the
    /// kernel runs; shapes are those that [`infer`](Op::infer) accepted and returned, for some batch size.
    ///
    /// # Errors
    /// A [`Fault`] if there is no kernel for this request. It is an error of planning, with the path of the layer.
    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault>;

    /// Describes the gradient with respect to each operand, as nodes of the operand's shape; `None` where
    /// [`Grads::want`] says that it is not requested. Called only where a gradient must pass. Another number of
    /// gradients, one of another shape, and `None` where one is requested are errors of the build;
    /// [`check_gradients`](crate::check_gradients) compares the values with central differences.
    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        g.not_differentiable()
    }

    /// Name of this operation in messages and summaries; by default the name of its type.
    fn kind(&self) -> String {
        type_name::<Self>()
    }

    /// Number of results.
    fn outputs(&self) -> usize {
        1
    }

    /// Number of results, from the first on, that a gradient can come to. The others are for backward or for the end of
    /// a step, such as the positions of maxima; a loss that depends on one of them is an error of the build.
    fn differentiable_outputs(&self) -> usize {
        1
    }

    /// Returns false for an operand that no differentiable result depends on, or that no gradient is to reach: the
    /// running statistics of a batch normalisation in training. A backward rule is never asked for its gradient.
    fn has_gradient(&self, _input: usize) -> bool {
        true
    }

    /// Element type of operand `input`.
    fn operand_kind(&self, _input: usize) -> ElementKind {
        ElementKind::F32
    }

    /// Number of multiply-accumulates for the given shapes, with a batch size of one.
    fn macs(&self, _x: &[&Shape], _y: &[&Shape]) -> u64 {
        0
    }

    /// The part of its first operand that one element of the result depends on.
    fn reach(&self, _x: &[&Shape]) -> Reach {
        Reach::Point
    }

    /// Returns the operation to run instead in this mode: dropout is the identity in inference. Results beyond those of
    /// the new operation are dropped.
    fn lower(&self, _mode: Mode) -> Option<Arc<dyn Op>> {
        None
    }

    /// Returns true if the only result is the first operand under another shape: no kernel is run.
    fn is_view(&self) -> bool {
        false
    }

    /// Returns true if the only result is the only operand, element by element, for an operand of this shape: the call is left
    /// out where its result is not asked for.
    fn is_identity(&self, _x: &Shape) -> bool {
        false
    }

    /// Index of the operand whose storage the first result may take over when nothing reads it afterwards and both have
    /// as many elements. The kernel then finds [`Source::InPlace`](ocelli_kernels::elementwise::Source) there.
    fn in_place(&self) -> Option<usize> {
        None
    }

    /// Returns true if the kernel adds to its first result where
    /// [`KernelContext::accumulate`](crate::KernelContext::accumulate) says so.
    fn accumulates(&self) -> bool {
        false
    }
}

/// Returns the last part of a type's path, without generics and without a trailing `Op`.
pub(crate) fn type_name<T: ?Sized>() -> String {
    short_name(std::any::type_name::<T>())
}

/// Apart from [`type_name`], which is compiled for every type.
fn short_name(full: &str) -> String {
    let base = full.split('<').next().unwrap_or(full);
    let last = base.rsplit("::").next().unwrap_or(base);
    last.strip_suffix("Op").unwrap_or(last).to_string()
}
