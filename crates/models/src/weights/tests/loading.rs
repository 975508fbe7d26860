//! Tests which tensor goes to which parameter, and the errors when they do not match.

use super::torch_writer::*;
use crate::weights::*;
use ocelli_graph::{Model, Node, Tensor};
use ocelli_layers::{BatchNorm, Conv2d, Dense};
use std::path::PathBuf;

fn network(outputs: usize) -> impl Fn(&Node) -> Node {
    move |x| {
        let x = x.scope("features", |x| x.apply("0", Conv2d::new(2, 1)).apply("1", Conv2d::new(3, 1)));
        x.global_avg_pool().apply("fc", Dense::new(outputs))
    }
}

fn model(outputs: usize) -> Model {
    Model::build(network(outputs), [1, 1, 1], 0).unwrap()
}

/// Makes a file with tensors of these names and shapes, each filled with its number in the list, from 1 on.
fn file(tensors: &[(&str, &[i64])]) -> WeightFile {
    let mut storages = Vec::new();
    let entry = |(number, (name, shape)): (usize, &(&str, &[i64]))| {
        storages.push(floats(&vec![number as f32 + 1.0; shape.iter().product::<i64>() as usize]));
        let strides: Vec<i64> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        (name.to_string(), view(number, 0, shape, &strides))
    };
    let root = Py::Ordered(tensors.iter().enumerate().map(entry).collect());
    WeightFile::from_bytes("w.pth", TorchFile { root, storages }.legacy(Protocol::Two)).unwrap()
}

const FEATURES: [(&str, &[i64]); 4] = [
    ("features.0.weight", &[2, 1, 1, 1]),
    ("features.0.bias", &[2]),
    ("features.1.weight", &[3, 2, 1, 1]),
    ("features.1.bias", &[3]),
];
const HEAD: [(&str, &[i64]); 2] = [("fc.weight", &[4, 3]), ("fc.bias", &[4])];

fn whole() -> Vec<(&'static str, &'static [i64])> {
    [&FEATURES[..], &HEAD].concat()
}

fn renamed(tensors: &[(&'static str, &'static [i64])], rename: impl Fn(&str) -> String) -> WeightFile {
    let names: Vec<String> = tensors.iter().map(|(name, _)| rename(name)).collect();
    let tensors: Vec<_> = names.iter().zip(tensors).map(|(name, (_, shape))| (name.as_str(), *shape)).collect();
    file(&tensors)
}

fn first(model: &Model, path: &str) -> f32 {
    model.parameters().value(path).unwrap().data()[0]
}

#[test]
fn everything_under_its_own_name() {
    let mut model = model(4);
    let report = WeightLoader::new().load_from(&mut model, &mut file(&whole())).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.to_string(), "6 loaded");
    assert_eq!((first(&model, "features.0.weight"), first(&model, "fc.bias")), (1.0, 6.0));
}

#[test]
fn wrappers_around_everything_are_taken_off() {
    for wrapper in ["module", "_orig_mod", "module._orig_mod", "_orig_mod.module"] {
        let mut file = renamed(&whole(), |name| format!("{wrapper}.{name}"));
        let report = WeightLoader::new().load_from(&mut model(4), &mut file).unwrap();
        assert_eq!(report.loaded.len(), 6, "{wrapper}");
    }
    // Only some names have it: it is a name.
    let mut some =
        renamed(&whole(), |name| if name.starts_with("fc") { format!("module.{name}") } else { name.into() });
    assert!(WeightLoader::new().load_from(&mut model(4), &mut some).is_err());
    // The model has it too.
    let own = |x: &Node| x.global_avg_pool().scope("module", |x| x.apply("fc", Dense::new(4)));
    let mut own = Model::build(own, [1, 1, 3], 0).unwrap();
    let mut file = renamed(&HEAD, |name| format!("module.{name}"));
    assert_eq!(WeightLoader::new().load_from(&mut own, &mut file).unwrap().loaded.len(), 2);
}

