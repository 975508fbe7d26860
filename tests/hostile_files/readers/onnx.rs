//! ONNX: networks of other programs.

use super::{Reader, answer};
use crate::{
    drawn::Seed,
    forms::{onnx, protobuf},
};
use ocelli::{
    graph::{Constant, ops::Interpolation},
    onnx::{Export, Import},
    prelude::{Axis, Conv2d, Dense, MaxPool2d, Model, Node},
};
use std::path::Path;

/// A node of the graph counts as so many bytes of data for each of its bytes in the file.
const DATA_PER_BYTE: usize = 32;
/// Bytes that constants of any file may take: a million elements, and all that is computed with them.
const CONSTANTS: usize = 96 << 20;

/// Numbers of the fields of a graph.
const NODE: u8 = 1;
const INITIALISER: u8 = 5;
const INPUT: u8 = 11;
const OUTPUT: u8 = 12;

/// The fields of a graph that this library writes, each after its number.
fn parts(network: impl Fn(&Node) -> Node + 'static, sample: &[usize]) -> Vec<Vec<u8>> {
    let model = Model::build(network, sample, 1).expect("a small network");
    let file = Export::new().to_bytes(&model).expect("it is written");
    let of_graph = protobuf::fields(&file).into_iter().find(|(number, _)| *number == 7).expect("a graph").1;
    protobuf::fields(&of_graph).into_iter().map(|(number, bytes)| [vec![number], bytes].concat()).collect()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| protobuf::field(1, name));
    let parts = [inputs.collect(), protobuf::field(2, output), protobuf::field(4, operator)];
    [vec![NODE], parts.concat()].concat()
}

fn border(number: u8, name: &str, sizes: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = sizes.iter().flat_map(|&size| protobuf::field(1, protobuf::varint(1, size))).collect();
    let tensor = [protobuf::varint(1, 1), protobuf::field(2, dims)].concat();
    [vec![number], protobuf::field(1, name), protobuf::field(2, protobuf::field(1, tensor))].concat()
}

fn integers(name: &str, list: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = list.iter().flat_map(|number| number.to_le_bytes()).collect();
    let head = [protobuf::varint(1, list.len() as u64), protobuf::varint(2, 7)].concat();
    [vec![INITIALISER], head, protobuf::field(8, name), protobuf::field(9, bytes)].concat()
}

/// A network of one input `x` of these sizes; nodes and initialisers make `y`.
fn graph(sizes: &[u64], parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let borders = [border(INPUT, "x", sizes), border(OUTPUT, "y", &[])];
    onnx(&parts.into_iter().chain(borders).collect::<Vec<_>>())
}

/// One operator after the other, each of the last result.
fn chain(count: usize, operands: impl Fn(&str) -> Vec<String>, operator: &str) -> Vec<Vec<u8>> {
    let name = |number: usize| match number {
        0 => "x".to_string(),
        _ if number == count => "y".into(),
        _ => format!("v{number}"),
    };
    let node = |number: usize| {
        let operands = operands(&name(number));
        node(operator, &operands.iter().map(String::as_str).collect::<Vec<_>>(), &name(number + 1))
    };
    (0..count).map(node).collect()
}

