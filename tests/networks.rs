//! Whole networks against reference values that PyTorch and torchvision computed in float64: results of inference, and the
//! loss and every gradient of a training step.
//!
//! Those of the older networks are not part of the repository; where they are absent, the test says so and passes. Those of
//! the others stand in `reference/networks.json`, which `reference/networks.py` writes.

use ocelli::{
    graph::{AxisRole, Parameter, Precision},
    models::by_name,
    prelude::*,
};
use rayon::prelude::*;
use serde_json::Value as Json;
use std::{collections::HashMap, fs};

#[path = "reference/names.rs"]
mod names;
mod reference;

use names::Stream;

/// The largest errors of a network at a precision.
struct Tolerance {
    /// Relative error in L2 of logits, and relative error of the loss. Float32 of PyTorch itself is some 1e-6 off.
    results: f64,
    /// Errors of gradients as multiples of PyTorch's own in float32.
    gradients: f64,
    /// The error of the gradient of the last matrix, as a part of its norm.
    last: f64,
}

/// Where a number is rounded to the other side of a ReLU's kink, or another of two nearly equal ones becomes the maximum,
/// everything below gets another gradient. PyTorch's float32 met such places in most of these networks, and its errors of 1e-2
/// say so. In these two it met none (its errors are 2e-6), and we do at one of the precisions: a pair of pixels in AlexNet's
/// last pooling changes places at the strict one, which shows as 2e-3 in all layers below. At the other we are as near as PyTorch.
const AT_A_KINK: [(&str, f64); 2] = [("alexnet", 1e-2), ("squeezenet1_1", 1e-3)];

const STRICT: Tolerance = Tolerance { results: 5e-6, gradients: 3.0, last: 2e-5 };
/// Clamps and deep products of random weights multiply rounding errors.
const STRICT_OF_DEEPER: Tolerance = Tolerance { results: 1e-5, ..STRICT };
const FAST: Tolerance = Tolerance { results: 5e-5, gradients: 10.0, last: 1e-4 };

/// Where number `at` of a parameter lies in PyTorch's layout. A dense layer's rows are those of the flattened image, which
/// PyTorch flattens with the channels first.
fn place(parameter: &Parameter, shape: &[usize], at: usize) -> usize {
    match *shape {
        [height, width, inputs, outputs] => {
            let (o, rest) = (at % outputs, at / outputs);
            let (i, place) = (rest % inputs, rest / inputs);
            (o * inputs + i) * height * width + place
        }
        [inputs, outputs] => {
            let (i, o) = (at / outputs, at % outputs);
            let i = match parameter.axes[0].role {
                AxisRole::FlattenedInputs { height, width, channels } => (i % channels) * height * width + i / channels,
                _ => i,
            };
            o * inputs + i
        }
        _ => at,
    }
}

/// The value of a parameter by the rule of the reference, in our layout.
fn value(parameter: &Parameter, shape: &[usize]) -> Tensor {
    let stream = Stream::of(&parameter.path);
    let fan_in: usize = shape.iter().rev().skip(1).product();
    let scale = (6.0 / fan_in as f64).sqrt() as f32;
    let centred = parameter.path.ends_with("bias") || parameter.path.ends_with("running_mean");
    let number = |at| match (shape.len(), centred) {
        (2.., _) => scale * stream.sym(place(parameter, shape, at)),
        (_, true) => 0.1 * stream.sym(at),
        (_, false) => 0.5 + stream.unit(at),
    };
    let count: usize = shape.iter().product();
    Tensor::from_vec(shape, (0..count).into_par_iter().map(number).collect()).unwrap()
}

/// The vector that belongs to a name, in our layout.
fn probe(name: &str, count: usize, place: impl Fn(usize) -> usize + Sync) -> Vec<f32> {
    let stream = Stream::of(&format!("probe.{name}"));
    (0..count).into_par_iter().map(|at| stream.sym(place(at))).collect()
}

