//! From an ONNX file to a model.

mod call;
mod elementwise;
mod folding;
mod joining;
mod movement;
mod normalisation;
mod padding;
mod pool;
mod product;
mod reader;
mod reduction;
mod resize;
mod table;
mod value;

use crate::{
    Constant, Error, Result,
    constant::{Array, Data, check_axes, read_tensor},
    layout::usual_order,
    proto::{DimProto, GraphProto, ModelProto, NodeProto, ValueInfo, shown},
};
use call::Call;
use joining::joined;
use ocelli_graph::{AxisRole, Dim, Model, Node};
use reader::Reader;
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    rc::Rc,
};
pub use table::OPERATORS;
use table::handler;
use value::{Known, Symbol, Value};

/// Newest version of the operators whose definitions are known here.
const NEWEST_OPSET: i64 = 25;
/// Oldest version of the operators that is read.
const OLDEST_OPSET: i64 = 7;
/// The element type of images in `onnx.proto`.
const F32: i64 = 1;

/// Reads ONNX files: what the network is told beyond the file.
///
/// Not run here, because there is no such file:
///
/// ```no_run
/// use ocelli_onnx::Import;
/// let imported = Import::new().size("height", 224).size("width", 224).read("model.onnx")?;
/// println!("{}", imported.model.summary());
/// # Ok::<(), ocelli_onnx::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Import {
    sizes: HashMap<String, usize>,
    constants: HashMap<String, Constant>,
    image_size: Option<[usize; 2]>,
    any_batch: bool,
}

/// A model from a file.
#[derive(Debug)]
pub struct Imported {
    /// The network with its parameters. Inputs have the names of the file; the first result is called `output`, others
    /// have the names of the file.
    pub model: Model,
    /// Names of the inputs, in the order of the file.
    pub inputs: Vec<String>,
    /// Results in the order of the file.
    pub outputs: Vec<Output>,
    /// The file's metadata by key, such as classes and preprocessing.
    pub metadata: BTreeMap<String, String>,
    /// The program that wrote the file.
    pub producer: String,
}

/// A result of an imported network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name in the model.
    pub name: String,
    /// Its name in the file.
    pub name_in_file: String,
    /// The type of its elements in the file; in the model they are `f32`.
    pub elements: OutputKind,
}

/// Elements of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Numbers.
    F32,
    /// Integers.
    I64,
    /// Truth values.
    Bool,
}

impl Import {
    /// Reads a file as it is.
    pub fn new() -> Import {
        Import::default()
    }

    /// Gives a size that the file leaves open, by its name there, a value: `height`, `seq_len`. What is first in the
    /// shape of an input stays the number of samples.
    #[must_use]
    pub fn size(mut self, name: impl Into<String>, size: usize) -> Import {
        self.sizes.insert(name.into(), size);
        self
    }

    /// Gives images a height and a width, `[height, width]`, where the file leaves them open, whatever it calls them.
    #[must_use]
    pub fn image_size(mut self, size: [usize; 2]) -> Import {
        self.image_size = Some(size);
        self
    }

    /// Makes the first axis of each input that is an image the number of samples, though the file says a number. A file
    /// that was written for one image then takes any number of them.
    #[must_use]
    pub fn any_batch(mut self) -> Import {
        self.any_batch = true;
        self
    }

    /// Gives an input a value for good, in the layout of the file. Shapes and other settings that are inputs have to be
    /// known when the file is read.
    #[must_use]
    pub fn constant(mut self, input: impl Into<String>, value: Constant) -> Import {
        self.constants.insert(input.into(), value);
        self
    }

