//! Single operations against reference values that PyTorch computed in float64.
//!
//! The files are not part of the repository; where they are absent, the test says so and passes.

use ocelli::{
    graph::{
        Dim, Shape, Trace, Values,
        ops::{BatchNormOp, BatchNormParameters, ConvTranspose2dOp, GroupNormOp},
    },
    kernels::{
        conv::{Conv2dSettings, Padding},
        pool::{CountPadding, PoolSettings, Rounding},
    },
    prelude::*,
    tensor::Value,
};
use safetensors::SafeTensors;
use serde_json::Value as Json;
use std::fs;

#[path = "reference/names.rs"]
mod names;
mod reference;

use names::Stream;

/// Relative error in L2 that outputs and gradients may have.
const TOLERANCE: f64 = 1e-5;

/// Returns true for a fixture that the library has operations for.
fn is_covered(name: &str, op: &str) -> bool {
    let operations =
        ["conv2d", "pool", "act", "dense", "cross_entropy", "bce_logits", "batch_norm", "pad", "conv_transpose2d"];
    operations.contains(&op) || (op == "norm" && name != "norm/l2_rows")
}

fn relative_error(got: &[f32], expected: &[f32]) -> f64 {
    reference::relative_error(got, expected.iter().copied().map(f64::from))
}

/// The first numbers of the stream of a name.
fn sym(name: &str, count: usize) -> Vec<f32> {
    let stream = Stream::of(name);
    (0..count).map(|i| stream.sym(i)).collect()
}

/// Moves axes: result axis `i` is axis `axes[i]`.
fn permuted(x: &Tensor, axes: &[usize]) -> Tensor {
    let shape: Vec<usize> = axes.iter().map(|&axis| x.shape()[axis]).collect();
    let view = x.view().permuted_axes(axes.to_vec());
    Tensor::from_vec(shape, view.iter().copied().collect()).unwrap()
}

/// Our layout of a PyTorch tensor: activations NCHW → NHWC, filters OIHW → HWIO, matrices transposed.
fn ours(name: &str, x: &Tensor) -> Tensor {
    match (name, x.shape().len()) {
        ("w", 4) => permuted(x, &[2, 3, 1, 0]),
        ("w", 2) => permuted(x, &[1, 0]),
        (_, 4) => permuted(x, &[0, 2, 3, 1]),
        _ => x.clone(),
    }
}

fn theirs(name: &str, x: &Tensor) -> Tensor {
    match (name, x.shape().len()) {
        ("w", 4) => permuted(x, &[3, 2, 0, 1]),
        ("w", 2) => permuted(x, &[1, 0]),
        (_, 4) => permuted(x, &[0, 3, 1, 2]),
        _ => x.clone(),
    }
}

fn numbers(json: &Json) -> Vec<usize> {
    match json {
        Json::Array(list) => list.iter().map(|n| n.as_u64().unwrap() as usize).collect(),
        Json::Number(n) => vec![n.as_u64().unwrap() as usize; 2],
        _ => vec![],
    }
}

fn number(json: &Json, default: f64) -> f64 {
    json.as_f64().unwrap_or(default)
}

fn floats(json: &Json) -> Vec<f32> {
    json.as_array().map_or(vec![], |list| list.iter().map(|n| n.as_f64().unwrap() as f32).collect())
}

/// With scale and shift as inputs, as the gradients of all operands are compared.
fn batch_norm(trace: &Trace, args: &Json, x: &[Node]) -> Node {
    let channels = [x[0].channels()];
    let parameters = BatchNormParameters {
        weight: &x[1],
        bias: &x[2],
        running_mean: &trace.state("running_mean", channels, Values(floats(&args["running_mean_before"]))),
        running_variance: &trace.state("running_var", channels, Values(floats(&args["running_var_before"]))),
    };
    x[0].batch_norm(
        BatchNormOp::new(number(&args["eps"], 0.0) as f32, number(&args["momentum"], 0.0) as f32),
        parameters,
    )
}

