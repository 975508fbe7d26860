//! The costs of style transfer against PyTorch's values and gradients in double precision, and against each other.

use crate::*;
use ContentNormalisation as Content;
use StyleNormalisation as Style;
use ocelli_graph::{Batch, Key, Mode, Model, Node, Tensor, Trace, Wrt};

/// Values that PyTorch was given too: `torch.arange(n) * factor % modulus - 0.4`, in double precision.
fn values<const R: usize>(shape: [usize; R], factor: usize, modulus: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let data = (0..count).map(|i| ((i * factor % modulus) as f64 - 0.4) as f32).collect();
    Tensor::from_vec(shape, data).unwrap()
}

fn image() -> Tensor {
    values([1, 3, 4, 2], 3, 7)
}

fn other() -> Tensor {
    values([1, 3, 4, 2], 5, 8)
}

/// Returns the cost of `x` and its gradient.
fn cost_of(x: &Tensor, target: &Tensor, cost: impl Fn(&Node, &Node) -> Node) -> (f32, Vec<f32>) {
    let model = Model::build(|x| x * 1.0, &x.shape()[1..], 0).unwrap();
    let loss = |t: &Trace| cost(&t.output(), &t.input("target", &target.shape()[1..]));
    let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), loss).unwrap();
    let step = objective.evaluate(&model, &Batch::new().with("input", x).with("target", target)).unwrap();
    (step.loss(), step.gradient("input").unwrap().to_vec())
}

fn gram_of(x: &Tensor, normalisation: Style) -> Tensor {
    Model::build(move |x: &Node| style_gram(x, normalisation), &x.shape()[1..], 0).unwrap().predict(x).unwrap()
}

/// Compares a cost and three elements of its gradient.
#[track_caller]
fn expect((cost, gradient): (f32, Vec<f32>), expected: f64, elements: [f64; 3]) {
    assert!((f64::from(cost) - expected).abs() < 1e-5 * expected.abs(), "{cost} against {expected}");
    let largest = elements.iter().fold(0.0, |largest: f64, element| largest.max(element.abs()));
    for (at, element) in [0, 7, 23].into_iter().zip(elements) {
        assert!(
            (f64::from(gradient[at]) - element).abs() < 1e-5 * largest,
            "[{at}]: {} is not {element}",
            gradient[at]
        );
    }
}

#[test]
fn content_costs_are_pytorchs() {
    let cost = |normalisation| cost_of(&image(), &other(), move |x, target| content_cost(x, target, normalisation));
    expect(cost(Content::Gatys), 118.0, [0.0, -3.0, 3.0]);
    expect(cost(Content::Course), 2.45833333, [0.0, -0.0625, 0.0625]);
    expect(cost(Content::Scaled), 3.93333333, [0.0, -0.0344444444, 0.0344444444]);
}

#[test]
fn style_costs_are_pytorchs() {
    let cost = |normalisation, style: &Tensor| {
        cost_of(&image(), &gram_of(style, normalisation), move |x, target| style_cost(x, target, normalisation))
    };
    // of another size
    let small = values([1, 2, 3, 2], 3, 5);
    expect(cost(Style::Gatys, &other()), 4.5928125, [-0.09125, -0.05125, -1.04916667]);
    expect(cost(Style::Course, &other()), 4.5928125, [-0.09125, -0.05125, -1.04916667]);
    expect(cost(Style::Johnson, &small), 30.3123611, [0.504444444, 0.930555556, 3.01944444]);
    expect(cost(Style::Scaled, &small), 5.90500541, [-0.00717812688, 0.0279002924, 0.195175506]);
}

#[test]
fn total_variations_are_pytorchs() {
    let cost = |variation| cost_of(&image(), &image(), move |x, _| total_variation(x, variation));
    expect(cost(Variation::Absolute), 82.0, [-2.0, -2.0, 2.0]);
    expect(cost(Variation::Squared), 274.0, [-18.0, -8.0, 18.0]);
    expect(cost(Variation::NinePoints), 10.1861111, [-0.666666667, -0.322222222, 0.666666667]);
}

