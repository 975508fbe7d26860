//! Weights that others trained and published, through whole networks.
//!
//! The files are not part of the repository; where they are absent, the tests say so and pass.

use ocelli::{
    data::{Channels, Frame, Images, Preprocess, Resize, Statistics, cifar10, image_files::load_archive},
    graph::Axis,
    kernels::pool::{CountPadding, PoolSettings},
    models::{by_name, channels_last, top_k},
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
    let statistics = Statistics::imagenet();
    let loader = Loader::new(images.standardise(&statistics).unwrap(), 500).unwrap();
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

/// SqueezeNet with weights in Caffe's names; `fires` are the numbers of the fire modules among PyTorch's features.
fn squeezenet(network: SqueezeNet, fires: [usize; 8], weights: &PathBuf) -> Model {
    let mut model = Model::zeroed(network, [227, 227, 3]).unwrap();
    let names = WeightLoader::new().rename("conv1", "features.0").rename("conv10", "classifier.1");
    let rename = |names: WeightLoader, (fire, position): (usize, usize)| {
        names.rename(format!("fire{fire}"), format!("features.{position}"))
    };
    let names = (2..).zip(fires).fold(names, rename);
    names.load(&mut model, weights).unwrap_or_else(|error| panic!("{error}"));
    model
}

/// Chelsea is a cat: tabby, tiger cat or Egyptian cat; and espresso is espresso.
fn names_cat_and_espresso(model: &Model) {
    let preprocess = Preprocess {
        resize: Resize::Stretch([227, 227]),
        frame: Frame::Whole,
        channels: Channels::Bgr,
        normalisation: Statistics::caffe(),
    };
    let Some(names) = data("imagenet-samples/imagenet_classes.txt") else { return };
    let names: Vec<String> = fs::read_to_string(names).unwrap().lines().map(String::from).collect();
    for (image, classes) in [("cat_chelsea.jpg", &[281, 282, 285][..]), ("espresso.jpg", &[967])] {
        let x = preprocess.load(data(&format!("imagenet-samples/{image}")).unwrap()).unwrap();
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
    let model = squeezenet(SqueezeNet::v1_1(1000), [3, 4, 6, 7, 9, 10, 11, 12], &weights);
    let error = relative_error(&model.predict(&x).unwrap(), &logits);
    assert!(error < 1e-5, "relative error {error:.2e}");
    names_cat_and_espresso(&model);
}

#[test]
fn squeezenet_1_0_sees_a_cat_and_has_the_logits_of_the_reference() {
    let Some(weights) = data("weights/squeezenet1_0-imagenet-deepcompressed.safetensors") else { return };
    let (Some(x), Some(logits)) = (reference("squeezenet.input"), reference("squeezenet1_0.logits")) else { return };
    let model = squeezenet(SqueezeNet::v1_0(1000), [3, 4, 5, 7, 8, 9, 10, 12], &weights);
    // The last convolution is padded in these weights' own network: around its 13 × 13 pixels are 56 more, which see nothing
    // and so have its bias.
    let mut scores = model.predict(&x).unwrap();
    let bias = model.parameters().value("classifier.1.bias").unwrap();
    let pixels = scores.data_mut().iter_mut().zip(bias.data());
    pixels.for_each(|(score, bias)| *score = (169.0 * *score + 56.0 * bias.max(0.0)) / 225.0);
    let error = relative_error(&scores, &logits);
    assert!(error < 1e-5, "relative error {error:.2e}");
    names_cat_and_espresso(&model);
}

/// Stem and three stages, with the batch normalisations folded into the convolutions.
#[test]
fn a_part_of_resnet_18_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/resnet18-imagenet-to-layer3-bnfolded.safetensors") else { return };
    let (Some(x), Some(expected)) = (reference("imagenet64.input"), reference("resnet18.layer3")) else { return };
    let mut model = Model::zeroed(ResNet::resnet18(10).folded(), [64, 64, 3]).unwrap();
    let parts = WeightLoader::new().only("conv1").only("layer1").only("layer2").only("layer3");
    let report = parts.load(&mut model, weights).unwrap();
    assert_eq!(report.loaded.len(), 30, "{report}");
    let got = model.run(&Batch::new().with("input", &x), &["layer3"]).unwrap().remove(0);
    let error = relative_error(&got, &expected);
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

/// What the decoders make of a photograph's activations is the photograph.
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
    let preprocess = Preprocess {
        resize: Resize::ShorterSide(256),
        frame: Frame::CentreCrop([256, 256]),
        channels: Channels::Rgb,
        normalisation: Statistics::for_range(3, 0.0, 1.0).unwrap(),
    };
    let x = preprocess.load(data("style/content/tubingen.jpg").unwrap()).unwrap();
    let images = model.run(&Batch::new().with("input", &x), &["dec1", "dec2", "dec3"]).unwrap();
    for ((level, image), least) in (1..).zip(&images).zip([27.0, 27.0, 27.0]) {
        let squares = image.data().iter().zip(x.data()).map(|(got, x)| f64::from(got.clamp(0.0, 1.0) - x).powi(2));
        let ratio = -10.0 * (squares.sum::<f64>() / x.len() as f64).log10();
        println!("level {level}: {ratio:.1} dB");
        assert!(ratio > least, "level {level}: {ratio:.1} dB");
    }
}

/// Convolution, normalisation and ReLU, in the names of OpenFace.
fn unit(x: &Node, conv: &str, norm: &str, layer: Conv2d) -> Node {
    x.apply(conv, layer).apply(norm, BatchNorm::new()).relu()
}

/// A block of OpenFace: two convolutions with a 3×3 filter, two with a 5×5 filter, what was pooled, and one of 1×1.
fn openface_block(x: &Node, name: &str, widths: [[usize; 2]; 2], pooled: Node, zeros: [usize; 4]) -> Node {
    let unit = |x: &Node, step: &str, number: &str, layer| {
        unit(x, &format!("{name}_{step}_conv{number}"), &format!("{name}_{step}_bn{number}"), layer)
    };
    let large = |step: &str, [narrow, wide]: [usize; 2], kernel| {
        let x = unit(x, step, "1", Conv2d::new(narrow, 1));
        unit(&x, step, "2", Conv2d::new(wide, kernel).same())
    };
    let projection = if name.ends_with('a') { 32 } else { 64 };
    let pooled = unit(&pooled, "pool", "", Conv2d::new(projection, 1));
    let pooled = pooled.apply(format!("{name}_pool_pad"), Pad2d::zeros(zeros));
    let small = unit(x, "1x1", "", Conv2d::new(64, 1));
    Node::concat(&[&large("3x3", widths[0], 3), &large("5x5", widths[1], 5), &pooled, &small], Axis::C).named(name)
}

/// The trunk of OpenFace's nn4.small2.
fn openface(x: &Node) -> Node {
    let pool = |x: &Node, name: &str| x.apply(name, MaxPool2d::new(3).stride(2).padding(1));
    let norm = LocalResponseNorm::of_mean(5);
    let x = unit(x, "conv1", "bn1", Conv2d::new(64, 7).stride(2).padding(Padding::uniform(3)));
    let x = unit(&pool(&x, "pool1").apply("lrn1", norm), "conv2", "bn2", Conv2d::new(64, 1));
    let x = pool(&unit(&x, "conv3", "bn3", Conv2d::new(192, 3).same()).apply("lrn2", norm), "pool2");
    let pooled = x.max_pool(PoolSettings::square(3).stride(2));
    let x = openface_block(&x, "inception_3a", [[96, 128], [16, 32]], pooled, [3, 4, 3, 4]);
    let pooled = (x.square().avg_pool(PoolSettings::square(3), CountPadding::Include) * 9.0).sqrt();
    openface_block(&x, "inception_3b", [[96, 128], [32, 64]], pooled, [4; 4])
}

#[test]
fn the_trunk_of_openface_has_the_activations_of_the_reference() {
    let Some(weights) = data("weights/openface-nn4_small2-to-inception_3b.safetensors") else { return };
    let Some(x) = reference("nn4.input") else { return };
    let mut model = Model::build(openface, [96, 96, 3], 0).unwrap();
    load_weights(&mut model, weights).unwrap_or_else(|error| panic!("{error}"));
    let names = ["inception_3a", "inception_3b"];
    let got = model.run(&Batch::new().with("input", &x), &names).unwrap();
    for (name, got) in names.iter().zip(&got) {
        let error = relative_error(got, &reference(&format!("nn4.{name}")).unwrap());
        assert!(error < 1e-5, "{name}: relative error {error:.2e}");
    }
}
