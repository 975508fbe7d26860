//! Images that were found excite what they were to excite.

use super::{frequencies::Frequencies, *};
use ocelli_data::{Channels, Pipeline};
use ocelli_graph::{Batch, Key, Model, Node, Tensor};
use ocelli_layers::Conv2d;
use ocelli_models::LeNet5;
use ocelli_train::StopFlag;

fn lenet() -> Model {
    Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42).unwrap()
}

#[test]
fn the_gradient_of_frequencies_is_the_adjoint_of_their_image() {
    for (shape, order) in [([6, 9, 3], Channels::Rgb), ([6, 9, 3], Channels::Bgr), ([5, 4, 1], Channels::Grey)] {
        let basis = Frequencies::new(shape, order);
        let coefficients: Vec<f32> = Tensor::uniform([basis.len()], Key::new(1)).into_vec();
        let image = basis.image(&coefficients).unwrap();
        let other = Tensor::uniform(image.shape(), Key::new(2));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let (left, right) = (dot(image.data(), other.data()), dot(&coefficients, &basis.gradient(&other)));
        assert!((left - right).abs() < 1e-3 * left.abs(), "{left} and {right}");
    }
    // the lowest frequency alone is a plane of one value
    let basis = Frequencies::new([4, 4, 1], Channels::Grey);
    let mut coefficients = vec![0.0; 16];
    coefficients[0] = 1.0;
    let image = basis.image(&coefficients).unwrap();
    assert!(image.data().iter().all(|value| (value - image.data()[0]).abs() < 1e-6 && *value > 0.0));
}

#[test]
fn a_found_image_excites_its_class_more_than_noise() {
    let (model, pipeline) = (lenet(), Pipeline::mnist([32, 32]));
    let (mean, deviation) = (pipeline.normalisation.mean[0], pipeline.normalisation.deviation[0]);
    let score = |image: &Tensor, class: usize| {
        let prepared = Tensor::from_fn([1, 32, 32, 1], |at| (image[[at[1], at[2], 0]] - mean) / deviation);
        model.predict(&prepared).unwrap().data()[class]
    };
    for (basis, least) in [(Basis::Frequencies, 0.5), (Basis::Pixels { blur_every: 8 }, 0.05)] {
        let find = |steps| {
            let settings = Maximisation { steps, basis, ..Maximisation::default() };
            maximise(&model, &pipeline, &Goal::Class(3), &settings, &StopFlag::new()).unwrap()
        };
        let (first, last) = (find(0), find(60));
        let (before, after) = (score(&first, 3), score(&last, 3));
        assert!(after > before + least, "{basis:?}: {before} to {after}");
        assert!(last.data().iter().all(|value| (0.0..=1.0).contains(value)));
        assert_eq!(find(60), last);
    }
    let wrong = Goal::Channel { layer: "c3".into(), channel: 16 };
    let settings = Maximisation::default();
    let error = maximise(&model, &pipeline, &wrong, &settings, &StopFlag::new()).unwrap_err().to_string();
    assert_eq!(error, "there is no class or channel 16 among 16");
    assert!(maximise(&model, &Pipeline::cifar([32, 32]), &Goal::Class(1), &settings, &StopFlag::new()).is_err());
    let stop = StopFlag::new();
    stop.set();
    assert!(maximise(&model, &pipeline, &Goal::Class(1), &settings, &stop).is_ok());
}

#[test]
fn an_inverted_early_layer_gives_the_image_back() {
    let model = lenet();
    let image = Tensor::from_fn([1, 32, 32, 1], |at| if (at[1] / 8 + at[2] / 8) % 2 == 0 { 1.0 } else { -0.1 });
    let settings =
        InversionSettings { steps: 60, variation: 1e-4, energy: 1e-6, seed: 1, ..InversionSettings::default() };
    let found = invert(&model, "c1", &image, &settings, &StopFlag::new()).unwrap();
    assert!(found.distances.last().unwrap() < &0.01, "{:?}", found.distances);
    let difference = |a: &Tensor, b: &Tensor| {
        a.data().iter().zip(b.data()).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32
    };
    assert!(difference(&found.image, &image) < 0.02, "{}", difference(&found.image, &image));
    assert!(invert(&model, "f6", &image, &settings, &StopFlag::new()).is_err());
}

#[test]
fn a_dream_has_more_of_what_the_layer_sees() {
    let (model, image) = (lenet(), Tensor::uniform([1, 32, 32, 1], Key::new(4)));
    let energy = |image: &Tensor| {
        let seen = model.run(&Batch::new().with("input", image), &["c3"]).unwrap().swap_remove(0);
        seen.data().iter().map(|value| value * value).sum::<f32>()
    };
    let dreamt = dream(&model, "c3", &image, &Dream::default(), &StopFlag::new()).unwrap();
    assert!(energy(&dreamt) > 1.5 * energy(&image));
    let none = Dream { scales: 0, ..Dream::default() };
    assert!(dream(&model, "c3", &image, &none, &StopFlag::new()).is_err());
}

#[test]
fn rolling_back_restores_the_image() {
    let image = Tensor::uniform([1, 3, 5, 2], Key::new(4));
    for shift in [[0, 0], [1, 2], [2, 4]] {
        let moved = rolled(&image, shift);
        assert_eq!(moved[[0, shift[0], shift[1], 1]], image[[0, 0, 0, 1]]);
        assert_eq!(rolled(&moved, [3 - shift[0], 5 - shift[1]]), image);
    }
}

/// The gradient of a ReLU that is closed everywhere is 0, and leads nowhere.
#[test]
fn a_silent_channel_is_woken() {
    let closed = |x: &Node| (x.apply("conv", Conv2d::new(2, 3)) - 1.0).relu().named("closed").global_avg_pool();
    let model = Model::build(closed, [12, 12, 1], 5).unwrap();
    let mean = |image: &Tensor| {
        let image = image.reshape([1, 12, 12, 1]).unwrap();
        model.run(&Batch::new().with("input", image), &["closed"]).unwrap()[0].data().iter().sum::<f32>()
    };
    let find = |steps| {
        let pipeline = Pipeline::stretch([12, 12]).grey();
        let settings = Maximisation { steps, basis: Basis::Pixels { blur_every: 0 }, ..Maximisation::default() };
        let goal = Goal::Channel { layer: "closed".into(), channel: 0 };
        maximise(&model, &pipeline, &goal, &settings, &StopFlag::new()).unwrap()
    };
    assert_eq!(mean(&find(0)), 0.0);
    assert!(mean(&find(200)) > 0.0);
}
