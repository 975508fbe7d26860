//! Safetensors, there and back.

use crate::weights::*;
use ::safetensors::SafeTensors;
use ocelli_graph::{Model, Node, func};
use ocelli_layers::{
    AvgPool2d, BatchNorm, ConnectionTable, Conv2d, ConvTranspose2d, Dense, GroupNorm, Init, LayerNorm, RadialBasis,
    SubSampling,
};
use ocelli_tensor::Tensor;
use std::fs;

fn model(channels: usize, seed: u64) -> Model {
    let network =
        |x: &Node| x.apply("conv", Conv2d::new(channels, [2, 3])).global_avg_pool().apply("fc", Dense::new(3));
    Model::build(network, [5, 5, 2], seed).unwrap()
}

/// Tensors of several pieces, whose last is a part of one, and small ones.
#[test]
fn large_tensors_come_back_on_any_number_of_threads() {
    let network = |seed| {
        let layers = |x: &Node| {
            let x = x.apply("a", Conv2d::new(131, 3)).apply("b", Conv2d::new(1, 1));
            x.apply("flatten", ocelli_layers::Flatten).apply("fc", Dense::new(1050)).apply("head", Dense::new(5))
        };
        Model::build(layers, [12, 12, 70], seed).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let saved = network(1);
    save_weights(&saved, &path, &Metadata::new()).unwrap();
    for threads in [1, 2, 3, 8] {
        let mut loaded = network(2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| load_weights(&mut loaded, &path)).unwrap();
        for (parameter, value) in saved.parameters().iter() {
            let loaded = loaded.parameters().value(&parameter.path);
            assert!(loaded == Some(value), "{} on {threads} threads", parameter.path);
        }
    }
    // A model whose parameters another one shares keeps them apart.
    let mut loaded = network(2);
    let (shared, before) = (loaded.clone(), network(2));
    load_weights(&mut loaded, &path).unwrap();
    assert!(shared.parameters().value("a.weight") == before.parameters().value("a.weight"));
    assert!(loaded.parameters().value("a.weight") == saved.parameters().value("a.weight"));
}

#[test]
fn weights_and_metadata_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let saved = model(4, 1);
    let metadata = Metadata::from([("architecture".to_string(), "test".to_string())]);
    save_weights(&saved, &path, &metadata).unwrap();
    let mut loaded = model(4, 2);
    assert_eq!(load_weights(&mut loaded, &path).unwrap(), metadata);
    assert_eq!(read_metadata(&path).unwrap(), metadata);
    for (parameter, value) in saved.parameters().iter() {
        assert_eq!(loaded.parameters().value(&parameter.path), Some(value), "{}", parameter.path);
    }
    let bytes = fs::read(&path).unwrap();
    let metadata: Metadata = (0..20).map(|i| (format!("key{i}"), i.to_string())).collect();
    let again = || {
        save_weights(&saved, folder.path().join("again"), &metadata).unwrap();
        fs::read(folder.path().join("again")).unwrap()
    };
    assert_eq!(again(), again(), "equal models have equal files");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("conv.weight").unwrap().shape(), [4, 2, 2, 3]);
    assert_eq!(file.tensor("fc.weight").unwrap().shape(), [3, 4]);
    let word = |i: usize| file.tensor("conv.weight").unwrap().data()[4 * i..4 * i + 4].to_vec();
    let value = saved.parameters().value("conv.weight").unwrap();
    assert_eq!(word((2 * 2 * 2 + 1) * 3 + 2), value[[1, 2, 0, 2]].to_le_bytes(), "[2, 0, 1, 2] in the file");
}

