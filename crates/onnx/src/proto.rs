//! The messages of an ONNX file that a network is made of, as `onnx.proto` of the ONNX project numbers their fields.

use crate::wire::{Fields, Malformed};
use std::collections::BTreeMap;

/// Most nodes and most named tensors of a graph. Published networks have some thousands.
pub const MOST_NODES: usize = 20_000;

/// A file: a graph and what is said about it.
#[derive(Debug, Default)]
pub struct ModelProto<'a> {
    pub graph: Option<GraphProto<'a>>,
    /// Version of the operators by domain; the empty one is that of ONNX.
    pub opsets: BTreeMap<&'a str, i64>,
    pub producer: &'a str,
    pub metadata: BTreeMap<String, String>,
}

/// Nodes in order of execution, and the values that they begin with.
#[derive(Debug, Default)]
pub struct GraphProto<'a> {
    pub nodes: Vec<NodeProto<'a>>,
    pub initializers: Vec<TensorProto<'a>>,
    pub inputs: Vec<ValueInfo<'a>>,
    pub outputs: Vec<ValueInfo<'a>>,
}

/// An operator applied to named values.
#[derive(Clone, Debug, Default)]
pub struct NodeProto<'a> {
    pub name: &'a str,
    pub operator: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    /// Settings by name, unread.
    pub attributes: Vec<(&'a str, &'a [u8])>,
}

/// A setting of a node.
#[derive(Debug, Default)]
pub struct Attribute<'a> {
    pub float: Option<f32>,
    pub int: Option<i64>,
    pub text: Option<&'a [u8]>,
    pub tensor: Option<TensorProto<'a>>,
    pub floats: Vec<f32>,
    pub ints: Vec<i64>,
}

/// A tensor, unread.
#[derive(Clone, Debug, Default)]
pub struct TensorProto<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub data_type: i64,
    pub bytes: &'a [u8],
}

/// The name and shape of an input or output.
#[derive(Debug, Default)]
pub struct ValueInfo<'a> {
    pub name: &'a str,
    /// Element type; 0 if the file does not say it.
    pub data_type: i64,
    /// Sizes of the axes; `None` if the file does not say how many there are.
    pub dims: Option<Vec<DimProto<'a>>>,
}

/// The size of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimProto<'a> {
    Fixed(i64),
    /// A size that is known when the network runs, by its name; empty if it has none.
    Named(&'a str),
}

impl<'a> ModelProto<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<ModelProto<'a>, String> {
        let mut model = ModelProto::default();
        for field in Fields(bytes) {
            match field? {
                (2, name) => model.producer = name.text()?,
                (7, graph) => model.graph = Some(GraphProto::read(graph.bytes()?)?),
                (8, opset) => {
                    let (mut domain, mut version) = ("", 0);
                    for field in Fields(opset.bytes()?) {
                        match field? {
                            (1, name) => domain = name.text()?,
                            (2, number) => version = number.int()?,
                            _ => {}
                        }
                    }
                    model.opsets.insert(if domain == "ai.onnx" { "" } else { domain }, version);
                }
                (14, entry) => {
                    let (key, value) = entry_of(entry.bytes()?)?;
                    model.metadata.insert(key.into(), value.into());
                }
                _ => {}
            }
        }
        Ok(model)
    }
}

/// Reads a key and its value.
pub fn entry_of(bytes: &[u8]) -> Result<(&str, &str), Malformed> {
    let mut entry = ("", "");
    for field in Fields(bytes) {
        match field? {
            (1, key) => entry.0 = key.text()?,
            (2, value) => entry.1 = value.text()?,
            _ => {}
        }
    }
    Ok(entry)
}

/// Adds to a list that a file may only make so long.
fn push<T>(list: &mut Vec<T>, what: &str, item: T) -> Result<(), String> {
    if list.len() >= MOST_NODES {
        return Err(format!("its graph has more than {MOST_NODES} {what}"));
    }
    list.push(item);
    Ok(())
}