/// A name is not copied for each of its wrappers.
#[test]
fn a_name_of_many_wrappers_is_taken_apart_once() {
    let wrappers = "module._orig_mod.".repeat(50_000);
    let mut file = renamed(&whole(), |name| format!("{wrappers}{name}"));
    let mut model = model(4);
    assert_eq!(WeightLoader::new().load_from(&mut model, &mut file).unwrap().loaded.len(), 6);
    // In a message it is cut short.
    let mut other = renamed(&HEAD, |name| format!("x{wrappers}{name}"));
    let error = WeightLoader::new().load_from(&mut model, &mut other).unwrap_err().to_string();
    assert!(error.contains("… is unexpected") && error.chars().count() < 800, "{error}");
}

#[test]
fn rules_are_applied_in_their_order() {
    let rename = |name: &str| format!("backbone.{}", name.replace("features.", "stem.").replace("fc", "head.last"));
    let loader = WeightLoader::new().strip("backbone.").rename("stem", "features").rename("head.last", "fc");
    let mut model = model(4);
    let report = loader.load_from(&mut model, &mut renamed(&whole(), rename)).unwrap();
    assert_eq!((report.loaded.len(), first(&model, "fc.weight")), (6, 5.0));
}

#[test]
fn a_part_of_the_model() {
    // The head has another number of classes, and is left alone.
    let mut other = model(7);
    let before = other.parameters().value("fc.weight").unwrap().clone();
    let report = WeightLoader::new().except("fc").load_from(&mut other, &mut file(&whole())).unwrap();
    assert_eq!(report.left_out, ["fc.bias", "fc.weight"]);
    assert_eq!(report.to_string(), "4 loaded, 2 left out");
    assert_eq!(other.parameters().value("fc.weight"), Some(&before));
    assert_eq!(first(&other, "features.1.bias"), 4.0);

    // One layer, from a file that has no other.
    let loader = WeightLoader::new().only("features.1");
    let report = loader.load_from(&mut other, &mut file(&FEATURES[2..])).unwrap();
    assert_eq!(report.loaded, ["features.1.bias", "features.1.weight"]);

    let loader = WeightLoader::new().only("features").except("features.1");
    let report = loader.load_from(&mut other, &mut file(&whole())).unwrap();
    assert_eq!(report.loaded, ["features.0.bias", "features.0.weight"]);

    let error = WeightLoader::new().except("classifier").load_from(&mut other, &mut file(&whole())).unwrap_err();
    assert_eq!(error.to_string(), "w.pth: nothing in the file or the model is at or below \"classifier\"");
}

#[test]
fn what_only_files_have_can_be_ignored() {
    let heads = [("aux1.fc.weight", &[4i64, 3][..]), ("aux1.fc.bias", &[4]), ("aux10.bias", &[4])];
    let loader = WeightLoader::new().ignore("aux1").ignore("aux2").ignore("fc");
    let report = loader.load_from(&mut model(4), &mut file(&[&whole()[..], &heads[..2]].concat())).unwrap();
    assert_eq!(report.left_out, ["aux1.fc.bias", "aux1.fc.weight"]);
    assert_eq!(report.loaded.len(), 6, "what the model has is loaded");
    let other = loader.load_from(&mut model(4), &mut file(&[&whole()[..], &heads].concat())).unwrap_err();
    assert_eq!(other.to_string(), "w.pth does not fit the model: aux10.bias is unexpected");
    let missing = loader.load_from(&mut model(4), &mut file(&FEATURES)).unwrap_err();
    assert_eq!(missing.to_string(), "w.pth does not fit the model: fc.bias is missing; fc.weight is missing");
}