fn number(json: &Json) -> f64 {
    json.as_f64().unwrap()
}

/// A network of the reference, its parameters and its batch.
struct Case {
    name: String,
    model: Model,
    batch: Batch,
    /// For the gradient of each parameter and of the input, the vector that [`Measured::probe`] multiplies it by.
    probes: HashMap<String, Vec<f32>>,
}

impl Case {
    fn new(json: &Json) -> Case {
        let name = json["network"].as_str().unwrap();
        let count = |key: &str| json[key].as_u64().unwrap() as usize;
        let (samples, size) = (count("batch"), count("size"));
        let network = by_name(name, json["classes"].as_u64().map(|classes| classes as usize)).unwrap();
        let mut model = Model::zeroed(network.layer, [size, size, 3]).unwrap();
        assert_eq!(model.parameters().trained_count(), count("parameters"), "{name}");
        let parameters: Vec<_> =
            model.parameters().iter().map(|(p, value)| (p.clone(), value.shape().to_vec())).collect();
        let mut probes = HashMap::new();
        for (parameter, shape) in parameters {
            model.parameters_mut().set(&parameter.path, value(&parameter, &shape)).unwrap();
            if parameter.is_trained() {
                let count = shape.iter().product();
                let probe = probe(&parameter.path, count, |at| place(&parameter, &shape, at));
                probes.insert(parameter.path, probe);
            }
        }
        let pixel = move |at: usize| {
            let (sample, at) = (at / (3 * size * size), at % (3 * size * size));
            (sample * 3 + at % 3) * size * size + at / 3
        };
        let stream = Stream::of("input");
        let count = samples * size * size * 3;
        probes.insert("input".into(), probe("input", count, pixel));
        let input = (0..count).map(|at| stream.sym(pixel(at))).collect();
        let input = Tensor::from_vec([samples, size, size, 3], input).unwrap();
        let labels: Vec<u32> = json["labels"].as_array().unwrap().iter().map(|label| number(label) as u32).collect();
        let batch = Batch::new().with("input", input).with("labels", Tensor::from(labels));
        Case { name: name.into(), model, batch, probes }
    }

    fn check(mut self, json: &Json, precision: Precision, tolerance: &Tolerance) -> Case {
        self.model = self.model.with_precision(precision);
        self.check_logits(json, tolerance);
        self.check_gradients(json, tolerance);
        self
    }

    fn check_logits(&self, json: &Json, tolerance: &Tolerance) {
        let logits = self.model.run(&self.batch, &["output"]).unwrap().remove(0);
        let rows = json["eval_logits"].as_array().unwrap().iter();
        let expected: Vec<f64> = rows.flat_map(|row| row.as_array().unwrap().iter().map(number)).collect();
        let error = reference::relative_error(logits.data(), expected.into_iter());
        println!("{}: logits off by {error:.1e}", self.name);
        assert!(error <= tolerance.results, "{}: logits are off by {error:.2e}", self.name);
    }

