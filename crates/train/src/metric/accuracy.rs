//! Accuracy of a classifier, and the scores and labels that it is computed from.

use super::{Metric, Sums};
use crate::{Error, Result};
use ocelli_data::Ranking;
use ocelli_graph::{Batch, Step};
use ocelli_tensor::ShapeText;
use std::borrow::Cow;

/// The share of samples whose label is among the classes with the best scores.
///
/// It compares `output`, one score for each class (`[N, classes]`, or `[N, …, classes]` with as many labels), with `labels`.
/// Of classes with equal scores the lower number comes first.
///
/// ```
/// use ocelli_train::{Accuracy, Metric};
/// assert_eq!(Accuracy::new().name(), "accuracy");
/// assert_eq!(Accuracy::top(5).name(), "top5");
/// // A second head of the network with labels of its own.
/// let colour = Accuracy::new().output("colour").labels("colours").named("colour_accuracy");
/// assert_eq!(colour.activations(), ["colour"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accuracy {
    name: String,
    count: usize,
    ranking: Ranking,
    output: String,
    labels: String,
}

impl Accuracy {
    /// Creates the metric `accuracy`: the share of samples whose label has the best score.
    pub fn new() -> Accuracy {
        Accuracy::top(1).named("accuracy")
    }

    /// Creates the metric `top5` for a `count` of 5: the share of samples whose label is among the five best scores.
    pub fn top(count: usize) -> Accuracy {
        Accuracy {
            name: format!("top{count}"),
            count,
            ranking: Ranking::default(),
            output: "output".into(),
            labels: "labels".into(),
        }
    }

    /// Sets which scores are the best; [`Ranking::Largest`] by default.
    pub fn ranking(self, ranking: Ranking) -> Accuracy {
        Accuracy { ranking, ..self }
    }

    /// Sets the activation that holds the scores; `output` by default.
    pub fn output(self, name: impl Into<String>) -> Accuracy {
        Accuracy { output: name.into(), ..self }
    }

    /// Sets the input that holds the labels; `labels` by default.
    pub fn labels(self, name: impl Into<String>) -> Accuracy {
        Accuracy { labels: name.into(), ..self }
    }

    /// Sets the name of the metric.
    pub fn named(self, name: impl Into<String>) -> Accuracy {
        Accuracy { name: name.into(), ..self }
    }
}

impl Default for Accuracy {
    fn default() -> Accuracy {
        Accuracy::new()
    }
}

impl Metric for Accuracy {
    fn name(&self) -> &str {
        &self.name
    }

    fn activations(&self) -> Vec<&str> {
        vec![&self.output]
    }

    fn update(&self, sums: &mut Sums, step: &Step<'_>, batch: &Batch) -> Result<()> {
        let LabelledScores { scores, labels, classes } = labelled_scores(step, batch, &self.output, &self.labels)?;
        let ranks = scores.chunks_exact(classes).zip(&*labels);
        let ranks = ranks.filter_map(|(row, label)| self.ranking.rank(row, *label as usize));
        let right = ranks.filter(|rank| *rank < self.count).count();
        sums.add(0, right as f64);
        sums.add(1, labels.len() as f64);
        Ok(())
    }

    fn value(&self, sums: &Sums) -> f64 {
        sums.mean()
    }

    fn format(&self, value: f64) -> String {
        format!("{:.2} %", 100.0 * value)
    }
}

/// Scores with as many labels as there are rows of `classes` scores.
pub(crate) struct LabelledScores<'s> {
    pub(crate) scores: &'s [f32],
    pub(crate) labels: Cow<'s, [u32]>,
    /// At least 2.
    pub(crate) classes: usize,
}

/// Returns the scores and the labels of a batch, checked against each other: one label for each row of scores, below the
/// number of classes. The label of a sample whose labels are shares of the classes, `[N, classes]`, is the class with the largest.
///
/// # Errors
/// [`Error::Data`] for labels that do not fit the scores, [`Error::Setting`] for an output of one class.
pub(crate) fn labelled_scores<'s>(
    step: &Step<'s>,
    batch: &'s Batch,
    output: &str,
    labels: &str,
) -> Result<LabelledScores<'s>> {
    let (samples, scores) = (step.batch(), step.activation(output).unwrap_or(&[]));
    if let Ok(shares) = batch.tensor(labels) {
        let classes = scores.len().checked_div(samples).unwrap_or(0);
        if shares.shape() != [samples, classes] || classes < 2 {
            let (shape, scores) = (ShapeText(shares.shape()), scores.len());
            return Err(Error::Data(format!("shares of the shape {shape} for {samples} samples with {scores} scores")));
        }
        let best = |row: &[f32]| Ranking::Largest.best(row).unwrap_or(0) as u32;
        return Ok(LabelledScores { scores, labels: shares.data().chunks_exact(classes).map(best).collect(), classes });
    }
    let labels = batch.labels(labels)?;
    if labels.shape().first() != Some(&samples) || !scores.len().is_multiple_of(labels.len()) {
        let (shape, scores) = (ShapeText(labels.shape()), scores.len());
        return Err(Error::Data(format!("labels of the shape {shape} for {samples} samples with {scores} scores")));
    }
    let classes = scores.len().checked_div(labels.len()).unwrap_or(0);
    if classes < 2 {
        let reason = "has one score for each label: an accuracy ranks the scores of two or more classes";
        return Err(Error::Setting(format!("the value \"{output}\" {reason}")));
    }
    if let Some(at) = labels.data().iter().position(|label| *label as usize >= classes) {
        let (label, sample) = (labels.data()[at], at / (labels.len() / samples));
        return Err(Error::Data(format!("label {label} of sample {sample} is not below the {classes} classes")));
    }
    Ok(LabelledScores { scores, labels: labels.data().into(), classes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use ocelli_graph::{Model, Node, Tensor, Trace};

    /// Whatever the form of the labels, the accuracy is the same; shares that do not fit are named.
    #[test]
    fn labels_may_be_shares_of_the_classes() {
        let model = Model::build(|x: &Node| x.relu(), [3], 0).unwrap();
        let scores = Tensor::from_vec([2, 3], vec![1.0, 5.0, 2.0, 0.0, 1.0, 4.0]).unwrap();
        let batch = |shares: Tensor| vec![Batch::new().with("input", scores.clone()).with("labels", shares)];
        let loss =
            |classes: usize| move |t: &Trace| t.output().square().mean() + t.input("labels", [classes]).square().mean();
        let shares = Tensor::from_vec([2, 3], vec![0.2, 0.7, 0.1, 0.6, 0.0, 0.4]).unwrap();
        let measured = |shares: Tensor, classes| {
            let values = evaluate(&model, loss(classes), &batch(shares), &[&Accuracy::new()])?;
            Ok::<_, Error>(values.get("accuracy"))
        };
        assert_eq!(measured(shares, 3).unwrap(), Some(0.5));
        let error = measured(Tensor::zeros([2, 4]), 4).unwrap_err().to_string();
        assert!(error.ends_with("shares of the shape [2, 4] for 2 samples with 6 scores"), "{error}");
    }
}
