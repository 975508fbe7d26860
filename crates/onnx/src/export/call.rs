//! A call of the network while it becomes nodes of the file.

use super::{
    file::{File, FileNode, Initializer, Numbers, Setting},
    functions::DOMAIN,
    stored_order,
};
use crate::layout::Layout;
use ocelli_graph::{Call, Dim, Graph, Shape, Tensor};
use std::collections::HashSet;

/// A value of the network, in the file.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A tensor of the file.
    Stored(Stored),
    /// A tensor that is known, in the layout of the network; it becomes an initialiser in the form that is wanted.
    Known { name: String, tensor: Tensor },
    /// One number, repeated.
    Filled { value: f32 },
}

/// A tensor of the file and the axes of the network that it holds.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    name: String,
    /// Sizes of its axes in the file, which factors of the layout may be parts of.
    sizes: Vec<Dim>,
    pub layout: Layout,
}

impl Stored {
    pub fn new(name: impl Into<String>, layout: Layout) -> Stored {
        Stored { name: name.into(), sizes: layout.factors.clone(), layout }
    }

    /// The same tensor under other axes.
    pub fn with_layout(self, layout: Layout) -> Stored {
        Stored { layout, ..self }
    }
}

/// One call of an operation, for the rule that writes it.
///
/// Rules speak of axes as the network does, `[N, H, W, C]`; where the elements lie in the file is the writer's business,
/// unless a rule asks for an order.
#[derive(Debug)]
pub struct CallWriter<'a> {
    graph: &'a Graph,
    call: &'a Call,
    values: &'a mut [Option<Value>],
    file: &'a mut File,
    taken: &'a mut HashSet<String>,
    name: String,
}

