//! How the operations of this library are written.

use super::{
    Export,
    call::{CallWriter, Value, permuted},
    file::Setting,
    movements, normalisations, products, stored_order, windows,
};
use crate::layout::Layout;
use ocelli_graph::ops::{
    ActivationOp, Arithmetic, ClampOp, ComparisonOp, DropoutOp, Erf, ExtremumOp, Fill, Gram, Identity, LinearOp,
    OneHot, Permute, Power, ReduceKind, ReduceOp, ReshapeOp, SoftmaxOp, StochasticDepthOp,
};
use ocelli_kernels::{broadcast::compare, elementwise::Unary};

/// The result of a rule; its error is the reason why an operation cannot be exported.
pub(super) type Done = Result<(), String>;

/// Adds the rules of all operations.
pub(super) fn all(export: Export) -> Export {
    export
        .operation(|op: &ActivationOp, call| activation(op.0, call))
        .operation(|op: &Arithmetic, call| binary(call, &format!("{op:?}")))
        .operation(|_: &Power, call| binary(call, "Pow"))
        .operation(|op: &ExtremumOp, call| binary(call, if op.0 == compare::Extremum::Maximum { "Max" } else { "Min" }))
        .operation(comparison)
        .operation(|_: &Erf, call| call.elementwise("Erf", &[]))
        .operation(clamp)
        .operation(|_: &Identity, call| same(call))
        .operation(|_: &DropoutOp, call| same(call))
        .operation(|_: &StochasticDepthOp, call| same(call))
        .operation(windows::conv)
        .operation(windows::conv_transpose)
        .operation(windows::connections)
        .operation(|_: &LinearOp, call| products::linear(call))
        .operation(products::matmul)
        .operation(products::batch_matmul)
        .operation(|_: &Gram, call| products::gram(call))
        .operation(normalisations::batch_norm)
        .operation(normalisations::group_norm)
        .operation(normalisations::layer_norm)
        .operation(normalisations::local_response_norm)
        .operation(normalisations::l2_normalised)
        .operation(windows::max_pool)
        .operation(windows::average_pool)
        .operation(windows::adaptive_average_pool)
        .operation(reduce)
        .operation(softmax)
        .operation(products::squared_distance)
        .operation(|op: &ReshapeOp, call| movements::reshape(op, call))
        .operation(|op: &Permute, call| movements::permute(op, call))
        .operation(movements::concat)
        .operation(movements::stack)
        .operation(movements::slice)
        .operation(movements::gather)
        .operation(one_hot)
        .operation(windows::pad)
        .operation(windows::interpolate)
        .operation(windows::resample)
        .operation(|op: &Fill, call| {
            call.result_of(Value::Filled { value: op.value });
            Ok(())
        })
}

pub(super) fn ints(list: impl IntoIterator<Item = usize>) -> Setting {
    Setting::Ints(list.into_iter().map(|number| number as i64).collect())
}

/// The result is the operand.
pub(super) fn same(call: &mut CallWriter<'_>) -> Done {
    let value = call.value(0)?;
    call.result_of(value);
    Ok(())
}

fn activation(function: Unary, call: &mut CallWriter<'_>) -> Done {
    let alpha = |alpha: f32| [("alpha", Setting::Float(alpha))];
    match function {
        Unary::Sigmoid => call.elementwise("Sigmoid", &[]),
        Unary::Tanh => call.elementwise("Tanh", &[]),
        Unary::Relu => call.elementwise("Relu", &[]),
        Unary::LeakyRelu(slope) => call.elementwise("LeakyRelu", &alpha(slope)),
        Unary::Elu(scale) => call.elementwise("Elu", &alpha(scale)),
        Unary::Sqrt => call.elementwise("Sqrt", &[]),
        Unary::Abs => call.elementwise("Abs", &[]),
        Unary::Exp => call.elementwise("Exp", &[]),
        Unary::Ln => call.elementwise("Log", &[]),
        Unary::Reciprocal => call.elementwise("Reciprocal", &[]),
        Unary::Scale(factor) => with_number(call, "Mul", factor),
        Unary::Shift(term) => with_number(call, "Add", term),
        Unary::Square => with_number(call, "Pow", 2.0),
        Unary::ScaledTanh => function_of(call, "ScaledTanh"),
        Unary::HardSwish => call.elementwise("HardSwish", &[]),
        Unary::Silu => function_of(call, "Silu"),
        Unary::Gelu => function_of(call, "Gelu"),
        Unary::GeluTanh => function_of(call, "GeluTanh"),
        Unary::Mish => function_of(call, "Mish"),
    }
}

