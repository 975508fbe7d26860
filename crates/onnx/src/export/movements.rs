//! How operations that move, cut and join values are written.

use super::{
    call::{CallWriter, Value},
    file::Setting,
    operations::Done,
    stored_order,
};
use ocelli_graph::ops::{Concat, Gather, Permute, ReshapeOp, Slice, Stack};

pub(super) fn reshape(op: &ReshapeOp, call: &mut CallWriter<'_>) -> Done {
    let dims = op.shape.dims();
    let x = match call.value(0)? {
        Value::Known { name, tensor } => {
            let sizes: Vec<usize> = dims.iter().map(|dim| dim.at(1)).collect();
            let tensor = tensor.reshape(sizes).map_err(|error| error.to_string())?;
            call.result_of(Value::Known { name, tensor });
            return Ok(());
        }
        Value::Filled { value } => {
            call.result_of(Value::Filled { value });
            return Ok(());
        }
        Value::Stored(tensor) => tensor,
    };
    match x.layout.reshaped(dims) {
        // nothing moves in the file either
        Some(layout) => call.result_of(Value::Stored(x.with_layout(layout))),
        None => {
            let whole: Vec<usize> = (0..x.layout.rank()).collect();
            let x = call.arranged_as(&x, &whole);
            let name = call.reshaped(&x, dims);
            call.result(&name, &(0..dims.len()).collect::<Vec<_>>());
        }
    }
    Ok(())
}

pub(super) fn permute(op: &Permute, call: &mut CallWriter<'_>) -> Done {
    let x = call.stored(0)?;
    let layout = x.layout.transposed(&op.axes);
    call.result_of(Value::Stored(x.with_layout(layout)));
    Ok(())
}

/// Operands side by side; zeros at either end are padding.
pub(super) fn concat(op: &Concat, call: &mut CallWriter<'_>) -> Done {
    let count = call.operands();
    let filled = |call: &CallWriter<'_>, operand: usize| matches!(call.value(operand), Ok(Value::Filled { .. }));
    let Some(first) = (0..count).find(|&operand| !filled(call, operand)) else {
        return Err("numbers alone are joined".into());
    };
    let last = (0..count).rfind(|&operand| !filled(call, operand)).unwrap_or(first);
    let mut numbers = Vec::new();
    for operand in (0..first).chain(last + 1..count) {
        if let Value::Filled { value } = call.value(operand)? {
            numbers.push(value);
        }
    }
    if numbers.windows(2).any(|pair| pair[0] != pair[1]) || (first..last).any(|operand| filled(call, operand)) {
        return Err("numbers between values, or different ones around them, are not written".into());
    }
    let order = call.stored(first)?.layout.order();
    let place = order.iter().position(|&axis| axis == op.axis).ok_or("its axis is nowhere")?;
    let names = (first..=last).map(|operand| call.arranged(operand, &order)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let axis = [("axis", Setting::Int(place as i64))];
    let name = match (&names[..], numbers.first()) {
        (_, None) => call.last_node("Concat", &names, &axis),
        (_, Some(&number)) => {
            let middle = if names.len() > 1 { call.node("Concat", &names, &axis) } else { names[0].to_string() };
            let size = |call: &CallWriter<'_>, operand: usize| call.sizes(operand)[op.axis] as i64;
            let mut amounts = vec![0; 2 * order.len()];
            amounts[place] = (0..first).map(|operand| size(call, operand)).sum();
            amounts[place + order.len()] = (last + 1..count).map(|operand| size(call, operand)).sum();
            let (amounts, number) = (call.integers(&amounts), call.number(number));
            call.last_node("Pad", &[&middle, &amounts, &number], &[])
        }
    };
    call.result(&name, &order);
    Ok(())
}

/// Operands side by side along an axis that they get for it.
pub(super) fn stack(op: &Stack, call: &mut CallWriter<'_>) -> Done {
    let order = call.stored(0)?.layout.order();
    // the new axis lies where the result wants it, if the others lie so too
    let mut lying: Vec<usize> = order.iter().map(|&axis| if axis < op.axis { axis } else { axis + 1 }).collect();
    let wanted = stored_order(lying.len() + 1);
    let others = wanted.iter().filter(|axis| **axis != op.axis);
    let place = wanted.iter().position(|&axis| axis == op.axis).filter(|_| lying.iter().eq(others));
    let place = place.unwrap_or(lying.len());
    lying.insert(place, op.axis);
    let axis = call.integers(&[place as i64]);
    let mut names = Vec::new();
    for operand in 0..call.operands() {
        let x = call.arranged(operand, &order)?;
        names.push(call.node("Unsqueeze", &[&x, &axis], &[]));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = call.last_node("Concat", &names, &[("axis", Setting::Int(place as i64))]);
    call.result(&name, &lying);
    Ok(())
}

pub(super) fn slice(op: &Slice, call: &mut CallWriter<'_>) -> Done {
    let (Some(start), Some(len)) = (op.start.fixed(), op.len.fixed()) else {
        return Err("a part of the samples is not written".into());
    };
    let (x, order) = call.in_its_order()?;
    let place = order.iter().position(|&axis| axis == op.axis).ok_or("its axis is nowhere")?;
    let [start, end, place] = [start, start + len, place].map(|number| call.integers(&[number as i64]));
    let name = call.last_node("Slice", &[&x, &start, &end, &place], &[]);
    call.result(&name, &order);
    Ok(())
}

pub(super) fn gather(op: &Gather, call: &mut CallWriter<'_>) -> Done {
    let (x, order) = call.in_its_order()?;
    let place = order.iter().position(|&axis| axis == op.axis).ok_or("its axis is nowhere")?;
    let indices = call.integers(&op.indices.iter().map(|&index| index as i64).collect::<Vec<_>>());
    let name = call.last_node("Gather", &[&x, &indices], &[("axis", Setting::Int(place as i64))]);
    call.result(&name, &order);
    Ok(())
}