impl<'a> CallWriter<'a> {
    pub(crate) fn new(
        graph: &'a Graph,
        call: &'a Call,
        values: &'a mut [Option<Value>],
        file: &'a mut File,
        taken: &'a mut HashSet<String>,
        name: Option<&str>,
    ) -> CallWriter<'a> {
        let kind = call.op.kind().to_lowercase();
        let name = match name {
            Some(name) => name.to_string(),
            None if call.path.is_empty() => kind,
            None => format!("{}.{kind}", call.path),
        };
        CallWriter { graph, call, values, file, taken, name }
    }

    /// Number of operands.
    pub fn operands(&self) -> usize {
        self.call.inputs.len()
    }

    /// Shape of an operand, as the network has it.
    pub fn shape(&self, operand: usize) -> &'a Shape {
        &self.graph.values[self.call.inputs[operand]].shape
    }

    /// Shape of the result, as the network has it.
    pub fn result_shape(&self) -> &'a Shape {
        &self.graph.values[self.call.outputs[0]].shape
    }

    /// Height, width and so on of an operand: sizes of all axes, for one sample.
    pub fn sizes(&self, operand: usize) -> Vec<usize> {
        self.shape(operand).at(1)
    }

    pub(crate) fn value(&self, operand: usize) -> Result<Value, String> {
        self.values[self.call.inputs[operand]].clone().ok_or_else(|| format!("operand {operand} is not in the file"))
    }

    /// The operand if it is a parameter.
    pub fn parameter(&self, operand: usize) -> Option<Tensor> {
        match &self.values[self.call.inputs[operand]] {
            Some(Value::Known { tensor, .. }) => Some(tensor.clone()),
            _ => None,
        }
    }

    /// A name that no value has.
    fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_string();
        let mut number = 1;
        while !self.taken.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}_{number}");
        }
        unique
    }

    /// Adds a constant of numbers in the layout of the file; returns its name.
    pub fn numbers(&mut self, name: &str, sizes: &[usize], numbers: Vec<f32>) -> String {
        let is_parameter = self.graph.parameters.contains_key(name);
        let first = is_parameter && !self.file.initializers.iter().any(|known| known.name == name);
        let name = if first { name.to_string() } else { self.unique(name) };
        self.file.initializers.push(Initializer {
            name: name.clone(),
            sizes: sizes.to_vec(),
            numbers: Numbers::F32(numbers),
        });
        name
    }

    /// Adds a single number; returns its name.
    pub fn number(&mut self, number: f32) -> String {
        let name = format!("{}.number", self.name);
        self.numbers(&name, &[], vec![number])
    }

    /// Adds a list of integers; returns its name.
    pub fn integers(&mut self, list: &[i64]) -> String {
        let name = self.unique(&format!("{}.integers", self.name));
        self.file.initializers.push(Initializer {
            name: name.clone(),
            sizes: vec![list.len()],
            numbers: Numbers::I64(list.to_vec()),
        });
        name
    }

    /// Adds a node; returns the name of its result.
    pub fn node(&mut self, operator: &str, inputs: &[&str], settings: &[(&'static str, Setting)]) -> String {
        let name = self.unique(&format!("{}.{}", self.name, operator.to_lowercase()));
        self.node_called(&name, operator, "", inputs, settings);
        name
    }

    /// Adds the last node of the call, which is called as its layer is; returns the name of its result.
    pub fn last_node(&mut self, operator: &str, inputs: &[&str], settings: &[(&'static str, Setting)]) -> String {
        let name = self.last_name();
        self.node_called(&name, operator, "", inputs, settings);
        name
    }

    /// Adds the last node of the call, a function of this library.
    pub(crate) fn function(&mut self, name: &str, inputs: &[&str]) -> String {
        let result = self.last_name();
        self.node_called(&result, name, DOMAIN, inputs, &[]);
        result
    }

    fn last_name(&mut self) -> String {
        let name = self.name.clone();
        let is_made = self.file.nodes.iter().any(|node| node.outputs.contains(&name));
        let of_graph = self.graph.names.contains_key(&name);
        if of_graph && !is_made { name } else { self.unique(&name) }
    }

    pub(crate) fn node_called(
        &mut self,
        name: &str,
        operator: &str,
        domain: &'static str,
        inputs: &[&str],
        settings: &[(&'static str, Setting)],
    ) {
        self.file.nodes.push(FileNode {
            name: name.into(),
            operator: operator.into(),
            domain,
            inputs: inputs.iter().map(|name| name.to_string()).collect(),
            outputs: vec![name.into()],
            settings: settings.to_vec(),
        });
    }

    /// The operand as a tensor of the file with one axis for each of the network's, in this order of them; returns its
    /// name.
    ///
    /// # Errors
    /// A sentence if the operand is not in the file.
    pub fn arranged(&mut self, operand: usize, order: &[usize]) -> Result<String, String> {
        match self.value(operand)? {
            Value::Stored(tensor) => Ok(self.arranged_as(&tensor, order)),
            Value::Known { name, tensor } => {
                let (sizes, numbers) = permuted(&tensor, order);
                Ok(self.numbers(&name, &sizes, numbers))
            }
            Value::Filled { value } => Ok(self.number(value)),
        }
    }

    /// Brings a tensor of the file into an order.
    pub(crate) fn arranged_as(&mut self, tensor: &Stored, order: &[usize]) -> String {
        let Stored { name, sizes, layout } = tensor;
        let arrangement = layout.arrangement(order);
        let Some(axes) = &arrangement.permutation else {
            return self.in_sizes(name, sizes, &arrangement.sizes);
        };
        let name = self.in_sizes(name, sizes, &layout.factors);
        let order = Setting::Ints(axes.iter().map(|&axis| axis as i64).collect());
        let name = self.node("Transpose", &[&name], &[("perm", order)]);
        let lying: Vec<Dim> = axes.iter().map(|&axis| layout.factors[axis]).collect();
        self.in_sizes(&name, &lying, &arrangement.sizes)
    }

    /// A tensor of some sizes as one of others.
    fn in_sizes(&mut self, name: &str, from: &[Dim], to: &[Dim]) -> String {
        if from == to { name.into() } else { self.reshaped(name, to) }
    }

    /// Gives a tensor of the file another shape; the number of samples stays open.
    pub(crate) fn reshaped(&mut self, name: &str, dims: &[Dim]) -> String {
        let sizes: Vec<i64> = dims.iter().map(|dim| dim.fixed().map_or(-1, |size| size as i64)).collect();
        let sizes = self.integers(&sizes);
        self.node("Reshape", &[name, &sizes], &[])
    }

    /// Says that the result is the tensor called `name`, whose axes are those of the network in this order.
    pub fn result(&mut self, name: &str, order: &[usize]) {
        let layout = Layout::ordered(self.result_shape().dims(), order);
        self.result_of(Value::Stored(Stored::new(name, layout)));
    }

    pub(crate) fn result_of(&mut self, value: Value) {
        self.values[self.call.outputs[0]] = Some(value);
    }

    /// Writes one operator of one operand that works on each element for itself.
    ///
    /// # Errors
    /// A sentence if the operand is not in the file.
    pub fn elementwise(&mut self, operator: &str, settings: &[(&'static str, Setting)]) -> Result<(), String> {
        self.each_element(|call, x| call.last_node(operator, &[x], settings))
    }

    /// Writes nodes that work on each element of the only operand for itself: `write` is given its name and returns that of
    /// the result.
    pub(crate) fn each_element(&mut self, write: impl FnOnce(&mut Self, &str) -> String) -> Result<(), String> {
        let x = self.stored(0)?;
        let name = write(self, &x.name);
        self.result_of(Value::Stored(Stored { name, ..x }));
        Ok(())
    }

    /// The operand as it lies; a parameter lies as it does in the network.
    pub(crate) fn stored(&mut self, operand: usize) -> Result<Stored, String> {
        match self.value(operand)? {
            Value::Stored(tensor) => Ok(tensor),
            _ => {
                let dims = self.shape(operand).dims();
                let order = stored_order(dims.len());
                Ok(Stored::new(self.arranged(operand, &order)?, Layout::ordered(dims, &order)))
            }
        }
    }

    /// The only operand with one axis for each of the network's, in the order in which they lie, and that order.
    pub(crate) fn in_its_order(&mut self) -> Result<(String, Vec<usize>), String> {
        let x = self.stored(0)?;
        let order = x.layout.order();
        Ok((self.arranged_as(&x, &order), order))
    }

    /// The only operand as an image of the file, `[N, C, H, W]`.
    pub(crate) fn image(&mut self) -> Result<String, String> {
        self.arranged(0, &[0, 3, 1, 2])
    }

    /// Says that the result is an image of the file.
    pub(crate) fn image_result(&mut self, name: &str) {
        self.result(name, &[0, 3, 1, 2]);
    }
}

/// The sizes and elements of a tensor with its axes in another order.
pub(crate) fn permuted(tensor: &Tensor, order: &[usize]) -> (Vec<usize>, Vec<f32>) {
    if order.is_sorted() {
        return (tensor.shape().to_vec(), tensor.data().to_vec());
    }
    let (sizes, places) = crate::constant::permuted(tensor.shape(), order);
    let numbers = places.into_iter().map(|place| tensor.data()[place]).collect();
    (sizes, numbers)
}
