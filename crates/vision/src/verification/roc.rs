//! Receiver operating characteristics of distances, and the thresholds read off them.

use crate::{Error, Result};

/// The receiver operating characteristic of distances between images of one person and of two: what is accepted and
/// refused at each threshold. A pair is accepted if its distance is at most the threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// One point for each distance that occurs, from the smallest on, behind the point at which nothing is accepted.
    points: Vec<RocPoint>,
    auc: f64,
}

/// The rates at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// The largest distance that is accepted.
    pub threshold: f32,
    /// The share of the pairs of two persons that are accepted (FAR).
    pub false_accepts: f64,
    /// The share of the pairs of one person that are accepted (TAR).
    pub true_accepts: f64,
}

impl RocPoint {
    /// Returns the share of the pairs of one person that are refused (FRR).
    pub fn false_rejects(&self) -> f64 {
        1.0 - self.true_accepts
    }
}

impl Roc {
    /// Measures pairs, each a distance and whether both images show one person.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a distance is not a number from 0 on, or pairs of one person or of two are missing.
    pub fn new(pairs: impl IntoIterator<Item = (f32, bool)>) -> Result<Roc> {
        let mut pairs: Vec<(f32, bool)> = pairs.into_iter().collect();
        if let Some((distance, _)) = pairs.iter().find(|(distance, _)| !(*distance >= 0.0 && distance.is_finite())) {
            return Err(Error::Invalid(format!("a distance of {distance} between two images")));
        }
        let same = pairs.iter().filter(|(_, same)| *same).count();
        let different = pairs.len() - same;
        if same == 0 || different == 0 {
            let reason = format!("there are {same} pairs of one person and {different} of two; both are needed");
            return Err(Error::Invalid(reason));
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut points = vec![RocPoint { threshold: -1.0, false_accepts: 0.0, true_accepts: 0.0 }];
        let (mut accepted_same, mut accepted_different, mut area) = (0usize, 0usize, 0.0);
        for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
            let more = equal.iter().filter(|(_, same)| *same).count();
            let wrong = equal.len() - more;
            // Of equal distances half count as in the right order (Mann and Whitney 1947).
            area += wrong as f64 * (accepted_same as f64 + 0.5 * more as f64);
            accepted_same += more;
            accepted_different += wrong;
            points.push(RocPoint {
                threshold: equal[0].0,
                false_accepts: accepted_different as f64 / different as f64,
                true_accepts: accepted_same as f64 / same as f64,
            });
        }
        Ok(Roc { points, auc: area / (same as f64 * different as f64) })
    }

    /// Returns the points, by rising threshold. The first accepts nothing, at a threshold of −1; the last everything.
    pub fn points(&self) -> &[RocPoint] {
        &self.points
    }

    /// Returns the area under the curve: the probability that a pair of one person is closer than a pair of two.
    pub fn auc(&self) -> f64 {
        self.auc
    }

    /// Returns the equal error rate, at which as many pairs of two persons are accepted as pairs of one are refused,
    /// between the two points around it.
    pub fn equal_error_rate(&self) -> f64 {
        let at = self.equal_error_index();
        let [before, after] = [self.points[at - 1], self.points[at]];
        let gap = |point: &RocPoint| point.false_rejects() - point.false_accepts;
        // The gap falls from above zero before to zero or below after.
        let share = gap(&before) / (gap(&before) - gap(&after));
        before.false_accepts + share * (after.false_accepts - before.false_accepts)
    }

    /// Returns the threshold of the equal error rate: the middle between the last distance before it and the first
    /// beyond.
    pub fn equal_error_threshold(&self) -> f32 {
        let at = self.equal_error_index();
        0.5 * (self.points[at - 1].threshold.max(0.0) + self.points[at].threshold)
    }

    /// Returns the first point at which no fewer pairs are wrongly accepted than refused; it is not the first of all.
    fn equal_error_index(&self) -> usize {
        self.points.partition_point(|point| point.false_rejects() > point.false_accepts).clamp(1, self.points.len() - 1)
    }

    /// Returns the share of the pairs of one person that are accepted (TAR) where at most this share of the pairs of two
    /// is (FAR).
    pub fn tar_at(&self, false_accepts: f64) -> f64 {
        self.points[self.last_within(false_accepts)].true_accepts
    }

