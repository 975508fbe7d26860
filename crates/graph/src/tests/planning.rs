//! Memory: what is shared, what is promised, and that none of it changes a number.

use super::{batch_of, build, conv, input};
use crate::{Axis, Compiled, Constant, Fault, Mode, Model, Node, Op, Request, Shape, Tensor, Wrt, ops::Conv2dOp};
use ocelli_kernels::{
    conv::Conv2dSettings,
    pool::{CountPadding, PoolSettings},
};

/// Convolutions, branches, pools, a residual connection and a product: something for every pass.
fn network(x: &Node) -> Node {
    let x = x.scope("stem", |x| conv(x, 4)).relu().named("stem_relu");
    let pooled = x.max_pool(PoolSettings::square(2));
    let left = pooled.scope("left", |x| conv(x, 6)).tanh();
    let right = pooled.scope("right", |x| conv(x, 6)).sigmoid();
    let joined = (&left + &right).named("joined");
    let joined = Node::concat(&[&joined, &left, &(right * 0.5)], Axis::C)
        .avg_pool(PoolSettings::square(2), CountPadding::Include);
    let pooled = joined.global_avg_pool();
    let w = pooled.trace().parameter("w", [18, 5], crate::initial::tests::Ramp);
    pooled.matmul(&w).log_softmax()
}

const SAMPLE: [usize; 3] = [14, 14, 2];

#[test]
fn tapping_changes_no_number() {
    let model = build(network, &SAMPLE);
    let batch = batch_of(&[3, 14, 14, 2]);
    let names: Vec<&str> = model.graph().names.keys().map(String::as_str).collect();
    assert!(names.len() >= 7, "{names:?}");
    let together = model.run(&batch, &names).unwrap();
    for (name, value) in names.iter().zip(&together) {
        let alone = model.run(&batch, &[name]).unwrap();
        assert_eq!(&alone[0], value, "{name}");
    }
}

#[test]
fn sharing_memory_changes_no_gradient() {
    let model = build(network, &SAMPLE);
    let batch = batch_of(&[3, 14, 14, 2]);
    let loss = |t: &crate::Trace| t.output().square().mean();
    let names: Vec<&str> = model.graph().names.keys().map(String::as_str).collect();
    let mut plain = model.objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), loss).unwrap();
    // Watching everything keeps everything: hardly anything can be shared or overwritten.
    let watching = model.objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), loss).unwrap();
    let mut watching = watching.watching(&names).unwrap();
    assert!(
        plain.plan(&model, 3).unwrap().peak_bytes() < watching.plan(&model, 3).unwrap().peak_bytes(),
        "sharing saves memory"
    );
    let a = plain.evaluate(&model, &batch).unwrap();
    let b = watching.evaluate(&model, &batch).unwrap();
    assert_eq!(a.loss(), b.loss());
    for ((name, a), (_, b)) in a.gradients().zip(b.gradients()) {
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn the_promise_is_what_is_allocated() {
    let mut model = build(network, &SAMPLE);
    let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
    for n in [3, 8] {
        let plan = objective.plan(&model, n).unwrap();
        let (promised, bound) = (plan.arena_bytes(), plan.bound_bytes());
        assert!(bound <= promised && promised * 100 <= bound * 120, "{promised} bytes, {bound} are needed at least");
        objective.step(&mut model, &batch_of(&[n, 14, 14, 2])).unwrap();
        assert_eq!(objective.allocated_bytes(), promised);
    }
}

#[test]
fn sums_of_gradients_are_folded_into_kernels() {
    let model = build(network, &SAMPLE);
    let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["stem"]), |t| t.output().mean()).unwrap();
    let plan = objective.plan(&model, 2).unwrap();
    assert!(plan.steps().iter().any(|step| step.accumulates()), "left and right both lead to the pool");
    assert!(plan.steps().iter().any(|step| step.is_in_place()));
}

#[test]
fn views_cost_nothing() {
    let model = build(|x| x.relu().flatten().reshape([2, 6]).flatten(), &[2, 2, 3]);
    let plan = model.plan(4, &["output"]).unwrap();
    assert_eq!((plan.steps().len(), plan.peak_bytes()), (1, 4 * 12 * 4));
    let x = input(&[4, 2, 2, 3]);
    assert_eq!(model.predict(&x).unwrap().shape(), [4, 12]);
    let view_of_input = build(|x| x.flatten(), &[2, 2, 3]);
    assert_eq!(view_of_input.predict(&x).unwrap().data(), x.data());
}

