//! Every backward rule against central differences.

use super::{batch_of, conv, input};
use crate::ops::{BatchNormOp, BatchNormParameters, ConvTranspose2dOp, GroupNormOp, Interpolation, Sampling};
use crate::{Axis, Batch, Compiled, Constant, Dim, Fault, Mode, Model, Node, Op, Request, Shape, Tensor, Wrt};
use ocelli_kernels::{
    conv::{Conv2dSettings, Padding},
    local_response::LocalResponse,
    pad::{PadMode, PadSettings},
    pool::{CountPadding, PoolSettings},
};

/// Compares the gradient of `Σ (y − ¼)²/2` of a network's output with central differences, for the input and every
/// parameter, at every element.
fn check(name: &str, network: impl Fn(&Node) -> Node, shape: &[usize]) {
    check_with(name, &network, input(shape));
}

fn check_with(name: &str, network: &dyn Fn(&Node) -> Node, x: Tensor) {
    let mut model = Model::build(network, &x.shape()[1..], 5).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut objective = model
        .objective_of(Mode::Train, Wrt::ParametersAnd(&["input"]), |t| {
            let y = t.output();
            let target = y.map("Target", |_| 0.25, |_| 0.0);
            (y - target).square().sum() * 0.5
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let batch = Batch::new().with("input", &x);
    let step = objective.evaluate(&model, &batch).unwrap_or_else(|error| panic!("{name}: {error}"));
    let gradients: Vec<(String, Vec<f32>)> = step.gradients().map(|(n, g)| (n.to_string(), g.to_vec())).collect();
    assert!(gradients.iter().any(|(n, _)| n == "input"), "{name}: no gradient for the input");
    let h = 1e-2;
    for (path, gradient) in gradients {
        for (i, &got) in gradient.iter().enumerate() {
            let mut loss_at = |offset: f32| {
                let mut batch = batch.clone();
                if path == "input" {
                    let mut x = x.clone();
                    x.data_mut()[i] += offset;
                    batch.set("input", x);
                } else {
                    model.parameters_mut().value_mut(&path).unwrap().data_mut()[i] += offset;
                }
                let loss = f64::from(objective.evaluate(&model, &batch).unwrap().loss());
                if path != "input" {
                    model.parameters_mut().value_mut(&path).unwrap().data_mut()[i] -= offset;
                }
                loss
            };
            let expected = (loss_at(h) - loss_at(-h)) / f64::from(2.0 * h);
            let tolerance = 4e-3 + 2e-2 * expected.abs();
            assert!(
                (f64::from(got) - expected).abs() < tolerance,
                "{name}: d/d{path}[{i}] is {got}, central differences say {expected}"
            );
        }
    }
}

#[test]
fn activations() {
    // Away from the kinks at 0.
    let x = Tensor::from_fn([2, 9], |i| {
        let v = (i[0] * 9 + i[1]) as f32 * 0.23 - 2.0;
        if v.abs() < 0.05 { 0.1 } else { v }
    });
    let positive = Tensor::from_fn([2, 5], |i| 0.3 + (i[0] * 5 + i[1]) as f32 * 0.2);
    type Case = (&'static str, fn(&Node) -> Node);
    let cases: [Case; 18] = [
        ("relu", Node::relu),
        ("leaky_relu", |x| x.leaky_relu(0.1)),
        ("elu", |x| x.elu(1.3)),
        ("sigmoid", Node::sigmoid),
        ("tanh", Node::tanh),
        ("scaled_tanh", Node::scaled_tanh),
        ("silu", Node::silu),
        ("hard_sigmoid", |x| x.hard_sigmoid(0.37, 0.5)),
        ("hard_swish", |x| x.scale(2.1).hard_swish()),
        ("gelu", Node::gelu),
        ("gelu_tanh", Node::gelu_tanh),
        ("mish", Node::mish),
        ("square", Node::square),
        ("abs", Node::abs),
        ("exp", Node::exp),
        ("scale", |x| x.scale(-1.5)),
        ("shift", |x| 2.0 - x),
        ("map", |x| x.map("Cube", |x| x * x * x, |x| 3.0 * x * x)),
    ];
    for (name, network) in cases {
        check_with(name, &network, x.clone());
    }
    let cases: [Case; 3] = [("sqrt", Node::sqrt), ("ln", Node::ln), ("divide", |x| 1.0 / x)];
    for (name, network) in cases {
        check_with(name, &network, positive.clone());
    }
}

#[test]
fn arithmetic_with_broadcasting() {
    let parameter = |x: &Node, shape: &[usize]| {
        x.trace().parameter(&format!("p{}", shape.len()), Shape::from(shape), crate::initial::tests::Ramp)
    };
    check("add", |x| x + x.relu(), &[2, 3, 2]);
    check("add [C]", |x| x + parameter(x, &[3]), &[2, 2, 2, 3]);
    check("add [H, W, C]", |x| x + parameter(x, &[2, 2, 3]), &[2, 2, 2, 3]);
    check("sub", |x| parameter(x, &[3]) - x, &[2, 2, 2, 3]);
    check("mul [C]", |x| x * parameter(x, &[3]), &[2, 2, 2, 3]);
    check("mul [N, 1, 1, C]", |x| x * x.global_avg_pool().reshape([1, 1, 3]), &[2, 2, 2, 3]);
    check("mul by itself", |x| x * x, &[2, 3]);
    check("div", |x| x / parameter(x, &[3]).square().shift(1.0), &[2, 2, 3]);
}

#[test]
fn reductions_and_shapes() {
    check("sum", |x| x.sum_over(&[Axis::H, Axis::W]), &[2, 3, 2, 2]);
    check("sum over the batch", |x| x.sum_over(&[Axis::N]), &[3, 4]);
    check("mean", |x| x.mean_over(&[Axis::C]), &[2, 3, 2, 4]);
    check("global_avg_pool", Node::global_avg_pool, &[2, 3, 2, 4]);
    check("flatten", |x| x.flatten().relu(), &[2, 2, 2, 2]);
    check("reshape of what is kept", |x| x.tanh().reshape([4]) * x.tanh().reshape([4]), &[2, 2, 2]);
    check("concat", |x| Node::concat(&[x, &x.tanh(), x], Axis::C), &[2, 2, 2, 2]);
    check("concat batches", |x| Node::concat(&[x, &x.tanh()], Axis::N).square(), &[2, 3]);
    check("split_batch", |x| Node::concat(&[x, &x.tanh()], Axis::N).split_batch(1, 2), &[2, 3]);
    check("slice", |x| x.slice(Axis::C, 1..3) * x.slice(Axis::C, 0..2), &[2, 2, 2, 4]);
    check("slice rows", |x| x.slice(Axis::H, 1..3), &[2, 4, 2, 2]);
    check("sum_keeping", |x| x * x.sum_keeping(&[Axis::C]), &[2, 2, 2, 3]);
    check("mean_keeping", |x| x - x.mean_keeping(&[Axis::N, Axis::H]), &[2, 3, 2, 2]);
    for axis in 1..=3 {
        check("stack", |x| Node::stack(&[x, &x.tanh(), x], Axis::Index(axis)).square(), &[2, 3, 2]);
        check("concat", |x| Node::concat(&[&x.tanh(), x], Axis::Index(axis - 1)).square(), &[2, 3, 2]);
    }
}

/// Numbers at regular distances in a drawn order, none near another or near 0: no step of the differences crosses a kink.
fn apart(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let mut place = 0;
    Tensor::from_fn(shape, |_| {
        place += 1;
        ((place * 7 % count) as f32 - count as f32 / 2.0 + 0.3) * 0.08
    })
}

#[test]
fn extrema_bounds_and_masks() {
    let x = apart(&[3, 2, 4]);
    check_with("maximum", &|x| x.maximum(0.0), x.clone());
    check_with("minimum of parts", &|x| x.slice(Axis::C, 0..2).minimum(x.slice(Axis::C, 2..4)), x.clone());
    check_with("maximum with broadcasting", &|x| x.maximum(x.slice(Axis::C, 1..2).scale(0.5)), x.clone());
    check_with("clamp", &|x| x.clamp(-0.36, 0.44).square(), x.clone());
    check_with("greater", &|x| x * x.greater(0.0), x.clone());
    check_with("less", &|x| x.square() * x.less(x.slice(Axis::C, 0..1)), x);
}

#[test]
fn rows_of_norm_one() {
    check("l2_normalised", |x| x.l2_normalised(1e-6), &[4, 5]);
    check("l2_normalised pixels", |x| x.l2_normalised(1e-6).tanh(), &[2, 2, 2, 3]);
    // Its rows are all shorter than that.
    check("l2_normalised below epsilon", |x| x.l2_normalised(4.0), &[3, 4]);
}

#[test]
fn images_of_another_size() {
    for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
        check("upsample", |x| x.upsample(2, interpolation).square(), &[2, 2, 3, 2]);
        check("resized", |x| x.resized([5, 2], interpolation).square(), &[2, 3, 4, 2]);
        check(
            "upsample in a sum",
            |x| x.upsample(3, interpolation).sum_over(&[Axis::H]) + x.tanh().mean(),
            &[2, 2, 1, 3],
        );
    }
}

#[test]
fn moved_and_chosen_values() {
    check("permuted", |x| x.permuted(&[0, 2, 3, 1]).tanh(), &[2, 2, 3, 4]);
    check("gather", |x| x.gather(Axis::C, &[2, 0, 2]).square(), &[2, 2, 3]);
    let sampling = |from: usize, taps: &[(usize, f32)]| Sampling {
        from,
        taps: (0..3)
            .map(|shift| taps.iter().map(|&(index, weight)| ((index + shift) % from, weight)).collect())
            .collect(),
    };
    let (rows, columns) = (sampling(2, &[(0, 0.25), (1, 0.75)]), sampling(4, &[(1, 1.5), (3, -0.5), (0, 0.1)]));
    check("resampled", |x| x.resampled(rows.clone(), columns.clone()).square(), &[2, 2, 4, 2]);
}

#[test]
fn powers_and_the_error_function() {
    check("erf", |x| x.erf(), &[3, 4]);
    check("power", |x| x.square().shift(0.5).power(1.7), &[2, 3]);
    check("power of two values", |x| x.square().shift(0.5).power(x.tanh()), &[2, 3]);
    let exponents = |x: &Node| x.trace().parameter("p", [3], crate::initial::tests::Ramp);
    check("power [C]", |x| x.square().shift(0.5).power(exponents(x)), &[2, 2, 3]);
}

#[test]
fn products() {
    let weight = |x: &Node, shape: [usize; 2]| x.trace().parameter("w", shape, crate::initial::tests::Ramp);
    check("matmul", |x| x.matmul(&weight(x, [4, 3])), &[3, 4]);
    let factor = |x: &Node, name: &str, shape: &[usize]| x.trace().parameter(name, shape, crate::initial::tests::Ramp);
    check("matmul_transposed", |x| x.matmul_transposed(&factor(x, "w", &[3, 4])), &[3, 4]);
    check("transposed_matmul", |x| x.transposed_matmul(x), &[3, 4]);
    check(
        "transposed_matmul of parameters",
        |x| x.matmul(&factor(x, "v", &[2, 4]).transposed_matmul(&factor(x, "w", &[2, 3]))),
        &[3, 4],
    );
    check("matmul of samples", |x| x.matmul(&x.tanh().reshape([3, 2])), &[2, 2, 3]);
    check("matmul_transposed of samples", |x| x.matmul_transposed(&x.tanh()), &[2, 2, 3]);
    check("transposed_matmul of samples", |x| x.transposed_matmul(&x.tanh()), &[2, 2, 2, 3]);
    check("matmul by one matrix", |x| x.matmul(&factor(x, "w", &[3, 2])), &[2, 2, 2, 3]);
    check("matmul_transposed by one matrix", |x| x.matmul_transposed(&factor(x, "w", &[2, 3])), &[2, 2, 3]);
    check("transposed_matmul by one matrix", |x| x.transposed_matmul(&factor(x, "w", &[2, 3])), &[3, 2, 3]);
    check("matmul of one matrix", |x| factor(x, "w", &[4, 2]).matmul(x), &[2, 2, 3]);
    check("matmul_transposed of one matrix", |x| factor(x, "w", &[4, 3]).matmul_transposed(x), &[2, 2, 3]);
    check("transposed_matmul of one matrix", |x| factor(x, "w", &[2, 4]).transposed_matmul(x), &[2, 3, 2, 3]);
    check("gram", |x| x.gram().scale(8.0), &[2, 2, 3, 3]);
    check("gram in a sum", |x| x.gram().sum_over(&[Axis::Index(1)]).scale(4.0) + x.global_avg_pool(), &[2, 2, 2, 3]);
    check(
        "linear",
        |x| {
            let b = x.trace().parameter("b", [3], crate::initial::tests::Ramp);
            Node::call(crate::ops::LinearOp, &[x, &weight(x, [4, 3]), &b])
        },
        &[3, 4],
    );
    check(
        "squared_distance",
        |x| x.squared_distance(&x.trace().state("codes", [3, 4], crate::initial::tests::Ramp)).scale(0.2),
        &[2, 4],
    );
}

#[test]
fn softmaxes() {
    check("softmax", Node::softmax, &[3, 5]);
    check("log_softmax", Node::log_softmax, &[3, 5]);
}

#[test]
fn convolutions_and_pools() {
    check("conv", |x| conv(x, 2), &[2, 4, 5, 2]);
    check(
        "conv with everything",
        |x| {
            let settings = Conv2dSettings {
                stride_h: 2,
                dilation_w: 2,
                padding: Padding::Explicit { top: 1, bottom: 0, left: 2, right: 1 },
                groups: 2,
                ..Conv2dSettings::default()
            };
            let w = x.trace().parameter("w", [2, 2, 1, 4], crate::initial::tests::Ramp);
            let b = x.trace().parameter("b", [4], crate::initial::tests::Ramp);
            x.conv2d(settings, &w, Some(&b))
        },
        &[2, 4, 4, 2],
    );
    let overlapping = PoolSettings { stride_h: 2, stride_w: 2, ..PoolSettings::square(3) };
    let pads = |mode| PadSettings { mode, top: 2, bottom: 1, left: 0, right: 2 };
    check("pad by reflection", move |x| x.pad(pads(PadMode::Reflect)).square(), &[2, 3, 4, 2]);
    check("pad by the edge", move |x| x.pad(pads(PadMode::Replicate)).square(), &[2, 3, 4, 2]);
    check("pad by zeros", move |x| x.pad(pads(PadMode::Zero)).square(), &[2, 3, 4, 2]);
    check(
        "conv_transpose2d",
        |x| {
            let settings = Conv2dSettings {
                stride_h: 2,
                stride_w: 3,
                dilation_h: 2,
                padding: Padding::Explicit { top: 1, bottom: 0, left: 0, right: 1 },
                groups: 2,
                ..Conv2dSettings::default()
            };
            let w = x.trace().parameter("w", [2, 3, 1, 4], crate::initial::tests::Ramp);
            x.conv_transpose2d(ConvTranspose2dOp::new(settings, [1, 2]), &w)
        },
        &[2, 3, 2, 4],
    );
    // Far enough from each other that no step of the differences changes a maximum.
    let apart =
        Tensor::from_fn([2, 5, 5, 2], |i| (((i[0] * 5 + i[1]) * 5 + i[2]) * 37 % 50) as f32 * 0.05 + i[3] as f32);
    check_with("max_pool", &move |x| x.max_pool(overlapping), apart);
    check("avg_pool", move |x| x.avg_pool(overlapping, CountPadding::Include), &[2, 5, 5, 2]);
    check("adaptive_avg_pool", |x| x.adaptive_avg_pool(2, 3), &[2, 5, 4, 2]);
}

#[test]
fn normalisations() {
    let batch_norm = |x: &Node| {
        let (trace, channels) = (x.trace(), [x.channels()]);
        let parameters = BatchNormParameters {
            weight: &trace.parameter("weight", channels, crate::initial::tests::Ramp),
            bias: &trace.parameter("bias", channels, crate::initial::tests::Ramp),
            running_mean: &trace.state("mean", channels, Constant(0.5)),
            running_variance: &trace.state("variance", channels, Constant(0.7)),
        };
        x.batch_norm(BatchNormOp::new(1e-2, 0.1), parameters)
    };
    check("batch_norm", batch_norm, &[3, 2, 3, 2]);
    check("batch_norm of rows", batch_norm, &[5, 3]);
    check("batch_norm in between", |x| batch_norm(&x.tanh()).square(), &[4, 2, 2, 2]);
    let parameters = |x: &Node| {
        let parameter = |name: &str| x.trace().parameter(name, [x.channels()], crate::initial::tests::Ramp);
        (parameter("weight"), parameter("bias"))
    };
    let layer_norm = |x: &Node| {
        let (weight, bias) = parameters(x);
        x.layer_norm(1e-2, &weight, &bias)
    };
    check("layer_norm", layer_norm, &[3, 2, 1, 5]);
    check("layer_norm of rows", layer_norm, &[4, 6]);
    for groups in [1, 2, 6] {
        let group_norm = |x: &Node| {
            let (weight, bias) = parameters(x);
            x.group_norm(GroupNormOp { groups, epsilon: 1e-2 }, &weight, &bias)
        };
        check("group_norm", group_norm, &[2, 2, 3, 6]);
    }
    let norm = |size, beta| LocalResponse { size, alpha: 0.5, beta, k: 1.0 };
    check("local_response_norm", |x| x.local_response_norm(norm(5, 0.75)), &[2, 2, 2, 7]);
    check("local_response_norm of an even size", |x| x.local_response_norm(norm(4, 0.6)), &[2, 7]);
    check("batch_norm of one operand twice", |x| batch_norm(x) * x, &[4, 3]);
    check("batch_norms of one operand", |x| x.scope("a", batch_norm) * x.scope("b", batch_norm), &[4, 3]);
}

#[test]
fn normalisations_with_what_follows_them() {
    let batch_norm = |x: &Node| {
        let (trace, channels) = (x.trace(), [x.channels()]);
        let parameters = BatchNormParameters {
            weight: &trace.parameter("weight", channels, Constant(1.5)),
            bias: &trace.parameter("bias", channels, Constant(0.1)),
            running_mean: &trace.state("mean", channels, Constant(0.0)),
            running_variance: &trace.state("variance", channels, Constant(1.0)),
        };
        x.batch_norm(BatchNormOp::new(1e-2, 0.1), parameters)
    };
    // Far from zero on either side, and so are normalised values and their sums with these.
    let x = Tensor::from_fn([6, 2, 3], |i| {
        let size = 0.8 + 0.07 * ((i[0] * 5 + i[1] * 3 + i[2]) % 7) as f32;
        if (i[0] + i[1] + i[2]) % 2 == 0 { size } else { -size }
    });
    type Case = (&'static str, fn(&Node, &dyn Fn(&Node) -> Node) -> Node);
    let cases: [Case; 5] = [
        ("relu", |x, norm| norm(x).relu()),
        ("add", |x, norm| norm(x) + x),
        ("add, relu", |x, norm| (x.scale(0.5) + norm(x)).relu()),
        ("add, relu in between", |x, norm| (norm(&x.scale(2.0)) + x.tanh()).relu() * x),
        ("add of another, relu", |x, norm| (x.scope("a", norm) + x.scale(0.7).scope("b", norm)).relu()),
    ];
    for (name, network) in cases {
        check_with(name, &|x| network(x, &batch_norm), x.clone());
        let fused = Model::build(|x| network(x, &batch_norm), [2, 3], 5).unwrap();
        let mut objective = fused.objective(|t| t.output().mean()).unwrap();
        let plan = objective.plan(&fused, 6).unwrap();
        let is_separate = |step: &crate::PlanStep| ["Relu", "Add"].contains(&step.op().kind().as_str());
        assert!(!plan.steps().iter().any(is_separate), "{name}: {}", plan.explain());
    }
}

#[test]
fn a_residual_connection() {
    check(
        "residual",
        |x| {
            let w = x.trace().parameter("w", [1, 1, 2, 2], crate::initial::tests::Ramp);
            (x.conv2d(Conv2dSettings::default(), &w, None).tanh() + x).tanh()
        },
        &[2, 2, 2, 2],
    );
}

/// A user's operation: `y = a·x + b·x²` with its own backward operation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quadratic {
    a: f32,
    b: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct QuadraticBackward(Quadratic);

impl Op for Quadratic {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = op.a * x + op.b * x * x);
        }))
    }
    fn backward(&self, g: &crate::Grads<'_>) -> Vec<Option<Node>> {
        vec![g.want(0, || Node::call(QuadraticBackward(*self), &[g.dy(), g.x(0)]))]
    }
}

