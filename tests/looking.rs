//! Grad-CAM on trained networks, measured on real images, where there are such in `../shared/data`.

use ocelli::{
    data::cifar10,
    prelude::*,
    vision::attribution::{Attribution, FaithfulnessSettings, Method, cascading_randomisation, faithfulness},
};
use std::path::{Path, PathBuf};

fn data() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    data.join("weights").is_dir().then_some(data)
}

fn trained(name: &str, weights: &Path, side: usize) -> Model {
    let network = by_name(name, None).unwrap();
    let loader = network.loader_for(&WeightFile::open(weights).unwrap());
    let mut model = Model::zeroed(network.layer, [side, side, 3]).unwrap();
    loader.load(&mut model, weights).unwrap();
    model
}

/// Mean areas of Grad-CAM and of random maps: deletion, random deletion, insertion, random insertion.
fn areas(model: &Model, images: &[Tensor]) -> [f32; 4] {
    let mut attribution = Attribution::new(model).unwrap();
    let mut means = [0f32; 4];
    for image in images {
        let class = attribution.scores(image).unwrap().argmax_rows()[0];
        let map = attribution.grad_cam(image, class).unwrap();
        let measured = faithfulness(&attribution, image, class, &map, FaithfulnessSettings::default()).unwrap();
        let curves = [measured.deletion, measured.random_deletion, measured.insertion, measured.random_insertion];
        means.iter_mut().zip(curves).for_each(|(mean, curve)| *mean += curve.area() / images.len() as f32);
    }
    means
}

fn beats_random(what: &str, [deletion, random_deletion, insertion, random_insertion]: [f32; 4]) {
    println!(
        "{what}: deletion {deletion:.3} (random {random_deletion:.3}), insertion {insertion:.3} (random {random_insertion:.3})"
    );
    assert!(deletion < random_deletion && insertion > random_insertion, "{what}");
}

#[test]
fn grad_cam_beats_random_maps_on_photographs() {
    let Some(data) = data() else { return };
    let model = trained("squeezenet1_1", &data.join("weights/squeezenet1_1-imagenet.safetensors"), 227);
    let files = ["imagenet-samples/cat_chelsea.jpg", "imagenet-samples/espresso.jpg"];
    // the weights came from Caffe
    let pipeline = Pipeline::caffe([227, 227]);
    let images: Vec<Tensor> = files.iter().map(|file| pipeline.load(data.join(file)).unwrap()).collect();
    beats_random("SqueezeNet 1.1", areas(&model, &images));
}

#[test]
fn grad_cam_beats_random_maps_on_cifar() {
    let Some(data) = data() else { return };
    let model = trained("cifar_resnet20", &data.join("weights/cifar10-resnet20.safetensors"), 32);
    let images = cifar10::read(&[data.join("cifar10-subset/test_lossless_500.bin")]).unwrap();
    let loader = Loader::new(images, Pipeline::cifar([32, 32]), 24).unwrap();
    let batch = loader.epoch(0).next().unwrap().unwrap();
    let input = batch.tensor("input").unwrap();
    let images: Vec<Tensor> = (0..24).map(|sample| input.rows(sample..sample + 1)).collect();
    beats_random("ResNet-20", areas(&model, &images));

    // with half of the layers random, Grad-CAM's map is lost, and much of guided backpropagation's is there
    let left = |method: Method| {
        let mut correlations = 0.0;
        for image in &images[..2] {
            let class = model.predict(image).unwrap().argmax_rows()[0];
            let layers = cascading_randomisation(&model, Key::new(7), |model: &Model| {
                Attribution::new(model)?.map(method, image, class)
            })
            .unwrap();
            correlations += layers[layers.len() / 2].correlation / 2.0;
        }
        correlations
    };
    let (guided, grad_cam) = (left(Method::GuidedBackpropagation), left(Method::GradCam));
    println!("ResNet-20 with half of its layers random: guided backpropagation {guided:.2}, Grad-CAM {grad_cam:.2}");
    assert!(guided > grad_cam + 0.2);
}
