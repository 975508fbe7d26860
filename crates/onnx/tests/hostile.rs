//! Files that are damaged, or made to do harm: each is a network or a sentence.

use ocelli_graph::{Key, Model, Node, func};
use ocelli_onnx::{Export, Import};

/// A field of bytes.
fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let (bytes, mut length) = (bytes.as_ref(), bytes.as_ref().len());
    let mut field = vec![number << 3 | 2];
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(bytes);
    field
}

fn varint(number: u8, mut value: u64) -> Vec<u8> {
    let mut field = vec![number << 3];
    while value >= 0x80 {
        field.push(value as u8 | 0x80);
        value >>= 7;
    }
    field.push(value as u8);
    field
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| field(1, name)).collect::<Vec<u8>>();
    field(1, [inputs, field(2, output), field(4, operator)].concat())
}

fn border(number: u8, name: &str, sizes: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = sizes.iter().flat_map(|&size| field(1, varint(1, size))).collect();
    let tensor = [varint(1, 1), field(2, dims)].concat();
    field(number, [field(1, name), field(2, field(1, tensor))].concat())
}

fn integers(name: &str, list: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = list.iter().flat_map(|number| number.to_le_bytes()).collect();
    field(5, [varint(1, list.len() as u64), varint(2, 7), field(8, name), field(9, bytes)].concat())
}

fn model(parts: &[Vec<u8>]) -> Vec<u8> {
    [field(7, parts.concat()), field(8, varint(2, 17))].concat()
}

fn refused(parts: &[Vec<u8>]) -> String {
    Import::new().read_bytes(&model(parts), "m.onnx").unwrap_err().to_string()
}

#[test]
fn strange_graphs_are_refused_in_sentences() {
    let (input, output) = (border(11, "x", &[2, 3]), border(12, "y", &[2, 3]));
    let of = |nodes: &[Vec<u8>]| refused(&[nodes.concat(), input.clone(), output.clone()]);
    assert_eq!(
        of(&[node("Add", &["x", "b"], "a"), node("Relu", &["a"], "b"), node("Relu", &["b"], "y")]),
        "m.onnx: Add \"a\": \"b\" is read, but no node before makes it"
    );
    assert_eq!(of(&[node("Relu", &["z"], "y")]), "m.onnx: Relu \"y\": \"z\" is read, but no node before makes it");
    assert_eq!(of(&[]), "m.onnx: \"y\" is read, but no node before makes it");
    assert_eq!(of(&[node("Relu", &[], "y")]), "m.onnx: Relu \"y\": operand 0 is missing");
    assert_eq!(
        of(&[node("Foo", &["x"], "a"), node("Bar", &["a"], "b"), node("Foo", &["b"], "y")]),
        "m.onnx: several operators are not read: Bar (\"b\"); Foo (\"a\", \"y\")"
    );
    let twice = of(&[node("Relu", &["x"], "y"), node("Tanh", &["x"], "y")]);
    assert_eq!(twice, "m.onnx: Tanh \"y\": \"y\" was made before");
    assert_eq!(
        Import::new().read_bytes(&[], "m.onnx").unwrap_err().to_string(),
        "m.onnx: it is no ONNX file: it has no graph"
    );
}

#[test]
fn sizes_beyond_memory_are_refused_in_sentences() {
    let large = border(11, "x", &[1 << 40, 1 << 40]);
    let text = refused(&[node("Relu", &["x"], "y"), large, border(12, "y", &[])]);
    assert!(text.contains("more elements than can be addressed"), "{text}");
    let (input, output) = (border(11, "x", &[2, 3]), border(12, "y", &[]));
    let shape = integers("s", &[1 << 30, 1 << 30, 1 << 30]);
    let text = refused(&[node("ConstantOfShape", &["s"], "y"), shape, output.clone()]);
    assert_eq!(text, "m.onnx: ConstantOfShape \"y\": more than 1048576 elements, or fewer than none");
    let shape = integers("s", &[i64::MAX, i64::MAX]);
    let text = refused(&[node("Reshape", &["x", "s"], "y"), shape, input, output]);
    assert!(text.starts_with("m.onnx: Reshape \"y\": "), "{text}");
}

