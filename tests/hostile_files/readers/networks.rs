//! safetensors: weights alone, and networks in one file.

use super::{Answer, Read, Reader, all, answer};
use crate::{
    drawn::Seed,
    forms::{plain, safetensors},
    held,
};
use ocelli::{
    models::{
        CifarResNet, LeNet5, Metadata, NetworkDescription, WeightFile, WeightLoader, load_network, save_network,
        save_tensors, save_weights,
    },
    prelude::{Model, Preprocess, Tensor},
};
use std::{cell::RefCell, collections::BTreeMap, fs, path::Path};

/// More bytes than this are not read tensor by tensor.
const ENOUGH: usize = 1 << 26;

/// Opens a weight file, reads all its tensors, and loads it into a network, strictly and leniently.
pub fn weights(_folder: &Path) -> Read {
    // Made before, and loaded into again and again: what it takes is no cost of a file.
    let model = RefCell::new(small_network());
    Box::new(move |file: &Path| {
        let tensors = WeightFile::open(file).map_err(|error| error.to_string()).and_then(|mut file| {
            let names: Vec<String> = file.tensors().map(|(name, _)| name.to_string()).collect();
            let (mut largest, mut sum) = (0, 0);
            for name in names {
                let bytes = answer(file.read(&name), |tensor| 4 * tensor.len())?;
                (largest, sum) = (largest.max(bytes), sum + bytes);
                if sum > ENOUGH {
                    break;
                }
            }
            Ok(largest)
        });
        let load = |loader: WeightLoader| answer(loader.load(&mut model.borrow_mut(), file), |_| 0);
        all([tensors, load(WeightLoader::new()), load(WeightLoader::new().strip("module").lenient())])
    })
}

/// A network with few parameters: `fc.weight` and `fc.bias`.
fn small_network() -> Model {
    let network = |x: &ocelli::prelude::Node| x.apply("fc", ocelli::prelude::Dense::new(2));
    Model::build(network, [3], 0).expect("a network of one layer")
}

/// What is written to a file by `write`, in its header and its data.
fn parts(write: impl FnOnce(&Path)) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("file");
    write(&path);
    let file = fs::read(&path).expect("a temporary file");
    let (length, rest) = file.split_first_chunk().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    vec![header.to_vec(), data.to_vec()]
}

fn with_header(header: String, data: usize) -> Vec<u8> {
    safetensors(&[header.into_bytes(), vec![0; data]])
}

/// A header of many tensors without elements, called by `name`.
fn empty_tensors(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let tensor = |number| format!(r#""{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#, name(number));
    with_header(format!("{{{}}}", (0..count).map(tensor).collect::<Vec<_>>().join(",")), 0)
}

fn one_tensor(dtype: &str, shape: &str, length: u64) -> String {
    format!(r#"{{"fc.weight":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,{length}]}}}}"#)
}

pub const SAFETENSORS: Reader = Reader {
    name: "safetensors",
    seeds: || {
        let metadata = Metadata::from([("epoch".to_string(), "3".to_string())]);
        let tensors =
            BTreeMap::from([("x".to_string(), Tensor::full([2, 3], 1.0)), ("y".into(), Tensor::full([], 2.0))]);
        let header = r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[1,3],"data_offsets":[4,7]}}"#;
        vec![
            Seed::new(
                safetensors,
                parts(|path| save_weights(&small_network(), path, &metadata).expect("it is written")),
            ),
            Seed::new(
                safetensors,
                parts(|path| save_tensors(&tensors, path, &Metadata::new()).expect("it is written")),
            ),
            Seed::new(safetensors, [header.as_bytes(), &[0; 7]]),
        ]
    },
    words: &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\u0000",
        b"\"F64\"",
        b"\"BOOL\"",
        b"\"F4\"",
        b"\"F8_E4M3\"",
        b"\"C64\"",
        b"\"__metadata__\"",
        b"\"shape\"",
        b"\"data_offsets\"",
        b"module.",
        b"fc.weight",
    ],
    crafted: &[
        ("a header that claims 100 MB", || [&100_000_000u64.to_le_bytes()[..], b"{"].concat()),
        ("a header that claims 2^64 bytes", || [&u64::MAX.to_le_bytes()[..], b"{"].concat()),
        ("a tensor of 2^64 elements", || with_header(one_tensor("F32", "4294967296,4294967296", 4), 4)),
        ("a tensor with a zero beside 2^128", || {
            with_header(one_tensor("F32", "18446744073709551615,18446744073709551615,0", 0), 0)
        }),
        ("a tensor that ends before it begins", || {
            with_header(one_tensor("F32", "1", 4).replace("[0,4]", "[18446744073709551615,4]"), 4)
        }),
        ("100,000 axes", || with_header(one_tensor("F32", &vec!["1"; 100_000].join(","), 4), 4)),
        ("100,000 brackets", || with_header(format!("{{\"a\":{}", "[".repeat(100_000)), 0)),
        ("100,000 braces", || with_header("{\"a\":".repeat(100_000), 0)),
        ("100,000 empty tensors", || empty_tensors(100_000, |number| number.to_string())),
        ("the same name 100,000 times", || empty_tensors(100_000, |_| "fc.weight".into())),
        ("module. 20,000 times in front of one name", || empty_tensors(1, |_| "module.".repeat(20_000) + "fc.weight")),
        ("module. 1000 times in front of 200 names", || {
            empty_tensors(200, |number| format!("{}{number}", "module.".repeat(1000)))
        }),
        ("a name of a megabyte", || empty_tensors(1, |_| "a".repeat(1 << 20))),
        ("100,000 facts", || {
            let fact = |number: usize| format!("\"{number}\":\"\"");
            let facts = (0..100_000).map(fact).collect::<Vec<_>>().join(",");
            with_header(format!("{{\"__metadata__\":{{{facts}}}}}"), 0)
        }),
        ("a tensor of bytes", || with_header(one_tensor("U8", "1048576", 1 << 20), 1 << 20)),
    ],
    prepare: weights,
    held: held::nothing_more,
    own: 0,
};