    fn check_gradients(&self, json: &Json, tolerance: &Tolerance) {
        let name = &self.name;
        let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
        let wanted = Wrt::ParametersAnd(&["input"]);
        let mut objective = self.model.objective_of(Mode::TrainWithoutDropout, wanted, loss).unwrap();
        let step = objective.evaluate(&self.model, &self.batch).unwrap();
        let expected = number(&json["train_loss"]);
        let error = (f64::from(step.loss()) - expected).abs() / expected;
        println!("{name}: loss off by {error:.1e}");
        assert!(error <= tolerance.results, "{name}: the loss {} is off by {error:.2e}", step.loss());

        let theirs = |key: &str| number(&json["torch_f32_relative_error"][key]);
        let [of_parameters, of_input] = ["grad_parameters_worst", "grad_input"].map(theirs);
        let within = |path: &str, error: f64, theirs: f64| {
            let kink = AT_A_KINK.iter().find(|(known, _)| known == name).map_or(0.0, |(_, part)| *part);
            let allowed = (tolerance.gradients * theirs).max(kink);
            assert!(
                error <= allowed,
                "{name}: the gradient of {path} is off by {error:.2e}, allowed are {allowed:.1e}"
            );
        };
        let mut worst = (0.0, "");
        let mut count = 0;
        let measured = |path: &str| Measured::of(step.gradient(path).unwrap(), &self.probes[path]);
        for (parameter, _) in self.model.parameters().iter().filter(|(parameter, _)| parameter.is_trained()) {
            let path = parameter.path.as_str();
            let got = measured(path);
            let floor = json["gradient_floor"].as_f64().unwrap_or(1e-30);
            let error = got.error(&json["grad_parameters"][path], floor);
            within(path, error, of_parameters);
            // No kink is between the loss and the last matrix, and its input depends on all before.
            if LAST.contains(&path) {
                assert!(error <= tolerance.last, "{name}: the gradient of {path} is off by {error:.2e}");
            }
            if error >= worst.0 {
                worst = (error, path);
            }
            count += 1;
        }
        assert_eq!(count, json["grad_parameters"].as_object().unwrap().len(), "{name}");
        let input = measured("input").error(&json["grad_input"], 1e-30);
        println!(
            "{name}: gradients off by {:.1e} ({}), PyTorch's by {of_parameters:.1e}; of the input {input:.1e}, {of_input:.1e}",
            worst.0, worst.1
        );
        within("input", input, of_input);
    }
}

/// The last matrices of these networks.
const LAST: [&str; 5] =
    ["fc.weight", "classifier.6.weight", "classifier.weight", "classifier.1.weight", "classifier.3.weight"];

/// The measures of a gradient that the reference has.
struct Measured {
    norm: f64,
    /// The inner product with the vector of [`probe`].
    probe: f64,
}

impl Measured {
    fn of(gradient: &[f32], probe: &[f32]) -> Measured {
        const PIECE: usize = 1 << 16;
        assert_eq!(gradient.len(), probe.len(), "a weight for each number");
        let sums = |(gradient, probe): (&[f32], &[f32])| {
            let mut sums = [0.0; 2];
            for (&number, &weight) in gradient.iter().zip(probe) {
                sums[0] += f64::from(number) * f64::from(number);
                sums[1] += f64::from(number) * f64::from(weight);
            }
            sums
        };
        let add = |a: [f64; 2], b: [f64; 2]| [a[0] + b[0], a[1] + b[1]];
        let pieces = gradient.par_chunks(PIECE).zip(probe.par_chunks(PIECE));
        let [squares, probe] = pieces.map(sums).reduce(|| [0.0; 2], add);
        Measured { norm: squares.sqrt(), probe }
    }

    /// How far it is from the reference, as a part of the norm. An error in the gradient of a part `e` of its norm shows in
    /// the probe as some `e / √3`. A norm below the floor counts as the floor.
    fn error(&self, expected: &Json, floor: f64) -> f64 {
        let [norm, probe] = ["norm", "probe"].map(|key| number(&expected[key]));
        (self.norm - norm).abs().max((self.probe - probe).abs()) / norm.max(floor)
    }
}

#[test]
fn networks_match_the_reference() {
    let Some(path) = reference::file("OCELLI_FIXTURES", "fixtures", "networks.json") else { return };
    check_all(&fs::read_to_string(path).unwrap(), &STRICT);
}

#[test]
fn networks_of_inverted_residuals_and_dense_blocks_match_the_reference() {
    check_all(include_str!("reference/networks.json"), &STRICT_OF_DEEPER);
}

fn check_all(cases: &str, strict: &Tolerance) {
    let cases: Json = serde_json::from_str(cases).unwrap();
    for json in cases.as_array().unwrap() {
        Case::new(json).check(json, Precision::Strict, strict).check(json, Precision::Fast, &FAST);
    }
}