/// Gatys' style cost is the course's, and Johnson's four times that. The content costs differ by 2·H·W·C, so
/// that α : β of the one is 2·H·W·C·α : β of the other.
#[test]
fn where_published_normalisations_coincide() {
    let x = Tensor::uniform([1, 5, 6, 4], Key::new(1));
    let y = Tensor::uniform([1, 5, 6, 4], Key::new(2));
    // from their definitions, with sums over pixels
    let sums = |x: &Tensor| {
        let mut gram = [[0.0f64; 4]; 4];
        for pixel in x.data().chunks(4) {
            for (row, a) in gram.iter_mut().zip(pixel) {
                row.iter_mut().zip(pixel).for_each(|(sum, b)| *sum += f64::from(*a) * f64::from(*b));
            }
        }
        gram.concat()
    };
    let square: f64 = sums(&x).iter().zip(sums(&y)).map(|(a, b)| (a - b) * (a - b)).sum();
    let (channels, pixels) = (4.0f64, 30.0f64);
    let gatys = square / (4.0 * channels.powi(2) * pixels.powi(2));
    let course = square / (2.0 * pixels * channels).powi(2);
    assert!((gatys - course).abs() < 1e-12 * gatys);

    let style =
        |normalisation| cost_of(&x, &gram_of(&y, normalisation), move |x, target| style_cost(x, target, normalisation));
    let (cost, gradient) = style(Style::Gatys);
    assert!((f64::from(cost) - gatys).abs() < 1e-5 * gatys, "{cost} against {gatys}");
    assert_eq!(style(Style::Course), (cost, gradient.clone()));
    assert_eq!(style(Style::Johnson), (4.0 * cost, gradient.iter().map(|g| 4.0 * g).collect()));

    let content = |normalisation| cost_of(&x, &y, move |x, target| content_cost(x, target, normalisation)).0;
    let factor = (2.0 * pixels * channels) as f32;
    assert!((content(Content::Gatys) / (factor * content(Content::Course)) - 1.0).abs() < 1e-5);
}

#[test]
fn equal_images_cost_nothing_and_have_no_gradient() {
    for normalisation in [Content::Gatys, Content::Course, Content::Scaled] {
        let (cost, gradient) = cost_of(&image(), &image(), move |x, target| content_cost(x, target, normalisation));
        assert!(cost == 0.0 && gradient.iter().all(|g| *g == 0.0), "{normalisation:?}");
    }
    for normalisation in [Style::Gatys, Style::Course, Style::Johnson, Style::Scaled] {
        let target = gram_of(&image(), normalisation);
        let (cost, gradient) = cost_of(&image(), &target, move |x, target| style_cost(x, target, normalisation));
        assert!(cost == 0.0 && gradient.iter().all(|g| *g == 0.0), "{normalisation:?}");
    }
}

#[test]
fn gradients_of_the_variation_are_slopes() {
    for variation in [Variation::Absolute, Variation::Squared, Variation::NinePoints] {
        for [height, width] in [[1, 1], [1, 5], [4, 1], [3, 4]] {
            let mut x = Tensor::uniform([2, height, width, 3], Key::new(3));
            let cost = |x: &Tensor| cost_of(x, x, move |x, _| total_variation(x, variation));
            let gradient = cost(&x).1;
            for (at, derivative) in gradient.into_iter().enumerate() {
                let middle = x.data()[at];
                let mut moved = |by: f32| {
                    x.data_mut()[at] = middle + by;
                    f64::from(cost(&x).0)
                };
                let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                moved(0.0);
                let error = (f64::from(derivative) - slope).abs();
                assert!(error < 0.02, "{variation:?} of {height} x {width}: {derivative} against {slope}");
            }
        }
    }
}

#[test]
fn shapes_that_do_not_belong_together_are_said() {
    let model = Model::build(|x| x * 1.0, [2, 2, 3], 0).unwrap();
    let error = |loss: &dyn Fn(&Trace) -> Node| model.objective(loss).unwrap_err().to_string();
    let content = |t: &Trace| content_cost(&t.output(), &t.input("c", [2, 3, 3]), Content::Gatys);
    assert!(error(&content).starts_with("(ContentCost): shapes differ: [N, 2, 2, 3]"));
    let style = |t: &Trace| style_cost(&t.output(), &t.input("s", [4, 4]), Style::Gatys);
    assert!(error(&style).starts_with("(StyleCost): shapes differ: [N, 3, 3]"));
    let flat = |t: &Trace| total_variation(&t.output().flatten(), Variation::Squared);
    assert!(error(&flat).starts_with("(TotalVariation): expected [N, H, W, C]"));
}
