//! Losses on the distances between all samples of a batch.
//!
//! [`InBatch`] is one operation: the matrix of squared distances is a matrix product inside it, a [`DistanceLoss`] reads
//! the distances and says how the loss depends on each, and the gradient is a second matrix product. No value of the
//! graph has an axis of N·N.

use ocelli_graph::{Compiled, Dim, ElementKind, Fault, Grads, KernelContext, Node, Op, Reach, Request, Shape};
use ocelli_kernels::{
    Accumulate, Epilogue,
    gemm::{Matrix, MatrixMut, Order, gemm, gemm_scratch},
};
use std::{fmt::Debug, sync::Arc};

/// A loss as a function of the squared distances between the samples of a batch.
pub(crate) trait DistanceLoss: Clone + PartialEq + Debug + Send + Sync + 'static {
    /// Name of the loss in messages.
    const NAME: &'static str;

    /// Describes what is wrong with the settings.
    fn mistake(&self) -> Option<String>;

    /// Returns the loss and its statistics for the squared distances `[N, N]`, and writes the derivative of the loss
    /// with respect to each distance, element by element, over the zeros in `slopes` `[N, N]`. `hardness` is 0 unless
    /// the call has an operand for it.
    fn evaluate(&self, distances: &Distances<'_>, labels: &[u32], hardness: f32, slopes: &mut [f32]) -> InBatchValues;
}

/// The squared distances `[N, N]` between the samples of a batch: symmetric, with zeros on the diagonal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distances<'a> {
    squared: &'a [f32],
    samples: usize,
}

impl Distances<'_> {
    /// The squared distance between two samples.
    pub(crate) fn squared(&self, i: usize, j: usize) -> f32 {
        self.squared[i * self.samples + j]
    }
}

/// The results of a loss on the distances of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct InBatchValues {
    pub(crate) loss: f64,
    pub(crate) active: f64,
    pub(crate) positive: f64,
    pub(crate) negative: f64,
}

/// A running mean; that of nothing is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    pub(crate) fn count(self) -> usize {
        self.count
    }

    pub(crate) fn value(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

/// Averages the distances of all pairs of one identity and of all pairs of two.
pub(crate) fn mean_distances(distances: &Distances<'_>, labels: &[u32]) -> (f64, f64) {
    let (mut positive, mut negative) = (Mean::default(), Mean::default());
    for i in 0..labels.len() {
        for j in 0..i {
            let mean = if labels[i] == labels[j] { &mut positive } else { &mut negative };
            mean.add(f64::from(distances.squared(i, j)).sqrt());
        }
    }
    (positive.value(), negative.value())
}

/// The loss and the statistics of one step, as nodes: each a scalar that can be watched under a name.
///
/// [`DistanceStatistics::named`] gives them names, which a metric such as `MeanValue` of `ocelli-train` averages over an epoch.
#[derive(Clone, Debug)]
pub struct DistanceStatistics {
    /// The loss.
    pub loss: Node,
    /// The share of the triplets, or pairs, whose loss is above zero.
    pub active: Node,
    /// The mean Euclidean distance between two samples of one identity; 0 if there are none.
    pub positive: Node,
    /// The mean Euclidean distance between samples of two identities; 0 if there are none.
    pub negative: Node,
}

impl DistanceStatistics {
    /// Names the statistics `active`, `positive_distance` and `negative_distance`, and returns the loss.
    ///
    /// ```
    /// use ocelli_graph::{Batch, Model, Tensor};
    /// use ocelli_losses::{Mining, TripletLoss};
    /// let mut model = Model::build(|x| x.l2_normalised(1e-12), [2], 0)?;
    /// # let mut model = Model::build(|x| x * x.trace().parameter("w", [2], ocelli_graph::Constant(1.0)), [2], 0)?;
    /// let loss = TripletLoss::default().mined(Mining::SemiHard);
    /// let objective = model.objective(|t| loss.statistics(&t.output(), &t.labels("labels")).named())?;
    /// let mut objective = objective.watching(&["active", "positive_distance"])?;
    /// let x = Tensor::from_vec([3, 2], vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0])?;
    /// let batch = Batch::new().with("input", x).with("labels", Tensor::from(vec![5u32, 5, 7]));
    /// let step = objective.step(&mut model, &batch)?;
    /// assert_eq!(step.activation("positive_distance"), Some(&[2f32.sqrt()][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(&self) -> Node {
        self.active.named("active");
        self.positive.named("positive_distance");
        self.negative.named("negative_distance");
        self.loss.clone()
    }

    /// Takes the first four results of a call.
    pub(crate) fn from_results(results: Vec<Node>) -> DistanceStatistics {
        let [loss, active, positive, negative] = std::array::from_fn(|i| results[i].clone());
        DistanceStatistics { loss, active, positive, negative }
    }
}

/// A loss on the distances within a batch. Operands: embeddings `[N, D]`, labels `[N]`, and perhaps the hardness `[1]`.
/// Results: the loss, the three numbers of [`DistanceStatistics`], and the gradient of the loss `[N, D]`, which backward
/// multiplies by the gradient that arrives: forward has the distances and the choice of the triplets, which would have
/// to be computed again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InBatch<L>(pub(crate) L);

/// The gradient of [`InBatch`] and of other losses whose forward pass computes it: operands are that gradient, and the
/// one of the loss `[]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScaledGradient;

impl<L: DistanceLoss> InBatch<L> {
    /// Describes the loss of a batch.
    #[track_caller]
    pub(crate) fn call(&self, operands: &[&Node]) -> DistanceStatistics {
        let op: Arc<dyn Op> = Arc::new(self.clone());
        DistanceStatistics::from_results(operands[0].trace().call(op, operands))
    }
}

