//! Softmax with cross-entropy on integer labels.

use ocelli_graph::{Compiled, Dim, ElementKind, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::softmax::{self, LabelError, cross_entropy_backward, cross_entropy_forward};
use std::sync::Arc;

/// Computes the mean over the batch of `−Σ q[c]·log softmax(x)[c]`, where `q` is 1 at the label and 0 elsewhere.
///
/// # Shapes
/// `[N, classes]` and labels `[N]` → `[]`.
///
/// # Errors
/// A label that is not below the number of classes, when run.
#[track_caller]
pub fn softmax_cross_entropy(logits: &Node, labels: &Node) -> Node {
    CrossEntropy::new().loss(logits, labels)
}

/// Softmax cross-entropy with label smoothing and class weights; see [`softmax_cross_entropy`].
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_losses::CrossEntropy;
/// let model = Model::build(|x| x.relu(), [3], 0)?;
/// let loss = CrossEntropy::new().label_smoothing(0.1).class_weights([1.0, 2.0, 0.5]);
/// model.objective(|t| loss.loss(&t.output(), &t.labels("labels")))?;
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CrossEntropy {
    smoothing: f32,
    class_weights: Option<Arc<[f32]>>,
}

impl CrossEntropy {
    /// Makes a loss without smoothing, with the same weight for every class.
    pub fn new() -> CrossEntropy {
        CrossEntropy::default()
    }

    /// Smooths labels: gives the label `1 − smoothing` and shares the rest among all classes (Szegedy et al. 2016,
    /// section 7).
    pub fn label_smoothing(mut self, smoothing: f32) -> CrossEntropy {
        self.smoothing = smoothing;
        self
    }

    /// Weighs each sample by the weight of its class; the mean is the weighted one. A batch in which every label has the
    /// weight 0 is an error when it is run.
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> CrossEntropy {
        self.class_weights = Some(weights.into().into());
        self
    }

    /// Returns the share of each label that all classes have in common, set by
    /// [`label_smoothing`](CrossEntropy::label_smoothing); 0 by default.
    pub fn smoothing(&self) -> f32 {
        self.smoothing
    }

    /// Returns the weight of each class, if [`class_weights`](CrossEntropy::class_weights) set them.
    pub fn weights(&self) -> Option<&[f32]> {
        self.class_weights.as_deref()
    }

    /// Settings of the kernels, over `[N, classes]`.
    fn settings(&self, shape: &[usize]) -> softmax::CrossEntropy<'_> {
        softmax::CrossEntropy { classes: shape[1], class_weights: self.weights(), smoothing: self.smoothing }
    }

    /// Refuses labels that all have the weight 0: their mean is 0 / 0.
    fn check_weights(&self, labels: &[u32]) -> Result<(), Fault> {
        let Some(weights) = self.weights() else { return Ok(()) };
        if labels.iter().any(|&label| weights[label as usize] > 0.0) {
            return Ok(());
        }
        Err(Fault::Data(
            "every label of the batch is of a class with weight 0: there is nothing to take the mean of".into(),
        ))
    }

    /// Computes the loss as a node: `[N, classes]` and labels `[N]` → `[]`.
    #[track_caller]
    pub fn loss(&self, logits: &Node, labels: &Node) -> Node {
        let op: Arc<dyn Op> = Arc::new(CrossEntropyOp(self.clone()));
        logits.trace().call(op, &[logits, labels]).swap_remove(0)
    }
}

/// Describes a label that is no class, in the sentence of every loss on labels.
pub(crate) fn wrong_label(LabelError { row, label, classes }: LabelError) -> Fault {
    Fault::Data(format!("label {label} of sample {row} is not below the {classes} classes"))
}

/// The operation of [`CrossEntropy`]. Results: the loss, and the probabilities, which are all that backward needs.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropyOp(
    /// The loss with its settings.
    pub CrossEntropy,
);

/// The gradient of [`CrossEntropyOp`]. Operands: probabilities, labels, the gradient of the loss.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CrossEntropyBackward(
    /// The loss with its settings.
    pub CrossEntropy,
);

/// Checks operands `[N, classes]` with labels `[N]`, and returns the number of classes.
pub(crate) fn expect_classes_and_labels(x: &[&Shape]) -> Result<usize, Fault> {
    if x[0].rank() != 2 {
        return Err(Fault::Rank { input: 0, expected: "[N, classes]" });
    }
    if x[1].rank() != 1 || x[0].dims()[0] != x[1].dims()[0] {
        return Err(Fault::Unequal { left: 0, right: 1 });
    }
    match x[0].dims()[1] {
        Dim::Fixed(classes) if classes > 0 => Ok(classes),
        other => Err(Fault::Setting(format!("{other} classes"))),
    }
}

impl Op for CrossEntropyOp {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let classes = expect_classes_and_labels(x)?;
        let CrossEntropy { smoothing, class_weights: weights } = &self.0;
        if !(0.0..=1.0).contains(smoothing) {
            return Err(Fault::Setting(format!("the label smoothing {smoothing} is not in [0, 1]")));
        }
        if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != classes) {
            return Err(Fault::Setting(format!("{} class weights for {classes} classes", weights.len())));
        }
        if let Some(weight) = weights.iter().flat_map(|weights| weights.iter()).find(|w| !(**w >= 0.0 && w.is_finite()))
        {
            return Err(Fault::Setting(format!("a class weight of {weight}")));
        }
        Ok(vec![Shape::default(), x[0].clone()])
    }

    fn outputs(&self) -> usize {
        2
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::fallible(move |k| {
            let (x, labels, settings) = (k.input(0), k.labels(1), op.0.settings(k.shape(0)));
            let [loss, probabilities] = k.outputs();
            loss[0] = cross_entropy_forward(settings, x, labels, probabilities).map_err(wrong_label)?;
            op.0.check_weights(labels)
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let backward = || CrossEntropyBackward(self.0.clone());
        vec![g.want(0, || Node::call(backward(), &[g.y(1), g.x(1), g.dy()])), None]
    }

    fn kind(&self) -> String {
        "SoftmaxCrossEntropy".into()
    }
}

impl Op for CrossEntropyBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let (probabilities, labels, upstream) = (k.input(0), k.labels(1), k.input(2)[0]);
            let settings = op.0.settings(k.shape(0));
            cross_entropy_backward(settings, probabilities, labels, upstream, k.output(0));
        }))
    }
}
