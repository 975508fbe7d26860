//! Fusion for inference: fewer steps, the same numbers.

use super::{batch_of, build};
use crate::{
    Initializer, Key, Model, Node, Precision, Tensor,
    initial::tests::Ramp,
    ops::{BatchNormOp, BatchNormParameters, LinearOp},
};
use ocelli_kernels::conv::{Conv2dSettings, Padding};

/// Uniform numbers in [½, 3/2).
#[derive(Clone, Copy, Debug)]
struct Positive;

impl Initializer for Positive {
    fn fill(&self, _: &[crate::ParameterAxis], key: Key, values: &mut [f32]) {
        let mut stream = key.stream();
        values.iter_mut().for_each(|value| *value = stream.between(0.5, 1.5));
    }
}

/// A convolution, by what matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    channels: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Convolution {
    pub(super) fn new(channels: usize, kernel: usize) -> Convolution {
        Convolution { channels, kernel, stride: 1, groups: 1 }
    }

    fn settings(self) -> Conv2dSettings {
        let padding = Padding::uniform(self.kernel / 2);
        let (stride_h, stride_w, groups) = (self.stride, self.stride, self.groups);
        Conv2dSettings { stride_h, stride_w, groups, padding, ..Conv2dSettings::default() }
    }
}

pub(super) fn conv(x: &Node, c: Convolution) -> Node {
    let w = x.trace().parameter("weight", [c.kernel, c.kernel, x.channels() / c.groups, c.channels], Ramp);
    x.conv2d(c.settings(), &w, None)
}

fn conv_with_bias(x: &Node, c: Convolution) -> Node {
    let w = x.trace().parameter("weight", [c.kernel, c.kernel, x.channels() / c.groups, c.channels], Ramp);
    let bias = x.trace().parameter("bias", [c.channels], Ramp);
    x.conv2d(c.settings(), &w, Some(&bias))
}

pub(super) fn batch_norm(x: &Node) -> Node {
    let (trace, channels) = (x.trace(), [x.channels()]);
    let parameters = BatchNormParameters {
        weight: &trace.parameter("weight", channels, Positive),
        bias: &trace.parameter("bias", channels, Ramp),
        running_mean: &trace.state("running_mean", channels, Ramp),
        running_variance: &trace.state("running_var", channels, Positive),
    };
    x.batch_norm(BatchNormOp::new(1e-5, 0.1), parameters)
}

fn kinds(model: &Model, n: usize, wanted: &[&str]) -> Vec<String> {
    model.plan(n, wanted).unwrap().steps().iter().map(|step| step.op().kind()).collect()
}

/// Relative to the largest of the expected numbers.
fn assert_close(got: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let largest = expected.data().iter().fold(0.0_f32, |largest, y| largest.max(y.abs()));
    for (got, expected) in got.data().iter().zip(expected.data()) {
        assert!((got - expected).abs() <= 1e-5 * largest, "{what}: {got}, not {expected}");
    }
}

/// The output of the network as it is fused, and with every name tapped so that it is not.
fn assert_same(model: &Model, sample: &[usize], what: &str) {
    for n in [1, 3] {
        let batch = batch_of(&[&[n], sample].concat());
        let fused = model.run(&batch, &["output"]).unwrap().remove(0);
        let names: Vec<&str> =
            model.graph().names.keys().map(String::as_str).filter(|name| *name != "output").collect();
        let tapped = model.run(&batch, &[&["output"], &names[..]].concat()).unwrap().remove(0);
        assert_close(&fused, &tapped, what);
    }
}

