//! Normalisation, addition of a residual, and activation in one pass: the end of a residual block (He et al. 2015).
//!
//! Backward reads off the output, which the next layer keeps anyway, where the activation passed its argument through:
//! to compute the argument again would keep the residual alive, too. One pass over the gradient of the output turns it
//! into that of the sum, which is the residual's, and takes the sums for the parameters; the input's gradient is then
//! [`batch_norm_backward_data`](super::batch_norm_backward_data) of it, without an activation.

use ocelli_simd::{Destination, InstructionSet, Isa, Kernel, Store, Write, Writer, dispatch_on};

use super::forward::Affine;
use super::{BatchNorm, Bounds, PerChannel};
use crate::elementwise::Source;
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::reduce::table::{Rewrite, column_sums_rewriting, load, load_at, prefetch, widened};
use crate::scratch;
use crate::stores::stores_for;

/// Computes `y = activation(γ (x - μ) / √(σ² + ε) + β + residual)` for `x` and `residual`: `[rows, C]`.
pub fn batch_norm_add_forward(norm: &BatchNorm<'_>, x: &[f32], residual: Source<'_>, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    residual.expect_length(y.len());
    let channels = norm.channels(y.len());
    let width = widened(channels);
    let set = InstructionSet::current();
    scratch::with(3 * width, |memory| {
        let sum = Sum(Affine::of(norm, memory, width));
        let stores = stores_for(y, width);
        in_pieces(y, rows_piece(width, width), |start, y| {
            let x = &x[start..][..y.len()];
            match residual {
                Source::Slice(residual) => {
                    let work = Forward { sum, x, residual: &residual[start..][..y.len()] };
                    dispatch_on(set, Write { work, stores, y: [y] });
                }
                Source::InPlace => dispatch_on(set, ForwardInPlace { sum, x, y }),
            }
        });
    });
}

/// The function of an element and its residual.
#[derive(Clone, Copy)]
struct Sum<'a>(Affine<'a>);

impl Sum<'_> {
    /// Returns the results of the first `count` elements, which are in the columns from `column` on.
    #[inline(always)]
    fn of<I: Isa>(self, isa: I, x: &[f32], residual: &[f32], column: usize, count: usize) -> I::Vector {
        let [_, _, normal] = self.0.apply(isa, load(isa, x, count), column, count);
        self.0.bounds.apply(isa, isa.add(normal, load(isa, residual, count)))
    }

    #[inline(always)]
    fn width(self) -> usize {
        self.0.per_channel.width()
    }
}

struct Forward<'a> {
    sum: Sum<'a>,
    x: &'a [f32],
    residual: &'a [f32],
}

impl Writer<1> for Forward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
        let width = self.sum.width();
        for (x, residual) in self.x.chunks(width).zip(self.residual.chunks(width)) {
            let whole = x.len() - x.len() % I::LANES;
            for column in (0..whole).step_by(I::LANES) {
                y.put_vector(isa, self.sum.of(isa, &x[column..], &residual[column..], column, I::LANES));
            }
            let tail = x.len() - whole;
            if tail > 0 {
                y.put(isa, self.sum.of(isa, &x[whole..], &residual[whole..], whole, tail), tail);
            }
        }
    }
}

struct ForwardInPlace<'a> {
    sum: Sum<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for ForwardInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let width = self.sum.width();
        for (x, y) in self.x.chunks(width).zip(self.y.chunks_mut(width)) {
            let whole = x.len() - x.len() % I::LANES;
            for column in (0..whole).step_by(I::LANES) {
                let y = &mut y[column..];
                isa.store(self.sum.of(isa, &x[column..], y, column, I::LANES), y);
            }
            let tail = &mut y[whole..];
            isa.store_partial(self.sum.of(isa, &x[whole..], tail, whole, tail.len()), tail);
        }
    }
}

/// Turns `dy` into the gradient `g` of the sum, which is the residual's: `dy` where the activation passed its argument
/// through to `y`, and zero elsewhere. In the same pass `dβ = Σ g` and `dγ = Σ g (x - μ) / √(σ² + ε)` over the rows.
pub fn batch_norm_add_backward_parameters(
    norm: &BatchNorm<'_>,
    x: &[f32],
    y: &[f32],
    dy: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let channels = norm.channels(x.len());
    assert_eq!([y.len(), dy.len()], [x.len(); 2], "input, output and gradient have one length");
    assert_eq!([dgamma.len(), dbeta.len()], [channels; 2], "each channel has a scale and a shift");
    if x.is_empty() {
        // Sums of nothing, though statistics of nothing are NaN.
        dgamma.fill(0.0);
        dbeta.fill(0.0);
        return;
    }
    scratch::with(widened(channels), |memory| {
        let mean = PerChannel::filled(memory, channels, |mean| mean.copy_from_slice(norm.mean));
        let gradients = Gradients { mean, bounds: Bounds::of(norm.activation), x, y };
        column_sums_rewriting(gradients, dy, channels, |channel, [gradient, product]| {
            dbeta[channel] = gradient as f32;
            dgamma[channel] = (product * norm.inverse_deviation(channel)) as f32;
        });
    });
}

/// Replaces `dy` by `g`, and computes `g` and `g (x - μ)`.
#[derive(Clone, Copy)]
struct Gradients<'a> {
    mean: PerChannel<'a, 1>,
    bounds: Bounds,
    x: &'a [f32],
    y: &'a [f32],
}

impl Rewrite<2> for Gradients<'_> {
    fn assert_fit(&self, length: usize, width: usize) {
        assert_eq!([self.x.len(), self.y.len()], [length; 2], "the tables have so many numbers");
        self.mean.assert_width(width);
    }

    #[inline(always)]
    unsafe fn at<I: Isa>(
        &self,
        isa: I,
        dy: I::Vector,
        place: usize,
        column: usize,
        count: usize,
    ) -> (I::Vector, [I::Vector; 2]) {
        // SAFETY: the caller, and `assert_fit`.
        let (x, y, [mean]) = unsafe {
            let (x, y) = (load_at(isa, self.x, place, count), load_at(isa, self.y, place, count));
            (x, y, self.mean.at_column(isa, column, count))
        };
        let gradient = self.bounds.gradient(isa, y, dy);
        (gradient, [gradient, isa.mul(gradient, isa.sub(x, mean))])
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, place: usize) {
        prefetch(isa, self.x, place);
        prefetch(isa, self.y, place);
    }
}
