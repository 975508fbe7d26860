//! User-defined elementwise functions.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, OpIdentity, Request, Shape};
use ocelli_kernels::elementwise::Source;
use std::{fmt, ops::RangeInclusive, sync::Arc};

type Function = Arc<dyn Fn(f32) -> f32 + Send + Sync>;

/// Applies an elementwise function with a given derivative. Backward keeps the operand.
#[derive(Clone)]
pub struct MapOp {
    name: String,
    f: Function,
    df: Function,
}

/// The gradient of [`MapOp`]. Operands: `dy`, `x`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MapBackward(
    /// The function with its derivative.
    pub MapOp,
);

impl fmt::Debug for MapOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapOp({})", self.name)
    }
}

/// Functions cannot be compared.
impl OpIdentity for MapOp {}

impl OpIdentity for MapBackward {}

impl MapOp {
    /// Name of the function.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Value of the function at `x`.
    pub fn value(&self, x: f32) -> f32 {
        (self.f)(x)
    }

    /// Derivative of the function at `x`.
    pub fn derivative(&self, x: f32) -> f32 {
        (self.df)(x)
    }
}

impl Op for MapOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let x = k.source(0);
            let y = k.output(0);
            match x {
                Source::InPlace => y.iter_mut().for_each(|y| *y = (op.f)(*y)),
                Source::Slice(x) => y.iter_mut().zip(x).for_each(|(y, x)| *y = (op.f)(*x)),
            }
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(MapBackward(self.clone()), &[g.dy(), g.x(0)]))]
    }

    fn kind(&self) -> String {
        self.name.clone()
    }
}

impl Op for MapBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let (dy, x) = (k.input(0), k.input(1));
            let values = k.output(0).iter_mut().zip(dy).zip(x);
            values.for_each(|((dx, dy), x)| *dx = dy * (op.0.df)(*x));
        }))
    }
}

impl Node {
    /// Applies a user-defined elementwise function with its derivative: the short form of a user-defined operation.
    ///
    /// ```
    /// use ocelli_graph::Model;
    /// let model = Model::build(|x| x.map("Cube", |x| x * x * x, |x| 3.0 * x * x), [3], 0)?;
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn map(
        &self,
        name: &str,
        f: impl Fn(f32) -> f32 + Send + Sync + 'static,
        df: impl Fn(f32) -> f32 + Send + Sync + 'static,
    ) -> Node {
        Node::call(MapOp { name: name.into(), f: Arc::new(f), df: Arc::new(df) }, &[self])
    }
}
