//! Whole networks against reference values that PyTorch and torchvision computed in float64.
//!
//! The files are not part of the repository; where they are absent, the test says so and passes.

use ocelli::{graph::Precision, models::by_name, prelude::*};
use serde_json::Value as Json;
use std::fs;

#[path = "reference/names.rs"]
mod names;
mod reference;

use names::Stream;

/// Relative error in L2 that logits may have. Float32 of PyTorch itself is some 1e-6 off.
const TOLERANCE: f64 = 5e-6;

/// The value of a parameter by the rule of the reference, in our layout. A dense layer's rows are those of the flattened
/// picture, which PyTorch flattens with the channels first.
fn value(parameter: &ocelli::graph::Parameter, shape: &[usize]) -> Tensor {
    let stream = Stream::of(&parameter.path);
    let fan_in: usize = shape.iter().rev().skip(1).product();
    let scale = (6.0 / fan_in as f64).sqrt() as f32;
    let mut tensor = Tensor::zeros(shape);
    let numbers = tensor.data_mut();
    match *shape {
        [height, width, inputs, outputs] => {
            for (at, number) in numbers.iter_mut().enumerate() {
                let (o, rest) = (at % outputs, at / outputs);
                let (i, place) = (rest % inputs, rest / inputs);
                *number = scale * stream.sym((o * inputs + i) * height * width + place);
            }
        }
        [inputs, outputs] => {
            let theirs = |ours: usize| match parameter.features {
                ocelli::graph::FeatureLayout::Picture { height, width, channels } => {
                    (ours % channels) * height * width + ours / channels
                }
                ocelli::graph::FeatureLayout::Plain => ours,
            };
            for (i, row) in numbers.chunks_exact_mut(outputs).enumerate() {
                let i = theirs(i);
                row.iter_mut().enumerate().for_each(|(o, number)| *number = scale * stream.sym(o * inputs + i));
            }
        }
        _ => {
            let centred = parameter.path.ends_with("bias") || parameter.path.ends_with("running_mean");
            let rule = |i| if centred { 0.1 * stream.sym(i) } else { 0.5 + stream.unit(i) };
            numbers.iter_mut().enumerate().for_each(|(i, number)| *number = rule(i));
        }
    }
    tensor
}

fn check(case: &Json) {
    let name = case["network"].as_str().unwrap();
    let number = |key: &str| case[key].as_u64().unwrap() as usize;
    let (batch, size) = (number("batch"), number("size"));
    let network = by_name(name, None).unwrap();
    let mut model = Model::zeroed(network.layer, [size, size, 3]).unwrap().with_precision(Precision::Strict);
    assert_eq!(model.parameters().trained_count(), number("parameters"), "{name}");
    let parameters: Vec<_> = model.parameters().iter().map(|(p, value)| (p.clone(), value.shape().to_vec())).collect();
    for (parameter, shape) in parameters {
        model.parameters_mut().set(&parameter.path, value(&parameter, &shape)).unwrap();
    }
    let stream = Stream::of("input");
    let input =
        Tensor::from_fn([batch, size, size, 3], |i| stream.sym(((i[0] * 3 + i[3]) * size + i[1]) * size + i[2]));
    let logits = model.predict(&input).unwrap();
    let expected: Vec<f64> = case["eval_logits"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()))
        .collect();
    assert_eq!(logits.len(), expected.len(), "{name}");
    let error = reference::relative_error(logits.data(), expected.into_iter());
    println!("{name}: relative error {error:.2e}");
    assert!(error <= TOLERANCE, "{name}: relative error {error:.2e}");
}

#[test]
fn networks_match_the_reference() {
    let Some(path) = reference::file("OCELLI_FIXTURES", "fixtures", "networks.json") else { return };
    let cases: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for case in cases.as_array().unwrap() {
        check(case);
    }
}
