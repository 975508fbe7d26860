//! The state of reading one graph.

use super::value::{Known, Symbol, Value};
use crate::{
    constant::Data,
    layout::{Layout, usual_order},
    proto::{NodeProto, shown},
};
use ocelli_graph::{AxisRole, Constant as Filled, Dim, Initializer, Key, ParameterAxis, ParameterShape, Tensor, Trace};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

/// Values that are known so far, and the parameters that were made.
pub(crate) struct Reader {
    pub trace: Trace,
    pub opset: i64,
    pub folder: Option<PathBuf>,
    pub values: HashMap<String, Value>,
    /// Paths and values of the parameters.
    pub parameters: Vec<(String, Tensor)>,
    made: HashMap<String, Symbol>,
    taken: HashSet<String>,
    repeated: HashMap<String, usize>,
    /// Elements of constants that may still be computed.
    budget: usize,
}

/// Elements of constants that every file may make, and those for each of its bytes.
const BASE_ELEMENTS: usize = 1 << 20;
const ELEMENTS_PER_BYTE: usize = 4;

impl Reader {
    pub fn new(trace: Trace, opset: i64, length: usize, folder: Option<PathBuf>) -> Reader {
        Reader {
            trace,
            opset,
            folder,
            values: HashMap::new(),
            parameters: Vec::new(),
            made: HashMap::new(),
            taken: HashSet::from(["output".to_string()]),
            repeated: HashMap::new(),
            budget: BASE_ELEMENTS.saturating_add(length.saturating_mul(ELEMENTS_PER_BYTE)),
        }
    }

    /// Checks that constants may still take `elements`.
    pub fn afford(&self, elements: usize) -> Result<(), String> {
        if elements > self.budget {
            Err("its constants grow beyond what a file may make of itself".into())
        } else {
            Ok(())
        }
    }

    /// Takes `elements` of what constants may take together.
    pub fn charge(&mut self, elements: usize) -> Result<(), String> {
        self.afford(elements)?;
        self.budget -= elements;
        Ok(())
    }

    /// Makes a parameter of a constant whose axes have no roles.
    pub fn parameter(&mut self, known: &Known, order: &[usize], role: AxisRole) -> Result<Symbol, String> {
        self.parameter_with(known, order, &vec![role; order.len()])
    }

    /// Returns the parameter that a constant is; makes it, with its axes in this order, if it was not used before.
    pub fn parameter_with(&mut self, known: &Known, order: &[usize], roles: &[AxisRole]) -> Result<Symbol, String> {
        if let Some(symbol) = self.made.get(&*known.name) {
            return Ok(symbol.clone());
        }
        let array = &known.array;
        if order.len() != array.shape.len() {
            let (got, expected) = (array.shape.len(), order.len());
            return Err(format!("\"{}\" has {got} axes, expected {expected}", shown(&known.name)));
        }
        let dims: Vec<Dim> = array.shape.iter().map(|&size| Dim::Fixed(size)).collect();
        let layout = Layout::ordered(&dims, order);
        let lying = if order.is_sorted() { None } else { Some(array.permuted(order)) };
        let tensor = self.tensor(known, lying.as_ref().map_or(&array.data, |lying| &lying.data))?;
        let sizes: Vec<usize> = order.iter().map(|&axis| array.shape[axis]).collect();
        let roles: Vec<AxisRole> = if roles.len() == sizes.len() { roles.to_vec() } else { vec![] };
        self.made_of(known, tensor, &sizes, &roles, layout)
    }