impl Op for QuadraticBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (dy, x, Quadratic { a, b }) = (k.input(0), k.input(1), op.0);
            k.output(0).iter_mut().zip(dy).zip(x).for_each(|((dx, dy), x)| *dx = dy * (a + 2.0 * b * x));
        }))
    }
}

#[test]
fn operations_of_the_users_own() {
    check("quadratic", |x| Node::call(Quadratic { a: 2.0, b: -0.5 }, &[x]), &[2, 3]);
}

/// An operation without a backward rule.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Round;

impl Op for Round {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let x = k.input(0);
            k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = x.round());
        }))
    }
}

#[test]
fn a_missing_backward_rule_matters_only_where_a_gradient_must_pass() {
    let network = |x: &Node| {
        let w = x.trace().parameter("below", [3], Constant(1.0));
        let v = x.trace().parameter("above", [3], Constant(1.0));
        x.scope("round", |x| Node::call(Round, &[&(x * &w)])) * v
    };
    let mut model = Model::build(network, [3], 0).unwrap();
    let error = model.objective(|t| t.output().mean()).unwrap_err().to_string();
    assert_eq!(error, "round (Round): has no backward rule, and a gradient must pass through it");
    model.freeze("below").unwrap();
    let objective = model.objective(|t| t.output().mean()).unwrap();
    assert_eq!(objective.gradient_names().collect::<Vec<_>>(), ["above"]);
}

