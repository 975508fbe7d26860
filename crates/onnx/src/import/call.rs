//! A node of the file while it becomes a part of the network.

use super::{
    reader::Reader,
    value::{Known, Symbol, Value, shaped},
};
use crate::{
    constant::{Array, Data, Int, read_tensor},
    layout::usual_order,
    proto::{Attribute, NodeProto, shown},
};
use ocelli_graph::{AxisRole, Dim, Node, Shape};
use std::{cell::Cell, rc::Rc};

/// A node, its operands and its settings.
pub(crate) struct Call<'r, 'a> {
    pub reader: &'r mut Reader,
    pub node: &'r NodeProto<'a>,
    /// Operands; `None` for one that is left out.
    pub inputs: Vec<Option<Value>>,
    /// The path of the layer, until one is made.
    pub path: Cell<Option<String>>,
}

/// Values that a node makes, or what is wrong with it.
pub(crate) type Results = Result<Vec<Value>, String>;

/// Makes the only result of a node.
pub(crate) fn one(symbol: Symbol) -> Results {
    Ok(vec![Value::Symbol(symbol)])
}

impl<'a> Call<'_, 'a> {
    /// Version of the operators that the file uses.
    pub fn opset(&self) -> i64 {
        self.reader.opset
    }

    pub fn has(&self, input: usize) -> bool {
        self.inputs.get(input).is_some_and(Option::is_some)
    }

    /// Returns true if somebody may read this result.
    pub fn wants(&self, output: usize) -> bool {
        self.node.outputs.get(output).is_some_and(|name| !name.is_empty())
    }

    pub fn value(&self, input: usize) -> Result<&Value, String> {
        let value = self.inputs.get(input).and_then(Option::as_ref);
        value.ok_or_else(|| format!("operand {input} is missing"))
    }

    /// The operand if it is known now.
    pub fn known(&self, input: usize) -> Option<&Known> {
        match self.inputs.get(input) {
            Some(Some(Value::Known(known))) => Some(known),
            _ => None,
        }
    }

    /// The operand, which must be known now.
    pub fn array(&self, input: usize, what: &str) -> Result<Rc<Array>, String> {
        match self.value(input)? {
            Value::Known(known) => Ok(known.array.clone()),
            Value::Symbol(_) => Err(format!("{what} must be known when the file is read, but are computed")),
        }
    }

    /// The integers of an operand, which must be known now; some may be multiples of the batch size.
    pub fn sizes(&self, input: usize, what: &str) -> Result<Vec<Int>, String> {
        match &self.array(input, what)?.data {
            Data::Int(list) => Ok(list.clone()),
            _ => Err(format!("{what} are no integers")),
        }
    }

    /// The integers of an operand, which must be known now.
    pub fn ints(&self, input: usize, what: &str) -> Result<Vec<i64>, String> {
        let fixed = |int: Int| int.fixed().ok_or_else(|| format!("{what} depend on the number of samples"));
        self.sizes(input, what)?.into_iter().map(fixed).collect()
    }

    /// The number that an operand is, if it is known now.
    pub fn scalar(&self, input: usize) -> Option<f32> {
        self.known(input).and_then(|known| known.array.scalar())
    }

    /// The operand as a part of the network; a constant becomes a parameter.
    pub fn symbol(&mut self, input: usize) -> Result<Symbol, String> {
        match self.value(input)?.clone() {
            Value::Symbol(symbol) => Ok(symbol),
            Value::Known(known) => {
                let order = usual_order(known.array.shape.len());
                self.reader.parameter(&known, &order, AxisRole::Unnamed)
            }
        }
    }

    /// The operand as a node of the given order of axes; a constant becomes a parameter with these roles.
    pub fn arranged(&mut self, input: usize, order: &[usize], roles: &[AxisRole]) -> Result<Node, String> {
        let symbol = match self.value(input)?.clone() {
            Value::Symbol(symbol) => symbol,
            Value::Known(known) => self.reader.parameter_with(&known, order, roles)?,
        };
        if symbol.rank() != order.len() {
            return Err(format!("operand {input} has {} axes, expected {}", symbol.rank(), order.len()));
        }
        Ok(symbol.arranged(order))
    }

    /// The operand as one number for each channel, `[C]`.
    pub fn channels(&mut self, input: usize) -> Result<Node, String> {
        self.arranged(input, &[0], &[AxisRole::Features])
    }

    /// The operand as images `[N, H, W, C]`; sequences `[N, C, L]` are images of one row.
    pub fn image(&mut self, input: usize) -> Result<Image, String> {
        let symbol = self.symbol(input)?;
        match symbol.rank() {
            4 => Ok(Image { node: symbol.arranged(&[0, 2, 3, 1]), rank: 4 }),
            3 => {
                let node = symbol.arranged(&[0, 2, 1]);
                let shape = node.shape();
                let dims = shape.dims();
                Ok(Image { node: shaped(&node, &[dims[0], Dim::Fixed(1), dims[1], dims[2]]), rank: 3 })
            }
            rank => Err(format!("images [N, C, H, W] or sequences [N, C, L] are expected, not {rank} axes")),
        }
    }

    /// Makes a layer of `x` in a scope with the name of this node.
    pub fn layer(&self, x: &Node, f: impl Fn(&Node) -> Node) -> Node {
        match self.path.take() {
            Some(path) => x.scope(path, f),
            None => f(x),
        }
    }

    fn attribute(&self, name: &str) -> Result<Option<Attribute<'a>>, String> {
        let found = self.node.attributes.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(_, bytes)| Attribute::read(bytes)).transpose()?)
    }

    pub fn int(&self, name: &str) -> Result<Option<i64>, String> {
        Ok(self.attribute(name)?.and_then(|attribute| attribute.int))
    }

    /// Returns true if a setting is a number other than 0.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.int(name)?.unwrap_or(0) != 0)
    }

    pub fn float(&self, name: &str, usual: f32) -> Result<f32, String> {
        Ok(self.attribute(name)?.and_then(|attribute| attribute.float).unwrap_or(usual))
    }

    pub fn given_float(&self, name: &str) -> Result<Option<f32>, String> {
        Ok(self.attribute(name)?.and_then(|attribute| attribute.float))
    }

    pub fn list(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        Ok(self.attribute(name)?.map(|attribute| attribute.ints))
    }

    pub fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, String> {
        Ok(self.attribute(name)?.map(|attribute| attribute.floats))
    }

    pub fn text(&self, name: &str, usual: &str) -> Result<String, String> {
        let text = self.attribute(name)?.and_then(|attribute| attribute.text);
        Ok(text.map_or(usual.into(), |text| shown(&String::from_utf8_lossy(text))))
    }

    pub fn tensor(&self, name: &str) -> Result<Option<Array>, String> {
        let tensor = self.attribute(name)?.and_then(|attribute| attribute.tensor);
        tensor.map(|tensor| read_tensor(&tensor, self.reader.folder.as_deref())).transpose()
    }

    /// Makes a constant result.
    pub fn folded(&mut self, array: Array) -> Results {
        self.folded_of(array, false).map(|value| vec![value])
    }

    /// Makes a constant that is called by the first result; `learnt` if it is made of what training may change.
    pub fn folded_of(&mut self, array: Array, learnt: bool) -> Result<Value, String> {
        self.reader.charge(array.data.len())?;
        let name = self.node.outputs.first().copied().unwrap_or("").into();
        Ok(Value::Known(Known { array: Rc::new(array), name, learnt }))
    }
}

