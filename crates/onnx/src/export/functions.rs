//! Operations that ONNX has no operator for, as functions of operators that it has.
//!
//! A file holds the functions that it uses in a domain of their own. Other programs compute their bodies; here they are
//! read back as the operations that they were.

use super::file::{FileNode, OPSET, Setting, write_node};
use crate::wire::Message;
use std::slice;

/// The number of `f32` among the element types of `onnx.proto`.
const F32: i64 = 1;

/// The domain of the functions.
pub(crate) const DOMAIN: &str = "ocelli";

/// A function: operands, and lines `result = Operator(operands; setting)`, of which the last makes the result.
pub(crate) struct Function {
    pub name: &'static str,
    inputs: &'static [&'static str],
    body: &'static [Line],
}

/// A constant, or an operator with its operands and perhaps a setting.
enum Line {
    Number(&'static str, f32),
    Integers(&'static str, &'static [i64]),
    Node(&'static str, &'static str, &'static [&'static str]),
    /// A node that makes numbers of truth values.
    Numbers(&'static str, &'static str),
    /// A node that swaps the last two of three axes.
    Turned(&'static str, &'static str),
}
use Line::{Integers, Node, Number, Numbers, Turned};

/// A comparison, whose truth values become numbers.
const fn comparison(name: &'static str, body: &'static [Line]) -> Function {
    Function { name, inputs: &["a", "b"], body }
}

pub(crate) const FUNCTIONS: &[Function] = &[
    Function {
        name: "AdaptiveAveragePool",
        inputs: &["x", "rows", "columns"],
        body: &[Node("tall", "MatMul", &["rows", "x"]), Node("y", "MatMul", &["tall", "columns"])],
    },
    comparison("Equal", &[Node("mask", "Equal", &["a", "b"]), Numbers("y", "mask")]),
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
        name: "Gram",
        inputs: &["x", "factor"],
        body: &[
            Integers("sizes", &[0, 0, -1]),
            Node("pixels", "Reshape", &["x", "sizes"]),
            Turned("turned", "pixels"),
            Node("sums", "MatMul", &["pixels", "turned"]),
            Node("y", "Mul", &["sums", "factor"]),
        ],
    },
    comparison("Greater", &[Node("mask", "Greater", &["a", "b"]), Numbers("y", "mask")]),
    comparison("GreaterOrEqual", &[Node("mask", "GreaterOrEqual", &["a", "b"]), Numbers("y", "mask")]),
    Function {
        name: "L2Normalised",
        inputs: &["x", "epsilon"],
        body: &[
            Integers("last", &[-1]),
            Node("square", "Mul", &["x", "x"]),
            Node("sum", "ReduceSum", &["square", "last"]),
            Node("norm", "Sqrt", &["sum"]),
            Node("divisor", "Max", &["norm", "epsilon"]),
            Node("y", "Div", &["x", "divisor"]),
        ],
    },
    comparison("Less", &[Node("mask", "Less", &["a", "b"]), Numbers("y", "mask")]),
    comparison("LessOrEqual", &[Node("mask", "LessOrEqual", &["a", "b"]), Numbers("y", "mask")]),
    Function {
        name: "Mish",
        inputs: &["x"],
        body: &[
            Node("softplus", "Softplus", &["x"]),
            Node("gate", "Tanh", &["softplus"]),
            Node("y", "Mul", &["x", "gate"]),
        ],
    },
    comparison(
        "NotEqual",
        &[Node("equal", "Equal", &["a", "b"]), Node("mask", "Not", &["equal"]), Numbers("y", "mask")],
    ),
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
            Integers("middle", &[1]),
            Integers("last", &[2]),
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
                Integers(result, list) => {
                    (result, "Constant", &[][..], vec![("value_ints", Setting::Ints(list.to_vec()))])
                }
                Node(result, operator, inputs) => (result, operator, inputs, Vec::new()),
                Numbers(result, ref mask) => (result, "Cast", slice::from_ref(mask), vec![("to", Setting::Int(F32))]),
                Turned(result, ref x) => {
                    (result, "Transpose", slice::from_ref(x), vec![("perm", Setting::Ints(vec![0, 2, 1]))])
                }
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
