//! Sizes near the end of `usize`, and axes without elements: one sentence each, wherever they come in.

use super::{build, mistake};
use crate::{
    Axis, Batch, Compiled, Constant, Dim, Error, Fault, Graph, Key, Mode, Model, Node, Op, Request, Shape, Tensor, Wrt,
    check_gradients_at, func,
    ops::{Conv2dOp, ConvTranspose2dOp, GroupNormOp, LinearOp, ReshapeOp},
};
use ocelli_kernels::{
    conv::Conv2dSettings,
    local_response::LocalResponse,
    pad::{PadMode, PadSettings},
    pool::{CountPadding, PoolSettings},
};

const HUGE: usize = 1 << 40;

#[test]
fn shapes_that_cannot_be_addressed_have_no_value() {
    let too_many = "has more elements than can be addressed";
    let input = Model::build(Node::relu, [HUGE, 1 << 30], 0).unwrap_err().to_string();
    assert_eq!(input, format!("(input): \"input\" of shape [N, {HUGE}, {}] {too_many}", 1 << 30));
    let parameter = mistake(|x| x.matmul(&x.trace().parameter("w", [3, 1 << 61], Constant(0.0))), &[3]);
    assert_eq!(parameter, format!("(parameter): w of shape [3, {}] {too_many}", 1u64 << 61));
    let joined = |x: &Node| x.reshape([HUGE, 1]) * x.reshape([1, HUGE]);
    assert_eq!(mistake(joined, &[HUGE]), format!("(Mul): the result of shape [N, {HUGE}, {HUGE}] {too_many}"));
    let filled = |x: &Node| x.trace().filled(0.0, Shape::from([usize::MAX, 2]));
    assert!(mistake(filled, &[3]).ends_with(too_many));
    let samples = |x: &Node| x.trace().filled(0.0, Shape::new([Dim::Batch(usize::MAX)]));
    assert!(mistake(samples, &[3]).ends_with(too_many));
}

#[test]
fn sums_and_products_of_sizes_do_not_wrap() {
    let wide = 1 << 59;
    let rows = |x: &Node, count: usize, axis: Axis| Node::concat(&vec![x; count], axis);
    for count in [2, 16, 32, 33] {
        for axis in [Axis::N, Axis::C] {
            assert!(mistake(|x| rows(x, count, axis), &[wide]).contains("has more elements than can be addressed"));
        }
    }
    let slices = [usize::MAX - 1..usize::MAX, 2..usize::MAX, 1..9, 0..usize::MAX];
    for range in slices {
        let sentence = mistake(|x| x.slice(Axis::C, range.clone()), &[8]);
        assert!(sentence.contains("entries from"), "{sentence}");
    }
    let two = |x: &Node| Node::concat(&[x, x], Axis::N);
    assert!(mistake(|x| two(x).split_batch(usize::MAX, 2), &[3]).contains("entries from"));
    assert!(mistake(|x| two(x).split_batch(2, 2), &[3]).contains("entries from"));
    assert!(mistake(|x| two(x).split_batch(0, usize::MAX), &[3]).contains("equal parts"));
    assert!(mistake(|x| x.reshape([usize::MAX, 2]), &[8]).contains("as many elements as"));
    assert!(mistake(|x| x.adaptive_avg_pool(usize::MAX, usize::MAX), &[4, 4, 2]).starts_with("(AdaptiveAvgPool): "));
    let groups = |x: &Node| {
        let (w, b) = (x.trace().filled(1.0, [2].into()), x.trace().filled(0.0, [2].into()));
        x.group_norm(GroupNormOp { groups: usize::MAX, epsilon: 1e-5 }, &w, &b)
    };
    assert!(mistake(groups, &[4, 4, 2]).contains("divides"));
    let transposed = |settings: Conv2dSettings, output_padding: usize| {
        mistake(
            |x| {
                let w = x.trace().parameter("w", [2, 2, 1, 2], Constant(0.0));
                x.conv_transpose2d(ConvTranspose2dOp::new(settings, [output_padding; 2]), &w)
            },
            &[4, 4, 2],
        )
    };
    let large = Conv2dSettings { stride_h: usize::MAX, stride_w: usize::MAX, ..Conv2dSettings::default() };
    transposed(large, usize::MAX - 1);
    transposed(Conv2dSettings { dilation_h: usize::MAX, ..Conv2dSettings::default() }, 0);
    transposed(Conv2dSettings { groups: usize::MAX, ..Conv2dSettings::default() }, 0);
}

