//! A constant.

use crate::{Fault, Op, Operands, Shape};

/// One number everywhere.
#[derive(Debug, Clone)]
pub struct Fill {
    /// The number.
    pub value: f32,
    /// The shape of the result.
    pub shape: Shape,
}

impl Op for Fill {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        k.output(0).fill(self.value);
        Ok(())
    }
}