#[test]
fn long_chains_are_refused_and_shorter_ones_are_read() {
    let chain = |count: usize| {
        let name = |number: usize| if number == 0 { "x".to_string() } else { format!("v{number}") };
        let nodes = (0..count).flat_map(|number| node("Relu", &[&name(number)], &name(number + 1)));
        let nodes: Vec<u8> = nodes.collect();
        model(&[nodes, border(11, "x", &[2, 3]), border(12, &name(count), &[2, 3])])
    };
    let text = Import::new().read_bytes(&chain(100_000), "m.onnx").unwrap_err().to_string();
    assert_eq!(text, "m.onnx: its graph has more than 20000 nodes");
    assert_eq!(Import::new().read_bytes(&chain(2000), "m.onnx").unwrap().model.graph().calls.len(), 2000);
}

#[test]
fn data_outside_of_the_folder_are_not_read() {
    let entry = |key: &str, value: &str| field(13, [field(1, key), field(2, value)].concat());
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("models");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(folder.path().join("secret"), [0; 8]).unwrap();
    std::fs::write(inside.join("data"), [0; 8]).unwrap();
    let text = |location: &str, size: u64| {
        let tensor =
            [varint(1, size), varint(2, 1), field(8, "w"), entry("location", location), varint(14, 1)].concat();
        let file =
            model(&[node("Add", &["x", "w"], "y"), field(5, tensor), border(11, "x", &[size]), border(12, "y", &[])]);
        std::fs::write(inside.join("m.onnx"), file).unwrap();
        Import::new().read(inside.join("m.onnx")).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(text("data", 2), Ok(()));
    for location in ["../secret", "/etc/passwd", ""] {
        let text = text(location, 2).unwrap_err();
        assert!(text.ends_with("which is outside of the model's folder"), "{text}");
    }
    assert!(text("data", 3).unwrap_err().contains("12 bytes from 0"));
    assert!(text("data", 1 << 50).unwrap_err().contains(", but "));
    assert!(text("data", 1 << 60).unwrap_err().contains("more elements than memory has addresses"));
}

/// Changes of valid files: bytes, lengths, parts twice and parts missing.
#[test]
fn damaged_files_make_nothing_panic() {
    let network = |x: &Node| {
        let w = x.trace().parameter("w", [3, 3, 2, 4], ocelli_graph::Constant(0.1));
        let y = x.conv2d(Default::default(), &w, None).relu().max_pool(ocelli_kernels::pool::PoolSettings::square(2));
        let y = y.slice(ocelli_graph::Axis::C, 1..3).scaled_tanh().global_avg_pool();
        y.matmul(&x.trace().parameter("m", [2, 3], ocelli_graph::Constant(0.5))).softmax()
    };
    let model = Model::from_layer(func(network), [8, 8, 2], 1).unwrap();
    let file = Export::new().to_bytes(&model).unwrap();
    let cases = std::env::var("OCELLI_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000u64);
    let (mut read, mut refused) = (0, 0);
    for case in 0..cases {
        let mut stream = Key::new(case).stream();
        let mut place = |length: usize| (stream.between(0.0, 1.0) * length as f32) as usize;
        let mut bytes = file.clone();
        for _ in 0..=place(4) {
            let (at, from) = (place(bytes.len() - 1), place(bytes.len() - 1));
            match place(5) {
                0 => bytes[at] = place(256) as u8,
                1 => bytes[at] ^= 1 << place(8),
                2 => bytes.truncate(at.max(2)),
                3 => drop(bytes.remove(at)),
                _ => {
                    let part = bytes[from..(from + place(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
            if bytes.len() < 4 {
                break;
            }
        }
        match Import::new().read_bytes(&bytes, "damaged") {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    eprintln!("{read} read, {refused} refused");
    assert!(read > 0 && refused > 0);
}
