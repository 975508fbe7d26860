//! Optimiser updates: each one pass over the weights, their gradients and their state.
//!
//! Definitions are PyTorch's. The gradient is first multiplied with `scale` (a clipped norm, a mean over accumulated steps)
//! and clamped to `±limit`.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use crate::elementwise::chunks::CHUNK;

/// What is done to a gradient before it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preparation {
    /// What it is multiplied with.
    pub scale: f32,
    /// The largest magnitude after that; infinity for no limit.
    pub limit: f32,
}

impl Default for Preparation {
    fn default() -> Self {
        Self { scale: 1.0, limit: f32::INFINITY }
    }
}

/// How weight decay enters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// `g += λ·w`: the gradient of `λ/2·|w|²`.
    L2(f32),
    /// `w -= learning rate·λ·w`, beside the gradient (Loshchilov and Hutter 2019).
    Decoupled(f32),
}

impl Decay {
    /// What is added to the gradient, and what the weight is multiplied with, for this learning rate.
    fn factors(self, learning_rate: f32) -> (f32, f32) {
        match self {
            Self::L2(decay) => (decay, 1.0),
            Self::Decoupled(decay) => (0.0, 1.0 - learning_rate * decay),
        }
    }
}

/// How the velocity of gradient descent is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Momentum {
    /// `v = m·v + g; w -= r·v`.
    Heavy,
    /// `v = m·v + g; w -= r·(g + m·v)` (Sutskever et al. 2013, as PyTorch has it).
    Nesterov,
    /// `v = m·v + r·g; w -= v` (Krizhevsky et al. 2012): the velocity remembers the learning rate of its time.
    WithRate,
}

/// Gradient descent with momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate `r`.
    pub learning_rate: f32,
    /// The momentum `m`.
    pub momentum: f32,
    /// How the velocity is used.
    pub form: Momentum,
    /// Weight decay.
    pub decay: Decay,
    /// What is done to the gradient first.
    pub preparation: Preparation,
}

/// Adam (Kingma and Ba 2015); AdamW with decoupled decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// `1 − beta1ᵗ` at step `t`.
    pub correction1: f32,
    /// `1 − beta2ᵗ` at step `t`.
    pub correction2: f32,
    /// Weight decay.
    pub decay: Decay,
    /// What is done to the gradient first.
    pub preparation: Preparation,
}

/// RMSprop (Tieleman and Hinton 2012).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropStep {
    /// The learning rate.
    pub learning_rate: f32,
    /// Decay of the mean of squares.
    pub alpha: f32,
    /// Added to its root.
    pub epsilon: f32,
    /// Momentum of the scaled gradient.
    pub momentum: f32,
    /// Weight decay.
    pub decay: Decay,
    /// What is done to the gradient first.
    pub preparation: Preparation,
}

/// AdaGrad (Duchi et al. 2011).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaGradStep {
    /// The learning rate.
    pub learning_rate: f32,
    /// Added to the root of the sum of squares.
    pub epsilon: f32,
    /// Weight decay.
    pub decay: Decay,
    /// What is done to the gradient first.
    pub preparation: Preparation,
}

/// An update of one vector of weights with `N` vectors of state.
trait Update<const N: usize>: Copy + Send + Sync {
    fn decay(&self) -> Decay;
    fn learning_rate(&self) -> f32;
    fn preparation(&self) -> Preparation;
    /// New weights from decayed weights and the prepared gradient. Implementations are `#[inline(always)]`.
    fn apply<I: Isa>(&self, isa: I, w: I::Vector, g: I::Vector, state: &mut [I::Vector; N]) -> I::Vector;
}

/// Applies an update, in halves of halves on several threads while they are long.
fn run<const N: usize>(update: impl Update<N>, w: &mut [f32], g: &[f32], state: [&mut [f32]; N]) {
    assert!(g.len() == w.len() && state.iter().all(|s| s.len() == w.len()), "weights, gradient and state have one length");
    halve(InstructionSet::current(), Piece { update, w, g, state });
}

