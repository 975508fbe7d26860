//! The parts of an ONNX file that is being written, and their bytes.

use super::functions::{DOMAIN, FUNCTIONS};
use crate::wire::Message;
use ocelli_graph::ElementKind;
use std::{collections::BTreeMap, io};

/// Version of the operators that are written.
pub(crate) const OPSET: i64 = 17;
/// Version of the file format, the first with functions.
const IR_VERSION: i64 = 8;
/// A file may not be larger: Protocol Buffers count its bytes in 31 bits.
const MOST_BYTES: usize = i32::MAX as usize;

/// Element types in `onnx.proto`.
const F32: i64 = 1;
const I64: i64 = 7;

/// A setting of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A number.
    Float(f32),
    /// An integer, or 0 and 1 for no and yes.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
    /// A word.
    Text(String),
}

/// A node of the file.
#[derive(Clone, Debug)]
pub(crate) struct FileNode {
    pub name: String,
    pub operator: String,
    pub domain: &'static str,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub settings: Vec<(&'static str, Setting)>,
}

/// Data of an initialiser.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

/// A constant of the file.
#[derive(Clone, Debug)]
pub(crate) struct Initializer {
    pub name: String,
    pub sizes: Vec<usize>,
    pub numbers: Numbers,
}

/// An input or a result: its name and its axes, of which the number of samples has a name.
#[derive(Clone, Debug)]
pub(crate) struct Border {
    pub name: String,
    /// Labels are 64-bit integers in the file, as its operators expect them.
    pub elements: ElementKind,
    pub sizes: Vec<Result<usize, String>>,
}

/// Everything that is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub nodes: Vec<FileNode>,
    pub initializers: Vec<Initializer>,
    pub inputs: Vec<Border>,
    pub outputs: Vec<Border>,
    pub metadata: BTreeMap<String, String>,
}

/// Writes a node as a message.
pub(crate) fn write_node(node: &FileNode, message: &mut Message) {
    node.inputs.iter().for_each(|name| {
        message.bytes(1, name);
    });
    node.outputs.iter().for_each(|name| {
        message.bytes(2, name);
    });
    message.bytes(3, &node.name).bytes(4, &node.operator);
    for (name, setting) in &node.settings {
        message.message(5, |attribute| {
            attribute.bytes(1, name);
            match setting {
                Setting::Float(number) => attribute.float(2, *number).int(20, 1),
                Setting::Int(number) => attribute.int(3, *number).int(20, 2),
                Setting::Text(text) => attribute.bytes(4, text).int(20, 3),
                Setting::Ints(list) => {
                    list.iter().for_each(|&number| {
                        attribute.int(8, number);
                    });
                    attribute.int(20, 7)
                }
            };
        });
    }
    if !node.domain.is_empty() {
        message.bytes(7, node.domain);
    }
}

impl Border {
    fn write(&self, message: &mut Message) {
        message.bytes(1, &self.name).message(2, |kind| {
            kind.message(1, |tensor| {
                let elements = match self.elements {
                    ElementKind::F32 => F32,
                    ElementKind::U32 => I64,
                };
                tensor.int(1, elements).message(2, |shape| {
                    for size in &self.sizes {
                        shape.message(1, |dim| match size {
                            Ok(size) => {
                                dim.int(1, *size as i64);
                            }
                            Err(name) => {
                                dim.bytes(2, name);
                            }
                        });
                    }
                });
            });
        });
    }
}

impl Initializer {
    /// The message up to its data, and the number of bytes of these.
    fn beginning(&self) -> (Message, usize) {
        let mut message = Message::default();
        self.sizes.iter().for_each(|&size| {
            message.int(1, size as i64);
        });
        let (kind, length) = match &self.numbers {
            Numbers::F32(list) => (F32, 4 * list.len()),
            Numbers::I64(list) => (I64, 8 * list.len()),
        };
        message.int(2, kind).bytes(8, &self.name).beginning(9, length);
        (message, length)
    }
}

impl File {
    /// Writes the file. Data go straight from where they are: nothing is held twice.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        // parts of the graph beside the data
        let mut nodes = Message::default();
        self.nodes.iter().for_each(|node| {
            nodes.message(1, |message| write_node(node, message));
        });
        nodes.bytes(2, "ocelli");
        let mut borders = Message::default();
        self.inputs.iter().for_each(|border| {
            borders.message(11, |message| border.write(message));
        });
        self.outputs.iter().for_each(|border| {
            borders.message(12, |message| border.write(message));
        });
        let mut tensors = Vec::new();
        let mut length = nodes.0.len() + borders.0.len();
        for initializer in &self.initializers {
            let (inner, data) = initializer.beginning();
            let mut outer = Message::default();
            outer.beginning(5, inner.0.len() + data);
            outer.0.extend(inner.0);
            length += outer.0.len() + data;
            tensors.push((outer, &initializer.numbers));
        }
        if length > MOST_BYTES - (1 << 20) {
            return Err(io::Error::other(format!("{length} bytes are more than one ONNX file may have")));
        }
        // the model around it
        let mut head = Message::default();
        head.int(1, IR_VERSION).bytes(2, "ocelli").bytes(3, env!("CARGO_PKG_VERSION"));
        head.message(8, |opset| {
            opset.bytes(1, "").int(2, OPSET);
        });
        let used = |name: &str| self.nodes.iter().any(|node| node.domain == DOMAIN && node.operator == name);
        let functions: Vec<_> = FUNCTIONS.iter().filter(|function| used(function.name)).collect();
        if !functions.is_empty() {
            head.message(8, |opset| {
                opset.bytes(1, DOMAIN).int(2, 1);
            });
        }
        functions.iter().for_each(|function| {
            head.message(25, |message| function.write(message));
        });
        for (key, value) in &self.metadata {
            head.message(14, |entry| {
                entry.bytes(1, key).bytes(2, value);
            });
        }
        head.beginning(7, length);
        to.write_all(&head.0)?;
        to.write_all(&nodes.0)?;
        for (outer, numbers) in tensors {
            to.write_all(&outer.0)?;
            match numbers {
                Numbers::F32(list) => in_pieces(to, list, |number| number.to_le_bytes())?,
                Numbers::I64(list) => in_pieces(to, list, |number| number.to_le_bytes())?,
            }
        }
        to.write_all(&borders.0)
    }

    /// Gives a value another name wherever it stands.
    pub fn rename(&mut self, from: &str, to: &str) {
        for node in &mut self.nodes {
            for name in node.inputs.iter_mut().chain(&mut node.outputs).filter(|name| *name == from) {
                *name = to.to_string();
            }
        }
    }
}

/// Writes numbers as bytes, some at a time.
fn in_pieces<T: Copy, const BYTES: usize>(
    to: &mut dyn io::Write,
    list: &[T],
    bytes: impl Fn(T) -> [u8; BYTES],
) -> io::Result<()> {
    for piece in list.chunks(1 << 14) {
        to.write_all(&piece.iter().flat_map(|&number| bytes(number)).collect::<Vec<u8>>())?;
    }
    Ok(())
}