#[test]
fn batches_that_cannot_be_addressed_are_errors() {
    let model = build(|x| x.relu().flatten() * x.trace().parameter("w", [12], Constant(1.0)), &[2, 2, 3]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    for n in [usize::MAX, usize::MAX / 2, isize::MAX as usize / 4, 1 << 59] {
        let sentence = format!("a batch of {n} needs more memory than can be addressed");
        assert_eq!(model.plan(n, &["output"]).unwrap_err().to_string(), sentence);
        assert_eq!(model.inference(n).unwrap_err().to_string(), sentence);
        assert_eq!(model.summary_for(n).unwrap_err().to_string(), sentence);
        assert_eq!(objective.plan(&model, n).unwrap_err().to_string(), sentence);
    }
    assert!(matches!(model.inference(1 << 50).unwrap_err(), Error::OutOfMemory { .. }));
    let none = "a plan is for one sample or more, got 0";
    assert_eq!(model.plan(0, &["output"]).unwrap_err().to_string(), none);
    assert_eq!(model.inference(0).unwrap_err().to_string(), none);
    assert_eq!(model.summary_for(0).unwrap_err().to_string(), none);
    assert_eq!(objective.plan(&model, 0).unwrap_err().to_string(), none);
}

/// An operation of more work than can be counted.
#[derive(Debug, PartialEq)]
struct Endless;

impl Op for Endless {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|_| ()))
    }
    fn macs(&self, _: &[&Shape], _: &[&Shape]) -> u64 {
        u64::MAX
    }
}

#[test]
fn the_summary_of_a_network_larger_than_any_memory_says_so() {
    let network = |x: &Node| {
        let parts = [x.tanh(), x.sigmoid(), x.exp(), x.square(), x.relu()];
        let product = parts.into_iter().reduce(|a, b| a * b).unwrap();
        product * x.trace().parameter("w", [1], Constant(1.0))
    };
    let summary = Model::build(network, [HUGE, 1 << 19], 0).unwrap().summary();
    assert_eq!((summary.inference_bytes, summary.training_bytes), (usize::MAX, Some(usize::MAX)));
    let text = summary.to_string();
    assert!(text.contains("memory of inference for a batch of 1: more than can be addressed (activations"), "{text}");
    let endless = build(|x| Node::call(Endless, &[&Node::call(Endless, &[x])]), &[3]);
    assert_eq!(endless.summary().macs, u64::MAX);
    let (x, w) = (Shape::batch(&[1 << 20, 1 << 20, 8]), Shape::from([1 << 10, 1 << 10, 8, 1 << 10]));
    let conv = Conv2dOp::new(Conv2dSettings::default());
    assert_eq!(conv.macs(&[&x, &w], &[&Shape::batch(&[1 << 20, 1 << 20, 1 << 10])]), u64::MAX);
}

#[test]
fn parameters_that_cannot_be_had_are_an_error() {
    let network = |x: &Node| x.matmul(&x.trace().parameter("w", [3, 1 << 50], Constant(0.0)));
    let error = Model::build(network, [3], 0).unwrap_err();
    assert!(matches!(&error, Error::OutOfMemory { bytes, .. } if *bytes == 12 << 50), "{error}");
    assert!(Model::zeroed(func(network), [3]).is_err());
    assert!(Graph::from_layer(func(network), [3]).is_ok(), "a description takes no memory");
    let many = |x: &Node| {
        let w = |i: usize| x.trace().parameter(&format!("w{i}"), [1 << 59], Constant(0.0)).sum();
        (0..16).fold(x.sum(), |sum, i| sum + w(i))
    };
    let error = Model::build(many, [3], 0).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { bytes: usize::MAX, .. }), "{error}");
}

