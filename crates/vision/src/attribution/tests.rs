//! The identities that the methods are known by.

use super::*;
use crate::spatial::last_spatial_layer;
use ocelli_graph::{Axis, Key, Model, Node, Tensor};
use ocelli_layers::{Conv2d, Dense};
use ocelli_models::{CifarResNet, LeNet5, SqueezeNet};

fn smooth(x: &Node) -> Node {
    x.apply("conv", Conv2d::new(4, 3).same()).tanh().named("features").global_avg_pool().apply("fc", Dense::new(3))
}

fn resnet() -> Model {
    Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 42).unwrap()
}

fn image(shape: [usize; 4]) -> Tensor {
    Tensor::uniform(shape, Key::new(5))
}

fn total(map: &Tensor) -> f32 {
    map.data().iter().map(|value| f64::from(*value)).sum::<f64>() as f32
}

fn close(a: f32, b: f32, tolerance: f32) {
    assert!((a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-3), "{a} and {b}");
}

#[test]
fn saliency_equals_finite_differences() {
    let model = Model::build(smooth, [5, 6, 2], 3).unwrap();
    let image = image([1, 5, 6, 2]);
    let mut attribution = Attribution::new(&model).unwrap();
    let map = attribution.saliency(&image, 1).unwrap();
    let score = |image: &Tensor| f64::from(model.predict(image).unwrap().data()[1]);
    for (pixel, expected) in map.data().iter().enumerate() {
        let slope = |channel: usize| {
            let step = 1e-2;
            let moved = |by: f32| {
                let mut moved = image.clone();
                moved.data_mut()[2 * pixel + channel] += by;
                score(&moved)
            };
            ((moved(step) - moved(-step)) / f64::from(2.0 * step)).abs() as f32
        };
        let largest = slope(0).max(slope(1));
        assert!((largest - expected).abs() < 1e-4, "{largest} and {expected}");
    }
}

#[test]
fn grad_cam_equals_cam_where_a_mean_and_one_layer_follow() {
    let (model, image) = (resnet(), image([1, 32, 32, 3]));
    let mut attribution = Attribution::new(&model).unwrap();
    for class in [0, 7] {
        let cam = attribution.cam(&image, class).unwrap();
        let grad_cam = attribution.grad_cam(&image, class).unwrap();
        assert_eq!(cam.shape(), [8, 8]);
        let scale = cam.data().iter().fold(0f32, |scale, value| scale.max(value.abs()));
        for (cam, grad_cam) in cam.data().iter().zip(grad_cam.data()) {
            assert!((cam.max(0.0) - grad_cam).abs() < 1e-5 * scale, "{cam} and {grad_cam}");
        }
    }
}

#[test]
fn hires_cam_and_cam_sum_to_the_score_less_its_bias() {
    let (model, image) = (resnet(), image([1, 32, 32, 3]));
    let mut attribution = Attribution::new(&model).unwrap();
    let scores = attribution.scores(&image).unwrap();
    let bias = model.parameters().value("linear.bias").unwrap();
    for class in 0..3 {
        let expected = scores.data()[class] - bias.data()[class];
        close(total(&attribution.hires_cam(&image, class).unwrap()), expected, 1e-3);
        close(total(&attribution.cam(&image, class).unwrap()), expected, 1e-3);
    }
    // SqueezeNet ends in a mean alone
    let model = Model::from_layer(SqueezeNet::v1_1(7), [48, 48, 3], 1).unwrap();
    assert_eq!(last_spatial_layer(&model).unwrap().shape, [2, 2, 7]);
    let image = self::image([1, 48, 48, 3]);
    let mut attribution = Attribution::new(&model).unwrap();
    let score = attribution.scores(&image).unwrap().data()[4];
    close(total(&attribution.cam(&image, 4).unwrap()), score, 1e-4);
}

#[test]
fn integrated_gradients_sum_to_the_difference_of_the_scores() {
    for (model, shape) in
        [(resnet(), [1, 32, 32, 3]), (Model::from_layer(LeNet5::modern(10), [32, 32, 1], 1).unwrap(), [1, 32, 32, 1])]
    {
        let mut attribution = Attribution::new(&model).unwrap();
        let integrated = attribution.integrated_gradients(&image(shape), 2, &Tensor::zeros(shape), 512).unwrap();
        assert!(integrated.error() < 0.01, "{} after {} steps", integrated.error(), integrated.steps);
        assert_eq!(integrated.map.shape(), [32, 32]);
    }
}

