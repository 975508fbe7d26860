//! Mining: the choice of triplets among the samples of a batch.

use super::TripletLoss;
use crate::in_batch::{DistanceLoss, DistanceStatistics, Distances, InBatch, InBatchValues, Mean, mean_distances};
use ocelli_graph::Node;

/// The triplets that are chosen among the samples of a batch. An identity with one sample has negatives to give, and no
/// anchor; of equal distances the first sample's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// Every triplet; the loss is the mean over those that are active (Hermans et al. 2017, section 2).
    All,
    /// For each anchor the farthest positive and the nearest negative (batch-hard; Hermans et al. 2017, equation 5).
    Hard,
    /// For each anchor and each positive the nearest negative that is farther away than the positive, and where there is
    /// none, the farthest negative (Schroff et al. 2015, section 3.2).
    SemiHard,
}

/// The [triplet loss](TripletLoss) of triplets that are chosen in each batch; made by [`TripletLoss::mined`].
///
/// Batches hold several samples of each of several identities. One without a triplet has the loss 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinedTriplets {
    /// The margin α, in squared distance.
    pub margin: f32,
    /// The choice of triplets.
    pub mining: Mining,
}

/// Returns the hardness of training that warms up: 0 until `from`, 1 from `to` on, and rising evenly in between, in
/// whatever unit `at` is counted.
///
/// ```
/// use ocelli_losses::warm_up;
/// assert_eq!([5.0, 10.0, 15.0, 30.0].map(|epoch| warm_up(epoch, 10.0..20.0)), [0.0, 0.0, 0.5, 1.0]);
/// ```
pub fn warm_up(at: f32, between: std::ops::Range<f32>) -> f32 {
    if at < between.end { ((at - between.start) / (between.end - between.start)).max(0.0) } else { 1.0 }
}

impl MinedTriplets {
    /// Computes the loss of a batch.
    ///
    /// # Shapes
    /// Embeddings `[N, D]` and labels of their identities `[N]` → `[]`.
    #[track_caller]
    pub fn loss(&self, embeddings: &Node, labels: &Node) -> Node {
        self.statistics(embeddings, labels).loss
    }

    /// Computes the loss of a batch, and its statistics.
    #[track_caller]
    pub fn statistics(&self, embeddings: &Node, labels: &Node) -> DistanceStatistics {
        InBatch(*self).call(&[embeddings, labels])
    }

    /// Computes the loss of a batch at a hardness from 0 to 1, an input of shape `[1]`, that training raises: semi-hard
    /// triplets have negatives beyond `(1 − hardness)·‖f(A) − f(P)‖²`, which at 1 are the hardest. See [`warm_up`].
    /// Mining of the other kinds is the same at any hardness.
    ///
    /// ```
    /// use ocelli_graph::{Model, Shape};
    /// use ocelli_losses::{Mining, TripletLoss};
    /// # let model = Model::build(|x| x * x.trace().parameter("w", [8], ocelli_graph::Constant(1.0)), [8], 0)?;
    /// let loss = TripletLoss::default().mined(Mining::SemiHard);
    /// model.objective(|t| {
    ///     let hardness = t.input("hardness", Shape::from([1]));
    ///     loss.warming_up(&t.output(), &t.labels("labels"), &hardness).named()
    /// })?;
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn warming_up(&self, embeddings: &Node, labels: &Node, hardness: &Node) -> DistanceStatistics {
        InBatch(*self).call(&[embeddings, labels, hardness])
    }

    /// Calls `take(anchor, positive, negative)` for each triplet that is chosen.
    fn choose(
        &self,
        distances: &Distances<'_>,
        labels: &[u32],
        hardness: f32,
        mut take: impl FnMut(usize, usize, usize),
    ) {
        let samples = labels.len();
        for anchor in 0..samples {
            let of = |same: bool| {
                let other = move |&i: &usize| i != anchor && (labels[i] == labels[anchor]) == same;
                (0..samples).filter(other)
            };
            let to = |i: usize| distances.squared(anchor, i);
            let nearest = |found: Option<usize>, i: usize| Some(found.filter(|&f| to(f) <= to(i)).unwrap_or(i));
            let farthest = |found: Option<usize>, i: usize| Some(found.filter(|&f| to(f) >= to(i)).unwrap_or(i));
            match self.mining {
                Mining::All => {
                    for positive in of(true) {
                        of(false).for_each(|negative| take(anchor, positive, negative));
                    }
                }
                Mining::Hard => {
                    let hardest = of(true).fold(None, farthest).zip(of(false).fold(None, nearest));
                    hardest.into_iter().for_each(|(positive, negative)| take(anchor, positive, negative));
                }
                Mining::SemiHard => {
                    for positive in of(true) {
                        let bound = (1.0 - hardness) * to(positive);
                        let beyond = of(false).filter(|&i| to(i) > bound || hardness >= 1.0).fold(None, nearest);
                        let negative = beyond.or_else(|| of(false).fold(None, farthest));
                        negative.into_iter().for_each(|negative| take(anchor, positive, negative));
                    }
                }
            }
        }
    }
}

impl DistanceLoss for MinedTriplets {
    const NAME: &'static str = "TripletLoss";

    fn mistake(&self) -> Option<String> {
        TripletLoss { margin: self.margin }.mistake()
    }

    fn evaluate(&self, distances: &Distances<'_>, labels: &[u32], hardness: f32, slopes: &mut [f32]) -> InBatchValues {
        let samples = labels.len();
        let value = |a: usize, p: usize, n: usize| {
            f64::from(distances.squared(a, p)) - f64::from(distances.squared(a, n)) + f64::from(self.margin)
        };
        let (mut all, mut active) = (Mean::default(), Mean::default());
        // The derivative before it is divided by the number of triplets, which is not known yet: a whole number.
        self.choose(distances, labels, hardness, |a, p, n| {
            let value = value(a, p, n);
            all.add(value.max(0.0));
            if value > 0.0 {
                active.add(value);
                slopes[a * samples + p] += 1.0;
                slopes[a * samples + n] -= 1.0;
            }
        });
        let counted = if self.mining == Mining::All { active } else { all };
        let share = 1.0 / counted.count().max(1) as f32;
        slopes.iter_mut().for_each(|slope| *slope *= share);
        let (positive, negative) = mean_distances(distances, labels);
        let active_share = active.count() as f64 / all.count().max(1) as f64;
        InBatchValues { loss: counted.value(), active: active_share, positive, negative }
    }
}