/// The layout of a parameter in a file follows from the roles that its layer declares, not from its name and rank.
#[test]
fn every_layer_says_how_its_parameters_lie_in_files() {
    let lone = |x: &Node| x.matmul(&x.trace().parameter("weight", [x.channels(), 7], Init::default()));
    let filter = |x: &Node| {
        x + x.trace().parameter("weight", [6, 6, 12], Init::default())
            * x.trace().parameter("bias", [12], Init::default())
    };
    let network = |x: &Node| {
        let x = x.apply("conv", Conv2d::new(8, [2, 3])).apply("grouped", Conv2d::new(12, 3).same().groups(4));
        let x = x.apply("depthwise", Conv2d::new(12, 3).same().groups(12)).apply("norm", BatchNorm::new());
        let x = x.apply("group_norm", GroupNorm::new(3)).apply("layer_norm", LayerNorm::new());
        let x = x.apply("up", ConvTranspose2d::new(10, 2).groups(2)).apply("pool", AvgPool2d::new([2, 1]).stride(1));
        let x = x
            .apply("down", Conv2d::new(12, [1, 2]))
            .apply("sampling", SubSampling::new(1))
            .apply("filter", func(filter));
        let table = ConnectionTable::new(12, &[&[0, 5], &[11, 1, 2], &[3]]).unwrap();
        let x = x.apply("connected", Conv2d::new(3, [2, 3]).connections(table)).flatten();
        let x = x.apply("dense", Dense::new(9)).tanh().apply("lone", func(lone));
        x.apply("codes", RadialBasis::new(5, (0..35).map(|i| i as f32).collect::<Vec<_>>()))
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let saved = Model::build(network, [7, 8, 3], 1).unwrap();
    save_weights(&saved, &path, &Metadata::new()).unwrap();
    let mut file = WeightFile::open(&path).unwrap();
    for (name, shape) in [
        ("conv.weight", &[8, 3, 2, 3][..]),
        ("grouped.weight", &[12, 2, 3, 3]),
        ("depthwise.weight", &[12, 1, 3, 3]),
        ("up.weight", &[12, 5, 2, 2]),
        ("connected.weight", &[6, 2, 3]),
        ("dense.weight", &[9, 3 * 5 * 4]),
        ("norm.running_var", &[12]),
        ("sampling.weight", &[12]),
    ] {
        assert_eq!(file.info(name).unwrap().shape, shape, "{name}");
    }
    for name in ["lone.weight", "filter.weight", "codes.codes", "norm.weight", "dense.bias"] {
        assert_eq!(Some(&file.read(name).unwrap()), saved.parameters().value(name), "{name} lies as it is");
    }
    // [channel, output, row, column] of a transposed convolution in PyTorch.
    let (up, ours) = (file.read("up.weight").unwrap(), saved.parameters().value("up.weight").unwrap());
    assert_eq!(up[[7, 4, 1, 0]], ours[[1, 0, 4, 7]]);
    let mut loaded = Model::build(network, [7, 8, 3], 2).unwrap();
    load_weights(&mut loaded, &path).unwrap();
    for (parameter, value) in saved.parameters().iter() {
        assert_eq!(loaded.parameters().value(&parameter.path), Some(value), "{}", parameter.path);
    }
}

#[test]
fn weights_that_are_not_finite_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    save_weights(&model(4, 1), &path, &Metadata::new()).unwrap();
    let before = fs::read(&path).unwrap();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = model(4, 1);
        broken.parameters_mut().value_mut("fc.bias").unwrap().data_mut()[1] = value;
        let error = save_weights(&broken, &path, &Metadata::new()).unwrap_err().to_string();
        assert!(error.contains("w.safetensors: ") && error.contains("fc.bias"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn tensors_are_written_as_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let model = model(4, 1);
    let mut tensors = std::collections::BTreeMap::new();
    for (parameter, value) in model.parameters().iter() {
        tensors.insert(parameter.path.clone(), in_file_layout(parameter, value));
    }
    tensors.insert("loss".into(), Tensor::scalar(0.5));
    tensors.insert("nothing".into(), Tensor::zeros([0, 3]));
    save_tensors(&tensors, &path, &Metadata::new()).unwrap();
    let mut file = WeightFile::open(&path).unwrap();
    for (name, tensor) in &tensors {
        assert_eq!(&file.read(name).unwrap(), tensor, "{name}");
    }
    // Gradients of parameters lie as the parameters do.
    let mut loaded = self::model(4, 2);
    WeightLoader::new().except("loss").except("nothing").load(&mut loaded, &path).unwrap();
    assert_eq!(loaded.parameters().value("conv.weight"), model.parameters().value("conv.weight"));
}

#[test]
fn files_that_do_not_fit_say_everything_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    save_weights(&model(4, 1), &path, &Metadata::new()).unwrap();
    let other = |x: &Node| x.apply("conv", Conv2d::new(5, [2, 3])).apply("last", Conv2d::new(1, 1));
    let mut other = Model::build(other, [5, 5, 2], 0).unwrap();
    let before = other.parameters().value("conv.bias").unwrap().clone();
    let error = load_weights(&mut other, &path).unwrap_err().to_string();
    for part in [
        "does not fit the model",
        "conv.weight is [4, 2, 2, 3], expected [5, 2, 2, 3]",
        "last.weight is missing",
        "fc.bias is unexpected",
    ] {
        assert!(error.contains(part), "{part} in: {error}");
    }
    assert_eq!(other.parameters().value("conv.bias"), Some(&before), "nothing was changed");
}

#[test]
fn truncated_and_wrong_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    save_weights(&model(4, 1), &path, &Metadata::new()).unwrap();
    let whole = fs::read(&path).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load_weights(&mut model(4, 1), &path).unwrap_err().to_string()
    };
    for broken in [&whole[..whole.len() - 5], &whole[..20], &[&whole[..], b"more"].concat()] {
        let error = error(broken);
        assert!(error.contains("w.safetensors: not a whole safetensors file: "), "{error}");
    }
    for other in [&b"\x1f\x8b gzip or so"[..], b""] {
        let error = error(other);
        assert!(error.ends_with("w.safetensors: neither a safetensors file nor one that torch.save wrote"), "{error}");
    }
    let none = load_weights(&mut model(4, 1), folder.path().join("none")).unwrap_err();
    assert!(matches!(none, WeightsError::Io { .. }), "{none}");
}

