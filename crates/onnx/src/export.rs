//! From a model to an ONNX file.

mod call;
mod file;
mod functions;
mod movements;
mod normalisations;
mod operations;
mod products;
mod windows;

use crate::{Error, Result, layout::Layout};
pub use call::CallWriter;
use call::{Stored, Value};
pub use file::Setting;
use file::{Border, File};
pub(crate) use functions::DOMAIN;
use ocelli_graph::{Call, Dim, Model, Op, ValueId, ValueSource, ops::Identity};
use ocelli_models::Metadata;
use ocelli_tensor::write_atomically;
use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    path::Path,
    sync::Arc,
};

/// Writes a call as nodes of the file, or says why it cannot be.
type Rule = Box<dyn Fn(&dyn Any, &mut CallWriter<'_>) -> Result<(), String> + Send + Sync>;

/// Writes models as ONNX files, in the form of inference, for operators of version 17.
///
/// Images are `[N, C, H, W]` in the file, and the number of samples is open. Layers keep their names, parameters theirs.
///
/// ```
/// use ocelli_graph::{Model, Node};
/// use ocelli_onnx::{Export, Import};
/// let model = Model::build(|x: &Node| x.relu().global_avg_pool(), [4, 4, 3], 0)?;
/// let bytes = Export::new().to_bytes(&model)?;
/// let again = Import::new().read_bytes(&bytes, "model.onnx")?.model;
/// assert_eq!(again.graph().calls.len(), model.graph().calls.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An operation of one's own says how it is written, or is refused by name:
///
/// ```
/// use ocelli_graph::{Model, Node, ops::MapOp};
/// use ocelli_onnx::Export;
/// let model = Model::build(|x: &Node| x.map("Softsign", |x| x / (1.0 + x.abs()), |x| (1.0 + x.abs()).powi(-2)), [3], 0)?;
/// let refused = Export::new().to_bytes(&model).unwrap_err().to_string();
/// assert_eq!(refused, "Softsign: no rule writes this operation; `Export::operation` takes one");
/// let export = Export::new().operation(|map: &MapOp, call| match map.name() {
///     "Softsign" => call.elementwise("Softsign", &[]),
///     name => Err(format!("the function {name} is not known")),
/// });
/// assert!(export.to_bytes(&model).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Export {
    rules: HashMap<TypeId, Rule>,
    metadata: BTreeMap<String, String>,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Export({} operations)", self.rules.len())
    }
}

impl Default for Export {
    fn default() -> Export {
        Export::new()
    }
}

impl Export {
    /// Writes the operations of this library.
    pub fn new() -> Export {
        operations::all(Export { rules: HashMap::new(), metadata: BTreeMap::new() })
    }

    /// Writes operations of type `O` by a rule. It replaces the one that there is.
    #[must_use]
    pub fn operation<O: Op>(
        mut self,
        rule: impl Fn(&O, &mut CallWriter<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Export {
        let any = move |op: &dyn Any, call: &mut CallWriter<'_>| match op.downcast_ref::<O>() {
            Some(op) => rule(op, call),
            None => Err("its rule is that of another operation".into()),
        };
        self.rules.insert(TypeId::of::<O>(), Box::new(any));
        self
    }

    /// Adds what the file says about itself, such as classes and preprocessing of a network file.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Export {
        self.metadata.extend(metadata);
        self
    }

    /// Writes the model with the result called `output` to a file, which is replaced when all of it is there.
    ///
    /// # Errors
    /// [`Error::Export`] for an operation that cannot be written, [`Error::Write`].
    pub fn write(&self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        let file = self.file(model)?;
        Ok(write_atomically(path, |to| file.write(to))?)
    }

