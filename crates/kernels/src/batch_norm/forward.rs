//! Normalisation, scale, shift and activation in one pass.

use ocelli_simd::{Destination, InstructionSet, Isa, Kernel, Store, Write, Writer, dispatch_on};

use super::{BatchNorm, Bounds, PerChannel};
use crate::elementwise::Source;
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::reduce::table::{load, widened};
use crate::scratch;
use crate::stores::stores_for;

/// Computes `y = activation(γ (x - μ) / √(σ² + ε) + β)` for `x: [rows, C]`.
pub fn batch_norm_forward(norm: &BatchNorm<'_>, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    let channels = norm.channels(y.len());
    let width = widened(channels);
    let set = InstructionSet::current();
    scratch::with(3 * width, |memory| {
        let affine = Affine::of(norm, memory, width);
        let piece = rows_piece(width, width);
        match x {
            Source::Slice(x) => {
                let stores = stores_for(y, width);
                in_pieces(y, piece, |start, y| {
                    let work = Forward { affine, x: &x[start..][..y.len()] };
                    dispatch_on(set, Write { work, stores, y: [y] });
                });
            }
            Source::InPlace => in_pieces(y, piece, |_, y| dispatch_on(set, ForwardInPlace { affine, y })),
        }
    });
}

/// The function of an element, which depends on its channel.
#[derive(Clone, Copy)]
pub(super) struct Affine<'a> {
    /// Mean `μ`, scale `γ / √(σ² + ε)` and shift `β` of each channel.
    pub per_channel: PerChannel<'a, 3>,
    pub bounds: Bounds,
}

impl<'a> Affine<'a> {
    /// Computes the values of each channel into `memory` of `3 · width`.
    pub(super) fn of(norm: &BatchNorm<'_>, memory: &'a mut [f32], width: usize) -> Self {
        let per_channel = PerChannel::compute(memory, width, norm.mean.len(), |channel| {
            [norm.mean[channel], norm.scale(channel) as f32, norm.beta[channel]]
        });
        Self { per_channel, bounds: Bounds::of(norm.activation) }
    }

    /// Returns `x - μ`, the scale, and the activation's argument. The mean is subtracted first, not folded into the
    /// shift: where it is large the difference is exact, and a folded shift would cancel.
    #[inline(always)]
    pub(super) fn apply<I: Isa>(self, isa: I, x: I::Vector, column: usize, count: usize) -> [I::Vector; 3] {
        Self::of_vector(isa, x, self.per_channel.at(isa, column, count))
    }

    /// Computes [`apply`](Self::apply) with the channels' values already loaded.
    #[inline(always)]
    pub(super) fn of_vector<I: Isa>(isa: I, x: I::Vector, [mean, scale, shift]: [I::Vector; 3]) -> [I::Vector; 3] {
        let centred = isa.sub(x, mean);
        [centred, scale, isa.mul_add(centred, scale, shift)]
    }

    #[inline(always)]
    fn output<I: Isa>(self, isa: I, x: &[f32], column: usize, count: usize) -> I::Vector {
        let [_, _, argument] = self.apply(isa, load(isa, x, count), column, count);
        self.bounds.apply(isa, argument)
    }
}

struct Forward<'a> {
    affine: Affine<'a>,
    x: &'a [f32],
}

impl Writer<1> for Forward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
        for x in self.x.chunks(self.affine.per_channel.width()) {
            let whole = x.len() - x.len() % I::LANES;
            for column in (0..whole).step_by(I::LANES) {
                y.put_vector(isa, self.affine.output(isa, &x[column..], column, I::LANES));
            }
            let tail = x.len() - whole;
            if tail > 0 {
                y.put(isa, self.affine.output(isa, &x[whole..], whole, tail), tail);
            }
        }
    }
}

struct ForwardInPlace<'a> {
    affine: Affine<'a>,
    y: &'a mut [f32],
}

impl Kernel for ForwardInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for y in self.y.chunks_mut(self.affine.per_channel.width()) {
            let whole = y.len() - y.len() % I::LANES;
            for column in (0..whole).step_by(I::LANES) {
                let y = &mut y[column..];
                isa.store(self.affine.output(isa, y, column, I::LANES), y);
            }
            let tail = &mut y[whole..];
            isa.store_partial(self.affine.output(isa, tail, whole, tail.len()), tail);
        }
    }
}