impl<'a> GraphProto<'a> {
    fn read(bytes: &'a [u8]) -> Result<GraphProto<'a>, String> {
        let mut graph = GraphProto::default();
        for field in Fields(bytes) {
            match field? {
                (1, node) => push(&mut graph.nodes, "nodes", NodeProto::read(node.bytes()?)?)?,
                (5, tensor) => push(&mut graph.initializers, "initialisers", TensorProto::read(tensor.bytes()?)?)?,
                (11, value) => push(&mut graph.inputs, "inputs", ValueInfo::read(value.bytes()?)?)?,
                (12, value) => push(&mut graph.outputs, "outputs", ValueInfo::read(value.bytes()?)?)?,
                (15, _) => return Err("it has sparse initialisers, which are not read".into()),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> NodeProto<'a> {
    fn read(bytes: &'a [u8]) -> Result<NodeProto<'a>, String> {
        let mut node = NodeProto::default();
        for field in Fields(bytes) {
            match field? {
                (1, name) => push(&mut node.inputs, "inputs of a node", name.text()?)?,
                (2, name) => push(&mut node.outputs, "outputs of a node", name.text()?)?,
                (3, name) => node.name = name.text()?,
                (4, name) => node.operator = name.text()?,
                (5, attribute) => {
                    let bytes = attribute.bytes()?;
                    let mut name = "";
                    for field in Fields(bytes) {
                        if let (1, text) = field? {
                            name = text.text()?;
                        }
                    }
                    push(&mut node.attributes, "settings of a node", (name, bytes))?;
                }
                (7, name) => node.domain = name.text()?,
                _ => {}
            }
        }
        Ok(node)
    }

    /// Describes the node for messages: `Conv "conv1"`.
    pub fn description(&self) -> String {
        let name = if self.name.is_empty() { self.outputs.first().copied().unwrap_or("") } else { self.name };
        format!("{} \"{}\"", shown(self.operator), shown(name))
    }
}

/// Cuts a name from a file to a length that a message can show.
pub fn shown(name: &str) -> String {
    const SHOWN: usize = 80;
    let mut text: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}

impl<'a> Attribute<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Attribute<'a>, Malformed> {
        let mut attribute = Attribute::default();
        for field in Fields(bytes) {
            match field? {
                (2, number) => attribute.float = Some(number.float()?),
                (3, number) => attribute.int = Some(number.int()?),
                (4, text) => attribute.text = Some(text.bytes()?),
                (5, tensor) => attribute.tensor = Some(TensorProto::read(tensor.bytes()?)?),
                (7, numbers) => numbers.floats(&mut attribute.floats)?,
                (8, numbers) => numbers.ints(&mut attribute.ints)?,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

impl<'a> TensorProto<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<TensorProto<'a>, Malformed> {
        let mut tensor = TensorProto { bytes, ..TensorProto::default() };
        for field in Fields(bytes) {
            match field? {
                (1, sizes) => sizes.ints(&mut tensor.dims)?,
                (2, kind) => tensor.data_type = kind.int()?,
                (8, name) => tensor.name = name.text()?,
                _ => {}
            }
        }
        Ok(tensor)
    }
}

impl<'a> ValueInfo<'a> {
    fn read(bytes: &'a [u8]) -> Result<ValueInfo<'a>, Malformed> {
        let mut value = ValueInfo::default();
        for field in Fields(bytes) {
            match field? {
                (1, name) => value.name = name.text()?,
                (2, kind) => {
                    for field in Fields(kind.bytes()?) {
                        if let (1, tensor) = field? {
                            value.read_type(tensor.bytes()?)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(value)
    }

    fn read_type(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields(bytes) {
            match field? {
                (1, kind) => self.data_type = kind.int()?,
                (2, shape) => {
                    let mut dims = Vec::new();
                    for field in Fields(shape.bytes()?) {
                        if let (1, dim) = field? {
                            dims.push(DimProto::read(dim.bytes()?)?);
                        }
                    }
                    self.dims = Some(dims);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> DimProto<'a> {
    fn read(bytes: &'a [u8]) -> Result<DimProto<'a>, Malformed> {
        let mut dim = DimProto::Named("");
        for field in Fields(bytes) {
            match field? {
                (1, size) => dim = DimProto::Fixed(size.int()?),
                (2, name) => dim = DimProto::Named(name.text()?),
                _ => {}
            }
        }
        Ok(dim)
    }
}
