//! Filters against their definitions, and contours against reference values.

use super::*;
use crate::VggFeatures;
use ocelli_graph::{Key, Tensor};
use ocelli_layers::{ConvMode, Padding};
use ocelli_models::WeightFile;
use std::path::PathBuf;

fn image() -> Tensor {
    Tensor::uniform([1, 9, 11, 1], Key::new(4))
}

/// The example of the course (Ng 2017): an image that is bright on the left, and one that is bright on the right.
#[test]
fn the_course_example_of_six_by_six() {
    let bright_left = Tensor::from_fn([1, 6, 6, 1], |at| if at[2] < 3 { 10.0 } else { 0.0 });
    let found = Filter::vertical().apply(&bright_left, &Application::default()).unwrap();
    assert_eq!(found.shape(), [1, 4, 4, 1]);
    assert_eq!(found.data(), [0.0, 30.0, 30.0, 0.0].repeat(4));
    let bright_right = Tensor::from_fn([1, 6, 6, 1], |at| if at[2] < 3 { 0.0 } else { 10.0 });
    let found = Filter::vertical().apply(&bright_right, &Application::default()).unwrap();
    assert_eq!(found.data(), [0.0, -30.0, -30.0, 0.0].repeat(4));
    let checked = Tensor::from_fn([1, 6, 6, 1], |at| if (at[1] < 3) == (at[2] < 3) { 10.0 } else { 0.0 });
    let found = Filter::horizontal().apply(&checked, &Application::default()).unwrap();
    let row = [30.0, 10.0, -10.0, -30.0];
    assert_eq!(found.data(), [[0.0; 4], row, row, [0.0; 4]].concat());
}

#[test]
fn convolution_is_cross_correlation_with_the_filter_turned() {
    let filter = Filter::new("any", &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).unwrap();
    let turned = Filter::new("turned", &[[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]).unwrap();
    let convolution = Application { mode: ConvMode::Convolution, ..Application::default() };
    let expected = turned.apply(&image(), &Application::default()).unwrap();
    let found = filter.apply(&image(), &convolution).unwrap();
    assert!(found.data().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() < 1e-5));
    let correlated = filter.apply(&image(), &Application::default()).unwrap();
    assert!(correlated.data().iter().zip(expected.data()).any(|(a, b)| (a - b).abs() > 0.1));
    // An odd filter changes its sign, a symmetric one nothing.
    let of = |filter: &Filter, application: &Application| filter.apply(&image(), application).unwrap();
    let opposite = of(&Filter::sobel_x(), &convolution);
    let plain = of(&Filter::sobel_x(), &Application::default());
    assert!(opposite.data().iter().zip(plain.data()).all(|(a, b)| (a + b).abs() < 1e-5));
}

#[test]
fn padding_and_stride_make_the_sizes_that_they_should() {
    let size = |application: &Application| Filter::sobel_x().apply(&image(), application).unwrap().shape().to_vec();
    assert_eq!(size(&Application::default()), [1, 7, 9, 1]);
    assert_eq!(size(&Application::same()), [1, 9, 11, 1]);
    assert_eq!(size(&Application { stride: 2, ..Application::default() }), [1, 4, 5, 1]);
    assert_eq!(size(&Application { padding: Padding::uniform(2), ..Application::default() }), [1, 11, 13, 1]);
}

#[test]
fn every_channel_is_filtered_for_itself() {
    let colour = Tensor::uniform([2, 8, 8, 3], Key::new(5));
    let all = Filter::laplacian().apply(&colour, &Application::same()).unwrap();
    let second = Tensor::from_fn([2, 8, 8, 1], |at| colour[[at[0], at[1], at[2], 1]]);
    let alone = Filter::laplacian().apply(&second, &Application::same()).unwrap();
    for (pixel, alone) in all.data().chunks(3).zip(alone.data()) {
        assert!((pixel[1] - alone).abs() < 1e-5);
    }
}

