//! Tests of tracing, planning and running; each file a theme.

mod against_loops;
mod backward_rules;
mod batch_norm;
mod broadcasting;
mod broken_numbers;
mod building;
mod constants;
mod freezing;
mod gradients;
mod inference;
mod inference_fusion;
mod losses;
mod operand_shapes;
mod operations;
mod parts;
mod planning;
mod recomputing;
mod running;
mod sharing;
mod sizes;
mod training_fusion;

use crate::{Batch, Key, Model, Node, Tensor};

/// Numbers in [−1, 1) that differ from each other.
fn input(shape: &[usize]) -> Tensor {
    Tensor::uniform(shape, Key::new(7).with("input"))
}

fn batch_of(shape: &[usize]) -> Batch {
    Batch::new().with("input", input(shape))
}

fn build(network: impl FnOnce(&Node) -> Node, sample: &[usize]) -> Model {
    Model::build(network, sample, 3).unwrap_or_else(|error| panic!("{error}"))
}

/// The sentence of a network that is wrong.
fn mistake(network: impl FnOnce(&Node) -> Node, sample: &[usize]) -> String {
    match Model::build(network, sample, 0) {
        Ok(_) => panic!("this network should be refused"),
        Err(error) => error.to_string(),
    }
}

/// A convolution without a layer: 3×3, `channels` filters.
fn conv(x: &Node, channels: usize) -> Node {
    let shape = [3, 3, x.shape().channels(), channels];
    let w = x.trace().parameter("weight", shape, crate::initial::tests::Ramp);
    x.conv2d(ocelli_kernels::conv::Conv2dSettings::default(), &w, None)
}
