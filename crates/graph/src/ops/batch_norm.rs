//! Batch normalisation.

use crate::{Axis, Dim, Fault, Grads, Mode, Node, Op, Operands, Shape};
use ocelli_kernels::Activation;
use ocelli_kernels::batch_norm::{
    BatchNorm, Through, batch_norm_backward_data, batch_norm_backward_parameters, batch_norm_forward,
    batch_norm_statistics,
};
use ocelli_kernels::elementwise::Source;
use std::sync::Arc;

/// `y = w (x − μ) / √(σ² + ε) + b` for each channel (Ioffe and Szegedy 2015).
///
/// In training, `μ` and `σ²` are the mean and the biased variance of the batch over all axes but the last; in inference, and
/// where the running statistics are frozen, the running ones.
///
/// # Shapes
/// `x` `[N, …, C]`, then `w`, `b`, running mean and running variance, each `[C]` → `y` as `x`, then, in training only, mean
/// and variance of the batch and the new running mean and variance, each `[C]`.
///
/// Backward keeps `x` and the statistics of the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormOp {
    /// `ε`
    pub epsilon: f32,
    /// The share of the batch in the new running statistics: `running = (1 − momentum) running + momentum batch`, where the
    /// variance of the batch is the unbiased one.
    pub momentum: f32,
    statistics: Statistics,
}

/// By which mean and variance a batch is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistics {
    Batch,
    Running,
}

/// `dw` and `db`. Operands: `x`, `dy`, and `w`, `b`, mean and variance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BatchNormBackwardParameters(BatchNormOp);

/// `dx`. Operands: as [`BatchNormBackwardParameters`], and its results where statistics are those of the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BatchNormBackwardData(BatchNormOp);

/// The operands of a batch normalisation other than its input, each `[C]`.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormParameters<'a> {
    /// What normalised values are multiplied by.
    pub weight: &'a Node,
    /// What is added then.
    pub bias: &'a Node,
    /// A state.
    pub running_mean: &'a Node,
    /// A state.
    pub running_variance: &'a Node,
}

impl BatchNormOp {
    /// With statistics of the batch in training.
    pub fn new(epsilon: f32, momentum: f32) -> BatchNormOp {
        BatchNormOp { epsilon, momentum, statistics: Statistics::Batch }
    }

    fn norm<'a>(&self, mean: &'a [f32], variance: &'a [f32], [gamma, beta]: [&'a [f32]; 2]) -> BatchNorm<'a> {
        BatchNorm { mean, variance, gamma, beta, epsilon: self.epsilon, activation: Activation::Identity }
    }

    /// `(1 − momentum) running + momentum batch`
    fn run(&self, running: &[f32], batch: impl Iterator<Item = f32>, new: &mut [f32]) {
        let values = new.iter_mut().zip(running).zip(batch);
        values.for_each(|((new, running), batch)| *new = running + self.momentum * (batch - running));
    }
}

impl Op for BatchNormOp {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let of_channels = check_normalised(x, self.epsilon)?;
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Fault::Setting(format!("the momentum {} is not in [0, 1]", self.momentum)));
        }
        let statistics = vec![of_channels; self.outputs() - 1];
        Ok([vec![x[0].clone()], statistics].concat())
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let (x, parameters) = (k.source(0), [k.input(1), k.input(2)]);
        let running = [k.input(3), k.input(4)];
        if self.statistics == Statistics::Running {
            batch_norm_forward(&self.norm(running[0], running[1], parameters), x, k.output(0));
            return Ok(());
        }
        let [y, mean, variance, new_mean, new_variance] = k.outputs();
        let rows = y.len() / mean.len().max(1);
        if rows < 2 {
            let sentence = "statistics need two or more numbers a channel, and this batch is a single pixel";
            return Err(Fault::Data(sentence.into()));
        }
        match x {
            Source::Slice(x) => batch_norm_statistics(x, mean, variance),
            Source::InPlace => batch_norm_statistics(y, mean, variance),
        }
        batch_norm_forward(&self.norm(mean, variance, parameters), x, y);
        let unbiased = rows as f32 / (rows - 1) as f32;
        self.run(running[0], mean.iter().copied(), new_mean);
        self.run(running[1], variance.iter().map(|variance| unbiased * variance), new_variance);
        Ok(())
    }

    fn outputs(&self) -> usize {
        match self.statistics {
            Statistics::Batch => 5,
            Statistics::Running => 1,
        }
    }

    fn lower(&self, mode: Mode) -> Option<Arc<dyn Op>> {
        let running = BatchNormOp { statistics: Statistics::Running, ..*self };
        (mode == Mode::Infer).then(|| Arc::new(running) as Arc<dyn Op>)
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (x, dy) = (g.x(0), g.dy());
        let (mean, variance) = match self.statistics {
            Statistics::Batch => (g.y(1), g.y(2)),
            Statistics::Running => (g.x(3), g.x(4)),
        };
        let mut operands = vec![x, dy, g.x(1), g.x(2), mean, variance];
        let of_parameters = || x.trace().call(Arc::new(BatchNormBackwardParameters(*self)), &operands);
        // The gradient of the input goes through the sums of the parameters' where statistics are of the batch.
        let input_needs_them = self.statistics == Statistics::Batch && g.wants(0);
        let parameters = if input_needs_them || g.wants(1) || g.wants(2) { of_parameters() } else { Vec::new() };
        if input_needs_them {
            operands.extend(&parameters);
        }
        vec![
            g.want(0, || Node::call(BatchNormBackwardData(*self), &operands)),
            g.want(1, || parameters[0].clone()),
            g.want(2, || parameters[1].clone()),
            None,
            None,
        ]
    }
}

impl Op for BatchNormBackwardParameters {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[2].clone(), x[3].clone()])
    }

    fn outputs(&self) -> usize {
        2
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let norm = self.0.norm(k.input(4), k.input(5), [k.input(2), k.input(3)]);
        let (x, dy) = (k.input(0), k.input(1));
        let [dw, db] = k.outputs();
        batch_norm_backward_parameters(&norm, x, dy, dw, db);
        Ok(())
    }
}

impl Op for BatchNormBackwardData {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let norm = self.0.norm(k.input(4), k.input(5), [k.input(2), k.input(3)]);
        let (x, dy) = (k.input(0), k.input(1));
        let through = match self.0.statistics {
            Statistics::Batch => Through::Batch { dgamma: k.input(6), dbeta: k.input(7) },
            Statistics::Running => Through::Elements,
        };
        batch_norm_backward_data(&norm, x, dy, through, k.output(0));
        Ok(())
    }
}

/// What every normalisation asks for: channels, a number of each other operand for each of them, and a positive ε. Answers
/// the shape `[C]`.
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
    /// Batch normalisation over all axes but the last; the running statistics are updated by each training step.
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