/// Every combination of what may follow, on convolutions of every algorithm.
#[test]
fn every_combination_is_one_step_with_the_same_numbers() {
    let strided = Convolution { stride: 2, ..Convolution::new(16, 1) };
    let cases = [
        ("implicit", [9, 7, 3], Convolution::new(5, 3)),
        ("winograd", [24, 24, 32], Convolution::new(32, 3)),
        ("pointwise", [8, 9, 16], Convolution::new(24, 1)),
        ("pointwise, strided", [9, 8, 16], strided),
        ("groups", [9, 9, 8], Convolution { groups: 2, ..Convolution::new(12, 3) }),
        ("depthwise", [9, 10, 16], Convolution { groups: 16, ..Convolution::new(16, 3) }),
        ("5×5, strided", [11, 11, 3], Convolution { stride: 2, ..Convolution::new(8, 5) }),
    ];
    for (name, sample, c) in cases {
        for case in 0..24 {
            let [bias, norm, residual] = [1, 2, 4].map(|bit| case & bit != 0);
            let activation = [None, Some("Relu"), Some("Clamp")][case / 8];
            let network = |x: &Node| {
                let first = x.named("first").sigmoid().named("sigmoid");
                let shortcut =
                    first.scope("shortcut", |x| conv(x, Convolution { kernel: 1, ..c })).tanh().named("tanh");
                let mut y = first.scope("conv", |x| if bias { conv_with_bias(x, c) } else { conv(x, c) });
                let mut expected = vec!["Conv2d"];
                if norm {
                    y = y.named("y1").scope("bn", batch_norm);
                    expected.push("BatchNorm");
                }
                if residual {
                    y = if bias { y.named("y2") + &shortcut } else { &shortcut + y.named("y2") };
                    expected.push("Add");
                }
                if let Some(kind) = activation {
                    y = y.named("y3");
                    y = if kind == "Relu" { y.relu() } else { y.clamp(-0.5, 3.0) };
                    expected.push(kind);
                }
                (y, expected.join(" + "))
            };
            let expected = std::cell::RefCell::new(String::new());
            let model = build(
                |x| {
                    let (y, kind) = network(x);
                    *expected.borrow_mut() = kind;
                    y
                },
                &sample,
            );
            let what = format!("{name}: {}", expected.borrow());
            let kinds = kinds(&model, 1, &["output"]);
            assert_eq!(kinds.last(), Some(&*expected.borrow()), "{what}: {kinds:?}");
            assert_eq!(kinds.len(), if residual { 4 } else { 2 }, "{what}: {kinds:?}");
            assert_same(&model, &sample, &what);
            assert_same(&model.with_precision(Precision::Strict), &sample, &what);
        }
    }
}

fn dense(x: &Node) -> Node {
    let (trace, features) = (x.trace(), x.channels());
    let (w, bias) = (trace.parameter("weight", [features, 20], Ramp), trace.parameter("bias", [20], Ramp));
    Node::call(LinearOp, &[x, &w, &bias])
}

#[test]
fn dense_layers_fuse_too() {
    let network = |x: &Node| {
        let x = x.scope("fc1", dense).named("1").scope("bn", batch_norm).named("2").relu().named("3");
        let y = x.scope("fc2", dense).named("4");
        (y + &x).named("5").relu().named("6").scope("fc3", dense)
    };
    let model = build(network, &[30]);
    let expected = ["Linear + BatchNorm + Relu", "Linear + Add + Relu", "Linear"];
    assert_eq!(kinds(&model, 2, &["output"]), expected);
    assert_same(&model, &[30], "dense");
}

#[test]
fn what_is_tapped_is_not_fused_away() {
    let network = |x: &Node| {
        let y = x.scope("conv", |x| conv(x, Convolution::new(8, 3))).named("sum");
        y.scope("bn", batch_norm).named("normal").relu()
    };
    let model = build(network, &[8, 8, 4]);
    assert_eq!(kinds(&model, 1, &["output"]), ["Conv2d + BatchNorm + Relu"]);
    assert_eq!(kinds(&model, 1, &["output", "normal"]), ["Conv2d + BatchNorm", "Relu"]);
    assert_eq!(kinds(&model, 1, &["sum", "output"]), ["Conv2d", "BatchNormRelu"]);
    assert_eq!(kinds(&model, 1, &["sum", "normal", "output"]), ["Conv2d", "BatchNorm", "Relu"]);
    assert_same(&model, &[8, 8, 4], "tapped");
}

#[test]
fn what_is_read_twice_or_broadcast_is_not_fused_away() {
    let c = Convolution::new(4, 3);
    let twice = |x: &Node| {
        let y = x.scope("a", |x| conv(x, c)).named("a1");
        y.relu().named("a2") + y
    };
    let twice = build(twice, &[6, 6, 4]);
    assert_eq!(kinds(&twice, 1, &["output"]), ["Conv2d", "Relu", "Add"]);
    assert_same(&twice, &[6, 6, 4], "a sum that is read twice");
    let itself = |x: &Node| {
        let y = x.scope("a", |x| conv(x, c)).named("a1");
        (&y + &y).named("sum").relu()
    };
    let itself = build(itself, &[6, 6, 4]);
    assert_eq!(kinds(&itself, 1, &["output"]), ["Conv2d", "Add", "Relu"]);
    assert_same(&itself, &[6, 6, 4], "a value added to itself");
    let broadcast = |x: &Node| {
        let shift = x.trace().parameter("shift", [4], Ramp);
        (x.scope("a", |x| conv(x, c)).named("a1") + shift).named("sum").relu()
    };
    let broadcast = build(broadcast, &[6, 6, 4]);
    assert_eq!(kinds(&broadcast, 1, &["output"]), ["Conv2d", "Add", "Relu"]);
    assert_same(&broadcast, &[6, 6, 4], "a shift");
}

