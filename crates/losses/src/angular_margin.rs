//! Classification by angles, with a margin: ArcFace.

use crate::cross_entropy::{expect_classes_and_labels, softmax_cross_entropy, wrong_label};
use ocelli_graph::{AxisRole, Compiled, ElementKind, Fault, Grads, Layer, Node, Op, Request, Shape};
use ocelli_kernels::softmax::LabelError;
use ocelli_layers::Init;

/// A layer that computes the cosine of the angle between each embedding and a learnt direction of each class: the head
/// of a network that [`ArcFace`] trains. It is left out when embeddings are compared.
///
/// # Shapes
/// `[N, D]` → `[N, classes]`, from −1 to 1.
///
/// # Parameters
/// `weight` `[classes, D]`, whose rows are divided by their lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CosineHead {
    /// Number of classes.
    pub classes: usize,
}

impl Layer for CosineHead {
    fn forward(&self, x: &Node) -> Node {
        if self.classes == 0 {
            return x.trace().fail("CosineHead", "a head of 0 classes");
        }
        let axes = ([AxisRole::Outputs, AxisRole::Inputs], [self.classes, x.channels()]);
        let weight = x.trace().parameter("weight", axes, Init::default());
        x.l2_normalised(EPSILON).matmul_transposed(&weight.l2_normalised(EPSILON))
    }
}

/// Smallest divisor of a row that is brought to unit length.
const EPSILON: f32 = 1e-12;

/// The loss of ArcFace (Deng et al. 2019, equation 3): softmax cross-entropy of `s·cos θ`, in which the angle between an
/// embedding and the direction of its own class is counted as `θ + m`.
///
/// Beyond `θ = π − m`, where the cosine would rise again, `cos θ − m·sin m` takes its place. A margin of 0 is the softmax
/// of normalised embeddings (Wang et al. 2017); plain softmax is a dense layer and
/// [`softmax_cross_entropy`](crate::softmax_cross_entropy).
///
/// ```
/// use ocelli_graph::{Model, Node};
/// use ocelli_losses::{ArcFace, CosineHead};
/// let network = |x: &Node| x.apply("head", CosineHead { classes: 20 });
/// let model = Model::build(network, [128], 0)?;
/// model.objective(|t| ArcFace::default().loss(&t.output(), &t.labels("labels")))?;
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArcFace {
    /// The scale s of the cosines: how sharp the softmax is.
    pub scale: f32,
    /// The margin m, in radians, from 0 to π/2.
    pub margin: f32,
}

impl Default for ArcFace {
    /// Makes the loss of the paper: a scale of 64, a margin of 0.5.
    fn default() -> ArcFace {
        ArcFace { scale: 64.0, margin: 0.5 }
    }
}

impl ArcFace {
    /// Computes the mean loss of a batch from the cosines of a [`CosineHead`].
    ///
    /// # Shapes
    /// `[N, classes]` and labels `[N]` → `[]`.
    ///
    /// # Errors
    /// A label that is not below the number of classes, when run.
    #[track_caller]
    pub fn loss(&self, cosines: &Node, labels: &Node) -> Node {
        let logits = Node::call(AngularMargin(*self), &[cosines, labels]);
        softmax_cross_entropy(&logits, labels)
    }

    /// Returns the cosine of the angle `θ + m` where `cosine` is that of `θ`, and its derivative.
    fn shifted(self, cosine: f32) -> (f32, f32) {
        /// Smallest sine that is divided by: the slope of the cosine's inverse has no bound at the angle 0.
        const SMALLEST_SINE: f32 = 1e-4;
        let (margin_sine, margin_cosine) = self.margin.sin_cos();
        if cosine <= -margin_cosine {
            return (cosine - self.margin * margin_sine, 1.0);
        }
        let sine = (1.0 - cosine * cosine).max(0.0).sqrt();
        let slope = margin_cosine + cosine * margin_sine / sine.max(SMALLEST_SINE);
        (cosine * margin_cosine - sine * margin_sine, slope)
    }
}

/// Adds the margin to the angle of each label, and scales. Operands: cosines `[N, classes]`, labels `[N]`; results are
/// logits of the shape of the cosines. Backward keeps both.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AngularMargin(ArcFace);

/// The gradient of [`AngularMargin`]. Operands: `dy`, the cosines, the labels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AngularMarginBackward(ArcFace);

/// Calls `f(position, cosine)` for the label of each row.
fn each_label(classes: usize, labels: &[u32], mut f: impl FnMut(usize)) -> Result<(), Fault> {
    for (row, &label) in labels.iter().enumerate() {
        if label as usize >= classes {
            return Err(wrong_label(LabelError { row, label, classes }));
        }
        f(row * classes + label as usize);
    }
    Ok(())
}

impl Op for AngularMargin {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_classes_and_labels(x)?;
        let ArcFace { scale, margin } = self.0;
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Fault::Setting(format!("the scale {scale} is not a positive number")));
        }
        if !(0.0..=std::f32::consts::FRAC_PI_2).contains(&margin) {
            return Err(Fault::Setting(format!("the margin {margin} is not between 0 and π/2")));
        }
        Ok(vec![x[0].clone()])
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let loss = self.0;
        Ok(Compiled::fallible(move |k| {
            let (cosines, labels, classes) = (k.input(0), k.labels(1), k.shape(0)[1]);
            let logits = k.output(0);
            logits.iter_mut().zip(cosines).for_each(|(logit, cosine)| *logit = loss.scale * cosine);
            each_label(classes, labels, |at| logits[at] = loss.scale * loss.shifted(cosines[at]).0)
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let backward = || Node::call(AngularMarginBackward(self.0), &[g.dy(), g.x(0), g.x(1)]);
        vec![g.want(0, backward), None]
    }

    fn kind(&self) -> String {
        "ArcFace".into()
    }
}

impl Op for AngularMarginBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[1].clone()])
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 2 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let loss = self.0;
        Ok(Compiled::fallible(move |k| {
            let (dy, cosines, labels, classes) = (k.input(0), k.input(1), k.labels(2), k.shape(1)[1]);
            let dx = k.output(0);
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = loss.scale * dy);
            each_label(classes, labels, |at| dx[at] *= loss.shifted(cosines[at]).1)
        }))
    }
}