#[test]
fn frozen_parameters_prune_what_only_they_need() {
    let layered = |x: &Node| {
        let x = x.scope("conv1", |x| conv(x, 4)).relu();
        let x = x.scope("conv10", |x| conv(x, 4)).relu();
        x.global_avg_pool().scope("fc", |x| {
            let w = x.trace().parameter("weight", [4, 3], crate::initial::tests::Ramp);
            x.matmul(&w)
        })
    };
    let mut model = build(layered, &[9, 9, 2]);
    let steps = |model: &Model| {
        let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
        let names: Vec<String> = objective.gradient_names().map(str::to_string).collect();
        (objective.plan(model, 2).unwrap().steps().len(), names)
    };
    let (all, names) = steps(&model);
    assert_eq!(names, ["fc.weight", "conv10.weight", "conv1.weight"], "in the order of backward");
    model.freeze("conv1").unwrap();
    let (fewer, names) = steps(&model);
    assert_eq!(names, ["fc.weight", "conv10.weight"], "whole segments: conv10 is not frozen");
    model.freeze("").unwrap();
    model.unfreeze("fc").unwrap();
    let (fewest, names) = steps(&model);
    assert_eq!(names, ["fc.weight"]);
    assert!(fewest < fewer && fewer < all, "{fewest} < {fewer} < {all} steps");
    assert_eq!(model.parameters().fixed_count(), 9 * 2 * 4 + 9 * 4 * 4);
    assert!(model.freeze("conv2").unwrap_err().to_string().starts_with("nothing is called \"conv2\"; there are: "));
}

#[test]
fn many_operands_are_no_problem() {
    let wide = |x: &Node| {
        let parts: Vec<Node> = (0..40).map(|i| x.scale(i as f32)).collect();
        Node::concat(&parts.iter().collect::<Vec<_>>(), Axis::C)
    };
    let y = build(wide, &[2]).predict(&input(&[3, 2])).unwrap();
    assert_eq!(y.shape(), [3, 80]);
    let x = input(&[3, 2]);
    assert_eq!(y[[2, 79]], 39.0 * x[[2, 1]]);
}

#[test]
fn states_follow_their_updates() {
    // A running mean with momentum ½, in a layer that is applied twice.
    let running = |x: &Node| {
        let mean = x.trace().state("mean", [2], Constant(0.0));
        let new = (&mean + x.mean_over(&[Axis::N])) * 0.5;
        x.trace().update(&mean, &new);
        x - mean
    };
    let shared = crate::Shared::new("norm", crate::func(running));
    let mut model = Model::trace(0, |t| {
        let (a, b) = (t.input("a", [2]), t.input("b", [2]));
        let w = t.parameter("w", [2], Constant(1.0));
        (a.apply("first", &shared) + b.apply("second", &shared)) * w
    })
    .unwrap();
    let batch =
        crate::Batch::new().with("a", crate::Tensor::full([4, 2], 8.0)).with("b", crate::Tensor::full([4, 2], 2.0));
    let before = model.run(&batch, &["output"]).unwrap();
    assert_eq!(before[0].data()[0], 10.0, "inference subtracts the state and leaves it");
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    objective.step(&mut model, &batch).unwrap();
    // 0 → (0 + 8) / 2 = 4 → (4 + 2) / 2 = 3
    assert_eq!(model.parameters().value("norm.mean").unwrap().data(), [3.0, 3.0]);
}

/// A convolution and a dense layer, whose weights are prepared once in inference.
fn prepared(x: &Node) -> Node {
    let x = x.scope("conv", |x| conv(x, 8)).global_avg_pool();
    let w = x.trace().parameter("dense", [8, 3], crate::initial::tests::Ramp);
    Node::call(crate::ops::LinearOp, &[&x, &w])
}

