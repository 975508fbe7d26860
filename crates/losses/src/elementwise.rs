//! Losses that are a mean over elements of a function of a prediction and a target.

use ocelli_graph::{Compiled, Fault, Grads, Node, Op, Request, Shape};

/// A loss of one element, `l(x, t)`, and its derivative in `x`; [`MeanLoss`] makes an operation of it.
pub trait ElementwiseLoss: Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// Name of the loss.
    const NAME: &'static str;
    /// The loss of one element.
    fn value(&self, x: f32, target: f32) -> f32;
    /// Derivative of the loss in `x`.
    fn derivative(&self, x: f32, target: f32) -> f32;
    /// Describes what is wrong with the settings.
    fn mistake(&self) -> Option<String> {
        None
    }
}

/// Averages an elementwise loss. Operands: prediction, target of the same shape. Backward keeps both; targets have no
/// gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanLoss<L>(
    /// The loss of one element, with its settings.
    pub L,
);

/// The gradient of [`MeanLoss`]. Operands: prediction, target, the gradient of the loss.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MeanLossBackward<L>(
    /// The loss of one element, with its settings.
    pub L,
);

/// Number of elements that are summed at a time before the sums are added: the error of the total stays small.
const BLOCK: usize = 256;

impl<L: ElementwiseLoss> Op for MeanLoss<L> {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        if let Some(mistake) = self.0.mistake() {
            return Err(Fault::Setting(mistake));
        }
        if x[0] != x[1] {
            return Err(Fault::Unequal { left: 0, right: 1 });
        }
        Ok(vec![Shape::default()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let (x, target) = (k.input(0), k.input(1));
            let block = |(x, target): (&[f32], &[f32])| -> f64 {
                f64::from(x.iter().zip(target).map(|(x, target)| op.0.value(*x, *target)).sum::<f32>())
            };
            let total: f64 = x.chunks(BLOCK).zip(target.chunks(BLOCK)).map(block).sum();
            k.output(0)[0] = (total / x.len().max(1) as f64) as f32;
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let target = g.want(1, || {
            let reason = "the target has no gradient; swap the operands or compose the loss from nodes";
            g.x(1).trace().fail(L::NAME, reason)
        });
        vec![g.want(0, || Node::call(MeanLossBackward(self.0.clone()), &[g.x(0), g.x(1), g.dy()])), target]
    }

    fn kind(&self) -> String {
        L::NAME.into()
    }
}

impl<L: ElementwiseLoss> Op for MeanLossBackward<L> {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let (x, target, dy) = (k.input(0), k.input(1), k.input(2)[0]);
            let scale = dy / x.len().max(1) as f32;
            let elements = k.output(0).iter_mut().zip(x).zip(target);
            elements.for_each(|((dx, x), target)| *dx = scale * op.0.derivative(*x, *target));
        }))
    }
}
