//! Local response normalisation across channels (Krizhevsky, Sutskever and Hinton 2012, section 3.3) of `[pixels, C]`,
//! which is `[N, H, W, C]` as it lies.
//!
//! The squares of a pixel lie in a buffer with zeros on both sides, and each vector of sums is made of vectors that
//! begin one element apart: nothing is subtracted from a running sum, so nothing cancels. Backward computes the sums
//! again; only the input is kept.

#[cfg(test)]
mod tests;

use ocelli_simd::{Destination, Effect, InstructionSet, Isa, Store, WriteOrAdd, Writer, dispatch_on, math};

use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::finite::nan_if_infinite;
use crate::reduce::table::load;
use crate::scratch;
use crate::stores::{ALIGNED, stores_for};

/// The normalisation `y[c] = x[c] / (k + α Σ x[j]²)^β` with the sum over `size` channels around `c`, as far as there
/// are so many: `c - size / 2 <= j <= c + (size - 1) / 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponse {
    /// Number of channels that are summed.
    pub size: usize,
    /// Factor `α` of the sum. (For a mean of the squares, pass `α / size`.)
    pub alpha: f32,
    /// Exponent `β`.
    pub beta: f32,
    /// Constant `k` that is added to the sum.
    pub k: f32,
}

/// Computes `y = x s^-β` with `s = k + α Σ x²`; NaN where `s` overflows `f32`, for values beyond 10¹⁹.
pub fn local_response_forward(norm: &LocalResponse, x: &[f32], y: &mut [f32], channels: usize) {
    assert_eq!(x.len(), y.len(), "input and output have one length");
    if y.is_empty() {
        return;
    }
    let pixels = Pixels::new(norm, y.len(), channels);
    let set = InstructionSet::current();
    let effect = Effect::Replace(stores_for(y, channels));
    in_pieces(y, pixels.piece(), |start, y| {
        let x = &x[start..][..y.len()];
        scratch::with(pixels.window.buffer(), |squares| {
            squares.fill(0.0);
            let work = Forward { pixels, x, squares };
            dispatch_on(set, WriteOrAdd { work, effect, y: [y] });
        });
    });
}

/// Computes `dx = dy s^-β - 2 α β x Σ dy x s^(-β-1)`, where the sum is over the channels whose windows hold that of
/// `dx`.
pub fn local_response_backward(norm: &LocalResponse, x: &[f32], dy: &[f32], dx: &mut [f32], channels: usize) {
    assert_eq!([x.len(), dy.len()], [dx.len(); 2], "input and gradients have one length");
    if dx.is_empty() {
        return;
    }
    let pixels = Pixels::new(norm, dx.len(), channels);
    let set = InstructionSet::current();
    let effect = Effect::Replace(stores_for(dx, channels));
    let length = pixels.window.buffer();
    in_pieces(dx, pixels.piece(), |start, dx| {
        let (x, dy) = (&x[start..][..dx.len()], &dy[start..][..dx.len()]);
        scratch::with(3 * length, |buffers| {
            buffers.fill(0.0);
            let (squares, rest) = buffers.split_at_mut(length);
            let (terms, direct) = rest.split_at_mut(length);
            let work = Backward { pixels, x, dy, squares, terms, direct };
            dispatch_on(set, WriteOrAdd { work, effect, y: [dx] });
        });
    });
}

/// The work on each pixel.
#[derive(Clone, Copy)]
struct Pixels {
    window: Window,
    alpha: f32,
    beta: f32,
    k: f32,
    power: Power,
}

impl Pixels {
    /// Asserts the invariant that callers check shapes.
    fn new(norm: &LocalResponse, length: usize, channels: usize) -> Self {
        assert!(length == 0 || length.is_multiple_of(channels), "the tensor is made of whole pixels");
        let reach = |channels_away: usize| channels_away.min(channels);
        let window = Window { before: reach(norm.size / 2), after: reach(norm.size.saturating_sub(1) / 2), channels };
        Self { window, alpha: norm.alpha, beta: norm.beta, k: norm.k, power: Power::of(norm.beta) }
    }

    fn piece(&self) -> usize {
        /// Cost of an element, in elements of a sum or product of tensors.
        const WORK: usize = 4;
        rows_piece(self.window.channels, WORK * self.window.channels)
    }

    /// Returns `s` of a vector of channels.
    #[inline(always)]
    fn denominator<I: Isa>(&self, isa: I, squares: &[f32], channel: usize) -> I::Vector {
        let sum = self.window.sum(isa, squares, channel);
        isa.mul_add(sum, isa.splat(self.alpha), isa.splat(self.k))
    }
}

/// The channels of a sum.
#[derive(Clone, Copy)]
struct Window {
    before: usize,
    after: usize,
    channels: usize,
}