/// A network in four parts: its description, its preprocessing, the rest of the header, and the data.
fn network_form(parts: &[Vec<u8>]) -> Vec<u8> {
    let text =
        |number: usize| parts.get(number).map(|part| String::from_utf8_lossy(part).into_owned()).unwrap_or_default();
    let metadata = BTreeMap::from([("network", text(0)), ("preprocessing", text(1))]);
    let metadata = serde_json::to_string(&metadata).expect("text is JSON");
    let tensors = text(2);
    let header = format!("{{\"__metadata__\":{metadata},{}", tensors.get(1..).unwrap_or("}"));
    safetensors(&[header.into_bytes(), parts.get(3..).unwrap_or_default().concat()])
}

fn network_seed(description: NetworkDescription, layer: impl ocelli::prelude::Layer) -> Seed {
    let model = Model::from_layer(layer, description.sample.clone(), 0).expect("a published network");
    let written = parts(|path| save_network(&model, &description, path).expect("it is written"));
    let mut header: serde_json::Value = serde_json::from_slice(&written[0]).expect("a header in JSON");
    let fields = header.as_object_mut().expect("a header of fields");
    let metadata = fields.remove("__metadata__").expect("a description");
    let text = |key: &str| metadata[key].as_str().expect("a text").to_string().into_bytes();
    let header = serde_json::to_vec(&header).expect("a header is JSON");
    Seed::new(network_form, [text("network"), text("preprocessing"), header, written[1].clone()])
}

/// A description without weights.
fn described(network: &str, sample: &str, classes: &str) -> Vec<u8> {
    let description = format!(r#"{{"network":"{network}","sample":[{sample}],"classes":{classes}}}"#);
    network_form(&[description.into_bytes(), b"{}".to_vec(), b"{}".to_vec()])
}

/// Everything that is in the file of a network.
fn network(file: &Path) -> Answer {
    let description = NetworkDescription::read(file).map_err(|error| error.to_string())?;
    let settings = description.preprocessing_as::<Preprocess>().map_err(|error| error.to_string());
    let model = load_network(file).map_err(|error| error.to_string());
    let bytes = |model: Model| 4 * model.parameters().iter().map(|(_, value)| value.len()).sum::<usize>();
    all([settings.map(|_| 0), model.map(|(model, _)| bytes(model))])
}

pub const NETWORK: Reader = Reader {
    name: "network",
    seeds: || {
        let preprocess = Preprocess::imagenet([32, 32]);
        let of = |name: &str, classes: &[&str]| {
            let description = NetworkDescription::new(name, classes.iter().copied()).expect("a published network");
            description.preprocessing(&preprocess).expect("settings are JSON")
        };
        vec![
            network_seed(of("lenet5", &["a", "b"]), LeNet5::modern(2)),
            network_seed(of("cifar_resnet20", &["a", "b", "c"]).sample([8, 8, 3]), CifarResNet::resnet20(3)),
        ]
    },
    words: &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"\"",
        b"\"lenet5_1998\"",
        b"\"resnet18\"",
        b"\"squeezenet1_1\"",
        b"\"classes\"",
        b"\"sample\"",
        b"\"class_names\"",
        b"16777216",
        b"67108864",
        b"c1.weight",
    ],
    crafted: &[
        ("the most classes, without weights", || described("resnet18", "224,224,3", "16777216")),
        ("too many classes", || described("vgg16", "224,224,3", "18446744073709551615")),
        ("the largest image", || described("vgg16", "8192,8192,1", "1000")),
        ("an image of 2^128 pixels", || described("resnet18", "18446744073709551615,18446744073709551615,3", "10")),
        ("the deepest network", || described("resnet152", "224,224,3", "1000")),
        ("an unknown name of a megabyte", || described(&"a".repeat(1 << 20), "32,32,1", "10")),
        ("a million names of classes", || {
            let names = vec!["\"\""; 1_000_000].join(",");
            described("lenet5", "32,32,1", &format!("10,\"class_names\":[{names}]"))
        }),
        ("100,000 brackets", || network_form(&[vec![b'['; 100_000], b"{}".to_vec(), b"{}".to_vec()])),
        ("100,000 brackets of preprocessing", || {
            let lenet = br#"{"network":"lenet5","sample":[32,32,1],"classes":2}"#.to_vec();
            network_form(&[lenet, vec![b'['; 100_000], b"{}".to_vec()])
        }),
    ],
    prepare: |_| Box::new(network),
    held: held::nothing_more,
    // The description of the deepest network of the registry is traced before it is compared with the file.
    own: 8 << 20,
};

/// Parts in one piece, for formats that need no other form.
pub fn joined(parts: impl IntoIterator<Item = Vec<u8>>) -> Seed {
    Seed::new(plain, parts)
}