/// Images `[N, H, W, C]`, or sequences as images of one row.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub node: Node,
    rank: usize,
}

impl Image {
    pub fn is_sequence(&self) -> bool {
        self.rank == 3
    }

    pub fn shape(&self) -> Shape {
        self.node.shape()
    }

    /// Height and width.
    pub fn size(&self) -> Result<[usize; 2], String> {
        let shape = self.shape();
        match shape.dims() {
            &[_, Dim::Fixed(height), Dim::Fixed(width), _] => Ok([height, width]),
            _ => Err("its operand has no known height and width".into()),
        }
    }

    /// Numbers for height and width from those of the file, which has one for sequences; `one` is that of a single row.
    pub fn pair(&self, list: Option<Vec<i64>>, one: usize, what: &str) -> Result<[usize; 2], String> {
        let number = |number: i64| {
            usize::try_from(number).ok().filter(|&n| n < 1 << 32).ok_or_else(|| format!("a {what} of {number}"))
        };
        match (list.as_deref(), self.is_sequence()) {
            (None | Some([]), _) => Ok([one, one]),
            (Some(&[width]), true) => Ok([one, number(width)?]),
            (Some(&[height, width]), false) => Ok([number(height)?, number(width)?]),
            (Some(list), _) => Err(format!("{} numbers for the {what} of an image", list.len())),
        }
    }

    /// The value that an image of this kind is.
    pub fn symbol(&self, node: Node) -> Symbol {
        if !self.is_sequence() {
            return Symbol::usual(node);
        }
        let mut symbol = Symbol::usual(node);
        symbol.layout.axes = vec![vec![0], vec![3], vec![1, 2]];
        symbol
    }
}
