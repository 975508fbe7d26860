//! Batch normalisation, alone or fused with the operations after it.

use crate::{Axis, Compiled, Dim, Fault, Grads, Mode, Node, Op, Request, Scratch, Shape, ops::ActivationBackward};
use ocelli_kernels::Activation;
use ocelli_kernels::batch_norm::{
    self, BatchNorm, Through, batch_norm_add_backward_parameters, batch_norm_add_forward, batch_norm_backward_data,
    batch_norm_backward_parameters, batch_norm_forward, batch_norm_statistics,
};
use ocelli_kernels::elementwise::{Source, Unary, unary_backward};
use std::{ops::RangeInclusive, sync::Arc};

/// Normalises each channel: `y = w (x − μ) / √(σ² + ε) + b` (Ioffe and Szegedy 2015).
///
/// In training, `μ` and `σ²` are the mean and the biased variance of the batch over all axes but the last; in
/// inference, and where the running statistics are frozen, they are the running ones.
///
/// A pass over the graph of an objective fuses it with the addition and the ReLU after it:
/// `y = relu(w (x − μ) / √(σ² + ε) + b + residual)`.
///
/// # Shapes
/// `x` `[N, …, C]`, then `w`, `b`, running mean and running variance, each `[C]`, then the residual, of the shape of
/// `x`, if there is one → `y` of the shape of `x`, then, in training only, mean and variance of the batch and the new
/// running mean and variance, each `[C]`.
///
/// Backward keeps `x` and the statistics of the batch. The mask of the ReLU is recomputed from `x`, or, where a
/// residual was added, read from `y`: the next layer keeps that anyway, while the residual need not be kept.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchNormOp {
    /// `ε`
    pub epsilon: f32,
    /// Weight of the batch in the new running statistics: `running = (1 − momentum) running + momentum batch`, where
    /// the variance of the batch is the unbiased one.
    pub momentum: f32,
    /// Source of the mean and variance.
    pub statistics: NormStatistics,
    /// Operations applied to the normalised values in the same pass.
    pub followed_by: FollowedBy,
}

/// Source of the mean and variance that a batch is normalised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormStatistics {
    /// The batch itself.
    Batch,
    /// Operands of the operation.
    Given,
}

/// Operations applied to normalised values in the same pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowedBy {
    /// Nothing.
    Nothing,
    /// `relu(·)`
    Relu,
    /// `· + residual`
    Add,
    /// `relu(· + residual)`
    AddRelu,
}

impl FollowedBy {
    fn adds(self) -> bool {
        matches!(self, FollowedBy::Add | FollowedBy::AddRelu)
    }

    fn activation(self) -> Activation {
        match self {
            FollowedBy::Nothing | FollowedBy::Add => Activation::Identity,
            FollowedBy::Relu | FollowedBy::AddRelu => Activation::Relu,
        }
    }
}

/// Index of the residual among the operands.
const RESIDUAL: usize = 5;

/// Computes `dw` and `db`. Operands: `x`, `dy`, and `w`, `b`, mean and variance.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchNormBackwardParameters(
    /// The normalisation.
    pub BatchNormOp,
);

/// Computes the gradients of a batch normalisation followed by a residual addition and a ReLU: the gradient of the sum,
/// which is also that of the residual, and `dw` and `db`. Operands: those of [`BatchNormBackwardParameters`], and `y`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchNormAddBackwardParameters(
    /// The normalisation.
    pub BatchNormOp,
);

/// Computes `dx`. Operands: those of [`BatchNormBackwardParameters`], and its results if the statistics are those of
/// the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchNormBackwardData(
    /// The normalisation.
    pub BatchNormOp,
);

/// The operands of a batch normalisation other than its input, each `[C]`.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormParameters<'a> {
    /// Scale of the normalised values.
    pub weight: &'a Node,
    /// Shift added after scaling.
    pub bias: &'a Node,
    /// Running mean, a state.
    pub running_mean: &'a Node,
    /// Running variance, a state.
    pub running_variance: &'a Node,
}

impl BatchNormOp {
    /// Makes a normalisation that uses statistics of the batch in training.
    pub fn new(epsilon: f32, momentum: f32) -> BatchNormOp {
        BatchNormOp { epsilon, momentum, statistics: NormStatistics::Batch, followed_by: FollowedBy::Nothing }
    }

    /// Makes it normalise by a mean and a variance that are operands, in the places of the running ones.
    pub(crate) fn with_statistics_given(self) -> BatchNormOp {
        BatchNormOp { statistics: NormStatistics::Given, ..self }
    }

    /// Makes it apply other operations to the normalised values.
    pub(crate) fn followed_by(self, followed_by: FollowedBy) -> BatchNormOp {
        BatchNormOp { followed_by, ..self }
    }

    /// Returns true if nothing is applied to the normalised values.
    pub(crate) fn is_alone(&self) -> bool {
        self.followed_by == FollowedBy::Nothing
    }

