//! The ways to compute a convolution, as an ordered list.

use super::choice::Precision;
use super::depthwise::Depthwise;
use super::geometry::Conv2dGeometry;
use super::im2col::Im2col;
use super::implicit::Implicit;
use super::naive::Naive;
use super::pointwise::Pointwise;
use super::winograd::{Winograd2, Winograd2Of5, Winograd4};
use crate::{Accumulate, Epilogue, Scratch};

/// One of the three kernels that a convolution needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Computes `y` from `x`, `w` and the bias.
    Forward,
    /// Computes `dx` from `dy` and `w`.
    BackwardData,
    /// Computes `dw` from `x` and `dy`.
    BackwardFilter,
}

impl Pass {
    /// All three passes.
    pub const ALL: [Self; 3] = [Self::Forward, Self::BackwardData, Self::BackwardFilter];

    /// Returns `forward`, `data` or `filter`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::BackwardData => "data",
            Self::BackwardFilter => "filter",
        }
    }
}

/// A way to compute the three passes.
///
/// Slices are whole tensors in the layouts of [`crate::conv`], exactly as long as the geometry says; the workspace has
/// at least [`Algorithm::workspace`] elements with any content, and nothing in it survives the call. A kernel panics
/// where a slice has another length, because that is a bug of its caller.
///
/// An algorithm may want the filter in a form of its own, packed or transformed: [`Algorithm::prepare`] makes it, once
/// for as many calls as the weights stay the same. Prepared filters hold for the instruction set that was current when
/// they were made.
pub trait Algorithm: Sync {
    /// Returns the name under which the algorithm can be forced, as in bench ids.
    fn name(&self) -> &'static str;

    /// Returns true if the algorithm can compute this pass of this convolution.
    fn supports(&self, g: &Conv2dGeometry, pass: Pass) -> bool;

    /// Returns how closely its results follow the definition.
    fn precision(&self) -> Precision {
        Precision::Strict
    }

    /// Returns the same algorithm with the prepared filter of the forward pass in bf16, if it has that form; for
    /// [`Precision::Bf16`].
    fn in_bf16(&self) -> Option<&'static dyn Algorithm> {
        None
    }

    /// Estimates the time of the pass, for the choice among algorithms, in multiply-adds of vectors at the machine's peak.
    ///
    /// The constants of each algorithm are those of two threads of an Intel Xeon, with AVX2 and with AVX-512 (0.075 ns for a
    /// unit), as `examples/choice.rs` measures them. They are compared only with one another, so that another peak changes
    /// little.
    fn cost(&self, g: &Conv2dGeometry, pass: Pass) -> f64;

    /// Returns the number of elements of the prepared filter; 0 where the filter is used as it is. The backward-filter
    /// pass has none.
    fn prepared_len(&self, _g: &Conv2dGeometry, _pass: Pass) -> usize {
        0
    }

    /// Prepares the filter `w` for the pass. `prepared` has [`Algorithm::prepared_len`] elements, all of which are
    /// written.
    fn prepare(&self, _g: &Conv2dGeometry, _pass: Pass, _w: &[f32], _prepared: &mut [f32]) {}

    /// Returns the number of elements of scratch memory, shared by all threads, that the pass needs: a function of the
    /// geometry alone.
    fn workspace(&self, g: &Conv2dGeometry, pass: Pass) -> usize;

    /// Returns the scratch memory that the pass takes on each thread, at most.
    fn scratch(&self, _g: &Conv2dGeometry, _pass: Pass) -> Scratch {
        Scratch::NONE
    }

    /// Computes `y = activation(conv(x, w) + bias + residual)`, as the epilogue says. `filter` is what
    /// [`Algorithm::prepare`] wrote, or `w` itself where [`Algorithm::prepared_len`] is 0.
    fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        filter: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        workspace: &mut [f32],
    );

    /// Computes `dx = convᵀ(dy, w)`, or adds it to `dx`; `filter` as in [`Algorithm::forward`].
    fn backward_data(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        filter: &[f32],
        dx: &mut [f32],
        accumulate: Accumulate,
        workspace: &mut [f32],
    );

    /// Computes `dw[k, c, o] = Σ x[p + k, c] · dy[p, o]` over all windows `p`, or adds it to `dw`.
    fn backward_filter(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        accumulate: Accumulate,
        workspace: &mut [f32],
    );
}

/// All algorithms, the preferred one first where two cost the same. The last is the definition and supports everything.
// No constant: the code of all algorithms would be compiled again in every crate that reads it.
pub static ALGORITHMS: &[&dyn Algorithm] =
    &[&Depthwise, &Pointwise::NEW, &Winograd4::NEW, &Winograd2::NEW, &Winograd2Of5::NEW, &Implicit, &Im2col, &Naive];

/// Returns [`ALGORITHMS`] without the definition, which allocates at each call: a plan does not account for that.
#[must_use]
pub fn planned() -> &'static [&'static dyn Algorithm] {
    &ALGORITHMS[..ALGORITHMS.len() - 1]
}

/// Returns the algorithm of that name, for callers that force one.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Algorithm> {
    ALGORITHMS.iter().copied().find(|algorithm| algorithm.name() == name)
}

/// Panics unless the operands have the sizes of the geometry.
pub(super) fn assert_operands(g: &Conv2dGeometry, input: &[f32], filter: &[f32], output: &[f32]) {
    assert_eq!(input.len(), g.input_len(), "the input of {:?} -> {:?}", g.input_shape(), g.output_shape());
    assert_eq!(filter.len(), g.filter_len(), "the filter of {:?} -> {:?}", g.input_shape(), g.output_shape());
    assert_eq!(output.len(), g.output_len(), "the output of {:?} -> {:?}", g.input_shape(), g.output_shape());
}
