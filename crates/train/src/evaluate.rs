//! Evaluation: metrics over batches, without learning from them.

use crate::{
    BatchSource, ConfusionMatrix, Error, Metric, MetricValues, Result,
    metric::{LabelledScores, Measurement, MetricList, labelled_scores},
};
use ocelli_data::Ranking;
use ocelli_graph::{Mode, Model, Node, Objective, Step, Trace, Wrt};
use ocelli_tensor::Batch;
use serde::{Deserialize, Serialize};

/// Describes the loss in inference mode, without gradients, and watches what the metrics read.
pub(crate) fn validation_objective(
    model: &Model,
    loss: impl FnOnce(&Trace) -> Node,
    activations: &[&str],
) -> Result<Objective> {
    Ok(model.objective_of(Mode::Infer, Wrt::Values(&[]), loss)?.watching(activations)?)
}

/// Measures the metrics over every batch and calls `each` beside; errors name the batch.
pub(crate) fn evaluate_with(
    model: &Model,
    objective: &mut Objective,
    source: &(impl BatchSource + ?Sized),
    metrics: &MetricList<'_>,
    mut each: impl FnMut(&Step<'_>, &Batch) -> Result<()>,
) -> Result<MetricValues> {
    let mut measurement = Measurement::default();
    let mut evaluate = |batch: Result<Batch>| {
        let batch = batch?;
        let step = objective.evaluate(model, &batch)?;
        measurement.update(metrics, &step, &batch)?;
        each(&step, &batch)
    };
    for (number, batch) in source.epoch_from(0, 0).enumerate() {
        evaluate(batch).map_err(|error: Error| error.at(|| format!("evaluation, batch {}", number + 1)))?;
    }
    Ok(measurement.values(metrics))
}

fn refuse_no_batches(source: &(impl BatchSource + ?Sized)) -> Result<()> {
    match source.batches() {
        0 => Err(Error::Setting("there are no batches to evaluate".into())),
        _ => Ok(()),
    }
}

/// Computes the loss and other metrics of a model in inference mode.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let network = |x: &ocelli_graph::Node| x * x.trace().parameter("w", [2], Constant(1.0));
/// # let x = Tensor::from_vec([2, 2], vec![1.0, 0.0, 1.0, 0.0])?;
/// # let batches = vec![Batch::new().with("input", x).with("labels", Tensor::from(vec![0u32, 1]))];
/// # let loss = |t: &ocelli_graph::Trace| t.output().square().mean();
/// use ocelli_train::{Accuracy, evaluate};
/// let model = Model::build(network, [2], 42)?;
/// let values = evaluate(&model, loss, &batches, &[&Accuracy::new()])?;
/// assert_eq!((values.loss(), values.get("accuracy")), (0.5, Some(0.5)));
/// # Ok::<(), ocelli_train::Error>(())
/// ```
///
/// # Errors
/// The error of data, model or metric with its batch; [`Error::Setting`] if there are no batches, or metrics with one name.
pub fn evaluate(
    model: &Model,
    loss: impl FnOnce(&Trace) -> Node,
    source: &(impl BatchSource + ?Sized),
    metrics: &[&dyn Metric],
) -> Result<MetricValues> {
    refuse_no_batches(source)?;
    let metrics = MetricList::new(metrics.iter().copied())?;
    let mut objective = validation_objective(model, loss, &metrics.activations())?;
    evaluate_with(model, &mut objective, source, &metrics, |_, _| Ok(()))
}

/// The evaluation of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The mean loss.
    pub loss: f64,
    /// The confusion matrix over all samples, which counts the right ones too.
    pub confusion: ConfusionMatrix,
    /// The predicted class of every label's sample, in order.
    pub predictions: Vec<u32>,
}

/// Computes loss, confusion matrix and predictions of a classifier, whose `output` is `[N, classes]`, over batches with
/// `labels`.
///
/// # Errors
/// As [`evaluate`]; [`Error::Data`] with its batch if labels do not fit the scores.
pub fn evaluate_classifier(
    model: &Model,
    loss: impl FnOnce(&Trace) -> Node,
    source: &(impl BatchSource + ?Sized),
    ranking: Ranking,
) -> Result<Evaluation> {
    refuse_no_batches(source)?;
    let metrics = MetricList::new([])?;
    let mut objective = validation_objective(model, loss, &["output"])?;
    let mut confusion = ConfusionMatrix::new(0);
    let mut predictions = Vec::new();
    let values = evaluate_with(model, &mut objective, source, &metrics, |step, batch| {
        let LabelledScores { scores, labels, classes } = labelled_scores(step, batch, "output", "labels")?;
        if predictions.is_empty() {
            confusion = ConfusionMatrix::new(classes);
        }
        for (row, &label) in scores.chunks_exact(classes).zip(&*labels) {
            let class = ranking.best(row).unwrap_or(0);
            confusion.add(label as usize, class);
            predictions.push(class as u32);
        }
        Ok(())
    })?;
    Ok(Evaluation { loss: values.loss(), confusion, predictions })
}