/// With one channel and a gradient that is the same at every place, the weight of Grad-CAM++ has a closed form.
#[test]
fn grad_cam_plus_plus_follows_its_formula() {
    let network = |x: &Node| {
        let x = x.apply("conv", Conv2d::new(1, 1)).square().named("features");
        x.global_avg_pool().apply("fc", Dense::new(2))
    };
    let model = Model::build(network, [3, 4, 1], 8).unwrap();
    let image = image([1, 3, 4, 1]);
    let mut attribution = Attribution::new(&model).unwrap();
    let weights = model.parameters().value("fc.weight").unwrap().data();
    let activation =
        model.run(&ocelli_graph::Batch::new().with("input", &image), &["features"]).unwrap().swap_remove(0);
    for (class, weight) in weights.iter().enumerate() {
        let g = weight / 12.0;
        let alpha = g * g / (2.0 * g * g + total(&activation) * g * g * g);
        let channel = 12.0 * alpha * g.max(0.0);
        let map = attribution.grad_cam_plus_plus(&image, class).unwrap();
        for (value, a) in map.data().iter().zip(activation.data()) {
            assert!((value - (channel * a).max(0.0)).abs() < 1e-5, "{value} and {}", channel * a);
        }
    }
}

#[test]
fn the_means_of_noise_are_reproducible_and_guided_gradients_positive_paths() {
    let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 1).unwrap();
    let image = image([1, 32, 32, 1]);
    let mut attribution = Attribution::new(&model).unwrap();
    let mut smooth = |samples| attribution.smooth_grad(&image, 3, 0.1, samples, Key::new(9)).unwrap();
    assert_eq!(smooth(11), smooth(11));
    assert!(smooth(11) != smooth(10));
    let plain = attribution.saliency(&image, 3).unwrap();
    let quiet = attribution.smooth_grad(&image, 3, 0.0, 3, Key::new(9)).unwrap();
    assert!(plain.data().iter().zip(quiet.data()).all(|(a, b)| (a - b).abs() < 1e-5));
    let guided = attribution.guided_backpropagation(&image, 3).unwrap();
    let deconvnet = attribution.deconvnet(&image, 3).unwrap();
    assert!(guided != deconvnet && guided.shape() == [32, 32, 1]);
}

/// A linear network loses the sum of its terms where a window covers the image.
#[test]
fn occlusion_of_a_linear_network_is_its_weights() {
    let network = |x: &Node| x.flatten().apply("fc", Dense::new(2).bias(false));
    let model = Model::build(network, [4, 4, 1], 3).unwrap();
    let image = image([1, 4, 4, 1]);
    let weights = model.parameters().value("fc.weight").unwrap().data();
    let mut attribution = Attribution::new(&model).unwrap();
    let window = Window { size: 1, stride: 1, value: 0.5 };
    let map = attribution.occlusion(&image, 1, window).unwrap();
    for (pixel, fall) in map.data().iter().enumerate() {
        assert!((fall - weights[2 * pixel + 1] * (image.data()[pixel] - 0.5)).abs() < 1e-5);
    }
    // a window that does not divide the image reaches its end
    let coarse = attribution.occlusion(&image, 1, Window { size: 3, stride: 2, value: 0.0 }).unwrap();
    assert!(coarse.data().iter().all(|fall| *fall != 0.0));
    assert!(attribution.occlusion(&image, 1, Window { size: 0, stride: 1, value: 0.0 }).is_err());
}

#[test]
fn a_map_of_what_the_network_reads_beats_random_ones() {
    // the score of class 0 is the brightness of the left half
    let network = |x: &Node| {
        let left = x.slice(Axis::W, 0..8).global_avg_pool();
        Node::concat(&[&left, &(-&left)], Axis::C) * 4.0
    };
    let model = Model::build(network, [16, 16, 1], 0).unwrap();
    let attribution = Attribution::new(&model).unwrap();
    let image = Tensor::from_fn([1, 16, 16, 1], |at| if at[2] < 8 { 1.0 } else { 0.0 });
    let left = Tensor::from_fn([4, 4], |at| if at[1] < 2 { 1.0 } else { 0.0 });
    let right = Tensor::from_fn([4, 4], |at| if at[1] < 2 { 0.0 } else { 1.0 });
    let measure = |map: &Tensor| faithfulness(&attribution, &image, 0, map, FaithfulnessSettings::default()).unwrap();
    assert!(measure(&left).beats_random());
    assert!(!measure(&right).beats_random());
    let (first, last) = (measure(&left).insertion, measure(&left).deletion);
    assert_eq!((first.probabilities[20], last.shares.len()), (last.probabilities[0], 21));
    let flat = Curve { shares: vec![0.0, 0.25, 1.0], probabilities: vec![0.5; 3] };
    assert_eq!(flat.area(), 0.5);
    let none = FaithfulnessSettings { random_maps: 0, ..FaithfulnessSettings::default() };
    assert!(faithfulness(&attribution, &image, 0, &left, none).is_err());
}

