//! Arithmetic of operands of unequal sizes, in storage that is used again: forward against its definition, gradients against
//! differences of it.

use super::{batch_of, build, mistake};
use crate::{
    Axis, Batch, Dim, Key, Mode, Model, Node, Objective, Shape, Tensor, Trace, Wrt, initial::tests::Ramp,
    ops::Arithmetic,
};
use ocelli_tensor::{Stream, element_count};

const BATCHES: [usize; 4] = [1, 2, 3, 32];

/// `a ∘ b` of two operands that are computed, so that either's storage could be taken over.
#[derive(Debug)]
struct Case {
    op: Arithmetic,
    shapes: [Shape; 2],
}

fn has_samples(shape: &Shape) -> bool {
    matches!(shape.dims().first(), Some(Dim::Batch(_)))
}

impl Case {
    /// Two shapes of which axes are missing at the front or have size 1. Samples are where they belong in most of them.
    fn drawn(stream: &mut Stream) -> Case {
        let rank = 1 + stream.below(4);
        let sizes: Vec<Dim> = (0..rank).map(|_| Dim::Fixed([1, 2, 3, 5, 17][stream.below(5)])).collect();
        let mut operand = || {
            let missing = if stream.below(3) == 0 { 1 + stream.below(rank) } else { 0 };
            let one_or = |dim: &Dim, stream: &mut Stream| if stream.below(3) == 0 { Dim::Fixed(1) } else { *dim };
            let mut dims: Vec<Dim> = sizes[missing..].iter().map(|dim| one_or(dim, stream)).collect();
            let samples = if missing == 0 { stream.below(4) > 0 } else { stream.below(6) == 0 };
            dims.iter_mut().take(1).filter(|_| samples).for_each(|dim| *dim = Dim::Batch(1));
            Shape::new(dims)
        };
        let shapes = [operand(), operand()];
        let ops = [Arithmetic::Add, Arithmetic::Sub, Arithmetic::Mul, Arithmetic::Div];
        Case { op: ops[stream.below(4)], shapes }
    }

    /// Samples meet samples, or nothing but axes of size 1.
    fn is_right(&self) -> bool {
        let [a, b] = &self.shapes;
        let rank = a.rank().max(b.rank());
        let stay_first = self.shapes.iter().all(|shape| shape.rank() == rank || !has_samples(shape));
        let mut pairs = a.dims().iter().rev().zip(b.dims().iter().rev());
        stay_first && pairs.all(|(a, b)| a == b || [a, b].contains(&&Dim::Fixed(1)))
    }

    fn model(&self) -> Result<Model, crate::Error> {
        Model::trace(0, |trace| {
            let operand = |i: usize| trace.input(["a", "b"][i], self.shapes[i].clone()).square().shift(0.5);
            Node::call(self.op, &[&operand(0), &operand(1)])
        })
    }

    fn value(&self, a: f64, b: f64) -> f64 {
        let (a, b) = (a * a + 0.5, b * b + 0.5);
        match self.op {
            Arithmetic::Add => a + b,
            Arithmetic::Sub => a - b,
            Arithmetic::Mul => a * b,
            Arithmetic::Div => a / b,
        }
    }
}

/// The element of an operand of shape `part` that goes to element `number` of a result of shape `whole`.
fn element_of(number: usize, whole: &[usize], part: &[usize]) -> usize {
    let (mut rest, mut offset, mut stride) = (number, 0, 1);
    for (axis, size) in whole.iter().enumerate().rev() {
        let index = rest % size;
        rest /= size;
        if let Some(axis) = (axis + part.len()).checked_sub(whole.len()) {
            offset += if part[axis] == 1 { 0 } else { index * stride };
            stride *= part[axis];
        }
    }
    offset
}

fn assert_near(got: &[f32], expected: &[f64], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1f64, |largest, value| largest.max(value.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(*got) - expected).abs() < 1e-5 * largest, "{what}, element {i}: {got} and not {expected}");
    }
}

