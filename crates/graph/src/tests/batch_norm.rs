//! Batch normalisation: modes, running statistics, freezing.

use super::{batch_of, build, input};
use crate::{
    Batch, Constant, Mode, Model, Node, Tensor, Wrt,
    ops::{BatchNormOp, BatchNormParameters},
};

/// A batch normalisation as a layer writes it.
fn batch_norm(x: &Node) -> Node {
    let (trace, channels) = (x.trace(), [x.channels()]);
    let parameters = BatchNormParameters {
        weight: &trace.parameter("weight", channels, Constant(2.0)),
        bias: &trace.parameter("bias", channels, Constant(1.0)),
        running_mean: &trace.state("running_mean", channels, Constant(0.0)),
        running_variance: &trace.state("running_var", channels, Constant(1.0)),
    };
    x.batch_norm(BatchNormOp::new(1e-5, 0.1), parameters)
}

fn network(x: &Node) -> Node {
    x.scope("bn", batch_norm)
}

fn near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    let same = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(same, "{got:?}, expected {expected:?}");
}

fn value<'a>(model: &'a Model, path: &str) -> &'a [f32] {
    model.parameters().value(path).unwrap().data()
}

/// Channels 1, 3, 5, 7 and four times 10.
fn two_channels() -> Batch {
    let numbers = vec![1.0, 10.0, 3.0, 10.0, 5.0, 10.0, 7.0, 10.0];
    Batch::new().with("input", Tensor::from_vec([2, 1, 2, 2], numbers).unwrap())
}

