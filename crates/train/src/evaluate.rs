//! Loss and accuracy without learning.

use crate::{BatchSource, ConfusionMatrix, Result, Scores};
use ocelli_graph::{Mode, Model, Node, Objective, Trace, Wrt};
use ocelli_tensor::Batch;
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

/// Runs `objective`, which watches `output`, over every batch.
pub(crate) fn evaluate_with(
    model: &Model,
    objective: &mut Objective,
    source: &(impl BatchSource + ?Sized),
    prediction: Prediction,
    mut each: impl FnMut(&Batch, &[f32]),
) -> Result<Scores> {
    let mut scores = Scores::default();
    for batch in source.epoch_from(0, 0) {
        let batch = batch?;
        let step = objective.evaluate(model, &batch)?;
        let output = prediction.oriented(step.activation("output").unwrap_or(&[]));
        scores.add(step.loss(), &output, batch.labels("labels")?.data());
        each(&batch, &output);
    }
    Ok(scores)
}

/// Loss, accuracies, confusion matrix and answers of a model whose `output` is `[N, classes]`, over batches with `labels`.
///
/// # Errors
/// Whatever data or model refuse.
pub fn evaluate(
    model: &Model,
    loss: impl FnOnce(&Trace) -> Node,
    source: &(impl BatchSource + ?Sized),
    prediction: Prediction,
) -> Result<Evaluation> {
    let mut objective = validation_objective(model, loss)?;
    let mut confusion: Option<ConfusionMatrix> = None;
    let mut answers = Vec::new();
    let scores = evaluate_with(model, &mut objective, source, prediction, |batch, output| {
        let Ok(labels) = batch.labels("labels") else { return };
        let classes = output.len().checked_div(labels.len()).unwrap_or(0);
        let confusion = confusion.get_or_insert_with(|| ConfusionMatrix::new(classes));
        for (row, &label) in output.chunks_exact(classes.max(1)).zip(labels.data()) {
            let answer = row.iter().enumerate().fold(0, |best, (i, score)| if *score > row[best] { i } else { best });
            confusion.add(label as usize, answer);
            answers.push(answer as u32);
        }
    })?;
    let confusion = confusion.unwrap_or_else(|| ConfusionMatrix::new(0));
    Ok(Evaluation { scores, confusion, answers })
}