    /// Makes a parameter that lies in `sizes` and whose axes in the file are those of the layout.
    pub fn made_of(
        &mut self,
        known: &Known,
        values: Vec<f32>,
        sizes: &[usize],
        roles: &[AxisRole],
        layout: Layout,
    ) -> Result<Symbol, String> {
        let path = if known.name.is_empty() { "constant".to_string() } else { known.name.to_string() };
        let shape = parameter_shape(sizes, roles);
        let node = match known.learnt {
            true => self.trace.parameter(&path, shape, Drawn),
            false => self.trace.state(&path, shape, Filled(0.0)),
        };
        let values = Tensor::from_vec(sizes, values).map_err(|error| error.to_string())?;
        self.parameters.push((path, values));
        let symbol = Symbol { node, layout };
        self.made.insert(known.name.to_string(), symbol.clone());
        Ok(symbol)
    }

    /// Returns the parameter that a constant became.
    pub fn made(&self, known: &Known) -> Option<&Symbol> {
        self.made.get(&*known.name)
    }

    /// Converts elements to those of a parameter.
    pub fn tensor(&self, known: &Known, data: &Data) -> Result<Vec<f32>, String> {
        if data.len() == 0 {
            return Err(format!("\"{}\" has no elements", shown(&known.name)));
        }
        match data {
            Data::Float(list) => Ok(list.clone()),
            Data::Int(_) | Data::Bool(_) => {
                Err(format!("\"{}\" has integers, which are only read as shapes and settings", shown(&known.name)))
            }
        }
    }

    /// The path of the layer that a node becomes: the place of its weights, or its own name.
    pub fn path(&mut self, node: &NodeProto<'_>) -> String {
        let weight = node.inputs.iter().skip(1).filter_map(|name| name.strip_suffix(".weight")).next();
        let name = weight.map_or_else(|| node.name.trim_matches('/').replace('/', "."), str::to_string);
        let name = if name.is_empty() { node.operator.to_lowercase() } else { name };
        self.unique(name)
    }

    /// Returns the name, with a number behind it if it is taken.
    pub fn unique(&mut self, name: String) -> String {
        let mut path = name.clone();
        while !self.taken.insert(path.clone()) {
            let count = self.repeated.entry(name.clone()).or_insert(1);
            *count += 1;
            path = format!("{name}_{count}");
        }
        path
    }

    /// The value called `name`.
    pub fn value(&self, name: &str) -> Result<Value, String> {
        let missing = || format!("\"{}\" is read, but no node before makes it", shown(name));
        self.values.get(name).cloned().ok_or_else(missing)
    }

    /// Adds an input of the network.
    pub fn input(&mut self, name: &str, dims: &[Dim]) -> Symbol {
        let order = usual_order(dims.len());
        let lying: Vec<Dim> = order.iter().map(|&axis| dims[axis]).collect();
        self.taken.insert(name.to_string());
        Symbol::ordered(self.trace.input(name, ocelli_graph::Shape::new(lying)), &order)
    }
}

/// The first values of a layer that replaces another ([`ocelli_graph::Model::with_classes`]): weights as PyTorch draws them,
/// uniform within `±1 / √fan_in`, and zeros for everything else. A network that is read has the values of the file.
#[derive(Clone, Copy, Debug)]
struct Drawn;

impl Initializer for Drawn {
    fn fill(&self, axes: &[ParameterAxis], key: Key, values: &mut [f32]) {
        let inputs = axes.iter().filter(|axis| axis.role != AxisRole::Outputs);
        if axes.len() < 2 || inputs.clone().count() == axes.len() {
            values.fill(0.0);
            return;
        }
        let limit = inputs.map(|axis| axis.size as f32).product::<f32>().sqrt().recip();
        let mut stream = key.stream();
        values.iter_mut().for_each(|value| *value = stream.between(-limit, limit));
    }
}

/// The shape of a parameter, with the roles of its axes where they are known.
fn parameter_shape(sizes: &[usize], roles: &[AxisRole]) -> ParameterShape {
    match (sizes, roles) {
        (&[a], &[x]) => ([x], [a]).into(),
        (&[a, b], &[x, y]) => ([x, y], [a, b]).into(),
        (&[a, b, c, d], &[x, y, z, w]) => ([x, y, z, w], [a, b, c, d]).into(),
        _ => sizes.into(),
    }
}