/// Result and gradients for `n` samples against the definition.
fn check(case: &Case, model: &Model, objective: &mut Objective, n: usize) {
    let key = Key::new(3).at(n as u64);
    let graph = model.graph();
    let whole = graph.values[graph.find("output").unwrap()].shape.at(n);
    let sizes = [0, 1].map(|i| case.shapes[i].at(n));
    let [a, b] = [0, 1].map(|i| Tensor::uniform(sizes[i].clone(), key.with(["a", "b"][i])));
    let weights = Tensor::uniform(whole.clone(), key.with("weights"));
    let batch = Batch::new().with("a", &a).with("b", &b).with("weights", &weights);

    let mut y = vec![0f64; element_count(&whole).unwrap()];
    let mut gradients = [vec![0f64; a.len()], vec![0f64; b.len()]];
    for (i, y) in y.iter_mut().enumerate() {
        let places = [0, 1].map(|operand| element_of(i, &whole, &sizes[operand]));
        let (a, b) = (f64::from(a.data()[places[0]]), f64::from(b.data()[places[1]]));
        *y = case.value(a, b);
        let (weight, h) = (f64::from(weights.data()[i]), 1e-5);
        gradients[0][places[0]] += weight * (case.value(a + h, b) - case.value(a - h, b)) / (2.0 * h);
        gradients[1][places[1]] += weight * (case.value(a, b + h) - case.value(a, b - h)) / (2.0 * h);
    }
    let what = |part: &str| format!("{part} of {case:?} for {n} samples");
    assert_near(model.run(&batch, &["output"]).unwrap()[0].data(), &y, &what("result"));
    let step = objective.evaluate(model, &batch).unwrap();
    assert_near(step.gradient("a").unwrap(), &gradients[0], &what("gradient a"));
    assert_near(step.gradient("b").unwrap(), &gradients[1], &what("gradient b"));
}

#[test]
fn operands_of_all_shapes_have_the_results_and_gradients_of_the_definition() {
    let mut stream = Key::new(11).with("broadcasting").stream();
    let (mut checked, mut refused) = (0, 0);
    for _ in 0..250 {
        let case = Case::drawn(&mut stream);
        let model = case.model();
        if !case.is_right() {
            assert!(model.is_err(), "{case:?}");
            refused += 1;
            continue;
        }
        let model = model.unwrap_or_else(|error| panic!("{case:?}: {error}"));
        let loss = |t: &Trace| (t.input("weights", t.output().shape()) * t.output()).sum();
        let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["a", "b"]), loss).unwrap();
        let batches = if case.shapes.iter().any(has_samples) { &BATCHES[..] } else { &BATCHES[..1] };
        batches.iter().for_each(|&n| check(&case, &model, &mut objective, n));
        checked += 1;
    }
    assert!(checked > 150 && refused > 20, "{checked} cases checked, {refused} refused");
}

/// A dense layer without a bias.
fn dense(x: &Node, name: &str, features: usize) -> Node {
    x.matmul(&x.trace().parameter(name, [x.channels(), features], Ramp))
}

/// Trains for one sample as for 32: the sum of the gradients of 32 batches of one is that of the batch.
#[track_caller]
fn batches_of_one_add_up(network: impl Fn(&Node) -> Node, sample: &[usize]) {
    let model = build(network, sample);
    let mut objective =
        model.objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), |t| t.output().square().sum()).unwrap();
    let x = super::input(&[&[32], sample].concat());
    let gradient = |step: crate::Step<'_>| -> Vec<f32> { step.gradient("input").unwrap().to_vec() };
    let together = gradient(objective.evaluate(&model, &Batch::new().with("input", &x)).unwrap());
    let mut one_by_one = Vec::new();
    for i in 0..32 {
        let batch = Batch::new().with("input", x.rows(i..i + 1));
        one_by_one.extend(gradient(objective.evaluate(&model, &batch).unwrap()));
        model.run(&batch, &["output"]).unwrap();
    }
    let expected: Vec<f64> = together.iter().map(|value| f64::from(*value)).collect();
    assert_near(&one_by_one, &expected, "gradient of the input");
}