    /// Reads a file. Data in other files are read from its folder, and from nowhere else.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::File`] for a file that is damaged or no ONNX, [`Error::Operators`] with every operator that
    /// is not read, [`Error::Node`] for a node whose operands or settings are not, [`Error::Graph`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Imported> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::Io { path: path.display().to_string(), source })?;
        let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        self.read_in(&bytes, &path.display().to_string(), folder)
    }

    /// Reads the bytes of a file; `name` is what errors call it. They have no other files beside them.
    ///
    /// # Errors
    /// The errors of [`Import::read`].
    pub fn read_bytes(&self, bytes: &[u8], name: &str) -> Result<Imported> {
        self.read_in(bytes, name, None)
    }

    fn read_in(&self, bytes: &[u8], path: &str, folder: Option<&Path>) -> Result<Imported> {
        let wrong = |reason: String| Error::File { path: path.into(), reason };
        let file = ModelProto::read(bytes).map_err(wrong)?;
        let graph = file.graph.as_ref().ok_or_else(|| wrong("it is no ONNX file: it has no graph".into()))?;
        let opset = file.opsets.get("").copied().unwrap_or(1);
        if !(OLDEST_OPSET..=NEWEST_OPSET).contains(&opset) {
            let reason = format!("its operators are of version {opset}; {OLDEST_OPSET} to {NEWEST_OPSET} are read");
            return Err(wrong(reason));
        }
        let operators = unread(graph);
        if !operators.is_empty() {
            return Err(Error::Operators { path: path.into(), operators });
        }
        self.check_constants(graph).map_err(wrong)?;
        // trace the network; the first mistake ends it
        let (mut mistake, mut parts) = (None, None);
        let traced = Model::trace(0, |trace| {
            let mut reader = Reader::new(trace.clone(), opset, bytes.len(), folder.map(Path::to_path_buf));
            match self.describe(graph, &mut reader, path) {
                Ok((node, inputs, outputs)) => {
                    parts = Some((std::mem::take(&mut reader.parameters), inputs, outputs));
                    node
                }
                Err(Stop::Traced) => trace.fail("import", "the network was not traced"),
                Err(Stop::At(error)) => {
                    let node = trace.fail("import", error.to_string());
                    mistake = Some(error);
                    node
                }
            }
        });
        if let Some(error) = mistake {
            return Err(error);
        }
        let of_graph = |source| Error::Graph { path: path.into(), source };
        let mut model = traced.map_err(of_graph)?;
        let (parameters, inputs, outputs) = parts.unwrap_or_default();
        for (name, value) in parameters {
            model.parameters_mut().set(&name, value).map_err(of_graph)?;
        }
        Ok(Imported { model, inputs, outputs, metadata: file.metadata, producer: shown(file.producer) })
    }

    /// Describes the network of the graph on the reader's trace: its first result, its inputs and its results.
    fn describe(
        &self,
        graph: &GraphProto<'_>,
        reader: &mut Reader,
        path: &str,
    ) -> Result<(Node, Vec<String>, Vec<Output>), Stop> {
        let wrong = |reason: String| Stop::At(Error::File { path: path.into(), reason });
        for tensor in &graph.initializers {
            let array = read_tensor(tensor, reader.folder.as_deref())
                .map_err(|reason| wrong(format!("the initialiser \"{}\": {reason}", shown(tensor.name))))?;
            let known = Known { array: Rc::new(array), name: tensor.name.into(), learnt: true };
            reader.values.insert(tensor.name.into(), Value::Known(known));
        }
        let mut inputs = Vec::new();
        for input in &graph.inputs {
            self.read_input(input, reader, &mut inputs).map_err(wrong)?;
        }
        if reader.trace.has_failed() {
            return Err(Stop::Traced);
        }
        let nodes = joined(graph);
        for node in nodes.iter().flatten() {
            let read = read_node(node, reader);
            if reader.trace.has_failed() {
                return Err(Stop::Traced);
            }
            read.map_err(|reason| Stop::At(Error::Node { path: path.into(), node: node.description(), reason }))?;
        }
        let (first, outputs) = read_outputs(graph, reader).map_err(wrong)?;
        Ok((first, inputs, outputs))
    }

    /// Reads an input of the graph that no initialiser has a value for.
    fn read_input(&self, input: &ValueInfo<'_>, reader: &mut Reader, inputs: &mut Vec<String>) -> Result<(), String> {
        let name = shown(input.name);
        if let Some(constant) = self.constants.get(input.name) {
            let known = Known { array: Rc::new(Array::from(constant)), name: input.name.into(), learnt: false };
            reader.values.insert(input.name.into(), Value::Known(known));
            return Ok(());
        }
        if reader.values.contains_key(input.name) {
            return Ok(());
        }
        if input.data_type != F32 {
            return Err(format!(
                "the input \"{name}\" has no F32 numbers; one that is a setting gets a value by `Import::constant`"
            ));
        }
        let dims = input.dims.as_ref().ok_or_else(|| format!("the input \"{name}\" has no shape"))?;
        check_axes(dims.len()).map_err(|reason| format!("the input \"{name}\" has {reason}"))?;
        let is_image = dims.len() == 4;
        let mut sizes = Vec::new();
        for (axis, dim) in dims.iter().enumerate() {
            sizes.push(match *dim {
                DimProto::Fixed(_) if axis == 0 && is_image && self.any_batch => Dim::Batch(1),
                DimProto::Fixed(size) if size >= 0 => Dim::Fixed(usize::try_from(size).unwrap_or(usize::MAX)),
                DimProto::Fixed(size) => return Err(format!("the input \"{name}\" has an axis of {size}")),
                DimProto::Named(size) => match self.open_size(size, axis, is_image) {
                    Some(size) => Dim::Fixed(size),
                    None if axis == 0 => Dim::Batch(1),
                    None => {
                        let size = shown(size);
                        return Err(format!(
                            "axis {axis} of the input \"{name}\" has the size \"{size}\", which `Import::size` gives a value"
                        ));
                    }
                },
            });
        }
        let symbol = reader.input(input.name, &sizes);
        inputs.push(input.name.to_string());
        reader.values.insert(input.name.into(), Value::Symbol(symbol));
        Ok(())
    }

    /// The size that an axis was given which the file leaves open.
    fn open_size(&self, name: &str, axis: usize, is_image: bool) -> Option<usize> {
        let of_image = || self.image_size.filter(|_| is_image && axis >= 2).map(|size| size[axis - 2]);
        self.sizes.get(name).copied().or_else(of_image)
    }

    /// Checks that the graph has the inputs that were given values.
    fn check_constants(&self, graph: &GraphProto<'_>) -> Result<(), String> {
        let unknown = |name: &&String| !graph.inputs.iter().any(|input| input.name == **name);
        match self.constants.keys().find(unknown) {
            Some(name) => Err(format!("no input is called \"{}\"", shown(name))),
            None => Ok(()),
        }
    }
}

