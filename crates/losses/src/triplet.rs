//! The triplet loss, of given triplets and of those that a batch contains.

mod mining;
#[cfg(test)]
mod tests;

pub use mining::{MinedTriplets, Mining, warm_up};

use crate::in_batch::{DistanceStatistics, Mean, expect_embeddings};
use ocelli_graph::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use std::sync::Arc;

/// The triplet loss, `max(‖f(A) − f(P)‖² − ‖f(A) − f(N)‖² + α, 0)` (Schroff et al. 2015, equation 2, as a mean): an
/// anchor is closer to a positive, of its own identity, than to a negative, by a margin α.
///
/// Embeddings are of unit length (`Node::l2_normalised`), so that squared distances are between 0 and 4.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_losses::{Mining, TripletLoss};
/// # let model = Model::build(|x| x * x.trace().parameter("w", [8], ocelli_graph::Constant(1.0)), [8], 0)?;
/// // Rows of one batch with labels; the triplets are chosen among them.
/// let mined = TripletLoss { margin: 0.2 }.mined(Mining::SemiHard);
/// model.objective(|t| mined.loss(&t.output(), &t.labels("labels")))?;
/// // A batch of 3N rows: N anchors, N positives, N negatives.
/// let given = TripletLoss::default();
/// # let model = Model::trace(0, |t| {
/// #     let w = t.parameter("w", [8], ocelli_graph::Constant(1.0));
/// #     t.input("input", ocelli_graph::Shape::new([ocelli_graph::Dim::Batch(3), ocelli_graph::Dim::Fixed(8)])) * w
/// # })?;
/// model.objective(|t| {
///     let [a, p, n] = [0, 1, 2].map(|part| t.output().split_batch(part, 3));
///     given.loss(&a, &p, &n)
/// })?;
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletLoss {
    /// The margin α, in squared distance.
    pub margin: f32,
}

impl Default for TripletLoss {
    /// Makes the loss of the paper, with a margin of 0.2.
    fn default() -> TripletLoss {
        TripletLoss { margin: 0.2 }
    }
}

impl TripletLoss {
    /// Returns the loss of triplets that are chosen in each batch.
    pub fn mined(self, mining: Mining) -> MinedTriplets {
        MinedTriplets { margin: self.margin, mining }
    }

    /// Computes the mean loss of given triplets.
    ///
    /// # Shapes
    /// Three times `[N, D]` → `[]`.
    #[track_caller]
    pub fn loss(&self, anchor: &Node, positive: &Node, negative: &Node) -> Node {
        self.statistics(anchor, positive, negative).loss
    }

    /// Computes the mean loss of given triplets, and the statistics of the batch.
    #[track_caller]
    pub fn statistics(&self, anchor: &Node, positive: &Node, negative: &Node) -> DistanceStatistics {
        let op: Arc<dyn Op> = Arc::new(GivenTriplets(*self));
        DistanceStatistics::from_results(anchor.trace().call(op, &[anchor, positive, negative]))
    }

    /// Describes what is wrong with the margin.
    pub(crate) fn mistake(self) -> Option<String> {
        let usable = self.margin.is_finite() && self.margin >= 0.0;
        (!usable).then(|| format!("the margin {} is not a finite number from 0 on", self.margin))
    }
}

impl TripletLoss {
    /// Returns a warning if these are the loss and the mean negative distance of a network that has collapsed: all
    /// embeddings are equal, the loss is exactly the margin, and its gradient is zero.
    ///
    /// Embeddings are of unit length. Training that begins with the hardest triplets ends there often; semi-hard ones,
    /// and a [`warm_up`] from them, avoid it (Schroff et al. 2015, section 3.2).
    ///
    /// ```
    /// use ocelli_losses::TripletLoss;
    /// assert!(TripletLoss::default().collapse_warning(0.2, 1e-4).is_some());
    /// assert!(TripletLoss::default().collapse_warning(0.2, 1.1).is_none());
    /// ```
    pub fn collapse_warning(&self, loss: f32, negative_distance: f32) -> Option<String> {
        /// Mean distance, of embeddings of unit length, below which nothing tells them apart.
        const EQUAL: f32 = 0.02;
        let margin = self.margin;
        let collapsed = negative_distance < EQUAL && (loss - margin).abs() <= 0.05 * margin;
        collapsed.then(|| {
            format!(
                "the embeddings have collapsed: those of two identities are {negative_distance:.4} apart on average, and the \
                 loss {loss:.4} is the margin; start with semi-hard triplets, or lower the learning rate"
            )
        })
    }
}