/// The residual is in the storage that the result takes over, unless something needs it still.
#[test]
fn residuals_are_in_place_where_nothing_else_reads_them() {
    let c = Convolution::new(4, 3);
    let block = |x: &Node| {
        let x = x.tanh().named("x");
        let y = x.scope("a", |x| conv(x, c)).named("a1").relu().named("a2");
        (y.scope("b", |x| conv(x, c)).named("b1") + &x).named("sum").relu()
    };
    let model = build(block, &[6, 6, 4]);
    let plan = model.plan(2, &["output"]).unwrap();
    assert_eq!(kinds(&model, 2, &["output"]), ["Tanh", "Conv2d + Relu", "Conv2d + Add + Relu"]);
    assert!(plan.steps()[2].is_in_place());
    assert_eq!(plan.arena_bytes(), 2 * 2 * 6 * 6 * 4 * 4, "two tensors");
    assert!(!model.plan(2, &["output", "x"]).unwrap().steps()[2].is_in_place());
    assert_same(&model, &[6, 6, 4], "a block");
    // The convolution reads what is added to it.
    let own = |x: &Node| {
        let x = x.tanh().named("x");
        (x.scope("a", |x| conv(x, c)).named("a1") + &x).named("sum").relu()
    };
    let model = build(own, &[6, 6, 4]);
    assert!(!model.plan(2, &["output"]).unwrap().steps()[1].is_in_place());
    assert_same(&model, &[6, 6, 4], "x + f(x)");
    // An input is nobody's to overwrite.
    let of_input = |x: &Node| x.tanh().named("t").scope("a", |x| conv(x, c)).named("a1") + x;
    let model = build(of_input, &[6, 6, 4]);
    assert!(!model.plan(2, &["output"]).unwrap().steps()[1].is_in_place());
    assert_same(&model, &[6, 6, 4], "the input added");
}

/// Of two convolutions that are added the later one does it.
#[test]
fn a_projected_shortcut_is_added_by_the_later_convolution() {
    let c = Convolution::new(8, 3);
    let network = |x: &Node| {
        let y = x.scope("conv", |x| conv(x, c)).named("1").scope("bn", batch_norm).named("2");
        let projection = Convolution { kernel: 1, ..c };
        let shortcut = x.scope("down", |x| conv(x, projection)).named("3").scope("norm", batch_norm).named("4");
        (y + shortcut).named("5").relu()
    };
    let model = build(network, &[9, 9, 5]);
    assert_eq!(kinds(&model, 1, &["output"]), ["Conv2d + BatchNorm", "Conv2d + BatchNorm + Add + Relu"]);
    assert!(model.plan(1, &["output"]).unwrap().steps()[1].is_in_place());
    assert_same(&model, &[9, 9, 5], "a projection");
}

#[test]
fn weights_are_folded_again_when_a_parameter_changes() {
    let c = Convolution::new(32, 3);
    let network = |x: &Node| {
        x.scope("conv", |x| conv_with_bias(x, c)).named("sum").scope("bn", batch_norm).named("normal").relu()
    };
    let mut model = build(network, &[16, 16, 32]);
    let batch = batch_of(&[2, 16, 16, 32]);
    let mut before = model.run(&batch, &["output"]).unwrap().remove(0);
    assert_eq!(model.run(&batch, &["output"]).unwrap()[0], before, "what was folded serves again");
    for path in ["conv.weight", "conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"] {
        let value = model.parameters_mut().value_mut(path).unwrap();
        value.data_mut().iter_mut().for_each(|number| *number = 1.5 * *number + 0.25);
        let after = model.run(&batch, &["output"]).unwrap().remove(0);
        assert_ne!(after, before, "{path}");
        assert_same(&model, &[16, 16, 32], path);
        before = after;
    }
}

/// A shared layer: one filter under two normalisations.
#[test]
fn a_shared_filter_is_folded_for_each_of_its_uses() {
    let network = |x: &Node| {
        let w = x.trace().parameter("weight", [3, 3, 4, 4], Ramp);
        let shared = |x: &Node| x.conv2d(Convolution::new(4, 3).settings(), &w, None);
        let x = shared(x).named("1").scope("first", batch_norm).named("2").relu().named("3");
        shared(&x).named("4").scope("second", batch_norm)
    };
    let model = build(network, &[6, 6, 4]);
    assert_eq!(kinds(&model, 1, &["output"]), ["Conv2d + BatchNorm + Relu", "Conv2d + BatchNorm"]);
    assert_same(&model, &[6, 6, 4], "shared");
}