fn halve<const N: usize>(set: InstructionSet, piece: Piece<'_, impl Update<N>, N>) {
    if piece.w.len() <= CHUNK {
        return dispatch_on(set, piece);
    }
    let Piece { update, w, g, state } = piece;
    let middle = (w.len() / 2).next_multiple_of(CHUNK).min(w.len());
    let (w_left, w_right) = w.split_at_mut(middle);
    let (g_left, g_right) = g.split_at(middle);
    let mut right = [const { None }; N];
    let mut states = state.into_iter().zip(&mut right);
    let left = std::array::from_fn(|_| {
        let (state, right) = states.next().expect("as many states as the update has");
        let (left, rest) = state.split_at_mut(middle);
        *right = Some(rest);
        left
    });
    let right = right.map(|right| right.expect("every state was split"));
    rayon::join(
        || halve(set, Piece { update, w: w_left, g: g_left, state: left }),
        || halve(set, Piece { update, w: w_right, g: g_right, state: right }),
    );
}

struct Piece<'a, U, const N: usize> {
    update: U,
    w: &'a mut [f32],
    g: &'a [f32],
    state: [&'a mut [f32]; N],
}

impl<U: Update<N>, const N: usize> Kernel for Piece<'_, U, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { update, w, g, state } = self;
        let Preparation { scale, limit } = update.preparation();
        let (added, kept) = update.decay().factors(update.learning_rate());
        let (scale, high, low) = (isa.splat(scale), isa.splat(limit), isa.splat(-limit));
        let (added, kept) = (isa.splat(added), isa.splat(kept));
        for at in (0..w.len()).step_by(I::LANES) {
            let lanes = I::LANES.min(w.len() - at);
            let load = |x: &[f32]| {
                let x = &x[at..at + lanes];
                if lanes == I::LANES { isa.load(x) } else { isa.load_partial(x) }
            };
            let weights = load(w);
            // The bound first: a NaN in the gradient stays one.
            let gradient = isa.max(low, isa.min(high, isa.mul(load(g), scale)));
            let gradient = isa.mul_add(weights, added, gradient);
            let mut vectors: [I::Vector; N] = std::array::from_fn(|i| load(&*state[i]));
            let new = update.apply(isa, isa.mul(weights, kept), gradient, &mut vectors);
            let store = |v: I::Vector, y: &mut [f32]| {
                let y = &mut y[at..at + lanes];
                if lanes == I::LANES { isa.store(v, y) } else { isa.store_partial(v, y) }
            };
            store(new, w);
            for i in 0..N {
                store(vectors[i], state[i]);
            }
        }
    }
}

macro_rules! settings {
    () => {
        #[inline(always)]
        fn decay(&self) -> Decay {
            self.decay
        }
        #[inline(always)]
        fn learning_rate(&self) -> f32 {
            self.learning_rate
        }
        #[inline(always)]
        fn preparation(&self) -> Preparation {
            self.preparation
        }
    };
}

impl Update<1> for SgdStep {
    settings!();

    #[inline(always)]
    fn apply<I: Isa>(&self, isa: I, w: I::Vector, g: I::Vector, [v]: &mut [I::Vector; 1]) -> I::Vector {
        let (rate, momentum) = (isa.splat(self.learning_rate), isa.splat(self.momentum));
        match self.form {
            Momentum::Heavy => {
                *v = isa.mul_add(momentum, *v, g);
                isa.neg_mul_add(rate, *v, w)
            }
            Momentum::Nesterov => {
                *v = isa.mul_add(momentum, *v, g);
                isa.neg_mul_add(rate, isa.mul_add(momentum, *v, g), w)
            }
            Momentum::WithRate => {
                *v = isa.mul_add(momentum, *v, isa.mul(rate, g));
                isa.sub(w, *v)
            }
        }
    }
}

/// Gradient descent without momentum: no state.
#[derive(Clone, Copy)]
struct Plain(SgdStep);

impl Update<0> for Plain {
    fn decay(&self) -> Decay {
        self.0.decay
    }
    fn learning_rate(&self) -> f32 {
        self.0.learning_rate
    }
    fn preparation(&self) -> Preparation {
        self.0.preparation
    }

    #[inline(always)]
    fn apply<I: Isa>(&self, isa: I, w: I::Vector, g: I::Vector, _: &mut [I::Vector; 0]) -> I::Vector {
        isa.neg_mul_add(isa.splat(self.0.learning_rate), g, w)
    }
}

impl Update<2> for AdamStep {
    settings!();

