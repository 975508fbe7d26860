//! Weights that others trained and published, through whole networks.
//!
//! The files are not part of the repository; where they are absent, the tests say so and pass.

use ocelli::{
    data::{Images, Pipeline, Statistics, Transform, cifar10, image_files::load_archive},
    graph::Axis,
    models::{OpenFaceEncoder, by_name, channels_last, top_k},
    prelude::*,
};
use std::{fs, path::PathBuf};

mod reference;

fn data(path: &str) -> Option<PathBuf> {
    reference::file("OCELLI_DATA", "data", path)
}

fn loaded(name: &str, classes: usize, sample: [usize; 3], weights: &PathBuf) -> Model {
    let mut model = Model::zeroed(by_name(name, classes).unwrap().layer, sample).unwrap();
    load_weights(&mut model, weights).unwrap_or_else(|error| panic!("{error}"));
    model
}

/// A tensor of the reference, images with their channels last.
fn reference(name: &str) -> Option<Tensor> {
    let mut file = WeightFile::open(data("weights/reference-activations.safetensors")?).unwrap();
    Some(channels_last(&file.read(name).unwrap()))
}

fn relative_error(got: &Tensor, expected: &Tensor) -> f64 {
    reference::relative_error(got.data(), expected.data().iter().copied().map(f64::from))
}

/// How many images a CIFAR-10 network with the usual normalisation takes for what they are.
fn right(model: &Model, images: Images) -> usize {
    let pipeline = Pipeline::new().normalised_by(Statistics::imagenet());
    let loader = Loader::new(images, pipeline, 500).unwrap();
    let right = |batch: Batch| {
        let answers = model.run(&batch, &["output"]).unwrap()[0].argmax_rows();
        answers.iter().zip(batch.labels("labels").unwrap().data()).filter(|(a, b)| **a == **b as usize).count()
    };
    loader.epoch(0).map(|batch| right(batch.unwrap())).sum()
}

/// 500 test images: what another implementation of these networks made of the same files.
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

/// The same images with weights in bf16: as many are right, of the same image the same class is the first.
#[test]
fn cifar_resnets_in_bf16_give_the_same_classes() {
    let Some(records) = data("cifar10-subset/test_lossless_500.bin") else { return };
    let images = cifar10::read(&[records]).unwrap();
    for depth in [20, 32, 56] {
        let Some(weights) = data(&format!("weights/cifar10-resnet{depth}.safetensors")) else { return };
        let exact = loaded(&format!("cifar_resnet{depth}"), 10, [32, 32, 3], &weights);
        let x = all_images(images.clone());
        let what = format!("ResNet-{depth}");
        assert_in_bf16(&what, &exact, &x);
    }
}

/// All images as one tensor, with the usual normalisation.
fn all_images(images: Images) -> Tensor {
    let count = images.labels().len();
    let pipeline = Pipeline::new().normalised_by(Statistics::imagenet());
    let loader = Loader::new(images, pipeline, count).unwrap();
    loader.epoch(0).next().unwrap().unwrap().tensor("input").unwrap().clone()
}

/// Checks that weights in bf16 leave the best class of each image as it is, and change the scores by 1e-2 at most, by
/// relative L2.
fn assert_in_bf16(what: &str, exact: &Model, x: &Tensor) {
    let in_bf16 = exact.clone().with_precision(Precision::Bf16);
    let (scores, expected) = (in_bf16.predict(x).unwrap(), exact.predict(x).unwrap());
    let error = relative_error(&scores, &expected);
    let same = scores.argmax_rows().iter().zip(expected.argmax_rows()).filter(|(got, exact)| **got == *exact).count();
    println!("{what} in bf16: {same} of {} classes the same, relative error {error:.2e}", x.shape()[0]);
    assert_eq!(same, x.shape()[0], "{what}: the best class of some images is another");
    assert!(error < 1e-2, "{what}: relative error {error:.2e}");
}

/// 2,000 others as JPEG files in an archive, which are a little harder than the images that the network learnt from.
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

/// SqueezeNet with weights in Caffe's names.
fn squeezenet(name: &str, weights: &PathBuf) -> Model {
    let network = by_name(name, None).unwrap();
    let mut file = WeightFile::open(weights).unwrap();
    let loader = network.loader_for(&file);
    let mut model = Model::zeroed(network.layer, [227, 227, 3]).unwrap();
    loader.load_from(&mut model, &mut file).unwrap_or_else(|error| panic!("{error}"));
    model
}

/// Chelsea is a cat: tabby, tiger cat or Egyptian cat; and espresso is espresso.
fn names_cat_and_espresso(model: &Model) {
    let pipeline = Pipeline::caffe([227, 227]);
    let Some(names) = data("imagenet-samples/imagenet_classes.txt") else { return };
    let names: Vec<String> = fs::read_to_string(names).unwrap().lines().map(String::from).collect();
    for (image, classes) in [("cat_chelsea.jpg", &[281, 282, 285][..]), ("espresso.jpg", &[967])] {
        let x = pipeline.load(data(&format!("imagenet-samples/{image}")).unwrap()).unwrap();
        let scores = model.predict(&x).unwrap();
        let top = top_k(scores.data(), 5).named(&names);
        println!("{image}\n{top}");
        let best = &top.guesses[..classes.len()];
        assert!(best.iter().all(|guess| classes.contains(&guess.class)), "{image}:\n{top}");
        assert!(best.iter().map(|guess| guess.probability).sum::<f32>() > 0.9, "{image}:\n{top}");
    }
}