/// Returns what a file says about itself, such as classes and preprocessing, without the network.
///
/// # Errors
/// [`Error::Io`], [`Error::File`] for a file that is damaged or no ONNX.
pub fn read_metadata(path: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|source| Error::Io { path: path.display().to_string(), source })?;
    let file = ModelProto::read(&bytes).map_err(|reason| Error::File { path: path.display().to_string(), reason })?;
    Ok(file.metadata)
}

/// Why the description of a network ends.
enum Stop {
    /// The trace has the reason.
    Traced,
    At(Error),
}

/// Lists the operators that are not read, each with the nodes that it is found at.
fn unread(graph: &GraphProto<'_>) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in &graph.nodes {
        if handler(node.domain, node.operator).is_none() {
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", shown(node.domain)) };
            let name = if node.name.is_empty() { node.outputs.first().copied().unwrap_or("") } else { node.name };
            missing.entry(domain + &shown(node.operator)).or_default().push(shown(name));
        }
    }
    let described = |(operator, nodes): (String, Vec<String>)| {
        let more = nodes.len().saturating_sub(SHOWN);
        let names: Vec<_> = nodes.iter().take(SHOWN).map(|name| format!("\"{name}\"")).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{operator} ({}{more})", names.join(", "))
    };
    missing.into_iter().map(described).collect()
}

/// Makes a node of the file a part of the network.
fn read_node<'a>(node: &NodeProto<'a>, reader: &mut Reader) -> Result<(), String> {
    let handle = handler(node.domain, node.operator).ok_or("it is not read")?;
    let operand = |name: &&str| if name.is_empty() { Ok(None) } else { reader.value(name).map(Some) };
    let inputs = node.inputs.iter().map(operand).collect::<Result<Vec<_>, _>>()?;
    let path = reader.path(node);
    let mut call = Call { reader, node, inputs, path: Cell::new(Some(path)) };
    let results = handle(&mut call)?;
    for (name, value) in node.outputs.iter().zip(results) {
        if !name.is_empty() && reader.values.insert(name.to_string(), value).is_some() {
            return Err(format!("\"{}\" was made before", shown(name)));
        }
    }
    match node.outputs.iter().find(|name| !name.is_empty() && !reader.values.contains_key(**name)) {
        Some(name) => Err(format!("its result \"{}\" is not computed here", shown(name))),
        None => Ok(()),
    }
}

/// Names the results of the graph, and returns the first with all of them.
fn read_outputs(graph: &GraphProto<'_>, reader: &mut Reader) -> Result<(Node, Vec<Output>), String> {
    let (mut first, mut outputs) = (None, Vec::new());
    for output in &graph.outputs {
        let (symbol, elements) = match reader.value(output.name) {
            Ok(Value::Symbol(symbol)) => (symbol, OutputKind::F32),
            Ok(Value::Known(known)) => constant_output(&known, reader)?,
            Err(reason) => return Err(reason),
        };
        let node = symbol.arranged(&usual_order(symbol.rank()));
        let name = match first {
            None => "output".to_string(),
            Some(_) => reader.unique(output.name.to_string()),
        };
        match first {
            None => first = Some(node),
            Some(_) => drop(node.named(&name)),
        }
        outputs.push(Output { name, name_in_file: output.name.to_string(), elements });
    }
    let first = first.ok_or("its graph has no results")?;
    Ok((first, outputs))
}

/// Makes a result of a constant.
fn constant_output(known: &Known, reader: &mut Reader) -> Result<(Symbol, OutputKind), String> {
    let (kind, numbers) = match &known.array.data {
        Data::Float(list) => (OutputKind::F32, list.clone()),
        Data::Bool(list) => (OutputKind::Bool, list.iter().map(|&bit| if bit { 1.0 } else { 0.0 }).collect()),
        Data::Int(list) => {
            let fixed = list.iter().map(|int| int.fixed().map(|int| int as f32)).collect::<Option<Vec<f32>>>();
            (OutputKind::I64, fixed.ok_or("a result depends on the number of samples only")?)
        }
    };
    let array = Array { shape: known.array.shape.clone(), data: Data::Float(numbers) };
    let known = Known { array: Rc::new(array), ..known.clone() };
    let order = usual_order(known.array.shape.len());
    Ok((reader.parameter(&known, &order, AxisRole::Unnamed)?, kind))
}