pub const ONNX: Reader = Reader {
    name: "onnx",
    seeds: || {
        let image = |x: &Node| {
            let x = x.apply("conv", Conv2d::new(4, 3)).hard_swish().apply("pool", MaxPool2d::new(2));
            let parts = [&x.slice(Axis::C, 1..3), &x.gather(Axis::C, &[3, 0])];
            Node::concat(&parts, Axis::C).flatten().apply("fc", Dense::new(3)).softmax()
        };
        let moved = |x: &Node| {
            let y = x.upsample(2, Interpolation::Bilinear).permuted(&[0, 2, 1, 3]).scaled_tanh();
            &y * x.trace().parameter("scale", [2], Constant(0.5)) + y.mean_keeping(&[Axis::H, Axis::W])
        };
        let rows = |x: &Node| x.reshape([2, 6]).matmul(&x.relu().reshape([6, 2])).log_softmax();
        vec![
            Seed::new(onnx, parts(image, &[6, 6, 2])),
            Seed::new(onnx, parts(moved, &[3, 4, 2])),
            Seed::new(onnx, parts(rows, &[12])),
        ]
    },
    words: &[
        b"Add",
        b"Mul",
        b"Div",
        b"Pow",
        b"Gemm",
        b"MatMul",
        b"Reshape",
        b"Transpose",
        b"Unsqueeze",
        b"Squeeze",
        b"Shape",
        b"Slice",
        b"Gather",
        b"Split",
        b"Pad",
        b"Resize",
        b"ConstantOfShape",
        b"ConvTranspose",
        b"GlobalMaxPool",
        b"LRN",
        b"LayerNormalization",
        b"axis",
        b"pads",
        b"input",
        b"output",
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
    ],
    crafted: &[
        ("a chain of 20,000 nodes", || graph(&[2, 3], chain(20_000, |x| vec![x.into()], "Relu"))),
        ("a chain of 100,000 nodes", || graph(&[2, 3], chain(100_000, |x| vec![x.into()], "Relu"))),
        ("a value that doubles 60 times", || graph(&[2, 3], chain(60, |x| vec![x.into(), x.into()], "Concat"))),
        ("10,000 operands of one node, 20 times", || graph(&[2, 3], chain(20, |x| vec![x.into(); 10_000], "Sum"))),
        ("a constant that grows a thousand times", || {
            let shape = integers("shape", &[1 << 20]);
            let joined = node("Concat", &vec!["ones"; 10_000], "y");
            graph(&[2, 3], [shape, node("ConstantOfShape", &["shape"], "ones"), joined])
        }),
        ("constants of a million numbers", || {
            let made = (0..1000).map(|number| node("ConstantOfShape", &["shape"], &format!("v{number}")));
            graph(&[2, 3], made.chain([integers("shape", &[1 << 20]), node("Relu", &["x"], "y")]))
        }),
        ("a slice of every other of 2^50 entries", || {
            let sizes = [("starts", 0), ("ends", i64::MAX), ("axes", 1), ("steps", 2)];
            let settings = sizes.map(|(name, number)| integers(name, &[number]));
            let slice = node("Slice", &["x", "starts", "ends", "axes", "steps"], "y");
            graph(&[1, 1 << 50], settings.into_iter().chain([slice]))
        }),
        ("one half of 2^50 entries", || {
            let settings =
                [("starts", 0), ("ends", 1 << 49), ("axes", 1)].map(|(name, number)| integers(name, &[number]));
            graph(&[1, 1 << 50], settings.into_iter().chain([node("Slice", &["x", "starts", "ends", "axes"], "y")]))
        }),
        ("an image of no pixels that is resized", || {
            let sizes = integers("sizes", &[1, 3, 60_000, 60_000]);
            graph(&[1, 3, 0, 0], [sizes, node("Resize", &["x", "", "", "sizes"], "y")])
        }),
        ("a row of 2^40 pixels that is resized", || {
            let sizes = integers("sizes", &[1, 3, 1, 60_000]);
            graph(&[1, 3, 1, 1 << 40], [sizes, node("Resize", &["x", "", "", "sizes"], "y")])
        }),
        ("100,000 axes", || graph(&vec![1; 100_000], [node("Relu", &["x"], "y")])),
        ("a shape of 100,000 axes", || {
            graph(&[1, 1], [integers("shape", &vec![1; 100_000]), node("Reshape", &["x", "shape"], "y")])
        }),
        ("a tensor of 100,000 axes", || {
            let ones: Vec<u8> = (0..100_000).flat_map(|_| protobuf::varint(1, 1)).collect();
            let data = protobuf::field(9, [0; 4]);
            let tensor = [vec![INITIALISER], ones, protobuf::varint(2, 1), protobuf::field(8, "w"), data].concat();
            graph(&[1, 1], [tensor, node("Mul", &["x", "w"], "y")])
        }),
        ("constants without elements whose sizes multiply past memory", || {
            let shape = integers("shape", &[0, 1 << 40, 1 << 40]);
            graph(&[1, 1], [shape, node("ConstantOfShape", &["shape"], "y")])
        }),
        ("100,000 empty settings of one node", || {
            let settings: Vec<u8> = (0..100_000).flat_map(|_| protobuf::field(5, "")).collect();
            graph(&[1, 1], [[node("Relu", &["x"], "y"), settings].concat()])
        }),
        ("100,000 nodes without a name", || graph(&[1, 1], vec![vec![NODE]; 100_000])),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            answer(Import::new().read(file), |imported| {
                imported.model.parameters().iter().map(|(_, value)| 4 * value.len()).sum()
            })
        })
    },
    held: |file| DATA_PER_BYTE * file.len(),
    own: CONSTANTS,
};
