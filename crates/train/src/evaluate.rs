//! Loss and accuracy without learning.

use crate::{BatchSource, ConfusionMatrix, Error, Result, Scores};
use ocelli_graph::{Mode, Model, Node, Objective, Step, Trace, Wrt};
use ocelli_tensor::{Batch, ShapeText};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Which score is the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prediction {
    /// The largest: logits and probabilities.
    #[default]
    Largest,
    /// The smallest: distances.
    Smallest,
}

impl Prediction {
    /// Scores of which the largest is the answer.
    pub(crate) fn oriented(self, scores: &[f32]) -> Cow<'_, [f32]> {
        match self {
            Prediction::Largest => Cow::Borrowed(scores),
            Prediction::Smallest => Cow::Owned(scores.iter().map(|score| -score).collect()),
        }
    }
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Loss and accuracies.
    pub scores: Scores,
    /// What was taken for what.
    pub confusion: ConfusionMatrix,
    /// The answer for every sample, in order.
    pub answers: Vec<u32>,
}

/// The loss and the output, in inference mode and without gradients.
pub(crate) fn validation_objective(model: &Model, loss: impl FnOnce(&Trace) -> Node) -> Result<Objective> {
    Ok(model.objective_of(Mode::Infer, Wrt::Values(&[]), loss)?.watching(&["output"])?)
}

/// The labels of a batch, checked against the output of its step: one for each row of scores, below the number of classes.
/// An output of one score for each sample has no classes.
pub(crate) fn labels_of<'b>(batch: &'b Batch, step: &Step<'_>) -> Result<&'b [u32]> {
    let labels = batch.labels("labels")?;
    let (samples, scores) = (step.batch(), step.activation("output").map_or(0, <[f32]>::len));
    if labels.shape().first() != Some(&samples) || !scores.is_multiple_of(labels.len()) {
        let shape = ShapeText(labels.shape());
        return Err(Error::Data(format!("labels of the shape {shape} for {samples} samples with {scores} scores")));
    }
    let classes = scores.checked_div(labels.len()).unwrap_or(0);
    match labels.data().iter().position(|label| *label as usize >= classes) {
        Some(at) if classes > 1 => {
            let (label, sample) = (labels.data()[at], at / (labels.len() / samples));
            Err(Error::Data(format!("label {label} of sample {sample} is not below the {classes} classes")))
        }
        _ => Ok(labels.data()),
    }
}

/// Runs `objective`, which watches `output`, over every batch; errors name the batch.
pub(crate) fn evaluate_with(
    model: &Model,
    objective: &mut Objective,
    source: &(impl BatchSource + ?Sized),
    prediction: Prediction,
    mut each: impl FnMut(&[u32], &[f32]),
) -> Result<Scores> {
    let mut scores = Scores::default();
    let mut evaluate = |batch: Result<Batch>| {
        let batch = batch?;
        let step = objective.evaluate(model, &batch)?;
        let (labels, output) = (labels_of(&batch, &step)?, step.activation("output").unwrap_or(&[]));
        let output = prediction.oriented(output);
        scores.add(step.loss(), &output, labels);
        each(labels, &output);
        Ok(())
    };
    for (number, batch) in source.epoch_from(0, 0).enumerate() {
        evaluate(batch).map_err(|error: Error| error.at(|| format!("evaluation, batch {}", number + 1)))?;
    }
    Ok(scores)
}

/// Loss, accuracies, confusion matrix and answers of a model whose `output` is `[N, classes]`, over batches with `labels`.
///
/// # Errors
/// Whatever data or model refuse, with the batch; [`Error::Setting`] if there are no batches.
pub fn evaluate(
    model: &Model,
    loss: impl FnOnce(&Trace) -> Node,
    source: &(impl BatchSource + ?Sized),
    prediction: Prediction,
) -> Result<Evaluation> {
    if source.batches() == 0 {
        return Err(Error::Setting("there are no batches to evaluate".into()));
    }
    let mut objective = validation_objective(model, loss)?;
    let mut confusion: Option<ConfusionMatrix> = None;
    let mut answers = Vec::new();
    let scores = evaluate_with(model, &mut objective, source, prediction, |labels, output| {
        let classes = output.len().checked_div(labels.len()).unwrap_or(0);
        let confusion = confusion.get_or_insert_with(|| ConfusionMatrix::new(classes));
        for (row, &label) in output.chunks_exact(classes.max(1)).zip(labels) {
            let answer = row.iter().enumerate().fold(0, |best, (i, score)| if *score > row[best] { i } else { best });
            confusion.add(label as usize, answer);
            answers.push(answer as u32);
        }
    })?;
    let confusion = confusion.unwrap_or_else(|| ConfusionMatrix::new(0));
    Ok(Evaluation { scores, confusion, answers })
}