/// Checks embeddings `[N, D]` as operand `input`.
pub(crate) fn expect_embeddings(x: &[&Shape], input: usize) -> Result<(), Fault> {
    match x[input].dims() {
        [Dim::Batch(_), Dim::Fixed(_)] => Ok(()),
        _ => Err(Fault::Rank { input, expected: "embeddings [N, features]" }),
    }
}

/// Checks that operand `input` has one label for each sample of the first operand.
pub(crate) fn expect_labels(x: &[&Shape], input: usize) -> Result<(), Fault> {
    match x[input].dims() {
        [samples] if *samples == x[0].dims()[0] => Ok(()),
        _ => Err(Fault::Unequal { left: 0, right: input }),
    }
}

impl<L: DistanceLoss> Op for InBatch<L> {
    fn operands(&self) -> std::ops::RangeInclusive<usize> {
        2..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        if let Some(mistake) = self.0.mistake() {
            return Err(Fault::Setting(mistake));
        }
        expect_embeddings(x, 0)?;
        expect_labels(x, 1)?;
        if x.get(2).is_some_and(|hardness| hardness.dims() != [Dim::Fixed(1)]) {
            return Err(Fault::Rank { input: 2, expected: "a hardness [1]" });
        }
        let scalar = Shape::default;
        Ok(vec![scalar(), scalar(), scalar(), scalar(), x[0].clone()])
    }

    fn outputs(&self) -> usize {
        5
    }

    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }

    fn has_gradient(&self, input: usize) -> bool {
        input == 0
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let [samples, features] = [request.operands[0][0], request.operands[0][1]];
        let matrix = samples.saturating_mul(samples);
        let op = self.clone();
        let kernel = move |k: &mut KernelContext<'_>| {
            let (x, labels) = (k.input(0), k.labels(1));
            let hardness = if k.len() > 2 { k.input(2)[0] } else { 0.0 };
            let ([loss, active, positive, negative, gradient], workspace) = k.outputs_and_workspace();
            let (squared, slopes) = workspace.split_at_mut(matrix);
            squared_distances(x, [samples, features], squared);
            slopes.fill(0.0);
            let values = op.0.evaluate(&Distances { squared, samples }, labels, hardness, slopes);
            loss[0] = values.loss as f32;
            active[0] = values.active as f32;
            positive[0] = values.positive as f32;
            negative[0] = values.negative as f32;
            gradient_of_distances(x, [samples, features], slopes, squared, gradient);
        };
        let products = gemm_scratch([samples, features, samples], Order::RowMajor, Order::ColumnMajor)
            .or(gemm_scratch([samples, samples, features], Order::RowMajor, Order::RowMajor));
        Ok(Compiled::new(kernel).with_workspace(matrix.saturating_mul(2)).with_scratch(products))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let mut gradients = vec![None; g.operands()];
        gradients[0] = g.want(0, || Node::call(ScaledGradient, &[g.y(4), g.dy()]));
        gradients
    }

    fn kind(&self) -> String {
        L::NAME.into()
    }
}

impl Op for ScaledGradient {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let (gradient, upstream) = (k.input(0), k.input(1)[0]);
            k.output(0).iter_mut().zip(gradient).for_each(|(dx, gradient)| *dx = upstream * gradient);
        }))
    }
}

/// Squared distances below this share of the squared norms are summed by their definition: in `‖x‖² + ‖y‖² − 2x·y` the
/// leading digits cancel, and what is left is rounding. Embeddings that are equal have the distance 0.
const CANCELLED: f32 = 1e-2;

/// Computes the squared distances `[N, N]` between the rows of `x` from their products, `x·xᵀ`.
fn squared_distances(x: &[f32], [samples, features]: [usize; 2], squared: &mut [f32]) {
    let rows = Matrix::new(x, samples, features);
    let products = MatrixMut::new(squared, samples, samples);
    gemm(rows, rows.transposed(), products, &Epilogue::of(Accumulate::Set));
    let row = |i: usize| &x[i * features..][..features];
    for i in 0..samples {
        for j in 0..i {
            let norms = squared[i * samples + i] + squared[j * samples + j];
            let mut distance = (norms - 2.0 * squared[i * samples + j]).max(0.0);
            if distance < CANCELLED * norms {
                distance = row(i).iter().zip(row(j)).map(|(x, y)| (x - y) * (x - y)).sum();
            }
            squared[i * samples + j] = distance;
            squared[j * samples + i] = distance;
        }
    }
    (0..samples).for_each(|i| squared[i * samples + i] = 0.0);
}

/// Computes `dx[i] = Σ 2·s[i, j]·(x[i] − x[j])`, where `s` is `slopes` and its transpose added; `symmetric` is written.
fn gradient_of_distances(
    x: &[f32],
    [samples, features]: [usize; 2],
    slopes: &[f32],
    symmetric: &mut [f32],
    dx: &mut [f32],
) {
    for i in 0..samples {
        let mut row_sum = 0.0;
        for j in (0..samples).filter(|j| *j != i) {
            let slope = slopes[i * samples + j] + slopes[j * samples + i];
            symmetric[i * samples + j] = -2.0 * slope;
            row_sum += slope;
        }
        symmetric[i * samples + i] = 2.0 * row_sum;
    }
    let (left, right) = (Matrix::new(symmetric, samples, samples), Matrix::new(x, samples, features));
    gemm(left, right, MatrixMut::new(dx, samples, features), &Epilogue::of(Accumulate::Set));
}
