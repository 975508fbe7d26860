//! Common subexpressions: fewer steps, the same numbers.

use super::{batch_of, build};
use crate::{Batch, Mode, Model, Node, OpIdentity, Plan, Tensor, Trace, Wrt, initial::tests::Ramp, ops::ActivationOp};
use ocelli_kernels::{
    conv::{Conv2dSettings, Padding},
    elementwise::Unary,
};

const SAMPLE: [usize; 3] = [6, 6, 4];

/// One convolution and its ReLU written twice, `twin1` and `twin2`, and one that differs by its stride.
fn network(x: &Node) -> Node {
    let w = x.trace().parameter("weight", [3, 3, 4, 4], Ramp);
    let settings = Conv2dSettings { padding: Padding::Same, ..Conv2dSettings::default() };
    let strided = Conv2dSettings { stride_h: 2, stride_w: 2, ..settings };
    let twin = |name: &str| x.conv2d(settings, &w, None).relu().named(name);
    let other = x.conv2d(strided, &w, None).mean();
    (twin("twin1").tanh() * twin("twin2").sigmoid()) + other
}

/// How many convolutions and how many ReLUs a plan has, forward.
fn counts(plan: &Plan) -> [usize; 2] {
    let kinds: Vec<String> = plan.steps().iter().map(|step| step.op().kind()).collect();
    let forward = kinds.iter().filter(|kind| !kind.contains("Backward"));
    ["Conv2d", "Relu"].map(|name| forward.clone().filter(|kind| kind.contains(name)).count())
}

#[test]
fn what_is_written_twice_is_computed_once() {
    let model = build(network, &SAMPLE);
    let batch = batch_of(&[3, 6, 6, 4]);
    let once = ["output"];
    let twice = ["output", "twin1", "twin2"];
    assert_eq!(counts(&model.plan(3, &once).unwrap()), [2, 1]);
    assert_eq!(counts(&model.plan(3, &twice).unwrap()), [2, 2], "each root has a place of its own");
    let (shared, both) = (model.run(&batch, &once).unwrap(), model.run(&batch, &twice).unwrap());
    assert_eq!(shared[0].data(), both[0].data());
    assert_eq!(both[1].data(), both[2].data());
}

#[test]
fn training_has_the_same_numbers() {
    let train = |watched: &[&str]| -> ([usize; 2], f32, Vec<Vec<f32>>) {
        let mut model: Model = build(network, &SAMPLE);
        let loss = |t: &Trace| t.output().square().mean();
        let objective = model.objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), loss).unwrap();
        let mut objective = objective.watching(watched).unwrap();
        let count = counts(objective.plan(&model, 3).unwrap());
        let step = objective.step(&mut model, &batch_of(&[3, 6, 6, 4])).unwrap();
        (count, step.loss(), step.gradients().map(|(_, gradient)| gradient.to_vec()).collect())
    };
    let (once, loss, gradients) = train(&[]);
    let (twice, same_loss, same_gradients) = train(&["twin1", "twin2"]);
    assert_eq!((once, twice), ([2, 1], [2, 2]));
    assert_eq!(loss, same_loss);
    assert!(gradients == same_gradients);
}

/// Zeros of either sign are equal numbers, and what they make of a value has other bits.
#[test]
fn operations_that_differ_by_the_sign_of_a_zero_are_not_the_same() {
    let model = build(|x| 1.0 / (x.scale(0.0) * 1.0) + (1.0 / (x.scale(-0.0) * 1.0)).named("negative") * 0.0, &[1]);
    let x = Tensor::from_vec([1, 1], vec![1.0]).unwrap();
    let y = model.run(&Batch::new().with("input", x), &["negative"]).unwrap();
    assert_eq!(y[0].data(), [f32::NEG_INFINITY]);
    let scaled = |factor| ActivationOp(Unary::Scale(factor));
    assert!(scaled(0.5).is_same(&scaled(0.5)) && !scaled(0.0).is_same(&scaled(-0.0)));
}

#[test]
fn functions_have_no_identity() {
    let model = build(|x| x.map("Twice", |x| 2.0 * x, |_| 2.0) + x.map("Twice", |x| 3.0 * x, |_| 3.0), &[1]);
    assert_eq!(model.predict(&Tensor::from_vec([1, 1], vec![1.0]).unwrap()).unwrap().data(), [5.0]);
}

/// VGG at its published size pools 7 × 7 pixels to 7 × 7.
#[test]
fn a_pooling_of_single_pixels_is_left_out() {
    let network = |out| move |x: &Node| (x * 2.0).adaptive_avg_pool(out, out).named("pooled").square();
    let pools = |model: &Model, wanted: &[&str]| {
        let plan = model.plan(2, wanted).unwrap();
        plan.steps().iter().filter(|step| step.op().kind().contains("Pool")).count()
    };
    let [same, smaller] = [4, 2].map(|out| Model::build(network(out), [4, 4, 3], 0).unwrap());
    assert_eq!([pools(&smaller, &["output"]), pools(&same, &["output"]), pools(&same, &["pooled"])], [1, 0, 1]);
    let x = Tensor::uniform([2, 4, 4, 3], crate::Key::new(1));
    let pooled = same.run(&Batch::new().with("input", &x), &["output", "pooled"]).unwrap();
    assert!(pooled[0].data().iter().zip(x.data()).all(|(y, x)| *y == (2.0 * x) * (2.0 * x)));
    assert!(pooled[1].data().iter().zip(x.data()).all(|(y, x)| *y == 2.0 * x));
    let mut objective =
        same.objective_of(crate::Mode::Infer, crate::Wrt::Values(&["input"]), |t| t.output().sum()).unwrap();
    let gradient =
        objective.evaluate(&same, &Batch::new().with("input", &x)).unwrap().gradient_tensor("input").unwrap();
    assert!(gradient.data().iter().zip(x.data()).all(|(g, x)| *g == 8.0 * x));
}
