//! The loss of LeNet-5.

use crate::cross_entropy::{expect_classes_and_labels, wrong_label};
use ocelli_graph::{Compiled, ElementKind, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::softmax::LabelError;

/// Computes the mean over the batch of `y[t] + log(e⁻ʲ + Σ e^−y[i])` for distances `y` and the label `t` (LeCun et al.
/// 1998, eq. 9): pulls the distance to the right code down and pushes the others up, as far as they are below `j` or
/// so.
///
/// # Shapes
/// Distances `[N, classes]` and labels `[N]` → `[]`.
///
/// # Errors
/// A label that is not below the number of classes, when run.
#[track_caller]
pub fn maximum_a_posteriori(distances: &Node, labels: &Node, j: f32) -> Node {
    Node::call(MaximumAPosteriori { j }, &[distances, labels])
}

/// The operation of [`maximum_a_posteriori`]. Operands: distances, labels. Backward keeps the distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaximumAPosteriori {
    /// Distance from which other classes are hardly pushed away.
    pub j: f32,
}

/// The gradient of [`MaximumAPosteriori`]. Operands: distances, labels, the gradient of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MaximumAPosterioriBackward(
    /// The loss with its settings.
    pub MaximumAPosteriori,
);

impl MaximumAPosteriori {
    /// Computes `log(e⁻ʲ + Σ e^−y[i])`, from the smallest distance up, so that nothing overflows.
    fn penalty(&self, y: &[f32]) -> f32 {
        let least = y.iter().fold(self.j, |least, y| least.min(*y));
        let sum: f32 = y.iter().chain([&self.j]).map(|y| (least - y).exp()).sum();
        sum.ln() - least
    }
}

impl Op for MaximumAPosteriori {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_classes_and_labels(x)?;
        if !self.j.is_finite() {
            return Err(Fault::Setting(format!("j = {} is not a number", self.j)));
        }
        Ok(vec![Shape::default()])
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::fallible(move |k| {
            let (y, labels, classes) = (k.input(0), k.labels(1), k.shape(0)[1]);
            let mut total = 0.0f64;
            for (row, (y, &label)) in y.chunks_exact(classes).zip(labels).enumerate() {
                let Some(right) = y.get(label as usize) else {
                    return Err(wrong_label(LabelError { row, label, classes }));
                };
                total += f64::from(right + op.penalty(y));
            }
            k.output(0)[0] = (total / labels.len().max(1) as f64) as f32;
            Ok(())
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![g.want(0, || Node::call(MaximumAPosterioriBackward(*self), &[g.x(0), g.x(1), g.dy()])), None]
    }
}

impl Op for MaximumAPosterioriBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (y, labels, classes) = (k.input(0), k.labels(1), k.shape(0)[1]);
            let scale = k.input(2)[0] / labels.len().max(1) as f32;
            let rows = k.output(0).chunks_exact_mut(classes).zip(y.chunks_exact(classes)).zip(labels);
            for ((dy, y), &label) in rows {
                let penalty = op.0.penalty(y);
                // d penalty / d y[i] = −e^−y[i] / (e⁻ʲ + Σ e^−y) = −e^(−y[i] − penalty)
                dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = -scale * (-y - penalty).exp());
                dy[label as usize] += scale;
            }
        }))
    }
}