/// A filter that is computed of the input cannot be folded; one that is computed of parameters can.
#[test]
fn only_constant_filters_are_folded() {
    let network = |x: &Node, of_input: bool| {
        let w = x.trace().parameter("weight", [3, 3, 4, 6], Ramp);
        let w = if of_input { w * x.mean().named("mean") } else { w * 3.0 };
        let y = x.conv2d(Convolution::new(6, 3).settings(), &w, None).named("1");
        y.scope("bn", batch_norm).named("2").relu()
    };
    let model = build(|x| network(x, true), &[6, 6, 4]);
    assert_eq!(kinds(&model, 1, &["output"]).last().unwrap(), "BatchNormRelu");
    assert_same(&model, &[6, 6, 4], "a filter of the input");
    let model = build(|x| network(x, false), &[6, 6, 4]);
    assert_eq!(kinds(&model, 1, &["output"]), ["Conv2d + BatchNorm + Relu"]);
    assert_same(&model, &[6, 6, 4], "a filter of parameters");
}

/// A value of parameters alone is computed once, tapped or not, and nothing is added to it.
#[test]
fn constants_stay_as_they_are() {
    let network = |x: &Node| {
        let w = x.trace().parameter("w", [4, 4], Ramp);
        let squared = (&w * &w).named("squared");
        // A product whose kernel could add to what is there.
        let gram = x.matmul(&w).named("rows").scope("t", |x| x.softmax()).named("soft");
        gram.matmul(&(&squared + w.matmul(&w).named("product")).named("sum"))
    };
    let mut model = build(network, &[4]);
    let batch = batch_of(&[3, 4]);
    let first = model.run(&batch, &["output", "squared", "sum"]).unwrap();
    assert_eq!(model.run(&batch, &["output", "squared", "sum"]).unwrap(), first);
    assert_close(&model.run(&batch, &["output"]).unwrap()[0], &first[0], "alone");
    let w = model.parameters().value("w").unwrap().clone();
    assert!(first[1].data().iter().zip(w.data()).all(|(squared, w)| *squared == w * w));
    model.parameters_mut().set("w", Tensor::full([4, 4], 2.0)).unwrap();
    assert_eq!(model.run(&batch, &["squared"]).unwrap()[0], Tensor::full([4, 4], 4.0));
}

#[test]
fn plans_say_what_was_fused() {
    let network = |x: &Node| {
        let x = x.tanh();
        let y = x.scope("conv", |x| conv(x, Convolution::new(8, 3))).scope("bn", batch_norm);
        (y + &x).relu().global_avg_pool().scope("a \"quoted\" path", dense)
    };
    let model = build(network, &[8, 8, 8]);
    let plan = model.plan(2, &["output"]).unwrap();
    let text = plan.explain();
    println!("{text}");
    let line = text.lines().find(|line| line.contains("Conv2d + BatchNorm + Add + Relu")).unwrap();
    assert!(line.contains("conv  ") && line.contains("[2, 8, 8, 8], 4096 bytes at "), "{line}");
    assert!(text.contains("once for each version of the parameters"), "{text}");
    assert!(text.contains("FoldedFilter") && text.contains("FoldedBias"), "{text}");
    let dot = plan.to_dot();
    println!("{dot}");
    assert_well_formed(&dot);
    assert_eq!(dot.lines().filter(|line| line.contains(" -> ")).count(), 5, "{dot}");
    assert!(dot.contains("a \\\"quoted\\\" path") && dot.contains("Conv2d + BatchNorm + Add + Relu"), "{dot}");
    assert!(dot.contains("input_0 -> step_0") && dot.contains("step_2 -> step_3"), "{dot}");
}

/// One graph; statements that end; strings that end; edges between nodes that there are.
fn assert_well_formed(dot: &str) {
    let lines: Vec<&str> = dot.lines().collect();
    let [first, body @ .., last] = &lines[..] else { panic!("{dot}") };
    assert_eq!((*first, *last), ("digraph plan {", "}"));
    let mut nodes = Vec::new();
    for line in body {
        assert!(line.ends_with("];"), "{line}");
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes % 2, 0, "{line}");
        let (statement, _) = line.trim_start().split_once(" [").unwrap();
        match statement.split_once(" -> ") {
            Some((from, to)) => assert!(nodes.contains(&from) && nodes.contains(&to), "{line}"),
            None => nodes.push(statement),
        }
    }
}
