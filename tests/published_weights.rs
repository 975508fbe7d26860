//! Weights that others trained and published, through whole networks.
//!
//! The files are not part of the repository; where they are absent, the tests say so and pass.

use ocelli::{
    data::{Images, Statistics, cifar10, images::load_archive},
    models::by_name,
    prelude::*,
};
use std::path::PathBuf;

mod reference;

fn data(path: &str) -> Option<PathBuf> {
    reference::file("OCELLI_DATA", "data", path)
}

fn loaded(name: &str, classes: usize, sample: [usize; 3], weights: &PathBuf) -> Model {
    let mut model = Model::zeroed(by_name(name, classes).unwrap().layer, sample).unwrap();
    load_weights(&mut model, weights).unwrap_or_else(|error| panic!("{error}"));
    model
}

/// A tensor of the reference, pictures with their channels last.
fn reference(name: &str) -> Option<Tensor> {
    let mut file = WeightFile::open(data("weights/reference-activations.safetensors")?).unwrap();
    let tensor = file.read(name).unwrap();
    if tensor.shape().len() != 4 {
        return Some(tensor);
    }
    let [n, c, h, w] = tensor.shape().try_into().unwrap();
    let view = tensor.view();
    Some(Tensor::from_fn([n, h, w, c], |i| view[[i[0], i[3], i[1], i[2]].as_slice()]))
}

fn relative_error(got: &Tensor, expected: &Tensor) -> f64 {
    reference::relative_error(got.data(), expected.data().iter().copied().map(f64::from))
}

/// How many pictures a CIFAR-10 network with the usual normalisation takes for what they are.
fn right(model: &Model, images: Images) -> usize {
    let statistics = Statistics { mean: vec![0.485, 0.456, 0.406], deviation: vec![0.229, 0.224, 0.225] };
    let loader = Loader::new(images.standardise(&statistics).unwrap(), 500).unwrap();
    let right = |batch: Batch| {
        let answers = model.run(&batch, &["output"]).unwrap()[0].argmax_rows();
        answers.iter().zip(batch.labels("labels").unwrap().data()).filter(|(a, b)| **a == **b as usize).count()
    };
    loader.epoch(0).map(|batch| right(batch.unwrap())).sum()
}

/// 500 test pictures: what another implementation of these networks made of the same files.
#[test]
fn cifar_resnets_of_option_a_classify_cifar_10() {
    let Some(records) = data("cifar10-subset/test_lossless_500.bin") else { return };
    let images = cifar10::read(&[records]).unwrap();
    for (depth, expected) in [(20, 455), (32, 466), (56, 470)] {
        let Some(weights) = data(&format!("weights/cifar10-resnet{depth}.safetensors")) else { return };
        let model = loaded(&format!("cifar_resnet{depth}"), 10, [32, 32, 3], &weights);
        assert_eq!(right(&model, images.clone()), expected, "ResNet-{depth}");

        let (Some(x), Some(logits)) = (reference("cifar.input"), reference(&format!("resnet{depth}.logits"))) else {
            return;
        };
        let error = relative_error(&model.predict(&x).unwrap(), &logits);
        assert!(error < 1e-5, "ResNet-{depth}: relative error {error:.2e}");
    }
}

/// 2,000 others as JPEG files in an archive, which are a little harder than the pictures that the network learnt from.
#[test]
fn a_cifar_resnet_classifies_an_archive() {
    let Some(archive) = data("cifar10-subset/test_jpeg_2000.tar.gz") else { return };
    let Some(weights) = data("weights/cifar10-resnet20.safetensors") else { return };
    let images = load_archive(archive, cifar10::CLASS_NAMES.map(String::from).into()).unwrap();
    let count = |label| images.labels().iter().filter(|known| **known == label).count();
    assert!((0..10).all(|label| count(label) == 200));
    let right = right(&loaded("cifar_resnet20", 10, [32, 32, 3], &weights), images);
    assert!(right > 1600, "{right} of 2000");
}

/// Weights in Caffe's names.
#[test]
fn squeezenet_1_1_has_the_logits_of_the_reference() {
    let Some(weights) = data("weights/squeezenet1_1-imagenet.safetensors") else { return };
    let (Some(x), Some(logits)) = (reference("squeezenet.input"), reference("squeezenet1_1.logits")) else { return };
    let mut model = Model::zeroed(SqueezeNet::v1_1(1000), [227, 227, 3]).unwrap();
    let fires = [(2, 3), (3, 4), (4, 6), (5, 7), (6, 9), (7, 10), (8, 11), (9, 12)];
    let names = WeightLoader::new().rename("conv1", "features.0").rename("conv10", "classifier.1");
    let names = fires
        .iter()
        .fold(names, |names, (fire, position)| names.rename(format!("fire{fire}"), format!("features.{position}")));
    names.load(&mut model, weights).unwrap_or_else(|error| panic!("{error}"));
    let error = relative_error(&model.predict(&x).unwrap(), &logits);
    assert!(error < 1e-5, "relative error {error:.2e}");
}

/// The first four of eleven layers.
#[test]
fn a_part_of_vgg_11_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/vgg11_bn-to-relu3_2.safetensors") else { return };
    let (Some(x), Some(expected)) = (reference("imagenet64.input"), reference("vgg11_bn.relu3_2")) else { return };
    let mut model = Model::zeroed(Vgg::vgg11(10).batch_norm(), [64, 64, 3]).unwrap();
    let report = WeightLoader::new().lenient().load(&mut model, weights).unwrap();
    assert_eq!(report.loaded.len(), 24, "{report}");
    let got = model.run(&Batch::new().with("input", &x), &["features.13"]).unwrap().remove(0);
    let error = relative_error(&got, &expected);
    assert!(error < 1e-5, "relative error {error:.2e}");
}