#[test]
fn randomisation_goes_from_the_output_to_the_input() {
    let (model, image) = (Model::from_layer(LeNet5::modern(10), [32, 32, 1], 1).unwrap(), image([1, 32, 32, 1]));
    let mut seen = Vec::new();
    let layers = cascading_randomisation(&model, Key::new(2), |model| {
        seen.push(model.predict(&image)?);
        Attribution::new(model)?.saliency(&image, 3)
    })
    .unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer.layer.as_str()).collect();
    assert_eq!(names, ["output", "f6", "c5", "c3", "c1"]);
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]) && seen[0] == model.predict(&image).unwrap());
    // a map of the image alone does not notice
    let blind = cascading_randomisation(&model, Key::new(2), |_| Ok(image.reshape([32, 32])?)).unwrap();
    assert!(blind.iter().all(|layer| (layer.correlation - 1.0).abs() < 1e-6));
}

#[test]
fn ranks_are_correlated() {
    assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[10.0, 20.0, 1000.0]), 1.0);
    assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
    assert_eq!(rank_correlation(&[1.0, 1.0], &[3.0, 2.0]), 0.0);
    // ties share the mean of their ranks: 1, 2.5, 2.5, 4 and 1, 2, 3, 4
    assert!((rank_correlation(&[0.0, 5.0, 5.0, 9.0], &[0.0, 1.0, 2.0, 3.0]) - 0.948_683_3).abs() < 1e-5);
}

#[test]
fn what_cannot_be_attributed_is_refused() {
    let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 1).unwrap();
    let mut attribution = Attribution::new(&model).unwrap();
    let image = image([1, 32, 32, 1]);
    let text = |error: crate::Error| error.to_string();
    assert_eq!(text(attribution.saliency(&image, 10).unwrap_err()), "there is no class 10 among 10");
    let batch = Tensor::zeros([2, 32, 32, 1]);
    assert_eq!(text(attribution.saliency(&batch, 1).unwrap_err()), "expected one image [1, 32, 32, 1]");
    assert!(text(attribution.cam(&image, 1).unwrap_err()).ends_with("Grad-CAM does not"));
    assert!(text(attribution.layer_cam("f6", &image, 1).unwrap_err()).contains("c1, s2, c3, s4"));
    assert!(attribution.grad_cam_at("c1", &image, 1).unwrap().shape() == [28, 28]);
    for method in Method::ALL {
        assert!(attribution.map(method, &image, 1).is_ok() == (method != Method::Cam), "{}", method.name());
    }
    let vectors = Model::build(|x| x.apply("fc", Dense::new(2)), [3], 0).unwrap();
    assert_eq!(
        text(Attribution::new(&vectors).unwrap_err()),
        "expected a network with one input, of images [N, H, W, C]"
    );
    let pixels = Model::build(|x| x.relu(), [3, 3, 1], 0).unwrap();
    assert_eq!(text(Attribution::new(&pixels).unwrap_err()), "expected a classifier, whose output is [N, classes]");
}

#[test]
fn overlays_keep_the_image_where_the_map_is_zero() {
    let image = Tensor::full([4, 4, 3], 0.25);
    let map = Tensor::from_vec([1, 2], vec![-3.0, 2.0]).unwrap();
    let over = overlay(&image, &map).unwrap();
    assert!((over[[0, 0, 0]] - 0.25).abs() < 1e-6 && (over[[0, 3, 0]] - (0.0625 + 0.75 * 0.988)).abs() < 1e-3);
    let none = heat(&Tensor::zeros([2, 2]), [3, 3]).unwrap();
    assert!(none.data().iter().all(|value| *value < 0.02));
    assert!(overlay(&Tensor::zeros([4, 4, 2]), &map).is_err() && heat(&image, [2, 2]).is_err());
}