    #[inline(always)]
    fn apply<I: Isa>(&self, isa: I, w: I::Vector, g: I::Vector, [m, v]: &mut [I::Vector; 2]) -> I::Vector {
        // m += (1 − β₁)(g − m); v = β₂ v + (1 − β₂) g²
        *m = isa.mul_add(isa.splat(1.0 - self.beta1), isa.sub(g, *m), *m);
        *v = isa.mul_add(isa.splat(1.0 - self.beta2), isa.mul(g, g), isa.mul(isa.splat(self.beta2), *v));
        let root = isa.mul(isa.sqrt(*v), isa.splat(1.0 / self.correction2.sqrt()));
        let step = isa.splat(self.learning_rate / self.correction1);
        isa.neg_mul_add(step, isa.div(*m, isa.add(root, isa.splat(self.epsilon))), w)
    }
}

impl Update<2> for RmsPropStep {
    settings!();

    #[inline(always)]
    fn apply<I: Isa>(&self, isa: I, w: I::Vector, g: I::Vector, [s, v]: &mut [I::Vector; 2]) -> I::Vector {
        *s = isa.mul_add(isa.splat(1.0 - self.alpha), isa.mul(g, g), isa.mul(isa.splat(self.alpha), *s));
        let scaled = isa.div(g, isa.add(isa.sqrt(*s), isa.splat(self.epsilon)));
        *v = isa.mul_add(isa.splat(self.momentum), *v, scaled);
        isa.neg_mul_add(isa.splat(self.learning_rate), *v, w)
    }
}

impl Update<1> for AdaGradStep {
    settings!();

    #[inline(always)]
    fn apply<I: Isa>(&self, isa: I, w: I::Vector, g: I::Vector, [s]: &mut [I::Vector; 1]) -> I::Vector {
        *s = isa.mul_add(g, g, *s);
        let scaled = isa.div(g, isa.add(isa.sqrt(*s), isa.splat(self.epsilon)));
        isa.neg_mul_add(isa.splat(self.learning_rate), scaled, w)
    }
}

/// One step of gradient descent; `velocity` may be empty if the momentum is 0.
///
/// # Panics
/// If the lengths differ: a bug of the caller. So for every update here.
pub fn sgd(w: &mut [f32], g: &[f32], velocity: &mut [f32], step: &SgdStep) {
    if step.momentum == 0.0 && velocity.is_empty() { run(Plain(*step), w, g, []) } else { run(*step, w, g, [velocity]) }
}

/// One step of Adam.
pub fn adam(w: &mut [f32], g: &[f32], first: &mut [f32], second: &mut [f32], step: &AdamStep) {
    run(*step, w, g, [first, second]);
}

/// One step of RMSprop.
pub fn rms_prop(w: &mut [f32], g: &[f32], squares: &mut [f32], velocity: &mut [f32], step: &RmsPropStep) {
    run(*step, w, g, [squares, velocity]);
}

/// One step of AdaGrad.
pub fn ada_grad(w: &mut [f32], g: &[f32], squares: &mut [f32], step: &AdaGradStep) {
    run(*step, w, g, [squares]);
}

