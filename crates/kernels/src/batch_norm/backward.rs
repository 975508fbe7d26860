//! Gradients: a pass that sums them up for the parameters, and one that writes the input's.

use ocelli_simd::{AddTo, Destination, InstructionSet, Isa, Kernel, Store, Write, Writer, dispatch_on};

use super::forward::Affine;
use super::{BatchNorm, PerChannel};
use crate::Accumulate;
use crate::elementwise::Source;
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::reduce::table::{Terms, column_sums, load, load_at, prefetch, widened};
use crate::scratch;
use crate::stores::stores_for;

/// Computes `dβ = Σ g` and `dγ = Σ g (x - μ) / √(σ² + ε)` over the rows, where `g` is `dy` where the activation passed
/// its argument through, and zero elsewhere.
pub fn batch_norm_backward_parameters(
    norm: &BatchNorm<'_>,
    x: &[f32],
    dy: &[f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let channels = norm.channels(x.len());
    assert_eq!(x.len(), dy.len(), "input and gradient have one length");
    assert_eq!([dgamma.len(), dbeta.len()], [channels; 2], "each channel has a scale and a shift");
    if x.is_empty() {
        // Sums of nothing, though statistics of nothing are NaN.
        dgamma.fill(0.0);
        dbeta.fill(0.0);
        return;
    }
    let width = widened(channels);
    scratch::with(3 * width, |memory| {
        let terms = Gradients { affine: Affine::of(norm, memory, width), x, dy };
        column_sums(terms, x.len(), channels, |channel, [gradient, product]| {
            dbeta[channel] = gradient as f32;
            dgamma[channel] = (product * norm.inverse_deviation(channel)) as f32;
        });
    });
}

/// Computes `g` and `g (x - μ)` for each element.
#[derive(Clone, Copy)]
struct Gradients<'a> {
    affine: Affine<'a>,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Terms<2> for Gradients<'_> {
    fn assert_fit(&self, length: usize, width: usize) {
        assert_eq!([self.x.len(), self.dy.len()], [length; 2], "the tables have so many numbers");
        self.affine.per_channel.assert_width(width);
    }

    #[inline(always)]
    unsafe fn at<I: Isa>(&mut self, isa: I, place: usize, column: usize, count: usize) -> [I::Vector; 2] {
        // SAFETY: the caller, and `assert_fit`.
        let (x, dy, per_channel) = unsafe {
            let (x, dy) = (load_at(isa, self.x, place, count), load_at(isa, self.dy, place, count));
            (x, dy, self.affine.per_channel.at_column(isa, column, count))
        };
        let [centred, _, argument] = Affine::of_vector(isa, x, per_channel);
        let gradient = self.affine.bounds.gradient(isa, argument, dy);
        [gradient, isa.mul(gradient, centred)]
    }

    #[inline(always)]
    fn prefetch<I: Isa>(&self, isa: I, place: usize) {
        prefetch(isa, self.x, place);
        prefetch(isa, self.dy, place);
    }
}

/// Path of a gradient back to the input.
#[derive(Clone, Copy, Debug)]
pub enum Through<'a> {
    /// The elements and, through them, the statistics of the batch; with the results of
    /// [`batch_norm_backward_parameters`].
    Batch {
        /// `dγ`
        dgamma: &'a [f32],
        /// `dβ`
        dbeta: &'a [f32],
    },
    /// The elements and statistics whose contribution the caller knows: `slope (x - μ) + constant` in each channel.
    Statistics {
        /// Slope of each channel.
        slope: &'a [f32],
        /// Constant of each channel.
        constant: &'a [f32],
    },
    /// The elements only: statistics are constant, as running ones are.
    Elements,
}