#[test]
fn dropout_draws_the_same_mask_backward_and_another_one_each_step() {
    let mut model = Model::build(|x| x.scope("drop", |x| x.dropout(0.5)), [1000], 1).unwrap();
    let mut objective = model
        .objective_of(Mode::Train, Wrt::Values(&["input"]), |t| t.output().sum())
        .unwrap()
        .watching(&["output"])
        .unwrap();
    let batch = Batch::new().with("input", Tensor::full([2, 1000], 1.0));
    let mut masks = Vec::new();
    for _ in 0..2 {
        let step = objective.step(&mut model, &batch).unwrap();
        assert_eq!(step.gradient("input"), step.activation("output"));
        let kept = step.gradient("input").unwrap().iter().filter(|v| **v != 0.0).count();
        assert!((900..1100).contains(&kept), "{kept} of 2000 kept");
        masks.push(step.gradient("input").unwrap().to_vec());
    }
    assert_ne!(masks[0], masks[1]);
    objective.set_steps(0);
    assert_eq!(objective.step(&mut model, &batch).unwrap().gradient("input").unwrap(), masks[0]);
    let y = model.predict(&Tensor::full([1, 1000], 1.0)).unwrap();
    assert!(y.data().iter().all(|v| *v == 1.0), "inference is the identity");
}