    /// Returns the bytes of the file.
    ///
    /// # Errors
    /// [`Error::Export`].
    pub fn to_bytes(&self, model: &Model) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let failed = |error: std::io::Error| Error::Export { layer: "the file".into(), reason: error.to_string() };
        self.file(model)?.write(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn file(&self, model: &Model) -> Result<File> {
        let graph = model.graph();
        let refused = |layer: &str, reason: String| Error::Export { layer: layer.into(), reason };
        let missing = || refused("the network", "it has no result called \"output\"".into());
        let output = graph.find("output").ok_or_else(missing)?;
        let mut file = File { metadata: self.metadata.clone(), ..File::default() };
        let mut values: Vec<Option<Value>> = vec![None; graph.values.len()];
        let needed = needed(&graph.calls, output, graph.values.len());
        // inputs and parameters
        for (id, value) in graph.values.iter().enumerate().filter(|(id, _)| needed[*id]) {
            let dims = value.shape.dims();
            match &value.source {
                ValueSource::Input(name) => {
                    let layout = Layout::ordered(dims, &stored_order(dims.len()));
                    let sizes = sizes(&layout.factors);
                    file.inputs.push(Border { name: name.clone(), elements: value.kind, sizes });
                    values[id] = Some(Value::Stored(Stored::new(name, layout)));
                }
                ValueSource::Parameter(path) => {
                    let tensor = model.parameters().value(path).cloned();
                    values[id] = tensor.map(|tensor| Value::Known { name: path.clone(), tensor });
                }
                ValueSource::Call => {}
            }
        }
        // calls in their order
        let named: HashMap<ValueId, &str> =
            graph.names.iter().filter(|(name, _)| *name != "output").map(|(name, &id)| (id, name.as_str())).collect();
        let mut taken: HashSet<String> = graph.names.keys().chain(graph.parameters.keys()).cloned().collect();
        for call in graph.calls.iter().filter(|call| call.outputs.iter().any(|&output| needed[output])) {
            let layer =
                if call.path.is_empty() { call.op.kind() } else { format!("{} ({})", call.path, call.op.kind()) };
            let op: &dyn Any = &*call.op;
            let no_rule = || "no rule writes this operation; `Export::operation` takes one".to_string();
            let rule = self.rules.get(&op.type_id()).ok_or_else(|| refused(&layer, no_rule()))?;
            let name = named.get(&call.outputs[0]).copied();
            let mut writer = CallWriter::new(graph, call, &mut values, &mut file, &mut taken, name);
            rule(op, &mut writer).map_err(|reason| refused(&layer, reason))?;
        }
        self.finish(model, output, &mut values, &mut file, &mut taken).map_err(|reason| refused("output", reason))?;
        Ok(file)
    }

    /// Makes the value of `output` the result of the file.
    fn finish(
        &self,
        model: &Model,
        output: ValueId,
        values: &mut [Option<Value>],
        file: &mut File,
        taken: &mut HashSet<String>,
    ) -> Result<(), String> {
        let graph = model.graph();
        let end = Call {
            op: Arc::new(Identity),
            inputs: vec![output],
            outputs: vec![output],
            path: String::new(),
            kind: String::new(),
        };
        let dims = graph.values[output].shape.dims();
        let order = stored_order(dims.len());
        let mut writer = CallWriter::new(graph, &end, values, file, taken, None);
        let name = writer.arranged(0, &order)?;
        let is_made = file.nodes.iter().any(|node| node.outputs.contains(&name));
        if is_made {
            file.rename(&name, "output");
        } else {
            let mut writer = CallWriter::new(graph, &end, values, file, taken, Some("output"));
            writer.node_called("output", "Identity", "", &[&name], &[]);
        }
        let lying: Vec<Dim> = order.iter().map(|&axis| dims[axis]).collect();
        let elements = graph.values[output].kind;
        file.outputs.push(Border { name: "output".into(), elements, sizes: sizes(&lying) });
        Ok(())
    }
}

/// The order in which the axes of a value lie in the file: `[N, C, H, W]` for images.
fn stored_order(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 3, 1, 2] } else { (0..rank).collect() }
}

/// Sizes of axes, of which the number of samples has a name.
fn sizes(dims: &[Dim]) -> Vec<Result<usize, String>> {
    let size = |dim: &Dim| dim.fixed().ok_or_else(|| dim.to_string());
    dims.iter().map(size).collect()
}

/// For each value, whether the output depends on it.
fn needed(calls: &[Call], output: ValueId, count: usize) -> Vec<bool> {
    let mut needed = vec![false; count];
    needed[output] = true;
    for call in calls.iter().rev().filter(|call| !call.outputs.is_empty()) {
        if call.outputs.iter().any(|&output| needed[output]) {
            call.inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    needed
}