type Operation = (&'static str, fn(&Node) -> Node);

/// Every operation that has an operand with axes, on `[N, 4, 4, 2]`.
fn operations() -> Vec<Operation> {
    fn parameter(x: &Node, shape: &[usize]) -> Node {
        x.trace().parameter(&format!("p{shape:?}"), Shape::from(shape), crate::initial::tests::Ramp)
    }
    vec![
        ("relu", Node::relu),
        ("add", |x| x + x.relu()),
        ("sum", Node::sum),
        ("mean", Node::mean),
        ("mean over pixels", Node::global_avg_pool),
        ("softmax", Node::softmax),
        ("log_softmax", Node::log_softmax),
        ("flatten", Node::flatten),
        ("concat", |x| Node::concat(&[x, x], Axis::C)),
        ("slice", |x| x.slice(Axis::H, 0..1)),
        ("max_pool", |x| x.max_pool(PoolSettings::square(2))),
        ("avg_pool", |x| x.avg_pool(PoolSettings::square(2), CountPadding::Include)),
        ("adaptive_avg_pool", |x| x.adaptive_avg_pool(2, 2)),
        ("pad", |x| x.pad(PadSettings { mode: PadMode::Zero, top: 1, bottom: 1, left: 1, right: 1 })),
        ("dropout", |x| x.dropout(0.5)),
        ("conv2d", |x| x.conv2d(Conv2dSettings::default(), &parameter(x, &[1, 1, 2, 3]), None)),
        ("conv_transpose2d", |x| {
            x.conv_transpose2d(ConvTranspose2dOp::new(Conv2dSettings::default(), [0; 2]), &parameter(x, &[1, 1, 3, 2]))
        }),
        ("layer_norm", |x| x.layer_norm(1e-5, &parameter(x, &[2]), &x.trace().filled(0.0, [2].into()))),
        ("local_response", |x| x.local_response_norm(LocalResponse { size: 3, alpha: 0.1, beta: 0.5, k: 1.0 })),
        ("matmul", |x| x.flatten().matmul(&parameter(x, &[32, 3]))),
        ("map", |x| x.map("Half", |x| 0.5 * x, |_| 0.5)),
    ]
}

#[test]
fn an_axis_of_length_0_is_refused_where_it_comes_in() {
    for (name, operation) in operations() {
        assert!(Model::build(operation, [4, 4, 2], 0).is_ok(), "{name}");
        for (axis, letter) in ["H", "W", "C"].into_iter().enumerate() {
            let mut sample = [4, 4, 2];
            sample[axis] = 0;
            let shape = Shape::batch(&sample);
            let expected =
                format!("(input): \"input\" of shape {shape} has length 0 on axis {letter}, and so no elements");
            assert_eq!(mistake(operation, &sample), expected, "{name}");
        }
    }
    let none: [Operation; 8] = [
        ("parameter", |x| x * x.trace().parameter("w", [0], Constant(0.0))),
        ("state", |x| x * x.trace().state("w", [4, 0], Constant(0.0))),
        ("filled", |x| x + x.trace().filled(0.0, [0].into())),
        ("reshape", |x| x.reshape([0])),
        ("slice", |x| x.slice(Axis::C, 1..1)),
        ("no times the samples", |x| x.trace().input("y", Shape::new([Dim::Batch(0), Dim::Fixed(2)]))),
        ("adaptive_avg_pool", |x| x.adaptive_avg_pool(0, 2)),
        ("max_pool", |x| x.max_pool(PoolSettings::square(0))),
    ];
    for (name, network) in none {
        let sentence = mistake(network, &[4, 4, 2]);
        assert!(!sentence.is_empty() && !sentence.contains("overflow"), "{name}: {sentence}");
    }
    assert!(mistake(|x| Node::call(ReshapeOp { shape: Shape::batch(&[0]) }, &[x]), &[4]).contains("as many elements"));
    let w = mistake(|x| Node::call(LinearOp, &[x, &x.trace().parameter("w", [4, 0], Constant(0.0))]), &[4]);
    assert_eq!(w, "(parameter): w of shape [4, 0] has length 0 on axis C, and so no elements");
}

/// Axes of length 1 are the smallest that mean something: results are finite and gradients right.
#[test]
fn axes_of_length_1_run_forward_and_backward() {
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    let ones: [Operation; 12] = [
        ("sum", Node::sum),
        ("mean over channels", |x| x.mean_over(&[Axis::C])),
        ("mean over pixels", Node::global_avg_pool),
        ("softmax", Node::softmax),
        ("log_softmax", Node::log_softmax),
        ("max_pool", |x| x.max_pool(PoolSettings::square(1))),
        ("avg_pool", |x| x.avg_pool(PoolSettings::square(1), CountPadding::Exclude)),
        ("adaptive_avg_pool", |x| x.adaptive_avg_pool(1, 1)),
        ("concat", |x| Node::concat(&[x, &x.tanh()], Axis::C)),
        ("flatten", Node::flatten),
        ("broadcast", |x| x * x.trace().parameter("w", [5], Constant(2.0))),
        ("local_response", |x| x.local_response_norm(LocalResponse { size: 3, alpha: 0.1, beta: 0.5, k: 1.0 })),
    ];
    let mut stream = Key::new(5).with("sizes").stream();
    for (name, operation) in ones {
        for _ in 0..4 {
            let mut one_or = |size: usize| if stream.below(2) == 0 { 1 } else { size };
            let sample = [one_or(3), one_or(2), if name == "broadcast" { 1 } else { one_or(4) }];
            let model = build(operation, &sample);
            let loss = |t: &crate::Trace| t.output().square().sum();
            let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), loss).unwrap();
            for n in [1, 2] {
                let x = super::input(&[&[n], &sample[..]].concat());
                let step = objective.evaluate(&model, &Batch::new().with("input", &x)).unwrap();
                assert!(step.loss().is_finite() && finite(step.gradient("input").unwrap()), "{name} of {sample:?}");
            }
        }
    }
    let single = Tensor::from_vec([1, 1], vec![3.0]).unwrap();
    check_gradients_at(&crate::ops::SoftmaxOp::Plain, &[(Shape::batch(&[1]), single.into())]).unwrap();
}
