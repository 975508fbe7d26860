//! A custom network in a page: an Inception block with a residual connection in 25 lines, a custom operation, and a
//! hand-written training loop.
//!
//! ```sh
//! cargo run --release --example custom_network
//! ```

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    data::synthetic,
    graph::{Compiled, Fault, Grads, Op, Request, Shape},
    prelude::*,
};
use std::process::ExitCode;

/// Trains a small network of Inception blocks with residual connections on synthetic digits.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Number of epochs.
    #[arg(long, default_value_t = 3)]
    epochs: u64,
}

/// `y = x / (1 + |x|)`: shape rule, kernel, backward rule.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Softsign;

impl Op for Softsign {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let x = k.input(0);
            k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = x / (1.0 + x.abs()));
        }))
    }
    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        // dy/dx = (1 − |y|)²: composed from existing operations.
        vec![g.want(0, || g.dy() * (1.0 - g.y(0).abs()).square())]
    }
}

/// Applies convolution, batch normalisation and ReLU.
fn unit(channels: usize, kernel: usize) -> Sequential {
    let conv = Conv2d::new(channels, kernel).same().bias(false).weight_init(Init::He(Distribution::Normal));
    Sequential::new().named("conv", conv).named("bn", BatchNorm::new()).named("relu", Activation::Relu)
}

/// An Inception block with a residual connection (Szegedy, Ioffe, Vanhoucke and Alemi 2016): branches of several sizes
/// with this many channels each.
struct InceptionResidual(usize);

impl Layer for InceptionResidual {
    fn forward(&self, x: &Node) -> Node {
        let width = self.0;
        let branches = Branches::new()
            .named("1x1", unit(width, 1))
            .named("3x3", Sequential::new().then(unit(width, 1)).then(unit(width, 3)))
            .named("5x5", Sequential::new().then(unit(width, 1)).then(unit(width, 3)).then(unit(width, 3)))
            .named("pool", Sequential::new().then(MaxPool2d::new(3).stride(1).padding(1)).then(unit(width, 1)));
        let y = x.apply("branches", branches).apply("project", Conv2d::new(x.channels(), 1));
        Node::call(Softsign, &[&(y + x)])
    }
}

fn network(x: &Node) -> Node {
    let x = x.apply("stem", Conv2d::new(16, 5).stride(2).same()).map("Swish", swish, swish_slope);
    let x = x.apply("block1", InceptionResidual(8)).apply("pool", MaxPool2d::new(2));
    let x = x.apply("block2", InceptionResidual(12));
    x.global_avg_pool().apply("fc", Dense::new(10))
}

/// Computes `x·sigmoid(x)`: a function and its derivative are an elementwise operation.
fn swish(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

fn swish_slope(x: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let seed = arguments.common.seed;
    let pipeline = Pipeline::new().grey().normalised_by(Statistics::for_range(1, -0.5, 0.5)?);
    let train = Loader::new(synthetic::digits(8000, seed), pipeline.clone(), 50)?.shuffle(seed);
    let test = Loader::new(synthetic::digits(2000, seed + 1), pipeline, 500)?;

    let mut model = Model::build(network, [28, 28, 1], seed)?;
    say(model.summary())?;
    let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels")))?;
    let mut adam = Adam::new(2e-3);
    for epoch in 0..arguments.epochs {
        let mut loss = 0.0;
        for batch in train.epoch(epoch) {
            let step = objective.step(&mut model, &batch?)?;
            loss += step.loss() * step.batch() as f32 / train.samples() as f32;
            adam.step(&mut model, &step)?;
        }
        say(format!("epoch {}: loss {loss:.4}", epoch + 1))?;
    }

    let mut right = 0;
    for batch in test.epoch(0) {
        let batch = batch?;
        let answers = model.run(&batch, &["output"])?[0].argmax_rows();
        right += answers.iter().zip(batch.labels("labels")?.data()).filter(|(a, b)| **a == **b as usize).count();
    }
    let (share, all) = (right as f32 / test.samples() as f32, test.samples());
    Ok(say(format!("test accuracy: {share:.4} ({right} of {all})"))?)
}