fn safetensors(header: &str, data: &[u8]) -> Result<WeightFile, WeightsError> {
    WeightFile::from_bytes("w", [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat())
}

#[test]
fn every_kind_of_number_is_read() {
    for (dtype, data, expected) in [
        ("F32", (-2f32).to_le_bytes().to_vec(), -2.0),
        ("F64", (-2f64).to_le_bytes().to_vec(), -2.0),
        ("F16", vec![0, 0xC0], -2.0),
        ("BF16", vec![0, 0xC0], -2.0),
        ("I64", (-2i64).to_le_bytes().to_vec(), -2.0),
        ("U8", vec![2], 2.0),
        ("BOOL", vec![1], 1.0),
    ] {
        let header = format!(r#"{{"x":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{}]}}}}"#, data.len());
        assert_eq!(safetensors(&header, &data).unwrap().read("x").unwrap().data(), [expected], "{dtype}");
    }
    let mut file = safetensors(r#"{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#, &[1]).unwrap();
    assert_eq!(file.info("x").unwrap().dtype, DType::Other("F8_E4M3"));
    assert_eq!(file.read("x").unwrap_err().to_string(), "w: x holds F8_E4M3, which cannot be read");
    assert_eq!(file.read("y").unwrap_err().to_string(), "w: no tensor is called \"y\"");
}

#[test]
fn lying_headers_are_refused() {
    let max = usize::MAX;
    for (header, reason) in [
        (r#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#.to_string(), "invalid shape"),
        (r#"{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#.into(), "the file ends too early"),
        (r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), "the header describes"),
        (format!(r#"{{"x":{{"dtype":"F32","shape":[{max},{max}],"data_offsets":[0,8]}}}}"#), ""),
        (format!(r#"{{"x":{{"dtype":"U8","shape":[1],"data_offsets":[{},{max}]}}}}"#, max - 1), ""),
        (r#"{"x":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#.into(), "unknown variant"),
        ("{".into(), "EOF"),
    ] {
        let error = safetensors(&header, &[0; 8]).unwrap_err().to_string();
        assert!(error.starts_with("w: not a whole safetensors file: ") && error.contains(reason), "{error}");
    }
}