    fn norm<'a>(&self, mean: &'a [f32], variance: &'a [f32], [gamma, beta]: [&'a [f32]; 2]) -> BatchNorm<'a> {
        BatchNorm { mean, variance, gamma, beta, epsilon: self.epsilon, activation: self.followed_by.activation() }
    }

    /// Normalises `x` by these statistics.
    fn apply(&self, norm: &BatchNorm<'_>, x: Source<'_>, residual: Option<Source<'_>>, y: &mut [f32]) {
        match (x, residual) {
            (Source::Slice(x), Some(residual)) => batch_norm_add_forward(norm, x, residual, y),
            // With a residual, the residual may share the storage of the result.
            _ => batch_norm_forward(norm, x, y),
        }
    }

    /// Computes `(1 − momentum) running + momentum batch`.
    fn run(&self, running: &[f32], batch: impl Iterator<Item = f32>, new: &mut [f32]) {
        let values = new.iter_mut().zip(running).zip(batch);
        values.for_each(|((new, running), batch)| *new = running + self.momentum * (batch - running));
    }
}

impl Op for BatchNormOp {
    fn operands(&self) -> RangeInclusive<usize> {
        let count = if self.followed_by.adds() { RESIDUAL + 1 } else { RESIDUAL };
        count..=count
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let of_channels = check_normalised(&x[..RESIDUAL], self.epsilon)?;
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Fault::Setting(format!("the momentum {} is not in [0, 1]", self.momentum)));
        }
        if x.get(RESIDUAL).is_some_and(|residual| *residual != x[0]) {
            return Err(Fault::Unequal { left: 0, right: RESIDUAL });
        }
        let statistics = vec![of_channels; self.outputs() - 1];
        Ok([vec![x[0].clone()], statistics].concat())
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::fallible(move |k| {
            let (x, parameters) = (k.source(0), [k.input(1), k.input(2)]);
            let running = [k.input(3), k.input(4)];
            let residual = op.followed_by.adds().then(|| k.source(RESIDUAL));
            if op.statistics == NormStatistics::Given {
                op.apply(&op.norm(running[0], running[1], parameters), x, residual, k.output(0));
                return Ok(());
            }
            let [y, mean, variance, new_mean, new_variance] = k.outputs();
            let rows = y.len() / mean.len().max(1);
            if rows < 2 {
                let sentence = "statistics need at least two values per channel, and this batch is a single pixel";
                return Err(Fault::Data(sentence.into()));
            }
            match x {
                Source::Slice(x) => batch_norm_statistics(x, mean, variance),
                Source::InPlace => batch_norm_statistics(y, mean, variance),
            }
            op.apply(&op.norm(mean, variance, parameters), x, residual, y);
            let unbiased = rows as f32 / (rows - 1) as f32;
            op.run(running[0], mean.iter().copied(), new_mean);
            op.run(running[1], variance.iter().map(|variance| unbiased * variance), new_variance);
            Ok(())
        })
        .with_scratch(batch_norm_scratch(&request.operands[0])))
    }

    /// In training the result does not depend on the running statistics.
    fn has_gradient(&self, input: usize) -> bool {
        self.statistics == NormStatistics::Given || ![3, 4].contains(&input)
    }

    fn outputs(&self) -> usize {
        match self.statistics {
            NormStatistics::Batch => 5,
            NormStatistics::Given => 1,
        }
    }

    fn lower(&self, mode: Mode) -> Option<Arc<dyn Op>> {
        (mode == Mode::Infer).then(|| Arc::new(self.with_statistics_given()) as Arc<dyn Op>)
    }

    fn in_place(&self) -> Option<usize> {
        Some(if self.followed_by.adds() { RESIDUAL } else { 0 })
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (x, trace) = (g.x(0), g.x(0).trace());
        let (mean, variance) = match self.statistics {
            NormStatistics::Batch => (g.y(1), g.y(2)),
            NormStatistics::Given => (g.x(3), g.x(4)),
        };
        let mut dy = g.dy().clone();
        let mut op = *self;
        // With statistics of the batch, the gradient of the input depends on the sums for the parameters' gradients.
        let input_needs_sums = self.statistics == NormStatistics::Batch && g.wants(0);
        let needs_sums = input_needs_sums || (1..5).any(|operand| g.wants(operand));
        let mut of_parameters = Vec::new();
        if self.followed_by == FollowedBy::AddRelu {
            if needs_sums {
                let operands = [x, &dy, g.x(1), g.x(2), mean, variance, g.y(0)];
                of_parameters = trace.call(Arc::new(BatchNormAddBackwardParameters(op)), &operands);
                dy = of_parameters.remove(0);
            } else {
                dy = Node::call(ActivationBackward::for_function(Unary::Relu), &[&dy, g.y(0)]);
            }
            op = op.followed_by(FollowedBy::Nothing);
        }
        let mut operands = vec![x, &dy, g.x(1), g.x(2), mean, variance];
        if needs_sums && of_parameters.is_empty() {
            of_parameters = trace.call(Arc::new(BatchNormBackwardParameters(op)), &operands);
        }
        if input_needs_sums {
            operands.extend(&of_parameters);
        }
        let dx = g.want(0, || Node::call(BatchNormBackwardData(op), &operands));
        let sums = |i: usize| of_parameters[i].clone();
        // From y = w (x − μ) / √(σ² + ε) + b: dμ = −w·db / √(σ² + ε), dσ² = −w·dw / 2(σ² + ε).
        let variance = || variance.shift(self.epsilon);
        let mut gradients = vec![
            dx,
            g.want(1, || sums(0)),
            g.want(2, || sums(1)),
            g.want(3, || -(sums(1) * g.x(1)) / variance().sqrt()),
            g.want(4, || sums(0) * g.x(1) * -0.5 / variance()),
        ];
        if self.followed_by.adds() {
            gradients.push(g.want(RESIDUAL, || dy.clone()));
        }
        gradients
    }

    fn kind(&self) -> String {
        let followed_by = match self.followed_by {
            FollowedBy::Nothing => "",
            FollowedBy::Relu => "Relu",
            FollowedBy::Add => "Add",
            FollowedBy::AddRelu => "AddRelu",
        };
        format!("BatchNorm{followed_by}")
    }
}

