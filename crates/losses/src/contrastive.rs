//! The contrastive loss, of given pairs and of all pairs of a batch.

use crate::{
    in_batch::{
        DistanceLoss, DistanceStatistics, Distances, InBatch, InBatchValues, Mean, expect_embeddings, expect_labels,
        mean_distances,
    },
    triplet::squared_distance,
};
use ocelli_graph::{Compiled, ElementKind, Fault, Grads, Node, Op, Request, Shape};
use std::sync::Arc;

/// The contrastive loss, `½·d²` for a pair of one identity and `½·max(m − d, 0)²` for one of two, at the Euclidean
/// distance `d` (Hadsell et al. 2006, equation 4).
///
/// ```
/// use ocelli_graph::{Batch, Model, Tensor};
/// use ocelli_losses::ContrastiveLoss;
/// # let mut model = Model::build(|x| x * x.trace().parameter("w", [1], ocelli_graph::Constant(1.0)), [1], 0)?;
/// let loss = ContrastiveLoss { margin: 1.0 };
/// let mut objective = model.objective(|t| loss.within_batch(&t.output(), &t.labels("labels")).loss)?;
/// let x = Tensor::from_vec([3, 1], vec![0.0, 0.5, 0.75])?;
/// let batch = Batch::new().with("input", x).with("labels", Tensor::from(vec![0u32, 0, 1]));
/// let (same, different) = (0.5f32.powi(2) / 2.0, (0.25f32.powi(2) + 0.75f32.powi(2)) / 2.0);
/// assert!((objective.step(&mut model, &batch)?.loss() - (same + different) / 3.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContrastiveLoss {
    /// The margin m: the distance beyond which pairs of two identities have no loss.
    pub margin: f32,
}

impl Default for ContrastiveLoss {
    /// Makes the loss with a margin of 1.
    fn default() -> ContrastiveLoss {
        ContrastiveLoss { margin: 1.0 }
    }
}

impl ContrastiveLoss {
    /// Computes the mean loss of given pairs, and the statistics of the batch; `same` is 1 for a pair of one identity
    /// and 0 for one of two.
    ///
    /// # Shapes
    /// Two times `[N, D]`, and labels `[N]` → `[]`.
    ///
    /// # Errors
    /// A label that is neither 0 nor 1, when run.
    #[track_caller]
    pub fn of_pairs(&self, left: &Node, right: &Node, same: &Node) -> DistanceStatistics {
        let op: Arc<dyn Op> = Arc::new(GivenPairs(*self));
        DistanceStatistics::from_results(left.trace().call(op, &[left, same, right]))
    }

    /// Computes the mean loss of all pairs within a batch, and its statistics. A batch of one sample has the loss 0.
    ///
    /// # Shapes
    /// Embeddings `[N, D]` and labels of their identities `[N]` → `[]`.
    #[track_caller]
    pub fn within_batch(&self, embeddings: &Node, labels: &Node) -> DistanceStatistics {
        InBatch(*self).call(&[embeddings, labels])
    }

    /// Returns the loss of a pair, and its derivative with respect to the squared distance. At the distance 0 the
    /// derivative of a pair of two identities has no limit; it is 0 there, because no direction leads apart.
    fn of_pair(self, squared: f64, same: bool) -> (f64, f64) {
        if same {
            return (0.5 * squared, 0.5);
        }
        let distance = squared.sqrt();
        let missing = (f64::from(self.margin) - distance).max(0.0);
        let slope = if distance > 0.0 { -0.5 * missing / distance } else { 0.0 };
        (0.5 * missing * missing, slope)
    }

    fn check(self) -> Option<String> {
        let usable = self.margin.is_finite() && self.margin > 0.0;
        (!usable).then(|| format!("the margin {} is not a positive number", self.margin))
    }
}

impl DistanceLoss for ContrastiveLoss {
    const NAME: &'static str = "ContrastiveLoss";

    fn mistake(&self) -> Option<String> {
        self.check()
    }