/// `Σ g²` in `f64`, in a fixed order.
pub fn sum_of_squares(g: &[f32]) -> f64 {
    /// Numbers whose squares are summed in `f32` lanes before they join the total.
    const BLOCK: usize = 1024;
    g.chunks(BLOCK).map(|block| f64::from(ocelli_simd::dispatch(Squares(block)))).sum()
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let blocks = self.0.chunks_exact(I::LANES);
        let tail = isa.load_partial(blocks.remainder());
        let mut total = isa.mul(tail, tail);
        for block in blocks {
            let x = isa.load(block);
            total = isa.mul_add(x, x, total);
        }
        isa.sum(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize, seed: f32) -> Vec<f32> {
        (0..len).map(|i| ((i as f32 + seed) * 0.37).sin()).collect()
    }

    const PREPARATION: Preparation = Preparation { scale: 0.5, limit: 0.3 };

    /// Runs an update over every instruction set and a few lengths, against a definition on single numbers in `f64`.
    fn check<const N: usize>(
        update: impl Fn(&mut [f32], &[f32], [&mut [f32]; N]),
        decay: Decay,
        rate: f64,
        definition: impl Fn(f64, f64, &mut [f64; N]) -> f64,
    ) {
        let (added, kept) = match decay {
            Decay::L2(decay) => (f64::from(decay), 1.0),
            Decay::Decoupled(decay) => (0.0, 1.0 - rate * f64::from(decay)),
        };
        for set in InstructionSet::available() {
            for len in [1, 7, 16, 33, 100_000] {
                let mut w = numbers(len, 0.0);
                let mut state: [Vec<f32>; N] = std::array::from_fn(|i| numbers(len, 9.0 + i as f32).iter().map(|v| v.abs()).collect());
                let mut expected: Vec<f64> = w.iter().map(|w| f64::from(*w)).collect();
                let mut expected_state: Vec<[f64; N]> =
                    (0..len).map(|at| std::array::from_fn(|i| f64::from(state[i][at]))).collect();
                for step in 0..3 {
                    let g = numbers(len, 100.0 * step as f32);
                    set.scoped(|| update(&mut w, &g, state.each_mut().map(|s| &mut s[..])));
                    for (at, w) in expected.iter_mut().enumerate() {
                        let g = (f64::from(g[at]) * 0.5).clamp(-f64::from(0.3f32), f64::from(0.3f32)) + added * *w;
                        *w = definition(*w * kept, g, &mut expected_state[at]);
                    }
                }
                for (w, e) in w.iter().zip(&expected) {
                    assert!((f64::from(*w) - e).abs() < 3e-6, "{set} {len}: {w} instead of {e}");
                }
            }
        }
    }

    #[test]
    fn gradient_descent() {
        for decay in [Decay::L2(0.1), Decay::Decoupled(0.1)] {
            for form in [Momentum::Heavy, Momentum::Nesterov, Momentum::WithRate] {
                let step = SgdStep { learning_rate: 0.1, momentum: 0.9, form, decay, preparation: PREPARATION };
                let (rate, m) = (f64::from(0.1f32), f64::from(0.9f32));
                check(|w, g, [v]: [&mut [f32]; 1]| sgd(w, g, v, &step), decay, rate, |w, g, [v]| match form {
                    Momentum::Heavy => {
                        *v = m * *v + g;
                        w - rate * *v
                    }
                    Momentum::Nesterov => {
                        *v = m * *v + g;
                        w - rate * (g + m * *v)
                    }
                    Momentum::WithRate => {
                        *v = m * *v + rate * g;
                        w - *v
                    }
                });
            }
            let plain = SgdStep {
                learning_rate: 0.1,
                momentum: 0.0,
                form: Momentum::Heavy,
                decay,
                preparation: PREPARATION,
            };
            let rate = f64::from(0.1f32);
            check(|w, g, []: [&mut [f32]; 0]| sgd(w, g, &mut [], &plain), decay, rate, |w, g, []| w - rate * g);
        }
    }

    #[test]
    fn adaptive_rates() {
        let decay = Decay::Decoupled(0.1);
        let rate = f64::from(0.01f32);
        let step = AdamStep {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            correction1: 0.1,
            correction2: 0.001,
            decay,
            preparation: PREPARATION,
        };
        let (b1, b2) = (f64::from(0.9f32), f64::from(0.999f32));
        check(|w, g, [m, v]: [&mut [f32]; 2]| adam(w, g, m, v, &step), decay, rate, |w, g, [m, v]| {
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            w - rate * (*m / f64::from(0.1f32)) / ((*v / f64::from(0.001f32)).sqrt() + 1e-8)
        });
        let step = RmsPropStep {
            learning_rate: 0.01,
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.5,
            decay,
            preparation: PREPARATION,
        };
        let alpha = f64::from(0.99f32);
        check(|w, g, [s, v]: [&mut [f32]; 2]| rms_prop(w, g, s, v, &step), decay, rate, |w, g, [s, v]| {
            *s = alpha * *s + (1.0 - alpha) * g * g;
            *v = 0.5 * *v + g / (s.sqrt() + 1e-8);
            w - rate * *v
        });
        let step = AdaGradStep { learning_rate: 0.01, epsilon: 1e-10, decay: Decay::L2(0.1), preparation: PREPARATION };
        check(|w, g, [s]: [&mut [f32]; 1]| ada_grad(w, g, s, &step), Decay::L2(0.1), rate, |w, g, [s]| {
            *s += g * g;
            w - rate * g / (s.sqrt() + 1e-10)
        });
    }

    #[test]
    fn norms() {
        let g = numbers(100_001, 3.0);
        let expected: f64 = g.iter().map(|g| f64::from(*g).powi(2)).sum();
        assert!((sum_of_squares(&g) - expected).abs() < 1e-5 * expected);
    }
}
