//! Stochastic depth.

use super::dropout::{checked, identity_unless_training};
use crate::{Compiled, Fault, Grads, Key, Mode, Node, Op, Request, Shape};
use ocelli_kernels::{announce_work, elementwise::Source};
use rayon::prelude::*;
use std::{ops::RangeInclusive, sync::Arc};

/// Sets whole samples to zero with some probability and scales the others so that the mean stays: on the last result of a
/// residual block's body, so that the sample takes the shortcut alone (Huang et al. 2016). In every mode but [`Mode::Train`] it is
/// the identity.
///
/// Which samples are dropped is a function of the step, the path and the sample's place in the batch: backward draws them again,
/// and keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StochasticDepthOp {
    /// The probability of a zero.
    pub probability: f32,
    /// Key that samples are drawn from, together with the step.
    pub path: Key,
}

impl Op for StochasticDepthOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        checked(self.probability, x)
    }

    fn lower(&self, mode: Mode) -> Option<Arc<dyn Op>> {
        identity_unless_training(self.probability, mode)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (x, key) = (k.source(0), k.key().at(op.path.value()));
            let samples = k.output_shape(0).first().copied().unwrap_or(1).max(1);
            let y = k.output(0);
            let each = (y.len() / samples).max(1);
            announce_work();
            y.par_chunks_mut(each).enumerate().for_each(|(sample, y)| {
                let dropped = key.at(sample as u64).stream().unit() < op.probability;
                // A factor of zero would make NaN of infinity.
                let kept = |x: f32| if dropped { 0.0 } else { x / (1.0 - op.probability) };
                match x {
                    Source::InPlace => y.iter_mut().for_each(|y| *y = kept(*y)),
                    Source::Slice(x) => y.iter_mut().zip(&x[sample * each..]).for_each(|(y, x)| *y = kept(*x)),
                }
            });
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(*self, &[g.dy()]))]
    }
}

impl Node {
    /// Sets whole samples to zero with this probability while training: on the body of a residual block, before the shortcut is
    /// added. Applied twice in one layer, both drop the same samples unless they are in scopes of their own.
    #[track_caller]
    pub fn stochastic_depth(&self, probability: f32) -> Node {
        let path = Key::new(0).with("stochastic depth").with(&self.trace().path());
        Node::call(StochasticDepthOp { probability, path }, &[self])
    }
}
