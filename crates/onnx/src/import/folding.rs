//! Constants and the arithmetic of shapes, which is done while the file is read.

use super::{
    call::{Call, Results, one},
    value::Value,
};
use crate::constant::{Array, Data, Int, check_axes};
use ocelli_graph::Dim;
use ocelli_tensor::element_count;

/// Most elements of a constant that is one number repeated.
const MOST_REPEATED: usize = 1 << 20;

pub(crate) fn constant(call: &mut Call<'_, '_>) -> Results {
    let ints = |list: Vec<i64>| Data::Int(list.into_iter().map(Int::Fixed).collect());
    let array = if let Some(tensor) = call.tensor("value")? {
        tensor
    } else if let Some(number) = call.given_float("value_float")? {
        Array { shape: vec![], data: Data::Float(vec![number]) }
    } else if let Some(number) = call.int("value_int")? {
        Array { shape: vec![], data: ints(vec![number]) }
    } else if let Some(list) = call.floats("value_floats")? {
        Array { shape: vec![list.len()], data: Data::Float(list) }
    } else if let Some(list) = call.list("value_ints")? {
        Array { shape: vec![list.len()], data: ints(list) }
    } else {
        return Err("its value is neither numbers nor integers".into());
    };
    call.folded(array)
}

pub(crate) fn constant_of_shape(call: &mut Call<'_, '_>) -> Results {
    let shape = call.ints(0, "the sizes")?;
    check_axes(shape.len())?;
    let shape: Option<Vec<usize>> = shape.into_iter().map(|size| usize::try_from(size).ok()).collect();
    let count = shape.as_ref().and_then(|shape| element_count(shape));
    let (Some(shape), Some(count)) = (shape, count.filter(|&count| count <= MOST_REPEATED)) else {
        return Err(format!("more than {MOST_REPEATED} elements, or fewer than none"));
    };
    let value = call.tensor("value")?.unwrap_or(Array { shape: vec![1], data: Data::Float(vec![0.0]) });
    if value.data.len() != 1 {
        return Err(format!("its value has {} elements, expected one", value.data.len()));
    }
    let data = value.data.pick(&vec![0; count]);
    call.folded(Array { shape, data })
}

/// The shape of a value, of which the number of samples is not known.
pub(crate) fn shape(call: &mut Call<'_, '_>) -> Results {
    let sizes: Vec<Int> = match call.value(0)? {
        Value::Known(known) => known.array.shape.iter().map(|&size| Int::Fixed(size as i64)).collect(),
        Value::Symbol(symbol) => {
            let int = |dim: Dim| match dim {
                Dim::Fixed(size) => Int::Fixed(size as i64),
                Dim::Batch(multiple) => Int::Batch(multiple as i64),
            };
            symbol.layout.dims().into_iter().map(int).collect()
        }
    };
    let rank = sizes.len() as i64;
    let place = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
    let (start, end) = (place(call.int("start")?.unwrap_or(0)), place(call.int("end")?.unwrap_or(rank)));
    call.folded(Array::ints(sizes.get(start..end).unwrap_or_default().to_vec()))
}

pub(crate) fn cast(call: &mut Call<'_, '_>) -> Results {
    let to = call.int("to")?.unwrap_or(1);
    let is_float = matches!(to, 1 | 10 | 11 | 16);
    let known = match call.value(0)?.clone() {
        Value::Symbol(symbol) if is_float => return one(symbol),
        Value::Symbol(_) => return Err("only numbers are computed, not integers".into()),
        Value::Known(known) => known,
    };
    let array = &known.array;
    let data = match (&array.data, to) {
        (Data::Float(list), _) if is_float => Data::Float(list.clone()),
        (Data::Float(list), 9) => Data::Bool(list.iter().map(|&number| number != 0.0).collect()),
        (Data::Float(list), _) => Data::Int(list.iter().map(|&number| Int::Fixed(number as i64)).collect()),
        (Data::Bool(list), 9) => Data::Bool(list.clone()),
        (Data::Bool(list), _) if is_float => Data::Float(list.iter().map(|&bit| f32::from(u8::from(bit))).collect()),
        (Data::Bool(list), _) => Data::Int(list.iter().map(|&bit| Int::Fixed(i64::from(bit))).collect()),
        (Data::Int(list), _) if is_float || to == 9 => {
            let fixed: Option<Vec<i64>> = list.iter().map(|int| int.fixed()).collect();
            let list = fixed.ok_or("the number of samples is no number that is computed with")?;
            match to {
                9 => Data::Bool(list.into_iter().map(|number| number != 0).collect()),
                _ => Data::Float(list.into_iter().map(|number| number as f32).collect()),
            }
        }
        (Data::Int(list), _) => Data::Int(list.clone()),
    };
    let array = Array { shape: array.shape.clone(), data };
    call.folded_of(array, known.learnt).map(|value| vec![value])
}