impl Op for BatchNormBackwardParameters {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[2].clone(), x[3].clone()])
    }

    fn outputs(&self) -> usize {
        2
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let norm = op.0.norm(k.input(4), k.input(5), [k.input(2), k.input(3)]);
            let (x, dy) = (k.input(0), k.input(1));
            let [dw, db] = k.outputs();
            batch_norm_backward_parameters(&norm, x, dy, dw, db);
        })
        .with_scratch(batch_norm_scratch(&request.operands[0])))
    }
}

impl Op for BatchNormAddBackwardParameters {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone(), x[2].clone(), x[3].clone()])
    }

    fn outputs(&self) -> usize {
        3
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let norm = op.0.norm(k.input(4), k.input(5), [k.input(2), k.input(3)]);
            let (x, dy, y) = (k.input(0), k.source(1), k.input(6));
            let [gradient, dw, db] = k.outputs();
            match dy {
                Source::InPlace => batch_norm_add_backward_parameters(&norm, x, y, gradient, dw, db),
                Source::Slice(_) => {
                    unary_backward(Unary::Relu, y, dy, gradient);
                    batch_norm_backward_parameters(
                        &BatchNorm { activation: Activation::Identity, ..norm },
                        x,
                        gradient,
                        dw,
                        db,
                    );
                }
            }
        })
        .with_scratch(batch_norm_scratch(&request.operands[0])))
    }

    fn in_place(&self) -> Option<usize> {
        Some(1)
    }
}

impl Op for BatchNormBackwardData {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let norm = op.0.norm(k.input(4), k.input(5), [k.input(2), k.input(3)]);
            let (x, dy, accumulate) = (k.input(0), k.source(1), k.accumulate());
            let through = match op.0.statistics {
                NormStatistics::Batch => Through::Batch { dgamma: k.input(6), dbeta: k.input(7) },
                NormStatistics::Given => Through::Elements,
            };
            batch_norm_backward_data(&norm, x, dy, through, k.output(0), accumulate);
        })
        .with_scratch(batch_norm_scratch(&request.operands[0])))
    }

    fn in_place(&self) -> Option<usize> {
        Some(1)
    }

    fn accumulates(&self) -> bool {
        true
    }
}

/// Scratch memory of each of these operations, for an input of this shape.
pub(super) fn batch_norm_scratch(x: &[usize]) -> Scratch {
    batch_norm::scratch(x.iter().product(), x.last().copied().unwrap_or(0))
}

/// Checks the operands of any normalisation: channels, one element of each other operand per channel, and a positive ε.
/// Returns the shape `[C]`.
pub(super) fn check_normalised(x: &[&Shape], epsilon: f32) -> Result<Shape, Fault> {
    if x[0].rank() < 2 {
        return Err(Fault::Rank { input: 0, expected: "[N, C] or [N, H, W, C]" });
    }
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Fault::Setting(format!("epsilon must be a positive number, got {epsilon}")));
    }
    let of_channels = Shape::from([x[0].channels()]);
    if let Some(input) = (1..x.len()).find(|&input| *x[input] != of_channels) {
        let (expected, got) = (x[0].channels(), x[input].dims().first().copied().unwrap_or(Dim::Fixed(1)));
        return Err(Fault::Size { input, axis: Axis::C, expected, what: "channels", got });
    }
    Ok(of_channels)
}

impl Node {
    /// Applies batch normalisation over all axes but the last; the running statistics are updated by each training
    /// step.
    #[track_caller]
    pub fn batch_norm(&self, op: BatchNormOp, parameters: BatchNormParameters<'_>) -> Node {
        let BatchNormParameters { weight, bias, running_mean, running_variance } = parameters;
        let results = self.trace().call(Arc::new(op), &[self, weight, bias, running_mean, running_variance]);
        if let [_, _, _, new_mean, new_variance] = &results[..] {
            self.trace().update(running_mean, new_mean);
            self.trace().update(running_variance, new_variance);
        }
        results[0].clone()
    }
}