/// Statistics are those of the batch, as in training.
/// Whole samples are dropped, in forward and in backward the same ones; inference drops none.
#[test]
fn stochastic_depth_drops_whole_samples() {
    let network = |x: &Node| x.scope("block", |x| x.stochastic_depth(0.25));
    let mut model = Model::build(network, [4], 1).unwrap();
    let wanted = Wrt::Values(&["input"]);
    let mut objective = model.objective_of(Mode::Train, wanted, |t| t.output().sum()).unwrap();
    objective = objective.watching(&["output"]).unwrap();
    let x = Tensor::full([1000, 4], 3.0);
    let batch = Batch::new().with("input", &x);
    let mut drawn = || {
        let step = objective.step(&mut model, &batch).unwrap();
        (step.activation("output").unwrap().to_vec(), step.gradient("input").unwrap().to_vec())
    };
    let (y, dx) = drawn();
    for (y, dx) in y.chunks(4).zip(dx.chunks(4)) {
        assert!(y.iter().all(|other| *other == y[0]) && (y[0] == 0.0 || y[0] == 4.0), "{y:?}");
        assert!(dx.iter().zip(y).all(|(dx, y)| dx * 3.0 == *y), "{dx:?} for {y:?}");
    }
    let dropped = y.iter().step_by(4).filter(|y| **y == 0.0).count();
    assert!((200..300).contains(&dropped), "{dropped} of 1000");
    assert_ne!(drawn().0, y);
    assert_eq!(model.predict(&x).unwrap().data(), x.data());
}