#[test]
fn squeezenet_1_1_sees_a_cat_and_has_the_logits_of_the_reference() {
    let Some(weights) = data("weights/squeezenet1_1-imagenet.safetensors") else { return };
    let (Some(x), Some(logits)) = (reference("squeezenet.input"), reference("squeezenet1_1.logits")) else { return };
    let model = squeezenet("squeezenet1_1", &weights);
    let error = relative_error(&model.predict(&x).unwrap(), &logits);
    assert!(error < 1e-5, "relative error {error:.2e}");
    names_cat_and_espresso(&model);
    assert_in_bf16("SqueezeNet 1.1", &model, &x);
    names_cat_and_espresso(&model.with_precision(Precision::Bf16));
}

#[test]
fn squeezenet_1_0_sees_a_cat_and_has_the_logits_of_the_reference() {
    let Some(weights) = data("weights/squeezenet1_0-imagenet-deepcompressed.safetensors") else { return };
    let (Some(x), Some(logits)) = (reference("squeezenet.input"), reference("squeezenet1_0.logits")) else { return };
    let model = squeezenet("squeezenet1_0", &weights);
    // The last convolution is padded in these weights' own network: around its 13 × 13 pixels are 56 more, which see nothing
    // and so have its bias.
    let mut scores = model.predict(&x).unwrap();
    let bias = model.parameters().value("classifier.1.bias").unwrap();
    let pixels = scores.data_mut().iter_mut().zip(bias.data());
    pixels.for_each(|(score, bias)| *score = (169.0 * *score + 56.0 * bias.max(0.0)) / 225.0);
    let error = relative_error(&scores, &logits);
    assert!(error < 1e-5, "relative error {error:.2e}");
    names_cat_and_espresso(&model);
    assert_in_bf16("SqueezeNet 1.0", &model, &x);
    names_cat_and_espresso(&model.with_precision(Precision::Bf16));
}

/// In the layout that PyTorch wrote before 1.6, with dead channels whose running variance is 0.
#[test]
fn efficientnet_lite_0_has_the_logits_of_the_reference() {
    let Some(weights) = data("weights/efficientnet-lite0.pth") else { return };
    let Some(expected) = data("weights/efficientnet-lite0-reference.safetensors") else { return };
    let model = loaded("efficientnet_lite0", 1000, [224, 224, 3], &weights);
    let mut file = WeightFile::open(expected).unwrap();
    for (image, class) in [("cat_chelsea", 282), ("espresso", 967)] {
        let x = channels_last(&file.read(&format!("{image}.input")).unwrap());
        let logits = model.predict(&x).unwrap();
        let error = relative_error(&logits, &file.read(&format!("{image}.logits")).unwrap());
        assert!(error < 1e-5, "{image}: relative error {error:.2e}");
        assert_eq!(top_k(logits.data(), 1).guesses[0].class, class);
    }
}

/// Stem and three stages, with the batch normalisations folded into the convolutions.
#[test]
fn a_part_of_resnet_18_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/resnet18-imagenet-to-layer3-bnfolded.safetensors") else { return };
    let (Some(x), Some(expected)) = (reference("imagenet64.input"), reference("resnet18.layer3")) else { return };
    let mut model = Model::zeroed(Until::new(ResNet::resnet18(10).folded(), "layer3"), [64, 64, 3]).unwrap();
    let report = WeightLoader::new().load(&mut model, weights).unwrap();
    assert_eq!(report.loaded.len(), 30, "{report}");
    let got = model.predict(&x).unwrap();
    let error = relative_error(&got, &expected);
    assert!(error < 1e-5, "relative error {error:.2e}");
}

/// The first four of eleven layers.
#[test]
fn a_part_of_vgg_11_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/vgg11_bn-to-relu3_2.safetensors") else { return };
    let (Some(x), Some(expected)) = (reference("imagenet64.input"), reference("vgg11_bn.relu3_2")) else { return };
    let mut model = Model::zeroed(Until::new(Vgg::vgg11(10).batch_norm(), "features.13"), [64, 64, 3]).unwrap();
    let report = WeightLoader::new().load(&mut model, weights).unwrap();
    assert_eq!(report.loaded.len(), 24, "{report}");
    let got = model.predict(&x).unwrap();
    let error = relative_error(&got, &expected);
    assert!(error < 1e-5, "relative error {error:.2e}");
}

/// A 3×3 convolution of an image that is continued by its mirror image.
fn mirrored(x: &Node, name: &str, channels: usize) -> Node {
    x.apply(format!("{name}_pad"), Pad2d::reflect(1)).apply(name, Conv2d::new(channels, 3))
}