/// Computes the input's gradient: with `s = 1 / √(σ² + ε)` and `g` as for the parameters,
/// `dx (+)= γ s (g - (dβ + (x - μ) s dγ) / rows)`, or `γ s g` where statistics are constant. Where `dy` lies in the
/// storage of `dx`, the result replaces it.
pub fn batch_norm_backward_data(
    norm: &BatchNorm<'_>,
    x: &[f32],
    dy: Source<'_>,
    through: Through<'_>,
    dx: &mut [f32],
    accumulate: Accumulate,
) {
    let channels = norm.channels(x.len());
    dy.expect_length(x.len());
    assert_eq!(dx.len(), x.len(), "input and gradient have one length");
    if let Through::Batch { dgamma: a, dbeta: b } | Through::Statistics { slope: a, constant: b } = through {
        assert_eq!([a.len(), b.len()], [channels; 2], "each channel has a number of each kind");
    }
    let rows = (x.len() / channels.max(1)) as f64;
    let width = widened(channels);
    let set = InstructionSet::current();
    scratch::with(5 * width, |memory| {
        let (memory, of_statistics) = memory.split_at_mut(3 * width);
        // Reduce each channel to a scale, a slope and a constant.
        let affine = Affine::of(norm, memory, width);
        let statistics = PerChannel::compute(of_statistics, width, channels, |channel| match through {
            Through::Elements => [0.0; 2],
            Through::Statistics { slope, constant } => [slope[channel], constant[channel]],
            Through::Batch { dgamma, dbeta } => {
                let share = -norm.scale(channel) / rows;
                let slope = share * norm.inverse_deviation(channel) * f64::from(dgamma[channel]);
                [slope as f32, (share * f64::from(dbeta[channel])) as f32]
            }
        });
        // Write the gradient, piece by piece.
        let (gradient, stores) = (Gradient { affine, statistics }, stores_for(dx, width));
        in_pieces(dx, rows_piece(width, width), |start, dx| {
            let x = &x[start..][..dx.len()];
            match (dy, accumulate) {
                (Source::InPlace, _) => dispatch_on(set, DataInPlace { gradient, x, dx }),
                (Source::Slice(dy), Accumulate::Set) => {
                    let work = Data { gradient, x, dy: &dy[start..][..dx.len()] };
                    dispatch_on(set, Write { work, stores, y: [dx] });
                }
                (Source::Slice(dy), Accumulate::Add) => {
                    let work = Data { gradient, x, dy: &dy[start..][..dx.len()] };
                    dispatch_on(set, AddTo { work, y: [dx] });
                }
            }
        });
    });
}

/// Computes the gradient of an element.
#[derive(Clone, Copy)]
struct Gradient<'a> {
    affine: Affine<'a>,
    /// Contribution of the statistics: a slope along `x - μ`, and a constant.
    statistics: PerChannel<'a, 2>,
}

impl Gradient<'_> {
    /// Returns the gradients of the first `count` elements, which are in the columns from `column` on.
    #[inline(always)]
    fn of<I: Isa>(self, isa: I, x: &[f32], dy: &[f32], column: usize, count: usize) -> I::Vector {
        let [centred, scale, argument] = self.affine.apply(isa, load(isa, x, count), column, count);
        let gradient = self.affine.bounds.gradient(isa, argument, load(isa, dy, count));
        let [slope, constant] = self.statistics.at(isa, column, count);
        isa.mul_add(scale, gradient, isa.mul_add(slope, centred, constant))
    }
}

struct Data<'a> {
    gradient: Gradient<'a>,
    x: &'a [f32],
    dy: &'a [f32],
}

impl Writer<1> for Data<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut dx]: [Destination<'_, S>; 1]) {
        let width = self.gradient.statistics.width();
        for (x, dy) in self.x.chunks(width).zip(self.dy.chunks(width)) {
            let whole = x.len() - x.len() % I::LANES;
            for column in (0..whole).step_by(I::LANES) {
                dx.put_vector(isa, self.gradient.of(isa, &x[column..], &dy[column..], column, I::LANES));
            }
            let tail = x.len() - whole;
            if tail > 0 {
                dx.put(isa, self.gradient.of(isa, &x[whole..], &dy[whole..], whole, tail), tail);
            }
        }
    }
}

struct DataInPlace<'a> {
    gradient: Gradient<'a>,
    x: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for DataInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let width = self.gradient.statistics.width();
        for (x, dx) in self.x.chunks(width).zip(self.dx.chunks_mut(width)) {
            let whole = x.len() - x.len() % I::LANES;
            for column in (0..whole).step_by(I::LANES) {
                let dx = &mut dx[column..];
                isa.store(self.gradient.of(isa, &x[column..], dx, column, I::LANES), dx);
            }
            let tail = &mut dx[whole..];
            isa.store_partial(self.gradient.of(isa, &x[whole..], tail, whole, tail.len()), tail);
        }
    }
}
