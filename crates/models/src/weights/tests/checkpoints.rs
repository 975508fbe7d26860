//! Checkpoints as they are found: whatever `torch.load(weights_only=True)` allows may lie beside the weights.

use super::torch_writer::*;
use crate::weights::*;
use std::fs;
use zip::CompressionMethod::{Deflated, Stored};

fn tensor() -> Py {
    view(0, 0, &[3], &[1])
}

fn scalar() -> Py {
    view(0, 1, &[], &[])
}

/// Makes a layer's state dict.
fn layer() -> Py {
    Py::Ordered(vec![("0.weight".into(), view(0, 0, &[3, 1], &[1, 1])), ("0.bias".into(), tensor())])
}

fn file(root: Py) -> TorchFile {
    TorchFile { root, storages: vec![floats(&[1.0, 2.0, 3.0])] }
}

fn names(file: &WeightFile) -> Vec<&str> {
    file.tensors().map(|(name, _)| name).collect()
}

/// Returns the names of the tensors found, which are equal in every form of the file.
fn found(root: Py) -> Vec<String> {
    let forms = file(root).forms().into_iter().map(|(form, bytes)| {
        let file = WeightFile::from_bytes("w.pth", bytes).unwrap_or_else(|error| panic!("{form}: {error}"));
        names(&file).into_iter().map(str::to_string).collect::<Vec<_>>()
    });
    let forms: Vec<_> = forms.collect();
    assert!(forms.iter().all(|names| *names == forms[0]), "{forms:?}");
    forms[0].clone()
}

fn error(root: Py) -> String {
    WeightFile::from_bytes("w.pth", file(root).zip(Protocol::Two, Stored)).unwrap_err().to_string()
}

const LAYER: [&str; 2] = ["0.bias", "0.weight"];

/// Files that went wrong once, as PyTorch wrote them.
#[test]
fn files_of_pytorch() {
    for (name, bytes) in [
        ("checkpoint_best_model.pth", &include_bytes!("files/checkpoint_best_model.pth")[..]),
        ("checkpoint_best_model2.pth", include_bytes!("files/checkpoint_best_model2.pth")),
        ("beside.pth", include_bytes!("files/beside.pth")),
        ("multistep.pth", include_bytes!("files/multistep.pth")),
        ("size.pth", include_bytes!("files/size.pth")),
    ] {
        let mut file = WeightFile::from_bytes(name, bytes).unwrap();
        assert_eq!(names(&file), LAYER, "{name}");
        assert_eq!(file.read("0.weight").unwrap().shape(), [2, 3], "{name}");
    }
    let file = WeightFile::from_bytes("beside.pth", &include_bytes!("files/beside.pth")[..]).unwrap();
    assert_eq!(file.metadata()["epoch"], "3");
}

/// PyTorch writes records for large archives behind every directory; a reader that guesses took one of them for the directory
/// when the name of the folder had 21 characters.
#[test]
fn folders_with_names_of_every_length() {
    for length in 1..=64 {
        for method in [Stored, Deflated] {
            let archive = with_large_records(file(layer()).zip_in(&"n".repeat(length), Protocol::Two, method));
            let mut file = WeightFile::from_bytes("w.pth", archive).unwrap_or_else(|error| panic!("{length}: {error}"));
            assert_eq!(file.read("0.bias").unwrap().data(), [1.0, 2.0, 3.0], "{length}");
        }
    }
}

/// If 32 bits cannot hold the sizes of an archive, the record at the end only says that another one has them.
#[test]
fn directories_of_large_archives() {
    let mut archive = with_large_records(file(layer()).zip(Protocol::Two, Stored));
    let end = archive.len() - 22;
    archive[end + 8..end + 20].fill(0xFF);
    assert_eq!(names(&WeightFile::from_bytes("w.pth", archive.clone()).unwrap()), LAYER);
    // The locator in front of it points beyond the file.
    archive[end - 12..end - 4].fill(0xFF);
    let error = WeightFile::from_bytes("w.pth", archive.clone()).unwrap_err().to_string();
    assert!(error.starts_with("w.pth: not a whole zip archive: the file ends too early"), "{error}");
    archive[end - 20..end - 16].fill(0);
    let error = WeightFile::from_bytes("w.pth", archive).unwrap_err().to_string();
    assert_eq!(error, "w.pth: not a whole zip archive: it has no record of where its large directory is");
}

#[test]
fn tensors_beside_the_state_dict() {
    for name in ["state_dict", "model_state_dict"] {
        let one = Py::Ordered(vec![("w".into(), tensor())]);
        assert_eq!(found(dict([("best_acc1", tensor()), (name, one), ("mean", tensor())])), ["w"]);
    }
    for name in ["model", "net", "ema", "generator"] {
        assert_eq!(found(dict([("loss", scalar()), (name, layer()), ("best", scalar())])), LAYER, "{name}");
        assert_eq!(found(dict([(name, layer()), ("class_weights", tensor())])), LAYER, "{name}");
    }
    // Several that are clearly more than the tensor beside them.
    let two = dict([("ema", layer()), ("model", layer()), ("loss", scalar())]);
    assert_eq!(found(two), LAYER);
    let unclear = dict([("a", layer()), ("b", layer()), ("loss", scalar())]);
    assert_eq!(
        error(unclear),
        "w.pth: holds several state dicts, of which one has to be chosen: \"\", \"a\", \"b\" (WeightFile::open_entry opens the \
         file at one)"
    );
    // A state dict with a small dict inside stays what it is.
    let own =
        Py::Ordered(vec![("w".into(), tensor()), ("extra".into(), dict([("x", tensor())])), ("b".into(), tensor())]);
    assert_eq!(found(own), ["b", "w"]);
}