/// Adds, subtracts, multiplies or divides two integers of shapes.
pub(crate) fn integer(operator: &str, a: Int, b: Int) -> Option<Int> {
    use Int::{Batch, Fixed};
    Some(match (operator, a, b) {
        ("Add", Fixed(a), Fixed(b)) => Fixed(a.checked_add(b)?),
        ("Add", Batch(a), Batch(b)) => Batch(a.checked_add(b)?),
        ("Sub", Fixed(a), Fixed(b)) => Fixed(a.checked_sub(b)?),
        ("Sub", Batch(a), Batch(b)) if a == b => Fixed(0),
        ("Sub", Batch(a), Batch(b)) => Batch(a.checked_sub(b)?),
        ("Mul", Fixed(a), Fixed(b)) => Fixed(a.checked_mul(b)?),
        ("Mul", Batch(a), Fixed(b)) | ("Mul", Fixed(a), Batch(b)) => Batch(a.checked_mul(b)?),
        ("Div", Fixed(a), Fixed(b)) => Fixed(a.checked_div(b)?),
        ("Div", Batch(a), Fixed(b)) if a.checked_rem(b) == Some(0) => Batch(a.checked_div(b)?),
        ("Div", Batch(a), Batch(b)) if a.checked_rem(b) == Some(0) => Fixed(a.checked_div(b)?),
        ("Pow", Fixed(a), Fixed(b)) => Fixed(a.checked_pow(u32::try_from(b).ok()?)?),
        ("Max", Fixed(a), Fixed(b)) => Fixed(a.max(b)),
        ("Min", Fixed(a), Fixed(b)) => Fixed(a.min(b)),
        _ => return None,
    })
}

/// Applies an elementwise operator to two constants, if it can be.
pub(crate) fn arithmetic(operator: &str, a: &Array, b: &Array) -> Option<Array> {
    let rank = a.shape.len().max(b.shape.len());
    let size = |array: &Array, axis: usize| match (axis + array.shape.len()).checked_sub(rank) {
        Some(axis) => array.shape[axis],
        None => 1,
    };
    let shape: Vec<usize> = (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (1, size) | (size, _) => size,
        })
        .collect();
    let count = element_count(&shape)?;
    if count > MOST_REPEATED.max(a.data.len()).max(b.data.len()) {
        return None;
    }
    let (a, b) = (a.broadcast(&shape)?, b.broadcast(&shape)?);
    let data = match (&a.data, &b.data) {
        (Data::Int(a), Data::Int(b)) => {
            Data::Int(a.iter().zip(b).map(|(&a, &b)| integer(operator, a, b)).collect::<Option<_>>()?)
        }
        (Data::Float(a), Data::Float(b)) => {
            let apply = |(&a, &b): (&f32, &f32)| {
                Some(match operator {
                    "Add" => a + b,
                    "Sub" => a - b,
                    "Mul" => a * b,
                    "Div" => a / b,
                    "Pow" => a.powf(b),
                    "Max" => a.max(b),
                    "Min" => a.min(b),
                    _ => return None,
                })
            };
            Data::Float(a.iter().zip(b).map(apply).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Array { shape, data })
}
