//! Batch normalisation and what follows it as one operation: the same values, and nothing lost that somebody asks for.

use super::{batch_of, build, conv};
use crate::{
    Constant, Mode, Model, Node, Trace, Wrt,
    ops::{BatchNormOp, BatchNormParameters},
};

fn batch_norm(x: &Node) -> Node {
    let (trace, channels) = (x.trace(), [x.channels()]);
    let parameters = BatchNormParameters {
        weight: &trace.parameter("weight", channels, crate::initial::tests::Ramp),
        bias: &trace.parameter("bias", channels, crate::initial::tests::Ramp),
        running_mean: &trace.state("running_mean", channels, Constant(0.1)),
        running_variance: &trace.state("running_var", channels, Constant(0.8)),
    };
    x.batch_norm(BatchNormOp::new(1e-3, 0.1), parameters)
}

/// A normalisation behind which nothing is fused.
fn separate(x: &Node) -> Node {
    batch_norm(x).map("Separate", |x| x, |_| 1.0)
}

type Network = fn(&Node, fn(&Node) -> Node) -> Node;

/// Convolution, normalisation and what follows, in every form.
const NETWORKS: [(&str, Network); 7] = [
    ("relu", |x, norm| norm(&x.scope("conv", |x| conv(x, 5))).relu()),
    ("identity", |x, norm| (norm(&x.scope("conv", |x| conv(x, 3).pad_to(x))) + x).relu()),
    ("identity first", |x, norm| (x + norm(&x.scope("conv", |x| conv(x, 3).pad_to(x)))).relu()),
    ("no relu", |x, norm| norm(&x.scope("conv", |x| conv(x, 3).pad_to(x))) + x),
    ("projection", |x, norm| {
        let y = x.scope("conv1", |x| conv(x, 6)).scope("bn1", norm).relu().scope("conv2", |x| conv(x, 6));
        let shortcut = x.scope("shortcut", |x| conv(x, 6)).slice(crate::Axis::H, 1..5).slice(crate::Axis::W, 1..5);
        let shortcut = shortcut.scope("bn_shortcut", norm);
        (y.scope("bn2", norm) + shortcut).relu()
    }),
    ("two consumers", |x, norm| {
        let y = norm(&x.scope("conv", |x| conv(x, 4))).relu();
        (&y + y.tanh()) * &y
    }),
    ("shared", |x, norm| {
        let shared = crate::Shared::new("norm", crate::func(move |x: &Node| norm(x)));
        (x.apply("first", &shared).relu().apply("second", &shared) + x.scale(2.0).apply("third", &shared)).relu()
    }),
];

trait PadTo {
    fn pad_to(&self, x: &Node) -> Node;
}

impl PadTo for Node {
    /// The result of a 3×3 filter brought back to the size of its input.
    fn pad_to(&self, _: &Node) -> Node {
        use ocelli_kernels::pad::{PadMode, PadSettings};
        self.pad(PadSettings { mode: PadMode::Replicate, top: 1, bottom: 1, left: 1, right: 1 })
    }
}

const SAMPLE: [usize; 3] = [8, 8, 3];

fn loss(t: &Trace) -> Node {
    t.output().square().mean()
}

/// Loss, gradients and running statistics after a step.
fn step(mut model: Model, mode: Mode) -> (f32, Vec<(String, Vec<f32>)>) {
    let mut objective = model.objective_of(mode, Wrt::ParametersAnd(&["input"]), loss).unwrap();
    let step = objective.step(&mut model, &batch_of(&[3, 8, 8, 3])).unwrap();
    let loss = step.loss();
    let mut numbers: Vec<(String, Vec<f32>)> = step.gradients().map(|(name, g)| (name.into(), g.to_vec())).collect();
    numbers.sort_by(|a, b| a.0.cmp(&b.0));
    let state = |path: &str| path.contains("running");
    let states = model.parameters().iter().filter(|(parameter, _)| state(&parameter.path));
    numbers.extend(states.map(|(parameter, value)| (parameter.path.clone(), value.data().to_vec())));
    (loss, numbers)
}

fn assert_same(name: &str, fused: (f32, Vec<(String, Vec<f32>)>), apart: (f32, Vec<(String, Vec<f32>)>)) {
    assert!((fused.0 - apart.0).abs() <= 1e-6 * apart.0.abs(), "{name}: {} and {}", fused.0, apart.0);
    assert_eq!(fused.1.len(), apart.1.len());
    for ((path, a), (other, b)) in fused.1.iter().zip(&apart.1) {
        assert_eq!(path, other);
        let largest = b.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let near = a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * largest);
        assert!(near, "{name}, {path}: {a:?} and {b:?}");
    }
}

fn kinds(model: &Model, mode: Mode) -> Vec<String> {
    let mut objective = model.objective_of(mode, Wrt::Parameters, loss).unwrap();
    objective.plan(model, 3).unwrap().steps().iter().map(|step| step.op().kind()).collect()
}

#[test]
fn fused_and_separate_operations_have_the_same_gradients() {
    for (name, network) in NETWORKS {
        let fused = build(|x| network(x, batch_norm), &SAMPLE);
        let apart = build(|x| network(x, separate), &SAMPLE);
        for mode in [Mode::Train, Mode::Infer] {
            assert!(kinds(&fused, mode).len() < kinds(&apart, mode).len(), "{name}: nothing was fused");
            assert!(!kinds(&fused, mode).contains(&"Relu".to_string()), "{name}: {:?}", kinds(&fused, mode));
            assert_same(name, step(fused.clone(), mode), step(apart.clone(), mode));
        }
    }
}