#[test]
fn pythons_data_beside_the_state_dict() {
    let counter = Py::CallWith("collections", "Counter", vec![Py::Dict(vec![("30".into(), Py::Int(1))])]);
    let size = Py::CallWith("torch", "Size", vec![Py::Tuple(vec![Py::Int(3), Py::Int(224)])]);
    let complex = Py::CallWith("__builtin__", "complex", vec![Py::Float(1.0), Py::Float(-1.0)]);
    let set = Py::CallWith("builtins", "set", vec![Py::List(vec![Py::Int(1), text("a")])]);
    let bytes = Py::CallWith("_codecs", "encode", vec![text("abc"), text("latin1")]);
    let factory = Py::CallWith("collections", "defaultdict", vec![Py::Global("builtins", "list")]);
    for value in [
        counter,
        size,
        complex,
        set,
        bytes,
        Py::Filled(factory.into(), vec![("log".into(), Py::List(vec![Py::Float(0.5)]))]),
        Py::Global("torch", "float16"),
        Py::CallWith("torch", "device", vec![text("cuda"), Py::Int(0)]),
        Py::CallWith("__builtin__", "bytearray", vec![Py::List(vec![Py::Int(1)])]),
        Py::Set(vec![Py::Int(1), tensor()]),
        Py::Bytes(b"raw"),
        Py::None,
        Py::Bool(true),
        Py::Int(1 << 40),
        Py::List(vec![Py::Int(1), Py::Tuple(vec![Py::None, text("x")]), tensor(), layer()]),
        Py::Tuple(vec![tensor(), Py::Int(1)]),
    ] {
        assert_eq!(found(dict([("beside", value), ("state_dict", layer()), ("epoch", Py::Int(3))])), LAYER);
    }
}

/// Kinds of tensors that cannot be read are refused only where they are weights.
#[test]
fn other_tensors_beside_the_state_dict() {
    for (module, name) in [("torch._utils", "_rebuild_qtensor"), ("torch._utils", "_rebuild_tensor_v3")] {
        let other = || Py::CallWith(module, name, vec![text("x")]);
        assert_eq!(found(dict([("quantised", other()), ("state_dict", layer())])), LAYER);
        let error = error(Py::Ordered(vec![("w".into(), tensor()), ("q".into(), other())]));
        assert!(error.starts_with(&format!("w.pth: refers to {module}.{name}, for a tensor of a kind")), "{error}");
    }
    let root = dict([("state_dict", layer()), ("time", Py::Call("datetime", "datetime", "x"))]);
    let error = error(root);
    assert!(error.starts_with("w.pth: refers to datetime.datetime, which no state dict needs"), "{error}");
}

#[test]
fn state_dicts_deep_in_dicts() {
    assert_eq!(found(dict([("model", dict([("state_dict", layer())]))])), LAYER);
    let factory = Py::CallWith("collections", "defaultdict", vec![Py::None]);
    let nested = Py::Filled(factory.into(), vec![("model_state_dict".into(), layer()), ("epoch".into(), Py::Int(1))]);
    assert_eq!(found(dict([("checkpoint", nested)])), LAYER);
    let state = Py::CallWith(
        "torch._tensor",
        "_rebuild_from_type_v2",
        vec![
            Py::Global("torch._utils", "_rebuild_parameter"),
            Py::Global("torch.nn.parameter", "Parameter"),
            Py::Tuple(vec![tensor(), Py::Bool(true), dict([])]),
            dict([("tag", text("own"))]),
        ],
    );
    assert_eq!(found(dict([("w", state), ("b", tensor())])), ["b", "w"], "a parameter with an attribute");
}

#[test]
fn lists_and_tuples_as_roots() {
    let optimizer = || dict([("param_groups", Py::List(vec![dict([("lr", scalar())])]))]);
    assert_eq!(found(Py::List(vec![layer(), optimizer(), Py::Int(3)])), LAYER);
    assert_eq!(found(Py::Tuple(vec![Py::Int(3), Py::Float(0.5), layer()])), LAYER);
    assert_eq!(found(Py::List(vec![Py::Int(1), tensor(), Py::None, Py::None, tensor()])), ["1", "4"]);
    let pair = || Py::Tuple(vec![layer(), dict([("b", tensor()), ("c", tensor())])]);
    assert_eq!(
        error(pair()),
        "w.pth: holds several state dicts, of which one has to be chosen: \"0\", \"1\" (WeightFile::open_entry opens the file \
         at one)"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    fs::write(&path, file(pair()).zip(Protocol::Four, Stored)).unwrap();
    assert_eq!(names(&WeightFile::open_entry(&path, "1").unwrap()), ["b", "c"]);
    let missing = WeightFile::open_entry(&path, "2").unwrap_err().to_string();
    assert!(missing.ends_with("w.pth: holds no state dict \"2\" but \"0\", \"1\""), "{missing}");
}

/// The last one of equal keys counts, whichever object the key is.
#[test]
fn the_last_of_equal_keys_counts() {
    let entries =
        vec![("a".into(), tensor()), ("b".into(), tensor()), ("a".into(), scalar()), ("b".into(), Py::Int(1))];
    let bytes = file(Py::Dict(entries)).zip(Protocol::Two, Stored);
    let mut file = WeightFile::from_bytes("w.pth", bytes).unwrap();
    assert_eq!(names(&file), ["a"]);
    assert_eq!(file.read("a").unwrap().data(), [2.0]);
}