/// VGG-19 to relu3_1, filters scaled so that mean activations are about 1: what style transfer by Li et al. (2017) reads.
fn vgg19_normalised(x: &Node) -> Node {
    let half = |x: Node, name: &str| x.apply(name, MaxPool2d::new(2).ceil());
    let x = x.apply("preprocess", Conv2d::new(3, 1));
    let x = mirrored(&x, "conv1_1", 64).relu().named("relu1_1");
    let x = half(mirrored(&x, "conv1_2", 64).relu(), "pool1");
    let x = mirrored(&x, "conv2_1", 128).relu().named("relu2_1");
    let x = half(mirrored(&x, "conv2_2", 128).relu(), "pool2");
    mirrored(&x, "conv3_1", 256).relu().named("relu3_1")
}

#[test]
fn normalised_vgg_19_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/vgg19-normalised-to-relu3_1.safetensors") else { return };
    let Some(x) = reference("vgg19.input") else { return };
    let mut model = Model::build(vgg19_normalised, [64, 64, 3], 0).unwrap();
    load_weights(&mut model, weights).unwrap();
    let got = model.run(&Batch::new().with("input", &x), &["relu2_1", "relu3_1"]).unwrap();
    for (name, got) in ["relu2_1", "relu3_1"].iter().zip(&got) {
        let error = relative_error(got, &reference(&format!("vgg19.{name}")).unwrap());
        assert!(error < 1e-5, "{name}: relative error {error:.2e}");
    }
}

/// Twice as many pixels in both directions, each the nearest of `x`.
fn doubled(x: &Node) -> Node {
    let (h, w, c) = (x.height(), x.width(), x.channels());
    let wide = Node::concat(&[x, x], Axis::C).reshape([h, 1, 2 * w * c]);
    Node::concat(&[&wide, &wide], Axis::C).reshape([2 * h, 2 * w, c])
}

/// Images from activations (Li et al. 2017).
fn decoded(x: &Node, level: usize) -> Node {
    x.scope(format!("dec{level}"), |x| {
        let mut x = x.clone();
        if level == 3 {
            x = doubled(&mirrored(&x, "conv3_1", 128).relu());
            x = mirrored(&x, "conv2_2", 128).relu();
        }
        if level >= 2 {
            x = doubled(&mirrored(&x, "conv2_1", 64).relu());
            x = mirrored(&x, "conv1_2", 64).relu();
        }
        mirrored(&x, "conv1_1", 3)
    })
}

/// The decoders turn a photograph's activations back into the photograph.
#[test]
fn decoders_rebuild_a_photograph() {
    let (encoder, decoders) = ("vgg19-normalised-to-relu3_1", "wct-decoders-relu1_1-2_1-3_1");
    let [Some(encoder), Some(decoders)] = [encoder, decoders].map(|name| data(&format!("weights/{name}.safetensors")))
    else {
        return;
    };
    let network = |x: &Node| {
        let top = x.scope("encoder", vgg19_normalised);
        for (level, name) in (1..).zip(["encoder.relu1_1", "encoder.relu2_1", "encoder.relu3_1"]) {
            decoded(&x.trace().tap(name), level);
        }
        top
    };
    let mut model = Model::build(network, [256, 256, 3], 0).unwrap();
    WeightLoader::new().rename("", "encoder").only("encoder").load(&mut model, encoder).unwrap();
    WeightLoader::new().except("encoder").load(&mut model, decoders).unwrap();
    let pipeline = Pipeline::new().with_transforms([Transform::ShorterSide(256), Transform::CentreCrop([256, 256])]);
    let x = pipeline.load(data("style/content/tubingen.jpg").unwrap()).unwrap();
    let images = model.run(&Batch::new().with("input", &x), &["dec1", "dec2", "dec3"]).unwrap();
    for ((level, image), least) in (1..).zip(&images).zip([27.0, 27.0, 27.0]) {
        let squares = image.data().iter().zip(x.data()).map(|(got, x)| f64::from(got.clamp(0.0, 1.0) - x).powi(2));
        let ratio = -10.0 * (squares.sum::<f64>() / x.len() as f64).log10();
        println!("level {level}: {ratio:.1} dB");
        assert!(ratio > least, "level {level}: {ratio:.1} dB");
    }
}

#[test]
fn the_trunk_of_openface_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/openface-nn4_small2-to-inception_3b.safetensors") else { return };
    let Some(x) = reference("nn4.input") else { return };
    let trunk = Until::new(OpenFaceEncoder, "inception_3b");
    let mut model = Model::zeroed(trunk, [96, 96, 3]).unwrap();
    load_weights(&mut model, weights).unwrap_or_else(|error| panic!("{error}"));
    let names = ["inception_3a", "inception_3b"];
    let got = model.run(&Batch::new().with("input", &x), &names).unwrap();
    for (name, got) in names.iter().zip(&got) {
        let error = relative_error(got, &reference(&format!("nn4.{name}")).unwrap());
        assert!(error < 1e-5, "{name}: relative error {error:.2e}");
    }
}