/// Writes an encoding of labels. What is no label is a row of zeros in the file, and an error here.
fn one_hot(op: &OneHot, call: &mut CallWriter<'_>) -> Done {
    let labels = call.arranged(0, &[0])?;
    let classes = call.integers(&[op.classes as i64]);
    let off_and_on = call.numbers("values", &[2], vec![0.0, 1.0]);
    let name = call.last_node("OneHot", &[&labels, &classes, &off_and_on], &[]);
    call.result(&name, &[0, 1]);
    Ok(())
}

fn with_number(call: &mut CallWriter<'_>, operator: &str, number: f32) -> Done {
    call.each_element(|call, x| {
        let number = call.number(number);
        call.last_node(operator, &[x, &number], &[])
    })
}

fn function_of(call: &mut CallWriter<'_>, function: &str) -> Done {
    call.each_element(|call, x| call.function(function, &[x]))
}

fn clamp(op: &ClampOp, call: &mut CallWriter<'_>) -> Done {
    call.each_element(|call, x| {
        let (low, high) = (call.number(op.low), call.number(op.high));
        call.last_node("Clip", &[x, &low, &high], &[])
    })
}

/// An operator with broadcasting.
fn binary(call: &mut CallWriter<'_>, operator: &str) -> Done {
    let ([a, b], order) = beside(call)?;
    let name = call.last_node(operator, &[&a, &b], &[]);
    call.result(&name, &order);
    Ok(())
}

/// A comparison makes truth values in the file, and numbers here.
fn comparison(op: &ComparisonOp, call: &mut CallWriter<'_>) -> Done {
    let ([a, b], order) = beside(call)?;
    let name = call.function(&format!("{:?}", op.0), &[&a, &b]);
    call.result(&name, &order);
    Ok(())
}

/// Two operands that fit each other by broadcasting, and the order in which they lie: that of the one of more axes.
fn beside(call: &mut CallWriter<'_>) -> Result<([String; 2], Vec<usize>), String> {
    let rank = call.result_shape().rank();
    let layouts: Vec<Option<Layout>> = [0, 1]
        .into_iter()
        .map(|operand| match call.value(operand) {
            Ok(Value::Stored(tensor)) => Ok(Some(tensor.layout)),
            Ok(_) => Ok(None),
            Err(reason) => Err(reason),
        })
        .collect::<Result<_, _>>()?;
    let usual = || stored_order(rank);
    let of_rank = layouts.iter().flatten().find(|layout| layout.rank() == rank);
    let order = of_rank.map_or_else(usual, Layout::order);
    let mut names = [String::new(), String::new()];
    for operand in [0, 1] {
        let missing = rank - call.shape(operand).rank();
        let own: Vec<usize> = order.iter().filter_map(|axis| axis.checked_sub(missing)).collect();
        names[operand] = match call.value(operand)? {
            Value::Filled { value } => call.number(value),
            Value::Known { name, tensor } => {
                let (sizes, numbers) = permuted(&tensor, &own);
                // the axes in front are of one entry, wherever they lie in the order
                let mut left = sizes.into_iter();
                let whole = order.iter().map(|&axis| if axis < missing { 1 } else { left.next().unwrap_or(1) });
                let whole: Vec<usize> = whole.skip_while(|&size| size == 1).collect();
                call.numbers(&name, &whole, numbers)
            }
            Value::Stored(mut tensor) => {
                tensor.layout.axes.splice(0..0, vec![Vec::new(); missing]);
                call.arranged_as(&tensor, &order)
            }
        };
    }
    Ok((names, order))
}

fn reduce(op: &ReduceOp, call: &mut CallWriter<'_>) -> Done {
    let (x, order) = call.in_its_order()?;
    let places = order.iter().enumerate().filter(|(_, axis)| op.axes.contains(axis)).map(|(place, _)| place);
    let places: Vec<usize> = places.collect();
    let kept: Vec<usize> = (0..order.len()).filter(|axis| !op.axes.contains(axis)).collect();
    let lying: Vec<usize> = order.iter().filter_map(|axis| kept.iter().position(|own| own == axis)).collect();
    let once = ("keepdims", Setting::Int(0));
    let name = match op.kind {
        ReduceKind::Mean => call.last_node("ReduceMean", &[&x], &[("axes", ints(places)), once]),
        ReduceKind::Sum => {
            let axes = call.integers(&places.iter().map(|&place| place as i64).collect::<Vec<_>>());
            call.last_node("ReduceSum", &[&x, &axes], &[once])
        }
    };
    call.result(&name, &lying);
    Ok(())
}

fn softmax(op: &SoftmaxOp, call: &mut CallWriter<'_>) -> Done {
    let (x, order) = call.in_its_order()?;
    let last = order.iter().position(|&axis| axis + 1 == order.len()).ok_or("it has no axes")?;
    let operator = if *op == SoftmaxOp::Plain { "Softmax" } else { "LogSoftmax" };
    let name = call.last_node(operator, &[&x], &[("axis", Setting::Int(last as i64))]);
    call.result(&name, &order);
    Ok(())
}