#[test]
fn frozen_statistics_are_fused_too() {
    for (name, network) in NETWORKS {
        let [fused, apart] = [batch_norm, separate].map(|norm| {
            let mut model = build(|x| network(x, norm), &SAMPLE);
            let paths: Vec<String> = model.parameters().iter().map(|(parameter, _)| parameter.path.clone()).collect();
            paths.iter().filter(|path| path.contains("running")).for_each(|path| model.freeze(path).unwrap());
            model
        });
        assert_same(name, step(fused.clone(), Mode::Train), step(apart.clone(), Mode::Train));
        // Scale and shift frozen as well: no sums are needed.
        let [fused, apart] = [fused, apart].map(|mut model| {
            let paths: Vec<String> = model.parameters().iter().map(|(parameter, _)| parameter.path.clone()).collect();
            let of_norm = |path: &&String| path.ends_with("bias") || path.ends_with("weight");
            paths.iter().filter(of_norm).for_each(|path| model.freeze(path).unwrap());
            model
        });
        assert_same(name, step(fused, Mode::Train), step(apart, Mode::Train));
    }
}

fn block(x: &Node) -> Node {
    let y = x.scope("conv", |x| conv(x, 3).pad_to(x)).scope("bn", batch_norm);
    (&y + x).named("sum").relu()
}

#[test]
fn what_is_watched_is_there() {
    let mut model = build(block, &SAMPLE);
    let mut plain = model.objective(loss).unwrap();
    let steps = plain.plan(&model, 3).unwrap().steps().len();
    let mut watching = model.objective(loss).unwrap().watching(&["bn", "sum", "output"]).unwrap();
    assert_eq!(watching.plan(&model, 3).unwrap().steps().len(), steps + 2, "only this plan pays");
    let batch = batch_of(&[3, 8, 8, 3]);
    let x = batch.get("input").and_then(|value| match value {
        crate::Value::F32(tensor) => Some(tensor.data().to_vec()),
        crate::Value::U32(_) => None,
    });
    let step = watching.step(&mut model, &batch).unwrap();
    let [norm, sum, output] = ["bn", "sum", "output"].map(|name| step.activation(name).unwrap());
    for (i, x) in x.unwrap().into_iter().enumerate() {
        assert_eq!((sum[i], output[i]), (norm[i] + x, sum[i].max(0.0)));
    }
}

#[test]
fn what_a_gradient_or_a_loss_asks_for_is_not_fused_away() {
    let model = build(block, &SAMPLE);
    let batch = batch_of(&[3, 8, 8, 3]);
    let gradients = |names: &[&str]| {
        let mut objective = model.objective_of(Mode::Train, Wrt::Values(names), loss).unwrap();
        let step = objective.evaluate(&model, &batch).unwrap();
        names.iter().map(|name| step.gradient(name).unwrap().to_vec()).collect::<Vec<_>>()
    };
    let of_both = gradients(&["sum", "bn", "output"]);
    assert_eq!(of_both[0], of_both[1]);
    let mut objective = model.objective(|t| loss(t) + t.tap("bn").mean()).unwrap();
    let mut watching = model.objective(|t| loss(t) + t.tap("bn").mean()).unwrap().watching(&["bn"]).unwrap();
    let (a, b) = (objective.evaluate(&model, &batch).unwrap(), watching.evaluate(&model, &batch).unwrap());
    assert_eq!(a.loss(), b.loss());
    assert!(a.gradient("bn.weight") == b.gradient("bn.weight"));
}

#[test]
fn a_chain_of_statistics_keeps_its_order() {
    // The first normalisation could take the sum only behind the second, which starts from its statistics.
    let shared = || crate::Shared::new("bn", crate::func(batch_norm));
    let network = |t: &Trace| {
        let shared = shared();
        let (a, b) = (t.input("a", [3]), t.input("b", [3]));
        let (y, z) = (a.apply("first", &shared), b.apply("second", &shared));
        (z.tanh() + y).relu()
    };
    let mut model = Model::trace(0, network).unwrap();
    let (a, b) = (super::input(&[5, 3]), super::input(&[4, 3]));
    let b = crate::Tensor::from_fn([5, 3], |i| 3.0 * b.data()[(i[0] * 3 + i[1]) % 12] + 1.0);
    let mean = |x: &crate::Tensor| x.data().iter().step_by(3).sum::<f32>() / 5.0;
    let expected = 0.9 * (0.9 * 0.1 + 0.1 * mean(&a)) + 0.1 * mean(&b);
    let batch = crate::Batch::new().with("a", &a).with("b", &b);
    model.objective(loss).unwrap().step(&mut model, &batch).unwrap();
    let running = model.parameters().value("bn.running_mean").unwrap().data()[0];
    assert!((running - expected).abs() < 1e-5, "{running}, expected {expected}");
}

#[test]
fn gradients_of_normalisations_are_added_where_they_belong() {
    let model = build(|x| conv(x, 4).scope("a", batch_norm) * x.scope("b", |x| conv(x, 4)), &SAMPLE);
    let twice = |x: &Node| {
        let x = conv(x, 4);
        x.scope("a", batch_norm).tanh() + x.scope("b", batch_norm).tanh()
    };
    let accumulates = |model: &Model| {
        let mut objective = model.objective(loss).unwrap();
        let plan = objective.plan(model, 3).unwrap();
        plan.steps().iter().any(|step| step.accumulates() && step.op().kind() == "BatchNormBackwardData")
    };
    assert!(!accumulates(&model));
    assert!(accumulates(&build(twice, &SAMPLE)));
}