/// The operation of a case over its inputs.
fn operation(trace: &Trace, name: &str, case: &Json, x: &[Node]) -> Node {
    let (args, first) = (&case["args"], x[0].scale(number(&case["args"]["scale_before"], 1.0) as f32));
    match case["op"].as_str().unwrap() {
        "conv2d" => {
            let pair = |key: &str| numbers(&args[key]);
            let (stride, padding, dilation) = (pair("stride"), pair("padding"), pair("dilation"));
            let settings = Conv2dSettings {
                stride_h: stride[0],
                stride_w: stride[1],
                dilation_h: dilation[0],
                dilation_w: dilation[1],
                padding: Padding::Explicit { top: padding[0], bottom: padding[0], left: padding[1], right: padding[1] },
                groups: number(&args["groups"], 1.0) as usize,
                ..Conv2dSettings::default()
            };
            first.conv2d(settings, &x[1], x.get(2))
        }
        "conv_transpose2d" => {
            let (stride, padding) = (numbers(&args["stride"]), number(&args["padding"], 0.0) as usize);
            let settings = Conv2dSettings {
                stride_h: stride[0],
                stride_w: stride[1],
                padding: Padding::uniform(padding),
                ..Conv2dSettings::default()
            };
            let output_padding = number(&args["output_padding"], 0.0) as usize;
            first.conv_transpose2d(ConvTranspose2dOp::new(settings, [output_padding; 2]), &x[1]) + &x[2]
        }
        "pad" => {
            let pixels = number(&args["pad"], 0.0) as usize;
            let reflects = args["mode"] == "reflect";
            first.apply("pad", if reflects { Pad2d::reflect(pixels) } else { Pad2d::replicate(pixels) })
        }
        "dense" => Node::call(ocelli::graph::ops::LinearOp, &[&first, &x[1], &x[2]]),
        "pool" => {
            let settings = || {
                let (size, padding) = (number(&args["size"], 0.0) as usize, number(&args["padding"], 0.0) as usize);
                let stride = number(&args["stride"], 0.0) as usize;
                let ceil = args["ceil"].as_bool().unwrap_or(false);
                PoolSettings {
                    stride_h: stride,
                    stride_w: stride,
                    pad_top: padding,
                    pad_bottom: padding,
                    pad_left: padding,
                    pad_right: padding,
                    rounding: if ceil { Rounding::Ceil } else { Rounding::Floor },
                    ..PoolSettings::square(size)
                }
            };
            match args["kind"].as_str().unwrap() {
                "max" => first.max_pool(settings()),
                "avg" => {
                    let include = args["count_include_pad"].as_bool().unwrap_or(true);
                    first.avg_pool(settings(), if include { CountPadding::Include } else { CountPadding::Exclude })
                }
                _ => {
                    let out = numbers(&args["out"]);
                    first.adaptive_avg_pool(out[0], out[1])
                }
            }
        }
        "act" => match name.strip_prefix("act/").unwrap() {
            "relu" => first.relu(),
            "leaky_relu_0.1" => first.leaky_relu(0.1),
            "elu" => first.elu(1.0),
            "sigmoid" => first.sigmoid(),
            "tanh" => first.tanh(),
            "scaled_tanh" => first.scaled_tanh(),
            "silu" => first.silu(),
            "gelu_erf" => first.gelu(),
            "gelu_tanh" => first.gelu_tanh(),
            "softmax" => first.softmax(),
            "log_softmax" => first.log_softmax(),
            other => panic!("no operation for act/{other}"),
        },
        "batch_norm" => batch_norm(trace, args, x),
        "norm" => match name.strip_prefix("norm/").unwrap() {
            "lrn_alpha_over_n" => {
                let argument = |key: &str| number(&args[key], f64::NAN) as f32;
                let norm = LocalResponseNorm::of_mean(number(&args["n"], 0.0) as usize);
                first.apply("norm", norm.alpha(argument("alpha")).beta(argument("beta")).k(argument("k")))
            }
            "layer" => first.layer_norm(number(&args["eps"], 0.0) as f32, &x[1], &x[2]),
            groups => {
                let groups = match groups.strip_prefix("group_") {
                    Some(groups) => groups.parse().unwrap(),
                    None => first.channels(),
                };
                let op = GroupNormOp { groups, epsilon: number(&args["eps"], 0.0) as f32 };
                first.group_norm(op, &x[1], &x[2])
            }
        },
        "cross_entropy" => {
            let mut loss = CrossEntropy::new().label_smoothing(number(&args["label_smoothing"], 0.0) as f32);
            if args["weight"].is_array() {
                loss = loss.class_weights(floats(&args["weight"]));
            }
            loss.loss(&first, &trace.labels("labels"))
        }
        "bce_logits" => {
            let count = numbers(&case["inputs"]["x"])[0];
            logistic_cross_entropy(&first, &trace.input("targets", Shape::from([count])))
        }
        other => panic!("no operation for {other}"),
    }
}

