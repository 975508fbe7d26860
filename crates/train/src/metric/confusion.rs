//! The confusion matrix of a classifier.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The confusion matrix of a classifier: rows are labels, columns predictions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Creates a matrix of zeros.
    pub fn new(classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { classes, counts: vec![0; classes * classes] }
    }

    /// Counts one sample. A label or prediction that is none of the classes is not counted.
    pub fn add(&mut self, label: usize, prediction: usize) {
        if label < self.classes && prediction < self.classes {
            self.counts[label * self.classes + prediction] += 1;
        }
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Returns how many samples of class `label` were predicted as `prediction`; 0 if one of them is no class.
    pub fn count(&self, label: usize, prediction: usize) -> u64 {
        if prediction < self.classes {
            self.counts.get(label * self.classes + prediction).copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Returns all counts, one row of predictions after the other.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the number of samples.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the number of samples that were predicted right.
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// Returns the number of samples with this label.
    pub fn label_count(&self, label: usize) -> u64 {
        (0..self.classes).map(|prediction| self.count(label, prediction)).sum()
    }

    /// Returns the number of samples that were predicted as this class.
    pub fn prediction_count(&self, prediction: usize) -> u64 {
        (0..self.classes).map(|label| self.count(label, prediction)).sum()
    }

    /// Returns the precision of a class: the share of right ones among its predictions, or `None` if there are none.
    pub fn precision(&self, class: usize) -> Option<f32> {
        share(self.count(class, class), self.prediction_count(class))
    }

    /// Returns the recall of a class: the share of its samples that were predicted right, or `None` if it has none.
    pub fn recall(&self, class: usize) -> Option<f32> {
        share(self.count(class, class), self.label_count(class))
    }

    /// Returns the share of samples that were predicted right, or `None` if there are no samples.
    pub fn accuracy(&self) -> Option<f32> {
        share(self.correct(), self.samples())
    }
}

fn share(part: u64, whole: u64) -> Option<f32> {
    (whole > 0).then(|| (part as f64 / whole as f64) as f32)
}

/// Shows a table of counts with recall and precision of each class.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a row of class numbers above the columns
        let widest = self.counts.iter().max().copied().unwrap_or(0).to_string().len().max(4) + 1;
        let percent = |share: Option<f32>| share.map_or("–".to_string(), |share| format!("{:.1} %", 100.0 * share));
        write!(f, "{:>6}", "")?;
        (0..self.classes).try_for_each(|class| write!(f, "{class:>widest$}"))?;
        writeln!(f, "{:>10}{:>10}", "recall", "precision")?;
        // the counts of each label, then its shares
        for label in 0..self.classes {
            write!(f, "{label:>6}")?;
            (0..self.classes).try_for_each(|prediction| match self.count(label, prediction) {
                0 => write!(f, "{:>widest$}", "·"),
                count => write!(f, "{count:>widest$}"),
            })?;
            writeln!(f, "{:>10}{:>10}", percent(self.recall(label)), percent(self.precision(label)))?;
        }
        write!(f, "rows: label, columns: prediction; {} right", percent(self.accuracy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
