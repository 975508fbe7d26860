//! Tests of the inference plans of published networks.

use crate::{CifarResNet, DenseNet, EfficientNet, GoogLeNet, MobileNet, ResNet, Vgg};
use ocelli_graph::{Batch, Key, Layer, Model, Tensor};
use std::collections::BTreeMap;

/// Counts the steps of each kind.
fn kinds(layer: impl Layer, size: usize) -> BTreeMap<String, usize> {
    let model = Model::zeroed(layer, [size, size, 3]).unwrap();
    let plan = model.plan(1, &["output"]).unwrap();
    println!("{} steps, {} and {} bytes", plan.steps().len(), plan.arena_bytes(), plan.constant_bytes());
    let mut kinds = BTreeMap::new();
    plan.steps().iter().for_each(|step| *kinds.entry(step.op().kind()).or_default() += 1);
    kinds
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect()
}

#[test]
fn resnet50_is_its_convolutions_and_three_more() {
    let expected = [
        ("Conv2d + BatchNorm + Relu", 33),
        ("Conv2d + BatchNorm", 4),
        ("Conv2d + BatchNorm + Add + Relu", 16),
        ("MaxPool", 1),
        ("Mean", 1),
        ("Linear", 1),
    ];
    assert_eq!(kinds(ResNet::resnet50(1000), 224), counts(expected));
}

/// ReLU6 is a clamp, which depthwise convolutions apply to their sums like all others.
#[test]
fn mobilenet_v2_is_its_convolutions_and_two_more() {
    let expected = [
        ("Conv2d + BatchNorm + Clamp", 35),
        ("Conv2d + BatchNorm", 7),
        ("Conv2d + BatchNorm + Add", 10),
        ("Mean", 1),
        ("Linear", 1),
    ];
    assert_eq!(kinds(MobileNet::v2(1000), 224), counts(expected));
}

/// The kernels' epilogues have neither SiLU nor hard swish: those are steps of their own, and so are gates. The normalisations
/// of a DenseNet that read what was concatenated follow no convolution.
#[test]
fn what_stays_a_step_of_its_own_is_known() {
    let left = |kinds: BTreeMap<String, usize>| {
        let others =
            kinds.into_iter().filter(|(kind, _)| !kind.starts_with("Conv2d") && kind != "Mean" && kind != "Linear");
        others.collect::<BTreeMap<_, _>>()
    };
    let efficientnet = [("Silu", 49), ("Sigmoid", 16), ("Mul", 16)];
    assert_eq!(left(kinds(EfficientNet::b0(1000), 224)), counts(efficientnet));
    let mobilenet = [("HardSwish", 21), ("Scale", 8), ("Shift", 8), ("Clamp", 8), ("Mul", 8)];
    assert_eq!(left(kinds(MobileNet::v3_large(1000), 224)), counts(mobilenet));
    let densenet = [("BatchNormRelu", 62), ("Concat", 58), ("MaxPool", 1), ("AvgPool", 3)];
    assert_eq!(left(kinds(DenseNet::densenet121(1000), 224)), counts(densenet));
}

#[test]
fn no_network_has_a_normalisation_or_a_relu_of_its_own() {
    let left = |kinds: BTreeMap<String, usize>| kinds.keys().any(|kind| kind == "Relu" || kind == "BatchNorm");
    assert!(!left(kinds(ResNet::resnet18(10), 64)));
    assert!(!left(kinds(CifarResNet::resnet20(10), 32)));
    assert!(!left(kinds(GoogLeNet::new(10), 224)));
    assert!(!left(kinds(Vgg::vgg11(10), 224)));
}

/// All parameters are random, running statistics included.
#[test]
fn a_fused_network_computes_what_the_tapped_one_computes() {
    let mut model = Model::zeroed(ResNet::resnet18(10), [64, 64, 3]).unwrap();
    let parameters: Vec<_> = model.parameters().iter().map(|(p, v)| (p.path.clone(), v.shape().to_vec())).collect();
    for (path, shape) in parameters {
        let fan_in: usize = shape.iter().rev().skip(1).product();
        let mut value = Tensor::uniform(shape.as_slice(), Key::new(1).with(&path));
        let scale = if shape.len() == 1 { 0.3 } else { (6.0 / fan_in as f32).sqrt() };
        let shift =
            if path.ends_with("running_var") || (shape.len() == 1 && path.ends_with("weight")) { 1.0 } else { 0.0 };
        value.data_mut().iter_mut().for_each(|number| *number = scale * *number + shift);
        model.parameters_mut().set(&path, value).unwrap();
    }
    let batch = Batch::new().with("input", Tensor::uniform([2, 64, 64, 3], Key::new(2)));
    let fused = model.run(&batch, &["output"]).unwrap();
    let mut names: Vec<&str> = vec!["output"];
    names.extend(model.graph().names.keys().map(String::as_str).filter(|name| *name != "output"));
    let tapped = model.run(&batch, &names).unwrap();
    let largest = tapped[0].data().iter().fold(0.0_f32, |largest, y| largest.max(y.abs()));
    for (fused, tapped) in fused[0].data().iter().zip(tapped[0].data()) {
        assert!((fused - tapped).abs() <= 1e-5 * largest, "{fused}, not {tapped}");
    }
}