#[test]
fn normalisations_lie_as_they_are() {
    let mut model = Model::build(|x| x.apply("bn", BatchNorm::new()), [2, 2, 3], 0).unwrap();
    let names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"];
    let mut tensors: Vec<(&str, &[i64])> = names.iter().map(|name| (*name, &[3][..])).collect();
    tensors.push(("bn.num_batches_tracked", &[]));
    let report = WeightLoader::new().load_from(&mut model, &mut file(&tensors)).unwrap();
    assert_eq!(report.to_string(), "4 loaded, 1 left out");
    assert_eq!(report.left_out, ["bn.num_batches_tracked"]);
    assert_eq!(names.map(|name| first(&model, name)), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn differences_are_reported_all_at_once() {
    let tensors = [
        ("features.0.weight", &[2i64, 1, 1, 1][..]),
        ("features.0.bias", &[2]),
        ("features.1.weight", &[3, 5, 1, 1]),
        ("fc.weight", &[5, 3]),
        ("fc.bias", &[4]),
        ("aux.weight", &[1]),
        ("bn.num_batches_tracked", &[]),
    ];
    let text = "fc.weight is [5, 3], expected [4, 3]; features.1.weight is [3, 5, 1, 1], expected [3, 2, 1, 1]; \
                features.1.bias is missing; aux.weight is unexpected";
    let mut model = model(4);
    let before = model.parameters().value("features.0.weight").unwrap().clone();
    let error = WeightLoader::new().load_from(&mut model, &mut file(&tensors)).unwrap_err();
    assert_eq!(error.to_string(), format!("w.pth does not fit the model: {text}"));
    assert_eq!(model.parameters().value("features.0.weight"), Some(&before), "nothing was changed");
    let WeightsError::Mismatch { report: strict, .. } = error else { panic!("{error}") };
    assert_eq!(strict.unexpected, ["aux.weight"]);

    let report = WeightLoader::new().lenient().load_from(&mut model, &mut file(&tensors)).unwrap();
    assert_eq!(report, *strict, "the same report, whether it is an error or not");
    assert_eq!(report.to_string(), format!("3 loaded, 1 left out; {text}"));
    assert_eq!(report.left_out, ["bn.num_batches_tracked"]);
    assert_eq!((first(&model, "features.0.weight"), first(&model, "fc.bias")), (1.0, 5.0));
}

/// A file of another network: counts, and the first of each kind. The report has all.
#[test]
fn many_differences_are_counted() {
    let network = |x: &Node| {
        let x = (0..8).fold(x.clone(), |x, i| x.apply(format!("conv{i}"), Conv2d::new(2, 1)));
        x.global_avg_pool().apply("fc", Dense::new(4))
    };
    let mut model = Model::build(network, [1, 1, 1], 0).unwrap();
    let error = WeightLoader::new().load_from(&mut model, &mut file(&whole())).unwrap_err();
    let text = "16 missing: conv0.bias, conv0.weight, conv1.bias and 13 more; \
                4 unexpected: features.0.bias, features.0.weight, features.1.bias and 1 more";
    let shape = "1 of another shape: fc.weight is [4, 3], expected [4, 2]";
    assert_eq!(error.to_string(), format!("w.pth does not fit the model: 1 of 18 parameters fit; {shape}; {text}"));
    let WeightsError::Mismatch { report, .. } = error else { panic!("{error}") };
    assert_eq!((report.missing.len(), report.unexpected.len(), report.wrong_shape.len()), (16, 4, 1));
    assert_eq!(report.to_string(), format!("1 loaded; {shape}; {text}"));
}

#[test]
fn rules_that_change_nothing_are_told() {
    let unused = "no name begins with \"stem\", which was to be replaced";
    let loader = WeightLoader::new().rename("features", "features").rename("stem", "features");
    let report = loader.load_from(&mut model(4), &mut file(&whole())).unwrap();
    assert_eq!(report.unused, ["stem"]);
    assert!(report.is_complete(), "everything was loaded");
    assert_eq!(report.to_string(), format!("6 loaded; {unused}"));
    let error = loader.load_from(&mut model(4), &mut file(&[&FEATURES[..], &HEAD[..1]].concat())).unwrap_err();
    assert_eq!(error.to_string(), format!("w.pth does not fit the model: fc.bias is missing; {unused}"));
    // A rule counts where its turn is, and who strips a wrapper that was taken off has what was wanted.
    let mut wrapped = renamed(&whole(), |name| format!("module.{}", name.replace("fc", "stem")));
    let loader = WeightLoader::new().strip("module").rename("stem", "head").rename("head", "fc");
    assert_eq!(loader.load_from(&mut model(4), &mut wrapped).unwrap().to_string(), "6 loaded");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let network = |x: &Node| x.apply("a", Dense::new(2)).apply("b", Dense::new(1));
    let mut model = Model::build(network, [70_000], 0).unwrap();
    let weights = |place: usize, number: f32| {
        let mut large = vec![0.5; 140_000];
        large[place] = number;
        let root = dict([
            ("a.weight", view(0, 0, &[2, 70_000], &[70_000, 1])),
            ("a.bias", view(1, 0, &[2], &[1])),
            ("b.weight", view(1, 0, &[1, 2], &[2, 1])),
            ("b.bias", view(1, 2, &[1], &[1])),
        ]);
        let file = TorchFile { root, storages: vec![floats(&large), floats(&[1.0, 2.0, number])] };
        WeightFile::from_bytes("w.pth", file.legacy(Protocol::Two)).unwrap()
    };
    assert!(WeightLoader::new().load_from(&mut model, &mut weights(0, f32::MAX)).is_ok());
    for (place, number) in [(0, f32::NAN), (69_999, f32::INFINITY), (139_999, f32::NEG_INFINITY)] {
        let error = WeightLoader::new().load_from(&mut model, &mut weights(place, number)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "w.pth: a.weight has values that are NaN or infinite; b.bias has values that are NaN or infinite; a network \
             with such weights has no results"
        );
        let report = WeightLoader::new().lenient().load_from(&mut model, &mut weights(place, number)).unwrap();
        assert_eq!((report.loaded.len(), report.is_complete()), (4, false));
        assert_eq!(report.not_finite, ["a.weight", "b.bias"]);
        assert!(!first(&model, "b.bias").is_finite());
    }
}

#[test]
fn two_tensors_for_one_parameter_are_refused() {
    let tensors = [&whole()[..], &[("ema.fc.bias", &[4][..])]].concat();
    let error = WeightLoader::new().strip("ema").load_from(&mut model(4), &mut file(&tensors)).unwrap_err();
    assert_eq!(error.to_string(), "w.pth does not fit the model: several tensors are called fc.bias");
}

/// A dense layer behind a flattened image, against the definition in PyTorch's order:
/// `y[o] = Σ w[o, (c, h, w)]·x[c, h, w]`.
#[test]
fn dense_layers_behind_images_take_channels_first() {
    let (height, width, channels, outputs) = (2, 3, 4, 5);
    let features = height * width * channels;
    let numbers: Vec<f32> = (0..outputs * features).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
    let root = dict([
        ("fc.weight", view(0, 0, &[outputs as i64, features as i64], &[features as i64, 1])),
        ("fc.bias", view(1, 0, &[outputs as i64], &[1])),
    ]);
    let file = TorchFile { root, storages: vec![floats(&numbers), floats(&vec![0.0; outputs])] };
    let mut file = WeightFile::from_bytes("w.pth", file.legacy(Protocol::Two)).unwrap();
    let network = move |x: &Node| x.flatten().dropout(0.5).apply("fc", Dense::new(outputs));
    let mut model = Model::build(network, [height, width, channels], 0).unwrap();
    WeightLoader::new().load_from(&mut model, &mut file).unwrap();

    let pixel = |h: usize, w: usize, c: usize| (h * 5 + w * 3 + c * 7) as f32 % 11.0 - 5.0;
    let x = Tensor::from_fn([1, height, width, channels], |i| pixel(i[1], i[2], i[3]));
    let y = model.predict(&x).unwrap();
    for o in 0..outputs {
        let mut expected = 0.0;
        for column in 0..features {
            let (c, h, w) = (column / (height * width), column / width % height, column % width);
            expected += numbers[o * features + column] * pixel(h, w, c);
        }
        assert_eq!(y.data()[o], expected, "output {o}");
    }

    // And back.
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("w.safetensors");
    save_weights(&model, &path, &Metadata::new()).unwrap();
    let saved = WeightFile::open(&path).unwrap().read("fc.weight").unwrap();
    assert_eq!((saved.shape(), saved.data()), (&[outputs, features][..], &numbers[..]));
}