#[test]
fn prepared_weights_follow_the_parameters() {
    let mut model = build(prepared, &[9, 9, 16]);
    let batch = batch_of(&[2, 9, 9, 16]);
    let first = model.run(&batch, &["output"]).unwrap();
    assert_eq!(model.run(&batch, &["output"]).unwrap(), first, "what was prepared serves again");
    model.run(&batch_of(&[3, 9, 9, 16]), &["output"]).unwrap();
    assert_eq!(model.run(&batch, &["output"]).unwrap(), first, "another plan ran in the same arena");
    for path in ["conv.weight", "dense"] {
        let doubled = model.parameters().value(path).unwrap().data().iter().map(|w| 2.0 * w).collect();
        let shape = model.parameters().value(path).unwrap().shape().to_vec();
        let before = model.run(&batch, &["output"]).unwrap();
        model.parameters_mut().set(path, crate::Tensor::from_vec(shape, doubled).unwrap()).unwrap();
        let after = model.run(&batch, &["output"]).unwrap();
        for (before, after) in before[0].data().iter().zip(after[0].data()) {
            assert!((2.0 * before - after).abs() <= 1e-5 * before.abs().max(1.0), "{path}: {before} and {after}");
        }
    }
    let copy = model.clone();
    assert_eq!(copy.run(&batch, &["output"]).unwrap(), model.run(&batch, &["output"]).unwrap());
}

#[test]
fn a_plan_explains_its_algorithms() {
    let model = build(prepared, &[32, 32, 64]);
    let plan = model.plan(4, &["output"]).unwrap();
    let text = plan.explain();
    println!("{text}");
    assert!(text.starts_with(&format!("4 samples, 3 steps, {} bytes of memory", plan.peak_bytes())), "{text}");
    let line = text.lines().find(|line| line.contains("Conv2d")).unwrap();
    assert!(ocelli_kernels::conv::ALGORITHMS.iter().any(|algorithm| line.contains(algorithm.name())), "{line}");
    assert!(text.contains("weights prepared once"), "{text}");
}

#[test]
fn strict_plans_transform_nothing() {
    let strict = build(prepared, &[32, 32, 64]).with_precision(crate::Precision::Strict);
    assert_eq!(strict.clone().precision(), crate::Precision::Strict);
    let text = strict.plan(4, &["output"]).unwrap().explain();
    assert!(!text.contains("winograd"), "{text}");
    let objective = strict.objective(|t| t.output().square().mean());
    let text = objective.unwrap().plan(&strict, 4).unwrap().explain();
    assert!(text.contains("Conv2dBackwardFilter") && !text.lines().any(|line| line.contains("  winograd")), "{text}");
}

/// Forcing what cannot be done was once to get something else.
#[test]
fn a_forced_algorithm_that_does_not_support_the_convolution_is_an_error() {
    let conv = |algorithm: &str, stride: usize| {
        let settings = Conv2dSettings { stride_h: stride, stride_w: stride, ..Conv2dSettings::default() };
        let op = Conv2dOp { algorithm: Some(algorithm.into()), ..Conv2dOp::new(settings) };
        Model::build(
            move |x| {
                x.scope("conv", |x| {
                    Node::call(op.clone(), &[x, &x.trace().parameter("w", [3, 3, 2, 4], Constant(0.1))])
                })
            },
            [8, 8, 2],
            0,
        )
    };
    let sentence = conv("winograd4", 2).unwrap_err().to_string();
    let expected = "conv (Conv2d): the algorithm \"winograd4\" does not support the forward pass of 3×3 filters from 2 to 4 \
                    channels in 1 group with stride 2×2 and dilation 1×1; these do: implicit, im2col, naive";
    assert_eq!(sentence, expected);
    let model = conv("winograd4", 1).unwrap();
    let text = model.plan(1, &["output"]).unwrap().explain();
    assert!(text.contains("winograd4 (asked for)"), "{text}");
    let mut objective = model.objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), |t| t.output().mean()).unwrap();
    let text = objective.plan(&model, 1).unwrap().explain();
    assert_eq!(text.matches("winograd4 (asked for)").count(), 3, "{text}");
}

/// An operation that a backend does not know, or a pass that an algorithm does not have.
#[derive(Clone, Debug, PartialEq)]
struct NoKernel;

impl Op for NoKernel {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }
    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        Err(Fault::Setting(format!("there is no kernel for {} samples", request.operands[0][0])))
    }
}

#[test]
fn a_fault_of_compiling_names_the_layer_before_anything_is_run() {
    let model = Model::build(|x| x.scope("block", |x| Node::call(NoKernel, &[x])), [3], 0).unwrap();
    let expected = "block (NoKernel): there is no kernel for 2 samples";
    assert_eq!(model.plan(2, &["output"]).unwrap_err().to_string(), expected);
    assert_eq!(model.inference(2).unwrap_err().to_string(), expected);
    assert_eq!(model.predict(&Tensor::zeros([2, 3])).unwrap_err().to_string(), expected);
}