/// The loss of given triplets. Operands: anchors, positives and negatives `[N, D]`. Results: the loss, the statistics,
/// and 1/N for each active triplet `[N]`, which with the operands is all that backward needs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct GivenTriplets(TripletLoss);

/// Computes `2·w[n]·dy·(x[n] − y[n])`. Operands: `x`, `y` `[N, D]`, `w` `[N]`, the gradient of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
struct WeighedDifference;

/// Computes the squared distance of two rows.
pub(crate) fn squared_distance(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum()
}

impl Op for GivenTriplets {
    fn operands(&self) -> std::ops::RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        if let Some(mistake) = self.0.mistake() {
            return Err(Fault::Setting(mistake));
        }
        expect_embeddings(x, 0)?;
        if let Some(right) = [1, 2].into_iter().find(|&right| x[right] != x[0]) {
            return Err(Fault::Unequal { left: 0, right });
        }
        let scalar = Shape::default;
        Ok(vec![scalar(), scalar(), scalar(), scalar(), Shape::new([x[0].dims()[0]])])
    }

    fn outputs(&self) -> usize {
        5
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (features, margin) = (request.operands[0][1].max(1), f64::from(self.0.margin));
        Ok(Compiled::new(move |k| {
            let [anchors, positives, negatives] = [0, 1, 2].map(|i| k.input(i).chunks_exact(features));
            let [loss, active, positive, negative, weights] = k.outputs();
            let share = 1.0 / weights.len().max(1) as f32;
            let mut means = [Mean::default(); 4];
            for (((a, p), n), weight) in anchors.zip(positives).zip(negatives).zip(weights) {
                let (to_positive, to_negative) = (squared_distance(a, p), squared_distance(a, n));
                let value = to_positive - to_negative + margin;
                let is_active = value > 0.0;
                *weight = if is_active { share } else { 0.0 };
                let values = [value.max(0.0), f64::from(u8::from(is_active)), to_positive.sqrt(), to_negative.sqrt()];
                means.iter_mut().zip(values).for_each(|(mean, value)| mean.add(value));
            }
            let values = means.map(|mean| mean.value() as f32);
            for (result, value) in [loss, active, positive, negative].into_iter().zip(values) {
                result[0] = value;
            }
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        // d/da = 2(n − p), d/dp = 2(p − a), d/dn = 2(a − n), for active triplets
        let pairs = [(2, 1), (1, 0), (0, 2)];
        let gradient = |(operand, (x, y)): (usize, (usize, usize))| {
            g.want(operand, || Node::call(WeighedDifference, &[g.x(x), g.x(y), g.y(4), g.dy()]))
        };
        pairs.into_iter().enumerate().map(gradient).collect()
    }

    fn kind(&self) -> String {
        "TripletLoss".into()
    }
}

impl Op for WeighedDifference {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let features = request.operands[0][1].max(1);
        Ok(Compiled::new(move |k| {
            let (x, y, weights, upstream) = (k.input(0), k.input(1), k.input(2), k.input(3)[0]);
            let rows =
                k.output(0).chunks_exact_mut(features).zip(x.chunks_exact(features)).zip(y.chunks_exact(features));
            for (((dx, x), y), weight) in rows.zip(weights) {
                let factor = 2.0 * weight * upstream;
                dx.iter_mut().zip(x).zip(y).for_each(|((dx, x), y)| *dx = factor * (x - y));
            }
        }))
    }
}