#[test]
fn a_small_operand_gives_its_storage_to_no_larger_result() {
    batches_of_one_add_up(|x| dense(x, "gate", 1).sigmoid() * dense(x, "features", 10), &[6]);
    batches_of_one_add_up(
        |x| {
            let e = x.exp();
            1.0 / e.sum_over(&[Axis::C]).reshape([1]) * e
        },
        &[10],
    );
    let gate = |x: &Node| x.global_avg_pool().sigmoid().reshape([1, 1, 3]) * x;
    batches_of_one_add_up(gate, &[2, 2, 3]);
    // The mean of a batch is a scalar, and a line of memory as the result is.
    let mut model = build(|x| (x.mean() + x.tanh()) * x.trace().parameter("w", [4], Ramp), &[4]);
    let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
    let x = super::input(&[1, 4]);
    let mean: f32 = x.data().iter().sum::<f32>() / 4.0;
    let w = model.parameters().value("w").unwrap().clone();
    let y = model.predict(&x).unwrap();
    for i in 0..4 {
        assert!((y.data()[i] - (mean + x.data()[i].tanh()) * w.data()[i]).abs() < 1e-6);
    }
    assert!(objective.step(&mut model, &batch_of(&[1, 4])).is_ok());
}

#[test]
fn samples_stay_on_the_first_axis() {
    let target = |x: &Node| x - x.trace().input("target", []);
    assert_eq!(
        mistake(target, &[1]),
        "(Sub): expected 2 axes, as [N, 1] has, because the number of samples stays the first (`reshape([1])` makes [N, 1]), got \
         1 in [N] from input \"target\""
    );
    assert_eq!(
        mistake(|x| x.reshape([1, 1, 4]) + x, &[4]),
        "(Add): expected 4 axes, as [N, 1, 1, 4] has, because the number of samples stays the first (`reshape([1, 1, 4])` makes \
         [N, 1, 1, 4]), got 2 in [N, 4] from input \"input\""
    );
    // Other sizes differ too: an axis more would not help.
    assert!(mistake(|x| x.flatten() + x, &[2, 2, 3]).starts_with("(Add): shapes differ"));
    let twice = Shape::new([Dim::Batch(1), Dim::Fixed(2), Dim::Batch(1)]);
    let sentence = "has N on axis 2, but the number of samples is axis 0 and no other";
    let input = Model::trace(0, |t| t.input("x", twice.clone())).unwrap_err().to_string();
    assert_eq!(input, format!("(input): \"x\" of shape [N, 2, N] {sentence}"));
    let filled = mistake(|x| x.trace().filled(0.0, twice.clone()), &[2]);
    assert_eq!(filled, format!("(Fill): the result of shape [N, 2, N] {sentence}"));
    let square = Shape::new([Dim::Batch(1), Dim::Batch(1)]);
    assert!(
        mistake(|x| Node::call(crate::ops::ReshapeOp { shape: square.clone() }, &[x]), &[1]).contains("(Reshape): ")
    );
    assert!(
        mistake(|x| x.squared_distance(x), &[3])
            .starts_with("(SquaredDistance): expected codes [codes, features] without")
    );
}

#[test]
fn samples_are_no_weights() {
    let other = |x: &Node, sizes: &[usize]| x.trace().input("other", sizes);
    let settings = ocelli_kernels::conv::Conv2dSettings::default();
    assert_eq!(
        mistake(|x| Node::call(crate::ops::LinearOp, &[x, &other(x, &[5])]), &[1]),
        "(Linear): expected a matrix [in, out] without samples, got N in [N, 5] from input \"other\""
    );
    let filter = mistake(|x| x.conv2d(settings, &other(x, &[1, 3, 8]), None), &[4, 4, 3]);
    assert!(
        filter.starts_with("(Conv2d): expected a filter [kernel_h, kernel_w, in / groups, out] without samples, got N")
    );
    let bias = |x: &Node, shape: &[usize]| {
        let w = x.trace().parameter("w", [1, 1, 3, 8], Ramp);
        x.conv2d(settings, &w, Some(&x.trace().parameter("b", Shape::from(shape), Ramp)))
    };
    assert_eq!(
        mistake(|x| bias(x, &[9]), &[4, 4, 3]),
        "(Conv2d): expected 8 elements of the bias on axis C, got 9 in [9] from parameter b"
    );
    assert_eq!(
        mistake(|x| bias(x, &[8, 1]), &[4, 4, 3]),
        "(Conv2d): expected a bias [channels], got [8, 1] from parameter b"
    );
}
