//! Operations that ONNX has no operator for, as functions of operators that it has.
//!
//! A file holds the functions that it uses in a domain of their own. Other programs compute their bodies; here they are
//! read back as the operations that they were.

use super::file::{FileNode, OPSET, Setting, write_node};
use crate::wire::Message;

/// The domain of the functions.
pub(crate) const DOMAIN: &str = "ocelli";

/// A function: operands, and lines `result = Operator(operands; setting)`, of which the last makes the result.
pub(crate) struct Function {
    pub name: &'static str,
    inputs: &'static [&'static str],
    body: &'static [Line],
}

/// A constant, or an operator with operands and axes to reduce over.
enum Line {
    Number(&'static str, f32),
    Axis(&'static str, i64),
    Node(&'static str, &'static str, &'static [&'static str]),
}
use Line::{Axis, Node, Number};

pub(crate) const FUNCTIONS: &[Function] = &[
    Function {
        name: "Gelu",
        inputs: &["x"],
        body: &[
            Number("root", std::f32::consts::SQRT_2),
            Number("one", 1.0),
            Number("half", 0.5),
            Node("scaled", "Div", &["x", "root"]),
            Node("error", "Erf", &["scaled"]),
            Node("share", "Add", &["error", "one"]),
            Node("product", "Mul", &["x", "share"]),
            Node("y", "Mul", &["product", "half"]),
        ],
    },
    Function {
        name: "GeluTanh",
        inputs: &["x"],
        body: &[
            Number("cubic", 0.044_715),
            Number("root", 0.797_884_6),
            Number("one", 1.0),
            Number("half", 0.5),
            Node("square", "Mul", &["x", "x"]),
            Node("cube", "Mul", &["square", "x"]),
            Node("term", "Mul", &["cube", "cubic"]),
            Node("sum", "Add", &["x", "term"]),
            Node("inner", "Mul", &["sum", "root"]),
            Node("tanh", "Tanh", &["inner"]),
            Node("share", "Add", &["tanh", "one"]),
            Node("product", "Mul", &["x", "share"]),
            Node("y", "Mul", &["product", "half"]),
        ],
    },
    Function {
        name: "ScaledTanh",
        inputs: &["x"],
        body: &[
            Number("slope", 2.0 / 3.0),
            Number("height", 1.7159),
            Node("inner", "Mul", &["x", "slope"]),
            Node("tanh", "Tanh", &["inner"]),
            Node("y", "Mul", &["tanh", "height"]),
        ],
    },
    Function {
        name: "Silu",
        inputs: &["x"],
        body: &[Node("gate", "Sigmoid", &["x"]), Node("y", "Mul", &["x", "gate"])],
    },
    Function {
        name: "SquaredDistance",
        inputs: &["x", "codes"],
        body: &[
            Axis("middle", 1),
            Axis("last", 2),
            Node("rows", "Unsqueeze", &["x", "middle"]),
            Node("difference", "Sub", &["rows", "codes"]),
            Node("square", "Mul", &["difference", "difference"]),
            Node("sums", "ReduceSum", &["square", "last"]),
            Node("y", "Squeeze", &["sums", "last"]),
        ],
    },
];

impl Function {
    /// Writes the function as a message.
    pub fn write(&self, message: &mut Message) {
        message.bytes(1, self.name);
        self.inputs.iter().for_each(|name| {
            message.bytes(4, name);
        });
        message.bytes(5, "y");
        for line in self.body {
            let (result, operator, inputs, settings) = match *line {
                Number(result, number) => (result, "Constant", &[][..], vec![("value_float", Setting::Float(number))]),
                Axis(result, axis) => (result, "Constant", &[][..], vec![("value_ints", Setting::Ints(vec![axis]))]),
                Node(result, operator, inputs) => (result, operator, inputs, Vec::new()),
            };
            let node = FileNode {
                name: result.into(),
                operator: operator.into(),
                domain: "",
                inputs: inputs.iter().map(|name| name.to_string()).collect(),
                outputs: vec![result.into()],
                settings,
            };
            message.message(7, |message| write_node(&node, message));
        }
        message.message(9, |opset| {
            opset.bytes(1, "").int(2, OPSET);
        });
        message.bytes(10, DOMAIN);
    }
}