fn check(name: &str, case: &Json, file: &SafeTensors<'_>) {
    let inputs: Vec<(String, Tensor)> = ["x", "w", "b"]
        .iter()
        .filter(|key| !case["inputs"][**key].is_null())
        .map(|key| {
            let shape = numbers(&case["inputs"][*key]);
            let count = shape.iter().product();
            let tensor = Tensor::from_vec(shape, sym(&format!("{name}/{key}"), count)).unwrap();
            (key.to_string(), ours(key, &tensor))
        })
        .collect();
    let out_shape = numbers(&case["output"]);
    let dy = Tensor::from_vec(out_shape.clone(), sym(&format!("{name}/dy"), out_shape.iter().product())).unwrap();
    let dy = ours("y", &dy);

    // Everything is an input of a fixed shape; the loss is the inner product with the upstream gradient. Integer labels are
    // one a sample, so that cross-entropy has the batch on its first axis.
    let shape_of = |tensor: &Tensor| {
        let mut dims: Vec<Dim> = tensor.shape().iter().map(|&size| Dim::Fixed(size)).collect();
        if case["op"] == "cross_entropy" {
            dims[0] = Dim::Batch(1);
        }
        Shape::new(dims)
    };
    let mut model = Model::trace(0, |trace| {
        let x: Vec<Node> = inputs.iter().map(|(key, tensor)| trace.input(key, shape_of(tensor))).collect();
        operation(trace, name, case, &x)
    })
    .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut batch = Batch::new().with("dy", &dy);
    inputs.iter().for_each(|(key, tensor)| batch.set(key, Value::from(tensor)));
    if case["op"] == "cross_entropy" {
        let labels: Vec<u32> = numbers(&case["args"]["labels"]).iter().map(|&label| label as u32).collect();
        batch.set("labels", Tensor::from(labels));
    } else if case["op"] == "bce_logits" {
        batch.set("targets", Tensor::from(floats(&case["args"]["labels"])));
    }

    let expected = |part: &str| -> Vec<f32> {
        let tensor = file.tensor(&format!("{name}/{part}")).unwrap_or_else(|_| panic!("{name}/{part} is not there"));
        tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let compare = |part: &str, got: &Tensor| {
        let error = relative_error(got.data(), &expected(part));
        assert!(error <= TOLERANCE, "{name}/{part}: relative error {error:.2e}");
    };

    // Only batch normalisation is another function in training.
    let mode = if case["args"]["train"] == false { Mode::Infer } else { Mode::Train };
    let names: Vec<&str> = inputs.iter().map(|(key, _)| key.as_str()).collect();
    let mut objective = model
        .objective_of(mode, Wrt::Values(&names), |trace| {
            (trace.output() * trace.input("dy", Shape::from(dy.shape()))).sum()
        })
        .and_then(|objective| objective.watching(&["output"]))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let step = objective.step(&mut model, &batch).unwrap_or_else(|error| panic!("{name}: {error}"));

    // Of a normalisation in training, only the objective knows the output.
    let y = match step.activation("output").filter(|_| case["args"]["train"] == true) {
        Some(y) => Tensor::from_vec(dy.shape(), y.to_vec()).unwrap(),
        None => model.run(&batch, &["output"]).unwrap_or_else(|error| panic!("{name}: {error}")).remove(0),
    };
    let mut y_theirs = theirs("y", &y);
    if y_theirs.shape() != out_shape {
        y_theirs = y_theirs.reshape(out_shape.clone()).unwrap();
    }
    compare("y", &y_theirs);
    for (key, tensor) in &inputs {
        let gradient = step.gradient(key).unwrap_or_else(|| panic!("{name}: no gradient for {key}"));
        let gradient = Tensor::from_vec(tensor.shape(), gradient.to_vec()).unwrap();
        compare(&format!("d{key}"), &theirs(key, &gradient));
    }
    for state in ["running_mean", "running_var"] {
        let Some(value) = model.parameters().value(state) else { continue };
        let error = relative_error(value.data(), &floats(&case["args"][format!("{state}_after")]));
        assert!(error <= TOLERANCE, "{name}: {state} has the relative error {error:.2e}");
    }
}

#[test]
fn operations_match_the_reference() {
    let Some(path) = reference::file("OCELLI_FIXTURES", "fixtures", "ops.json") else { return };
    let cases: Json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let bytes = fs::read(path.with_file_name("ops.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (mut done, mut later) = (0, Vec::new());
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if is_covered(name, case["op"].as_str().unwrap()) {
            check(name, case, &file);
            done += 1;
        } else {
            later.push(name);
        }
    }
    println!("{done} cases match within {TOLERANCE:e}; not in this version: {}", later.join(", "));
    assert!(done >= 40, "{done} cases");
}

#[test]
fn the_numbers_are_those_of_the_reference() {
    assert_eq!(sym("input", 3), [-0.804_363_37, 0.304_720_76, -0.592_751_5]);
}
