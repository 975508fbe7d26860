//! A constant.

use crate::{Compiled, Fault, Node, Op, Request, Shape, Trace};
use std::{ops::RangeInclusive, sync::Arc};

/// Fills a tensor with one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// The value.
    pub value: f32,
    /// The shape of the result.
    pub shape: Shape,
}

impl Op for Fill {
    fn operands(&self) -> RangeInclusive<usize> {
        0..=0
    }

    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            k.output(0).fill(op.value);
        }))
    }
}

impl Trace {
    /// Makes a tensor filled with one value.
    #[track_caller]
    pub fn filled(&self, value: f32, shape: Shape) -> Node {
        self.call(Arc::new(Fill { value, shape }), &[]).swap_remove(0)
    }
}