#[test]
fn filters_of_edges_see_nothing_in_an_even_image() {
    let even = Tensor::full([1, 32, 32, 1], 0.7);
    for filter in Filter::bank().unwrap() {
        let sum: f32 = filter.taps().data().iter().sum();
        let expected = if filter.name().starts_with("Gaussian") { 1.0 } else { 0.0 };
        assert!((sum - expected).abs() < 1e-4, "{}: {sum}", filter.name());
        let response = filter.apply(&even, &Application::default()).unwrap();
        assert!(response.data().iter().all(|r| (r - 0.7 * expected).abs() < 1e-3), "{}", filter.name());
    }
    // A Gabor filter answers most to its own orientation.
    let stripes = Tensor::from_fn([1, 40, 40, 1], |at| (std::f32::consts::TAU * at[2] as f32 / 6.0).cos());
    let strength = |filter: &Filter| {
        filter.apply(&stripes, &Application::default()).unwrap().data().iter().fold(0.0f32, |a, b| a.max(b.abs()))
    };
    let strengths: Vec<f32> = Filter::gabor_bank(4, 6.0, 2.0).unwrap().iter().map(strength).collect();
    assert!(strengths[1..].iter().all(|other| strengths[0] > 2.0 * other), "{strengths:?}");
    assert_eq!(magnitude(&Tensor::full([1], 3.0), &Tensor::full([1], 4.0)).unwrap().data(), [5.0]);
}

#[test]
fn what_cannot_be_filtered_is_said() {
    let error = |result: crate::Result<Tensor>| result.unwrap_err().to_string();
    assert!(error(Filter::sobel_x().apply(&Tensor::zeros([1, 1, 1, 1]), &Application::default())).contains("filter"));
    assert!(error(Filter::sobel_x().apply(&Tensor::zeros([4, 4]), &Application::default())).contains("[N, H, W, C]"));
    assert!(
        Filter::gaussian(0.0).is_err() && Filter::gaussian(f32::NAN).is_err() && Filter::gabor(0.0, 0.0, 1.0).is_err()
    );
    assert!(Filter::new::<0>("none", &[]).is_err());
    assert!(learn_filter(&Tensor::zeros([1, 4, 4, 1]), &Tensor::zeros([1, 4, 4, 1]), [3, 3], 1).is_err());
}

/// Published weights, which are not part of the repository.
fn weights(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/weights")).join(name);
    if !path.exists() {
        println!("skipped: no weights at {}", path.display());
    }
    path.exists().then_some(path)
}

/// `[1, C, H, W]` of a file as `[1, H, W, C]`.
fn reference(file: &mut WeightFile, name: &str) -> Tensor {
    let value = file.read(name).unwrap();
    let &[1, channels, height, width] = value.shape() else { panic!("{name} has another shape") };
    Tensor::from_fn([1, height, width, channels], |at| value.data()[(at[3] * height + at[1]) * width + at[2]])
}

#[test]
fn contours_are_the_reference_ones() {
    let names = ["hed-vgg16-to-conv5_3.safetensors", "hed-side-outputs.safetensors", "hed-reference.safetensors"];
    let [Some(trunk), Some(sides), Some(values)] = names.map(weights) else { return };
    let mut values = WeightFile::open(values).unwrap();
    // The reference was fed blue, green and red from 0 to 255, less their means.
    let input = reference(&mut values, "input");
    let means = [104.00699, 116.66877, 122.67892];
    let image = Tensor::from_fn(input.shape(), |at| (input[[0, at[1], at[2], 2 - at[3]]] + means[2 - at[3]]) / 255.0);
    let contours = Hed::load(&trunk, sides).unwrap().contours(&image).unwrap();
    let expected = reference(&mut values, "fused_probability");
    for (found, expected) in contours.fused.data().iter().zip(expected.data()) {
        assert!((found - expected).abs() < 1e-3, "{found} against {expected}");
    }
    let logits = reference(&mut values, "side_logits");
    for (found, logit) in contours.sides.data().iter().zip(logits.data()) {
        assert!((found - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-3);
    }
    // and the activations of the trunk
    let features = VggFeatures::load(trunk).unwrap();
    let model = features.model(5, [64, 64], ocelli_graph::Node::clone).unwrap();
    for layer in ["relu3_1", "relu4_2", "relu5_3"] {
        let path = features.path(layer).unwrap();
        let batch = ocelli_graph::Batch::new().with("input", &image);
        let found = model.run(&batch, &[&path]).unwrap().swap_remove(0);
        let expected = reference(&mut values, layer);
        let largest = expected.data().iter().fold(0.0f32, |a, b| a.max(*b));
        assert!(found.data().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() < 1e-4 * largest), "{layer}");
    }
}
