//! Activations that are computed again: the same values in less memory.

use super::{batch_of, build, conv};
use crate::{
    Constant, Layer, Mode, Model, Node, Recomputed, Trace, Wrt, func,
    ops::{BatchNormOp, BatchNormParameters},
};
use ocelli_kernels::pad::{PadMode, PadSettings};
use ocelli_kernels::pool::PoolSettings;

const SAMPLE: [usize; 3] = [12, 12, 4];

fn norm(x: &Node) -> Node {
    let (trace, channels) = (x.trace(), [x.channels()]);
    let parameters = BatchNormParameters {
        weight: &trace.parameter("weight", channels, Constant(1.0)),
        bias: &trace.parameter("bias", channels, Constant(0.1)),
        running_mean: &trace.state("running_mean", channels, Constant(0.0)),
        running_variance: &trace.state("running_var", channels, Constant(1.0)),
    };
    x.batch_norm(BatchNormOp::new(1e-3, 0.1), parameters)
}

const EDGE: PadSettings = PadSettings { mode: PadMode::Replicate, top: 1, bottom: 1, left: 1, right: 1 };

fn same_conv(x: &Node) -> Node {
    conv(&x.pad(EDGE), 4)
}

/// Something of every kind: normalisations with and without a ReLU behind them, dropout, a pool that keeps indices, a view.
fn body(x: &Node) -> Node {
    let y = x.scope("conv1", same_conv).scope("bn1", norm).relu().dropout(0.2);
    let y = y.scope("conv2", same_conv).scope("bn2", norm).tanh();
    let window = PoolSettings { stride_h: 1, stride_w: 1, ..PoolSettings::square(3) };
    let pooled = y.pad(EDGE).max_pool(window);
    (pooled * 0.5).flatten().sigmoid().reshape([12, 12, 4])
}

fn residual(x: &Node) -> Node {
    let y = x.scope("conv1", same_conv).scope("bn1", norm).relu().scope("drop", |x| x.dropout(0.2));
    (y.scope("conv2", same_conv).scope("bn2", norm) + x).relu()
}

const DEPTH: usize = 8;

/// A stack of blocks, each of which is residual with a body inside.
fn deep(x: &Node, body: &dyn Layer, block: &dyn Layer) -> Node {
    (0..DEPTH).fold(x.clone(), |x, i| {
        let x = x.apply(format!("block{i}"), block);
        (x.apply(format!("body{i}"), body) + x).relu()
    })
}

fn loss(t: &Trace) -> Node {
    t.output().square().mean()
}

type Numbers = (f32, Vec<(String, Vec<f32>)>);

/// Loss, gradients and states after two steps, and the bytes of the plan and what no plan could do without.
fn train(mut model: Model) -> (Numbers, usize) {
    let mut objective = model.objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), loss).unwrap();
    let peak = objective.plan(&model, 3).unwrap().arena_bytes();
    let batch = batch_of(&[3, 12, 12, 4]);
    objective.step(&mut model, &batch).unwrap();
    let step = objective.step(&mut model, &batch).unwrap();
    let mut numbers: Vec<_> = step.gradients().map(|(name, g)| (name.to_string(), g.to_vec())).collect();
    let loss = step.loss();
    numbers.extend(model.parameters().iter().map(|(parameter, value)| (parameter.path.clone(), value.data().to_vec())));
    ((loss, numbers), peak)
}

fn assert_same(name: &str, a: &Numbers, b: &Numbers) {
    assert_eq!(a.0, b.0, "{name}: losses");
    for ((path, a), (other, b)) in a.1.iter().zip(&b.1) {
        assert_eq!(path, other);
        assert!(a == b, "{name}: {path} differs");
    }
    assert_eq!(a.1.len(), b.1.len());
}

#[test]
fn less_memory_has_the_same_bits() {
    let (body, residual) = (func(body), func(residual));
    let (kept, peak) = train(build(|x| deep(x, &body, &residual), &SAMPLE));
    let (inner, inner_peak) = train(build(|x| deep(x, &Recomputed(body), &residual), &SAMPLE));
    let (both, both_peak) = train(build(|x| deep(x, &Recomputed(body), &Recomputed(residual)), &SAMPLE));
    assert_same("bodies", &inner, &kept);
    assert_same("bodies and blocks", &both, &kept);
    println!("{peak} bytes kept, {inner_peak} with bodies recomputed, {both_peak} with blocks, too");
    assert!(inner_peak * 10 < peak * 8 && both_peak * 10 < inner_peak * 7, "{peak}, {inner_peak}, {both_peak}");
}

#[test]
fn layers_are_named_by_their_paths() {
    let (body, residual) = (func(body), func(residual));
    let mut model = build(|x| x.scope("stage", |x| deep(x, &body, &residual)).scope("head", same_conv), &SAMPLE);
    let (kept, peak) = train(model.clone());
    let error = model.recompute("stage.block").unwrap_err().to_string();
    assert!(error.starts_with("nothing is called \"stage.block\"; there are: "), "{error}");
    for i in 0..DEPTH {
        model.recompute(&format!("stage.block{i}")).unwrap();
        model.recompute(&format!("stage.body{i}")).unwrap();
    }
    let (blocks, blocks_peak) = train(model.clone());
    assert_same("blocks", &blocks, &kept);
    assert!(blocks_peak < peak);
    // Named as a whole it is one, with all of its activations at once.
    model.recompute("stage").unwrap();
    let (stage, stage_peak) = train(model.clone());
    assert_same("stage", &stage, &kept);
    assert!(blocks_peak < stage_peak, "{blocks_peak} and {stage_peak}");
    model.recompute("").unwrap();
    assert_same("everything", &train(model).0, &kept);
}

#[test]
fn watched_and_shared_and_frozen_layers_are_computed_again() {
    let network = |block: &dyn Layer| {
        let shared = crate::Shared::new("shared", func(residual));
        build(
            |x| {
                let x = x.apply("left", &shared).apply("block", block).apply("right", &shared);
                x.scope("last", residual)
            },
            &SAMPLE,
        )
    };
    let mut kept = network(&func(residual));
    let mut again = network(&Recomputed(func(residual)));
    for path in ["left", "right"] {
        again.recompute(path).unwrap();
    }
    assert_same("shared", &train(again.clone()).0, &train(kept.clone()).0);
    let watched = ["block.bn1", "left.conv1", "block.drop"];
    let [a, b] = [&again, &kept].map(|model| {
        let mut objective = model.objective(loss).unwrap().watching(&watched).unwrap();
        let step = objective.evaluate(model, &batch_of(&[3, 12, 12, 4])).unwrap();
        watched.map(|name| step.activation(name).unwrap().to_vec())
    });
    assert!(a == b);
    for path in ["shared", "block.bn2"] {
        again.freeze(path).unwrap();
        kept.freeze(path).unwrap();
        assert_same(path, &train(again.clone()).0, &train(kept.clone()).0);
    }
}
