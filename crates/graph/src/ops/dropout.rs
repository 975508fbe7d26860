//! Dropout.

use super::{Identity, same_shape};
use crate::{Compiled, Fault, Grads, Key, Mode, Node, Op, Request, Shape};
use ocelli_kernels::dropout::dropout;
use std::{ops::RangeInclusive, sync::Arc};

/// Sets each element to zero with some probability and scales the others so that the mean stays (Srivastava et al.
/// 2014, "inverted" as in every framework). In every mode but [`Mode::Train`] it is the identity.
///
/// The mask is a function of the step, the path and the element: backward draws it again, and keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DropoutOp {
    /// The probability of a zero.
    pub probability: f32,
    /// Key that the mask is drawn from, together with the step.
    pub path: Key,
}

/// Checks the probability of a zero, and returns the shape of the result.
pub(super) fn checked(probability: f32, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
    if !(0.0..1.0).contains(&probability) {
        return Err(Fault::Setting(format!("the probability {probability} is not in [0, 1)")));
    }
    same_shape(x)
}

/// Returns the identity where nothing is set to zero.
pub(super) fn identity_unless_training(probability: f32, mode: Mode) -> Option<Arc<dyn Op>> {
    (mode != Mode::Train || probability == 0.0).then(|| Arc::new(Identity) as Arc<dyn Op>)
}

impl Op for DropoutOp {
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
            let (x, key) = (k.source(0), k.key().at(op.path.value()).value());
            dropout(key, op.probability, x, k.output(0));
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
    /// Sets each element to zero with this probability while training. Applied twice in one layer, both draw the same
    /// mask unless they are in scopes of their own.
    #[track_caller]
    pub fn dropout(&self, probability: f32) -> Node {
        let path = Key::new(0).with("dropout").with(&self.trace().path());
        Node::call(DropoutOp { probability, path }, &[self])
    }
}
