//! How the scores of classes, or distances to them, are ranked.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The rule that ranks the scores of classes: which of two is better. It is the same for accuracies, confusion matrices
/// and the best answers.
///
/// Of equal scores the one with the lower index is better. A NaN is worse than any number, and never right.
///
/// ```
/// use ocelli_data::Ranking;
/// let scores = [0.5, 2.0, f32::NAN, 2.0];
/// assert_eq!(Ranking::Largest.best(&scores), Some(1));
/// assert_eq!(Ranking::Largest.top(&scores, 3), [1, 3, 0]);
/// assert_eq!(Ranking::Smallest.rank(&scores, 3), Some(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// The largest score is the best, as for logits and probabilities.
    #[default]
    Largest,
    /// The smallest score is the best, as for distances.
    Smallest,
}

impl Ranking {
    /// Compares two scores: `Less` if `a` is better. A NaN is `Greater` than any number and equal to another NaN.
    pub fn compare(self, a: f32, b: f32) -> Ordering {
        let numbers = match self {
            Ranking::Largest => b.partial_cmp(&a),
            Ranking::Smallest => a.partial_cmp(&b),
        };
        numbers.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    }

    /// Returns the index of the best score; `None` if there are no scores.
    pub fn best(self, scores: &[f32]) -> Option<usize> {
        // `min_by` returns the first of equals.
        (0..scores.len()).min_by(|&a, &b| self.compare(scores[a], scores[b]))
    }

    /// Returns the indices of the `k` best scores, the best first; all of them if there are fewer.
    pub fn top(self, scores: &[f32], k: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // The sort is stable.
        order.sort_by(|&a, &b| self.compare(scores[a], scores[b]));
        order.truncate(k);
        order
    }

    /// Returns the number of scores that are better than that of `index`; `None` if that is NaN or does not exist.
    pub fn rank(self, scores: &[f32], index: usize) -> Option<usize> {
        let own = *scores.get(index).filter(|own| !own.is_nan())?;
        let is_better = |&(other, score): &(usize, &f32)| self.compare(*score, own).then(other.cmp(&index)).is_lt();
        Some(scores.iter().enumerate().filter(is_better).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_and_ties_go_to_the_lower_index() {
        let scores = [0.5, 0.9, 0.9, 0.1, 0.2, 0.3, 0.0];
        let ranks = |ranking: Ranking| [1, 2, 3, 6].map(|index| ranking.rank(&scores, index));
        assert_eq!(ranks(Ranking::Largest), [Some(0), Some(1), Some(5), Some(6)]);
        assert_eq!(ranks(Ranking::Smallest), [Some(5), Some(6), Some(1), Some(0)]);
        assert_eq!([Ranking::Largest, Ranking::Smallest].map(|ranking| ranking.best(&scores)), [Some(1), Some(6)]);
        assert_eq!(Ranking::Largest.rank(&[-0.0, 0.0], 1), Some(1), "zeros of either sign are equal");
    }

    #[test]
    fn a_score_that_is_nan_comes_last_and_is_never_right() {
        assert_eq!(Ranking::Largest.rank(&[f32::NAN, 0.5], 0), None);
        assert_eq!(Ranking::Largest.rank(&[f32::NAN, 0.5], 1), Some(0));
        assert_eq!(Ranking::Largest.rank(&[0.5, 0.5], 2), None);
        for ranking in [Ranking::Largest, Ranking::Smallest] {
            assert_eq!(ranking.best(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).map(|best| best > 0), Some(true));
            assert_eq!(ranking.top(&[f32::NAN, 1.0, f32::NAN, 1.0], 4), [1, 3, 0, 2]);
        }
        assert_eq!((Ranking::Largest.best(&[]), Ranking::Largest.top(&[], 3)), (None, vec![]));
    }

    #[test]
    fn the_three_answers_agree() {
        let values = [f32::NAN, f32::NEG_INFINITY, -1.0, -0.0, 0.0, 2.0, f32::INFINITY];
        for number in 0..values.len().pow(4) {
            let scores: Vec<f32> =
                (0..4).map(|digit| values[number / values.len().pow(digit) % values.len()]).collect();
            for ranking in [Ranking::Largest, Ranking::Smallest] {
                let top = ranking.top(&scores, 4);
                assert_eq!(ranking.best(&scores), top.first().copied());
                for (rank, &index) in top.iter().enumerate() {
                    let expected = Some(rank).filter(|_| !scores[index].is_nan());
                    assert_eq!(ranking.rank(&scores, index), expected, "{scores:?}");
                }
            }
        }
    }
}
