//! The mean intersection over union of a segmentation.

use super::{LabelledScores, Metric, Sums, labelled_scores};
use crate::Result;
use ocelli_data::Ranking;
use ocelli_graph::{Batch, Step};

/// The mean over classes of intersection over union: of the pixels that a class has in truth or prediction, the share that it has
/// in both (Everingham et al. 2010, section 4.1.3). Classes that neither has are left out.
///
/// It compares `output`, one score for each class (`[N, …, classes]`), with as many `labels` (`[N, …]`).
///
/// ```
/// use ocelli_train::{MeanIou, Metric};
/// assert_eq!(MeanIou::new().name(), "mean_iou");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeanIou {
    output: String,
    labels: String,
}

impl MeanIou {
    /// Creates the metric `mean_iou`.
    pub fn new() -> MeanIou {
        MeanIou { output: "output".into(), labels: "labels".into() }
    }

    /// Sets the activation that holds the scores; `output` by default.
    pub fn output(self, name: impl Into<String>) -> MeanIou {
        MeanIou { output: name.into(), ..self }
    }

    /// Sets the input that holds the labels; `labels` by default.
    pub fn labels(self, name: impl Into<String>) -> MeanIou {
        MeanIou { labels: name.into(), ..self }
    }
}

impl Default for MeanIou {
    fn default() -> MeanIou {
        MeanIou::new()
    }
}

/// The sums of a class: pixels that it has in both, and in truth or prediction.
const fn places(class: usize) -> [usize; 2] {
    [2 * class, 2 * class + 1]
}

impl Metric for MeanIou {
    fn name(&self) -> &str {
        "mean_iou"
    }

    fn activations(&self) -> Vec<&str> {
        vec![&self.output]
    }

    fn update(&self, sums: &mut Sums, step: &Step<'_>, batch: &Batch) -> Result<()> {
        let LabelledScores { scores, labels, classes } = labelled_scores(step, batch, &self.output, &self.labels)?;
        for (scores, &label) in scores.chunks_exact(classes).zip(&*labels) {
            let (label, predicted) = (label as usize, Ranking::Largest.best(scores));
            let [both, either] = places(label);
            sums.add(either, 1.0);
            match predicted {
                Some(predicted) if predicted == label => sums.add(both, 1.0),
                Some(predicted) => sums.add(places(predicted)[1], 1.0),
                None => {}
            }
        }
        Ok(())
    }

    fn value(&self, sums: &Sums) -> f64 {
        let classes = 0..sums.as_slice().len().div_ceil(2);
        let shares =
            classes.map(|class| places(class).map(|place| sums.get(place))).filter(|[_, either]| *either > 0.0);
        let shares: Vec<f64> = shares.map(|[both, either]| both / either).collect();
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }

    fn format(&self, value: f64) -> String {
        format!("{:.2} %", 100.0 * value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{Mode, Model, Tensor, Wrt};

    /// An image of four pixels: class 0 is right once, class 1 twice; class 2 is nowhere.
    #[test]
    fn classes_that_are_nowhere_do_not_count() {
        let model = Model::build(|x| x.scale(1.0), [2, 2, 3], 0).unwrap();
        let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&[]), |t| t.output().mean()).unwrap();
        objective = objective.watching(&["output"]).unwrap();
        let predicted =
            [0, 1, 1, 1].map(|class| std::array::from_fn::<f32, 3, _>(|i| if i == class { 1.0 } else { 0.0 }));
        let input = Tensor::from_vec([1, 2, 2, 3], predicted.concat()).unwrap();
        let labels = Tensor::from_vec([1, 2, 2], vec![0u32, 0, 1, 1]).unwrap();
        let batch = Batch::new().with("input", input).with("labels", labels);
        let mut sums = Sums::default();
        let step = objective.evaluate(&model, &batch).unwrap();
        MeanIou::new().update(&mut sums, &step, &batch).unwrap();
        assert_eq!(MeanIou::new().value(&sums), (1.0 / 2.0 + 2.0 / 3.0) / 2.0);
        assert_eq!(MeanIou::new().value(&Sums::default()), 0.0);
    }
}
