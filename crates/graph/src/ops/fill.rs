//! A constant.

use crate::{Fault, Node, Op, Operands, Shape, Trace};
use std::{ops::RangeInclusive, sync::Arc};

/// One number everywhere.
#[derive(Debug, Clone)]
pub struct Fill {
    /// The number.
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

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        k.output(0).fill(self.value);
        Ok(())
    }
}

impl Trace {
    /// The same number everywhere.
    #[track_caller]
    pub fn filled(&self, value: f32, shape: Shape) -> Node {
        self.call(Arc::new(Fill { value, shape }), &[]).swap_remove(0)
    }
}
