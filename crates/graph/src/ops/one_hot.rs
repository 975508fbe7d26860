//! One-hot encoding of labels.

use crate::{Compiled, Dim, ElementKind, Fault, Node, Op, Request, Shape};
use ocelli_tensor::element_count;
use std::ops::RangeInclusive;

/// One-hot encoding: 1 at the label and 0 elsewhere. Labels have no gradient.
///
/// # Shapes
/// Labels `[N]` → `[N, classes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneHot {
    /// Number of classes.
    pub classes: usize,
}

impl Op for OneHot {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        super::expect_rank(x, 0, 1, "labels [N]")?;
        let classes = self.classes;
        if classes == 0 || element_count(&[x[0].dims()[0].at(1), classes]).is_none() {
            return Err(Fault::Setting(format!("a label cannot be one of {classes} classes")));
        }
        Ok(vec![Shape::new([x[0].dims()[0], Dim::Fixed(classes)])])
    }

    fn operand_kind(&self, _: usize) -> ElementKind {
        ElementKind::U32
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::fallible(move |k| {
            let (labels, classes) = (k.labels(0), op.classes);
            if let Some(row) = labels.iter().position(|&label| label as usize >= classes) {
                let label = labels[row];
                return Err(Fault::Data(format!("label {label} of sample {row} is not below the {classes} classes")));
            }
            let y = k.output(0);
            y.fill(0.0);
            y.chunks_exact_mut(classes).zip(labels).for_each(|(y, &label)| y[label as usize] = 1.0);
            Ok(())
        }))
    }

    fn has_gradient(&self, _: usize) -> bool {
        false
    }
}

impl Node {
    /// Encodes labels as rows of zeros with a one at the label (one-hot): `[N]` → `[N, classes]`.
    ///
    /// # Errors
    /// A label that is not below the number of classes, when run.
    ///
    /// ```
    /// use ocelli_graph::{Batch, Model, Tensor};
    /// let model = Model::trace(0, |t| t.labels("labels").one_hot(3))?;
    /// let labels = |labels: Vec<u32>| Batch::new().with("labels", Tensor::from(labels));
    /// assert_eq!(model.run(&labels(vec![2, 0]), &["output"])?[0].data(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// let error = model.run(&labels(vec![2, 3]), &["output"]).unwrap_err();
    /// assert_eq!(error.to_string(), "(OneHot): label 3 of sample 1 is not below the 3 classes");
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Node {
        Node::call(OneHot { classes }, &[self])
    }
}
