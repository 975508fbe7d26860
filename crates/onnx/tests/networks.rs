//! Whole networks that other programs wrote, where their files are there.

use ocelli_graph::{Batch, Model, Precision, Tensor};
use ocelli_models::{WeightFile, by_name, channels_first, channels_last};
use ocelli_onnx::Import;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

fn read(file: &mut WeightFile, name: &str) -> Tensor {
    file.read(name).expect("a tensor of the reference")
}

/// The distance of two tensors, relative to the second (L2).
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = squares(&mut a.data().iter().zip(b.data()).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / squares(&mut b.data().iter().map(|b| f64::from(*b)))).sqrt()
}

#[test]
fn the_network_of_26_styles_paints_as_it_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/onnx");
    if !folder.exists() {
        eprintln!("skipped: there is no {}", folder.display());
        return;
    }
    let import = Import::new().size("height", 128).size("width", 128).size("h", 128).size("w", 128);
    let imported = import.any_batch().read(folder.join("multistyle26.onnx")).unwrap();
    assert_eq!(imported.model.parameters().trained_count(), 166_104);
    // no transposition is left, and no constant that was only an amount
    let summary = imported.model.summary().to_string();
    assert!(!summary.contains("Permute"), "{summary}");
    let mut reference = WeightFile::open(folder.join("multistyle26-reference.safetensors")).unwrap();
    let image = channels_last(&read(&mut reference, "image"));
    for style in ["style19", "blend3_12"] {
        let weights = read(&mut reference, &format!("{style}.weights"));
        let expected = read(&mut reference, &format!("{style}.stylized"));
        let batch = Batch::new().with("image", &image).with("style_weights", weights);
        let painted = channels_first(&imported.model.run(&batch, &["output"]).unwrap()[0]);
        let largest = painted.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-4, "{style}: {largest}");
    }
}

/// How many steps of each kind inference has. Exporters fold normalisations into convolutions, as plans do.
fn steps(model: &Model) -> BTreeMap<String, usize> {
    let mut steps = BTreeMap::new();
    for step in model.plan(1, &["output"]).unwrap().steps() {
        *steps.entry(step.op().kind().replace(" + BatchNorm", "")).or_default() += 1;
    }
    steps
}

/// `OCELLI_ONNX` is a folder that `tests/python/torchvision_onnx.py` filled: networks by both of PyTorch's exporters, and
/// what PyTorch computes.
#[test]
fn torchvisions_networks_compute_what_pytorch_does() {
    let Some(folder) = std::env::var_os("OCELLI_ONNX").map(PathBuf::from) else {
        eprintln!("skipped: OCELLI_ONNX names no folder");
        return;
    };
    let mut failures = Vec::new();
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "onnx")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let network = name.rsplit_once('-').unwrap().0;
        let imported = match Import::new().read(file) {
            Ok(imported) => imported,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        let model = imported.model.with_precision(Precision::Strict);
        let moved = model.graph().calls.iter().filter(|call| call.kind == "Permute").count();
        let mut reference = WeightFile::open(folder.join(format!("{network}.safetensors"))).unwrap();
        let (x, y) = (channels_last(&read(&mut reference, "x")), read(&mut reference, "y"));
        let got = model.predict(&x).unwrap();
        let distance = distance(&got, &y);
        eprintln!("{name}: {distance:.1e}, {} parameters", model.parameters().trained_count());
        if distance > 1e-5 || moved > 0 {
            failures.push(format!("{name}: {distance:e}, {moved} transpositions"));
        }
        if let Err(error) = model.with_classes(5, 0) {
            failures.push(format!("{name}: {error}"));
        }
        let shape = x.shape();
        let of_registry = Model::zeroed(by_name(network, None).unwrap().layer, &shape[1..]).unwrap();
        let (own, known) = (steps(&model), steps(&of_registry));
        if own.values().sum::<usize>() > known.values().sum() {
            failures.push(format!("{name}: more steps than the network of the registry has: {own:?} and {known:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