#[test]
fn training_without_dropout_keeps_everything() {
    let network = |x: &Node| {
        let state = |name, value| x.trace().state(name, [2], Constant(value));
        let (weight, bias, mean, variance) = (state("w", 3.0), state("b", 0.0), state("m", 5.0), state("v", 1.0));
        let parameters =
            BatchNormParameters { weight: &weight, bias: &bias, running_mean: &mean, running_variance: &variance };
        x.dropout(0.5).batch_norm(BatchNormOp::new(1e-5, 0.1), parameters)
    };
    let mut model = Model::build(network, [2], 1).unwrap();
    let mut objective = model
        .objective_of(Mode::TrainWithoutDropout, Wrt::Values(&["input"]), |t| t.output().square().mean())
        .unwrap()
        .watching(&["output"])
        .unwrap();
    let x = Tensor::from_vec([2, 2], vec![1.0, -4.0, 3.0, 4.0]).unwrap();
    let step = objective.step(&mut model, &Batch::new().with("input", x)).unwrap();
    let expected = [-3.0, -3.0, 3.0, 3.0];
    let close = |got: &[f32]| got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-3);
    assert!(close(step.activation("output").unwrap()));
    assert!((model.parameters().value("m").unwrap().data()[0] - 4.7).abs() < 1e-6, "the running mean is updated");
}

#[test]
fn batch_dimensions_are_symbolic() {
    let model = Model::build(|x| Node::concat(&[x, x], Axis::N), [3], 0).unwrap();
    let output = model.graph().find("output").unwrap();
    assert_eq!(model.graph().values[output].shape.dims()[0], Dim::Batch(2));
    assert_eq!(model.run(&batch_of(&[5, 3]), &["output"]).unwrap()[0].shape(), [10, 3]);
}