#[test]
fn training_uses_the_batch_and_moves_the_running_statistics() {
    let mut model = build(network, &[1, 2, 2]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap().watching(&["output"]).unwrap();
    let step = objective.step(&mut model, &two_channels()).unwrap();
    // Mean 4 and variance 5: 1 → 2·(−3/√5) + 1.
    let normal = [-1.683_28, 0.105_57, 1.894_43, 3.683_28];
    let y = step.activation("output").unwrap();
    near(&[y[0], y[2], y[4], y[6]], &normal);
    near(&[y[1], y[3], y[5], y[7]], &[1.0; 4]);
    // 0.9·0 + 0.1·4, and 0.9·1 + 0.1·5·4/3 with the unbiased variance.
    near(value(&model, "bn.running_mean"), &[0.4, 1.0]);
    near(value(&model, "bn.running_var"), &[0.9 + 2.0 / 3.0, 0.9]);
    objective.step(&mut model, &two_channels()).unwrap();
    near(value(&model, "bn.running_mean"), &[0.76, 1.9]);
    objective.evaluate(&model, &two_channels()).unwrap();
    near(value(&model, "bn.running_mean"), &[0.76, 1.9]);
}

#[test]
fn inference_uses_the_running_statistics() {
    let mut model = build(network, &[1, 2, 2]);
    model.parameters_mut().set("bn.running_mean", Tensor::from(vec![1.0, 2.0])).unwrap();
    model.parameters_mut().set("bn.running_var", Tensor::from(vec![4.0, 16.0])).unwrap();
    let expected = [1.0, 5.0, 3.0, 5.0, 5.0, 5.0, 7.0, 5.0];
    near(model.run(&two_channels(), &["output"]).unwrap()[0].data(), &expected);
    // The same values in an objective for inference: elements are independent, the gradient of a sum is 2/√variance.
    let mut objective = model.objective_of(Mode::Infer, Wrt::ParametersAnd(&["input"]), |t| t.output().sum()).unwrap();
    let step = objective.step(&mut model, &two_channels()).unwrap();
    near(step.gradient("input").unwrap(), &[1.0, 0.5].repeat(4));
    near(step.gradient("bn.bias").unwrap(), &[4.0; 2]);
    near(step.gradient("bn.weight").unwrap(), &[6.0, 8.0]);
    near(value(&model, "bn.running_mean"), &[1.0, 2.0]);
}

#[test]
fn a_frozen_layer_is_in_inference_mode() {
    let below = |x: &Node| (x * x.trace().parameter("scale", [2], Constant(1.0))).scope("bn", batch_norm);
    let mut model = build(below, &[1, 2, 2]);
    let of_inference = model.run(&two_channels(), &["output"]).unwrap();
    let loss = |t: &crate::Trace| t.output().square().mean();
    let train = |model: &mut Model| {
        let mut objective = model.objective(loss).unwrap().watching(&["output"]).unwrap();
        let step = objective.step(model, &two_channels()).unwrap();
        let names: Vec<&str> = step.gradients().map(|(name, _)| name).collect();
        (names.join(" "), step.activation("output").unwrap().to_vec())
    };
    for partly in ["bn", "bn.running_mean"] {
        model.freeze(partly).unwrap();
        let (names, y) = train(&mut model);
        assert_eq!(names, if partly == "bn" { "scale" } else { "bn.weight bn.bias scale" });
        near(&y, of_inference[0].data());
        assert_eq!((value(&model, "bn.running_mean"), value(&model, "bn.running_var")), (&[0.0; 2][..], &[1.0; 2][..]));
        model.unfreeze(partly).unwrap();
    }
    // Its own scale frozen, the statistics are still those of the batch.
    model.freeze("bn.weight").unwrap();
    let (names, y) = train(&mut model);
    assert_eq!(names, "bn.bias scale");
    near(&y[..1], &[-1.683_28]);
    near(value(&model, "bn.running_mean"), &[0.4, 1.0]);
}

#[test]
fn a_shared_layer_moves_its_statistics_twice() {
    let shared = crate::Shared::new("bn", crate::func(batch_norm));
    let mut model = Model::trace(0, |t| {
        let (a, b) = (t.input("a", [1]), t.input("b", [1]));
        a.apply("first", &shared) + b.apply("second", &shared)
    })
    .unwrap();
    let column = |numbers: [f32; 2]| Tensor::from_vec([2, 1], numbers.to_vec()).unwrap();
    let batch = Batch::new().with("a", column([1.0, 3.0])).with("b", column([6.0, 10.0]));
    model.objective(|t| t.output().mean()).unwrap().step(&mut model, &batch).unwrap();
    // 0 → 0.1·2 → 0.9·0.2 + 0.1·8, and 1 → 0.9 + 0.1·2 → 0.9·1.1 + 0.1·8
    near(value(&model, "bn.running_mean"), &[0.98]);
    near(value(&model, "bn.running_var"), &[1.79]);
    model.freeze("bn").unwrap();
    model.objective(|t| t.output().mean()).unwrap().step(&mut model, &batch).unwrap();
    near(value(&model, "bn.running_mean"), &[0.98]);
}

#[test]
fn one_pixel_has_no_variance() {
    let mut model = build(network, &[1, 1, 3]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let error = objective.step(&mut model, &batch_of(&[1, 1, 1, 3])).unwrap_err().to_string();
    assert_eq!(
        error,
        "bn (BatchNorm): statistics need at least two values per channel, and this batch is a single pixel"
    );
    assert_eq!(value(&model, "bn.running_var"), [1.0; 3]);
    objective.step(&mut model, &batch_of(&[2, 1, 1, 3])).unwrap();
    model.predict(&input(&[1, 1, 1, 3])).unwrap();
}

#[test]
fn what_does_not_fit_is_refused() {
    let mistake = |network: fn(&Node) -> Node| super::mistake(network, &[2, 2, 3]);
    let four = |x: &Node| {
        let p = x.trace().state("p", [4], Constant(1.0));
        let parameters = BatchNormParameters { weight: &p, bias: &p, running_mean: &p, running_variance: &p };
        x.batch_norm(BatchNormOp::new(1e-5, 0.1), parameters)
    };
    assert_eq!(mistake(four), "(BatchNorm): expected 3 channels on axis C, got 4 in [4] from parameter p");
    assert_eq!(
        mistake(|x| x.mean().scope("bn", batch_norm)),
        "bn (BatchNorm): expected [N, C] or [N, H, W, C], got [] from Mean"
    );
}

#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut model = build(network, &[31, 29, 20]);
            let mut objective = model
                .objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), |t| t.output().square().mean())
                .unwrap();
            let step = objective.step(&mut model, &batch_of(&[7, 31, 29, 20])).unwrap();
            let gradients: Vec<Vec<f32>> = step.gradients().map(|(_, gradient)| gradient.to_vec()).collect();
            let statistics = ["bn.running_mean", "bn.running_var"].map(|path| value(&model, path).to_vec());
            (gradients, statistics)
        })
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads differ from one");
    }
}