impl Window {
    /// Returns the length of a buffer: a pixel's elements between those before and after, and room for a vector.
    fn buffer(self) -> usize {
        (self.before + self.channels + self.after + ALIGNED).next_multiple_of(ALIGNED)
    }

    /// Returns the transposed window: the channels in whose windows a channel is.
    fn transposed(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }

    /// Returns the sums of a vector of channels over values that begin behind `before` zeros.
    #[inline(always)]
    fn sum<I: Isa>(self, isa: I, numbers: &[f32], channel: usize) -> I::Vector {
        let others = self.before + self.after;
        let numbers = &numbers[channel..][..others + I::LANES];
        let mut sum = isa.load(numbers);
        for other in 1..=others {
            sum = isa.add(sum, isa.load(&numbers[other..]));
        }
        sum
    }
}

/// Method to compute `s^-β`.
#[derive(Clone, Copy)]
enum Power {
    /// `β = ½`
    InverseRoot,
    /// `β = ¾`, as everywhere in practice: two roots instead of a logarithm and an exponential.
    InverseRoots,
    /// `β = 1`
    Inverse,
    /// Logarithm and exponential, for any `β`.
    Any(f32),
}

impl Power {
    fn of(beta: f32) -> Self {
        match beta {
            0.5 => Self::InverseRoot,
            0.75 => Self::InverseRoots,
            1.0 => Self::Inverse,
            _ => Self::Any(-beta),
        }
    }

    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, s: I::Vector) -> I::Vector {
        let divisor = match self {
            Self::Any(exponent) => return math::exp(isa, isa.mul(isa.splat(exponent), math::ln(isa, s))),
            Self::InverseRoot => isa.sqrt(s),
            Self::InverseRoots => {
                let root = isa.sqrt(s);
                isa.mul(root, isa.sqrt(root))
            }
            Self::Inverse => s,
        };
        isa.div(isa.splat(1.0), divisor)
    }
}

/// Writes the squares of a pixel behind the zeros before them.
#[inline(always)]
fn square<I: Isa>(isa: I, window: Window, x: &[f32], squares: &mut [f32]) {
    for channel in (0..x.len()).step_by(I::LANES) {
        let x = load(isa, &x[channel..], I::LANES.min(x.len() - channel));
        isa.store(isa.mul(x, x), &mut squares[window.before + channel..]);
    }
}

struct Forward<'a> {
    pixels: Pixels,
    x: &'a [f32],
    squares: &'a mut [f32],
}

impl Writer<1> for Forward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
        let Self { pixels, x, squares } = self;
        for x in x.chunks_exact(pixels.window.channels) {
            square(isa, pixels.window, x, squares);
            for channel in (0..x.len()).step_by(I::LANES) {
                let count = I::LANES.min(x.len() - channel);
                let s = pixels.denominator(isa, squares, channel);
                let value = isa.mul(load(isa, &x[channel..], count), pixels.power.apply(isa, s));
                y.put(isa, nan_if_infinite(isa, value, s), count);
            }
        }
    }
}

struct Backward<'a> {
    pixels: Pixels,
    x: &'a [f32],
    dy: &'a [f32],
    squares: &'a mut [f32],
    /// `dy x s^(-β-1)`
    terms: &'a mut [f32],
    /// `dy s^-β`
    direct: &'a mut [f32],
}

impl Writer<1> for Backward<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut dx]: [Destination<'_, S>; 1]) {
        let Self { pixels, x, dy, squares, terms, direct } = self;
        let window = pixels.window.transposed();
        let factor = isa.splat(2.0 * pixels.alpha * pixels.beta);
        for (x, dy) in x.chunks_exact(window.channels).zip(dy.chunks_exact(window.channels)) {
            square(isa, pixels.window, x, squares);
            for channel in (0..x.len()).step_by(I::LANES) {
                let count = I::LANES.min(x.len() - channel);
                let (x, dy) = (load(isa, &x[channel..], count), load(isa, &dy[channel..], count));
                let s = pixels.denominator(isa, squares, channel);
                let passed = nan_if_infinite(isa, isa.mul(dy, pixels.power.apply(isa, s)), s);
                isa.store(passed, &mut direct[channel..]);
                isa.store(isa.div(isa.mul(passed, x), s), &mut terms[window.before + channel..]);
            }
            for channel in (0..x.len()).step_by(I::LANES) {
                let count = I::LANES.min(x.len() - channel);
                let sum = window.sum(isa, terms, channel);
                let slope = isa.mul(factor, load(isa, &x[channel..], count));
                dx.put(isa, isa.neg_mul_add(slope, sum, isa.load(&direct[channel..])), count);
            }
        }
    }
}
