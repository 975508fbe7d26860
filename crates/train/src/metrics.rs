//! How good the answers are.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Sums over samples from which mean loss and accuracies follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    samples: u64,
    loss: f64,
    top1: u64,
    top5: u64,
}

impl Scores {
    /// Adds a batch: its mean loss, and for each row of `[N, classes]` whether the label is first or among the first five.
    /// Where several classes have the same score, the lower number comes first.
    pub fn add(&mut self, loss: f32, scores: &[f32], labels: &[u32]) {
        self.samples += labels.len() as u64;
        self.loss += f64::from(loss) * labels.len() as f64;
        let classes = scores.len().checked_div(labels.len()).unwrap_or(0);
        for (row, &label) in scores.chunks_exact(classes.max(1)).zip(labels) {
            // A score that is no number is ahead of nothing.
            let Some(&own) = row.get(label as usize).filter(|own| !own.is_nan()) else { continue };
            let before = |(class, score): (usize, &f32)| *score > own || (*score == own && class < label as usize);
            let rank = row.iter().enumerate().filter(|&pair| before(pair)).count();
            self.top1 += u64::from(rank == 0);
            self.top5 += u64::from(rank < 5);
        }
    }

    /// How many samples were added.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many of them were right.
    pub fn correct(&self) -> u64 {
        self.top1
    }

    fn mean(&self, sum: f64) -> f32 {
        (sum / self.samples.max(1) as f64) as f32
    }

    /// The mean loss.
    pub fn loss(&self) -> f32 {
        self.mean(self.loss)
    }

    /// The share of samples whose label has the best score.
    pub fn top1(&self) -> f32 {
        self.mean(self.top1 as f64)
    }

    /// The share of samples whose label is among the five best.
    pub fn top5(&self) -> f32 {
        self.mean(self.top5 as f64)
    }
}

/// How often each class was taken for each: rows are labels, columns answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { classes, counts: vec![0; classes * classes] }
    }

    /// Counts one answer; what is no class is not counted.
    pub fn add(&mut self, label: usize, answer: usize) {
        if label < self.classes && answer < self.classes {
            self.counts[label * self.classes + answer] += 1;
        }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often `label` was taken for `answer`; 0 for what is no class.
    pub fn count(&self, label: usize, answer: usize) -> u64 {
        if answer < self.classes { self.counts.get(label * self.classes + answer).copied().unwrap_or(0) } else { 0 }
    }

    /// How many samples have this label.
    pub fn of_label(&self, label: usize) -> u64 {
        (0..self.classes).map(|answer| self.count(label, answer)).sum()
    }

    /// How many answers were this class.
    pub fn of_answer(&self, answer: usize) -> u64 {
        (0..self.classes).map(|label| self.count(label, answer)).sum()
    }

    /// Of the answers `class`, the share that is right; `None` if there is no such answer.
    pub fn precision(&self, class: usize) -> Option<f32> {
        share(self.count(class, class), self.of_answer(class))
    }

    /// Of the samples of `class`, the share that is found; `None` if there is none.
    pub fn recall(&self, class: usize) -> Option<f32> {
        share(self.count(class, class), self.of_label(class))
    }

    /// The share of right answers.
    pub fn accuracy(&self) -> Option<f32> {
        share((0..self.classes).map(|class| self.count(class, class)).sum(), self.counts.iter().sum())
    }
}

fn share(part: u64, whole: u64) -> Option<f32> {
    (whole > 0).then(|| (part as f64 / whole as f64) as f32)
}

/// A table of counts with precision and recall of each class.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.counts.iter().max().copied().unwrap_or(0).to_string().len().max(4) + 1;
        let percent = |share: Option<f32>| share.map_or("–".to_string(), |share| format!("{:.1} %", 100.0 * share));
        write!(f, "{:>6}", "")?;
        (0..self.classes).try_for_each(|class| write!(f, "{class:>widest$}"))?;
        writeln!(f, "{:>10}{:>10}", "recall", "precision")?;
        for label in 0..self.classes {
            write!(f, "{label:>6}")?;
            (0..self.classes).try_for_each(|answer| match self.count(label, answer) {
                0 => write!(f, "{:>widest$}", "·"),
                count => write!(f, "{count:>widest$}"),
            })?;
            writeln!(f, "{:>10}{:>10}", percent(self.recall(label)), percent(self.precision(label)))?;
        }
        write!(f, "rows: label, columns: answer; {} right", percent(self.accuracy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_and_ties_go_to_the_lower_class() {
        let mut scores = Scores::default();
        let row = [0.5, 0.9, 0.9, 0.1, 0.2, 0.3, 0.0];
        scores.add(1.0, &row.repeat(4), &[1, 2, 3, 6]);
        assert_eq!((scores.samples(), scores.correct()), (4, 1));
        assert_eq!((scores.top1(), scores.top5()), (0.25, 0.5));
        scores.add(3.0, &row, &[1]);
        assert!((scores.loss() - 7.0 / 5.0).abs() < 1e-6);
        assert_eq!(Scores::default().loss(), 0.0);
    }

    #[test]
    fn a_score_that_is_no_number_is_not_right() {
        let mut scores = Scores::default();
        scores.add(0.0, &[f32::NAN, f32::NAN, 0.5, f32::NAN], &[1, 0]);
        assert_eq!((scores.samples(), scores.correct()), (2, 1));
    }

    #[test]
    fn precision_and_recall() {
        let mut matrix = ConfusionMatrix::new(3);
        for (label, answer) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (9, 1)] {
            matrix.add(label, answer);
        }
        assert_eq!(matrix.recall(0), Some(2.0 / 3.0));
        assert_eq!(matrix.precision(0), Some(2.0 / 3.0));
        assert_eq!(matrix.recall(1), Some(0.5));
        assert_eq!((matrix.recall(2), matrix.precision(2)), (None, None));
        assert_eq!(matrix.accuracy(), Some(0.6));
        let text = matrix.to_string();
        assert!(text.lines().count() == 5 && text.contains("66.7 %") && text.ends_with("60.0 % right"), "{text}");
    }
}