    /// Returns the largest threshold at which at most this share of the pairs of two persons is accepted: the middle
    /// between the last distance within and the first beyond.
    pub fn threshold_at(&self, false_accepts: f64) -> f32 {
        let at = self.last_within(false_accepts);
        let within = self.points[at].threshold.max(0.0);
        // A threshold is accepted itself, so the middle is rounded to below the next distance.
        self.points
            .get(at + 1)
            .map_or(within, |next| (0.5 * (within + next.threshold)).min(next.threshold.next_down()).max(0.0))
    }

    fn last_within(&self, false_accepts: f64) -> usize {
        self.points.partition_point(|point| point.false_accepts <= false_accepts).max(1) - 1
    }

    /// Returns the threshold at which the largest share of the pairs is judged rightly, where both kinds count the same,
    /// and that share.
    pub fn best_threshold(&self) -> (f32, f64) {
        let accuracy = |point: &RocPoint| 0.5 * (point.true_accepts + 1.0 - point.false_accepts);
        let mut best = 0;
        for (index, point) in self.points.iter().enumerate() {
            if accuracy(point) > accuracy(&self.points[best]) {
                best = index;
            }
        }
        let within = self.points[best].threshold;
        let threshold = self.points.get(best + 1).map_or(within, |next| 0.5 * (within + next.threshold));
        (threshold, accuracy(&self.points[best]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roc(same: &[f32], different: &[f32]) -> Roc {
        let pairs = same.iter().map(|d| (*d, true)).chain(different.iter().map(|d| (*d, false)));
        Roc::new(pairs).unwrap()
    }

    #[test]
    fn rates_are_those_of_counting() {
        let (same, different) = ([0.1, 0.2, 0.3, 0.7], [0.2, 0.5, 0.6, 0.8, 0.9]);
        let roc = roc(&same, &different);
        let mut area = 0.0;
        for s in same {
            for d in different {
                area += if s < d {
                    1.0
                } else if s == d {
                    0.5
                } else {
                    0.0
                } / 20.0;
            }
        }
        assert!((roc.auc() - area).abs() < 1e-12);
        for point in &roc.points()[1..] {
            let share = |of: &[f32]| of.iter().filter(|d| **d <= point.threshold).count() as f64 / of.len() as f64;
            assert_eq!((point.true_accepts, point.false_accepts), (share(&same), share(&different)));
        }
        assert_eq!((roc.tar_at(0.0), roc.tar_at(0.2), roc.tar_at(1.0)), (0.25, 0.75, 1.0));
        // Between 0.3 (FAR 1/5, FRR 1/4) and 0.5 (FAR 2/5, FRR 1/4).
        assert!((roc.equal_error_rate() - 0.25).abs() < 1e-12);
        assert_eq!(roc.equal_error_threshold(), 0.4);
        assert!((roc.threshold_at(0.2) - 0.4).abs() < 1e-6);
        assert!(roc.threshold_at(0.0) < 0.2 && roc.threshold_at(0.0) >= 0.1);
    }

    #[test]
    fn separable_distances_have_no_error_and_equal_ones_no_use() {
        let good = roc(&[0.1, 0.2], &[0.5, 0.9]);
        assert_eq!((good.auc(), good.equal_error_rate(), good.tar_at(0.0)), (1.0, 0.0, 1.0));
        let (threshold, accuracy) = good.best_threshold();
        assert!(threshold > 0.2 && threshold < 0.5 && accuracy == 1.0);
        let useless = roc(&[0.5, 0.5], &[0.5]);
        assert_eq!((useless.auc(), useless.equal_error_rate(), useless.tar_at(0.5)), (0.5, 0.5, 0.0));
        assert!(useless.threshold_at(0.1) < 0.5);
        let reversed = roc(&[0.9], &[0.1]);
        assert_eq!((reversed.auc(), reversed.equal_error_rate()), (0.0, 1.0));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let error = |pairs: &[(f32, bool)]| Roc::new(pairs.iter().copied()).unwrap_err().to_string();
        assert_eq!(error(&[(0.1, true)]), "there are 1 pairs of one person and 0 of two; both are needed");
        assert_eq!(error(&[(f32::NAN, true), (0.1, false)]), "a distance of NaN between two images");
    }
}