    fn evaluate(&self, distances: &Distances<'_>, labels: &[u32], _: f32, slopes: &mut [f32]) -> InBatchValues {
        let samples = labels.len();
        let (mut loss, mut active) = (Mean::default(), Mean::default());
        for i in 0..samples {
            for j in 0..i {
                let pair = self.of_pair(f64::from(distances.squared(i, j)), labels[i] == labels[j]);
                loss.add(pair.0);
                active.add(f64::from(u8::from(pair.0 > 0.0)));
                slopes[i * samples + j] = pair.1 as f32;
            }
        }
        let share = 1.0 / loss.count().max(1) as f32;
        slopes.iter_mut().for_each(|slope| *slope *= share);
        let (positive, negative) = mean_distances(distances, labels);
        InBatchValues { loss: loss.value(), active: active.value(), positive, negative }
    }
}

/// The loss of given pairs. Operands: left embeddings `[N, D]`, labels `[N]`, right embeddings. Results: the loss, its
/// statistics, and the gradient with respect to the left embeddings, of which that for the right ones is the negative.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GivenPairs(ContrastiveLoss);

/// The sign of the gradient of [`GivenPairs`]. Operands: the gradient `[N, D]`, the gradient of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PairGradient {
    Left,
    Right,
}

impl Op for GivenPairs {
    fn operands(&self) -> std::ops::RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        if let Some(mistake) = self.0.check() {
            return Err(Fault::Setting(mistake));
        }
        expect_embeddings(x, 0)?;
        expect_labels(x, 1)?;
        if x[2] != x[0] {
            return Err(Fault::Unequal { left: 0, right: 2 });
        }
        let scalar = Shape::default;
        Ok(vec![scalar(), scalar(), scalar(), scalar(), x[0].clone()])
    }

    fn outputs(&self) -> usize {
        5
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (features, op) = (request.operands[0][1].max(1), *self);
        Ok(Compiled::fallible(move |k| {
            let (left, same, right) = (k.input(0), k.labels(1), k.input(2));
            if let Some((pair, label)) = same.iter().enumerate().find(|(_, label)| **label > 1) {
                return Err(Fault::Data(format!(
                    "label {label} of pair {pair} is neither 0 (two identities) nor 1 (one)"
                )));
            }
            let [loss, active, positive, negative, gradient] = k.outputs();
            let share = 1.0 / same.len().max(1) as f32;
            let (mut means, mut apart) = ([Mean::default(); 2], [Mean::default(); 2]);
            let rows = left.chunks_exact(features).zip(right.chunks_exact(features)).zip(same);
            for (((left, right), same), gradient) in rows.zip(gradient.chunks_exact_mut(features)) {
                let squared = squared_distance(left, right);
                let (value, slope) = op.0.of_pair(squared, *same == 1);
                means[0].add(value);
                means[1].add(f64::from(u8::from(value > 0.0)));
                apart[usize::from(*same == 0)].add(squared.sqrt());
                let factor = (2.0 * slope) as f32 * share;
                gradient.iter_mut().zip(left).zip(right).for_each(|((g, x), y)| *g = factor * (x - y));
            }
            let values = [means[0], means[1], apart[0], apart[1]].map(|mean| mean.value() as f32);
            for (result, value) in [loss, active, positive, negative].into_iter().zip(values) {
                result[0] = value;
            }
            Ok(())
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let side = |operand, side| g.want(operand, || Node::call(side, &[g.y(4), g.dy()]));
        vec![side(0, PairGradient::Left), None, side(2, PairGradient::Right)]
    }

    fn kind(&self) -> String {
        "ContrastiveLoss".into()
    }
}

impl Op for PairGradient {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let sign = if *self == PairGradient::Left { 1.0 } else { -1.0 };
        Ok(Compiled::new(move |k| {
            let (gradient, factor) = (k.input(0), sign * k.input(1)[0]);
            k.output(0).iter_mut().zip(gradient).for_each(|(dx, gradient)| *dx = factor * gradient);
        }))
    }
}
