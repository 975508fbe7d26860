//! Operators that move, cut and join values.

use super::{
    call::{Call, Results, one},
    value::{Known, Symbol, Value},
};
use crate::{
    constant::{Array, Data, Int, check_axes},
    layout::times,
};
use ocelli_graph::{Axis, Dim, Node};
use ocelli_tensor::element_count;
use std::{ops::Range, rc::Rc};

/// Returns the index of an axis that may be counted from the end.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let index = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let index = index.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    index.ok_or_else(|| format!("there is no axis {axis} of {rank}"))
}

/// Returns the indices of axes, ascending.
pub(crate) fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut list = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    list.sort_unstable();
    list.dedup();
    if list.len() == axes.len() { Ok(list) } else { Err("an axis is named twice".into()) }
}

fn rank_of(value: &Value) -> usize {
    match value {
        Value::Known(known) => known.array.shape.len(),
        Value::Symbol(symbol) => symbol.rank(),
    }
}

/// Axes that are a setting of older operators and an operand of newer ones.
pub(crate) fn axes(call: &Call<'_, '_>, operand_since: i64) -> Result<Option<Vec<i64>>, String> {
    match call.opset() >= operand_since {
        true if call.has(1) => call.ints(1, "the axes").map(Some),
        true => Ok(None),
        false => call.list("axes"),
    }
}

pub(crate) fn identity(call: &mut Call<'_, '_>) -> Results {
    Ok(vec![call.value(0)?.clone()])
}

pub(crate) fn transpose(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let rank = rank_of(&x);
    let order = match call.list("perm")? {
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(format!("{order:?} is no order of {rank} axes"));
    }
    match x {
        Value::Known(known) => call.folded_of(known.array.permuted(&order), known.learnt).map(|value| vec![value]),
        Value::Symbol(x) => one(Symbol { layout: x.layout.transposed(&order), node: x.node }),
    }
}

/// Gives a value axes of other sizes.
fn with_sizes(call: &mut Call<'_, '_>, x: Value, dims: &[Dim]) -> Results {
    check_axes(dims.len())?;
    match x {
        Value::Symbol(x) => one(x.reshaped(dims)),
        Value::Known(known) => {
            let shape: Option<Vec<usize>> = dims.iter().map(|dim| dim.fixed()).collect();
            let shape = shape.filter(|shape| element_count(shape) == Some(known.array.data.len()));
            let shape = shape.ok_or("a constant of another number of elements")?;
            call.folded_of(known.array.reshaped(shape), known.learnt).map(|value| vec![value])
        }
    }
}

fn dims_of(value: &Value) -> Vec<Dim> {
    match value {
        Value::Known(known) => known.array.shape.iter().map(|&size| Dim::Fixed(size)).collect(),
        Value::Symbol(symbol) => symbol.layout.dims(),
    }
}

fn all_of(dims: &[Dim]) -> Option<Dim> {
    dims.iter().try_fold(Dim::Fixed(1), |product, &dim| times(product, dim))
}

pub(crate) fn reshape(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let target = call.sizes(1, "the sizes")?;
    let dims = dims_of(&x);
    let keeps_zeros = !call.flag("allowzero")?;
    let too_large = || "more elements than memory has addresses".to_string();
    let whole = all_of(&dims).ok_or_else(too_large)?;
    // sizes that are said; the one that is not is found by what is left
    let (mut sizes, mut open) = (Vec::new(), None);
    for (axis, &size) in target.iter().enumerate() {
        sizes.push(match size {
            Int::Fixed(-1) if open.is_none() => {
                open = Some(axis);
                Dim::Fixed(1)
            }
            Int::Fixed(0) if keeps_zeros => {
                *dims.get(axis).ok_or_else(|| format!("size 0 on axis {axis} copies an axis that is not there"))?
            }
            Int::Fixed(size) => Dim::Fixed(usize::try_from(size).map_err(|_| format!("a size of {size}"))?),
            Int::Batch(size) => Dim::Batch(usize::try_from(size).map_err(|_| format!("a size of {size} N"))?),
        });
    }
    // sizes that were written for one sample hold for each of any number
    let per_sample = matches!(whole, Dim::Batch(_)) && !sizes.iter().any(|dim| matches!(dim, Dim::Batch(_)));
    if per_sample && open != Some(0) && sizes.first() == Some(&Dim::Fixed(1)) {
        sizes[0] = Dim::Batch(1);
    }
    let said = all_of(&sizes).ok_or_else(too_large)?;
    if let Some(open) = open {
        let rest = match (whole, said) {
            (Dim::Fixed(whole), Dim::Fixed(said)) if said > 0 && whole % said == 0 => Some(Dim::Fixed(whole / said)),
            (Dim::Batch(whole), Dim::Fixed(said)) if said > 0 && whole % said == 0 => Some(Dim::Batch(whole / said)),
            (Dim::Batch(whole), Dim::Batch(said)) if said > 0 && whole % said == 0 => Some(Dim::Fixed(whole / said)),
            _ => None,
        };
        sizes[open] = rest.ok_or_else(|| format!("{whole} elements do not fill axes of {said}"))?;
    } else if said != whole {
        return Err(format!("{whole} elements do not become {said}"));
    }
    with_sizes(call, x, &sizes)
}

pub(crate) fn flatten(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let dims = dims_of(&x);
    let axis = call.int("axis")?.unwrap_or(1);
    let axis = if axis == dims.len() as i64 { dims.len() } else { axis_of(axis, dims.len())? };
    let merged = |dims: &[Dim]| all_of(dims).ok_or("more elements than memory has addresses");
    let sizes = [merged(&dims[..axis])?, merged(&dims[axis..])?];
    with_sizes(call, x, &sizes)
}

pub(crate) fn squeeze(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let dims = dims_of(&x);
    let removed = match axes(call, 13)? {
        Some(axes) => axes_of(&axes, dims.len())?,
        None => (0..dims.len()).filter(|&axis| dims[axis] == Dim::Fixed(1)).collect(),
    };
    if let Some(axis) = removed.iter().find(|&&axis| dims[axis] != Dim::Fixed(1)) {
        return Err(format!("axis {axis} has the size {}, not 1", dims[*axis]));
    }
    let left: Vec<Dim> = (0..dims.len()).filter(|axis| !removed.contains(axis)).map(|axis| dims[axis]).collect();
    with_sizes(call, x, &left)
}

pub(crate) fn unsqueeze(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let dims = dims_of(&x);
    let axes = axes(call, 13)?.ok_or("it has no axes")?;
    let rank = dims.len() + axes.len();
    let added = axes_of(&axes, rank)?;
    let mut old = dims.iter();
    let sizes: Option<Vec<Dim>> =
        (0..rank).map(|axis| if added.contains(&axis) { Some(Dim::Fixed(1)) } else { old.next().copied() }).collect();
    with_sizes(call, x, &sizes.ok_or("more axes than there are")?)
}

pub(crate) fn concat(call: &mut Call<'_, '_>) -> Results {
    let rank = rank_of(call.value(0)?);
    let axis = axis_of(call.int("axis")?.unwrap_or(1), rank)?;
    let known: Option<Vec<Known>> = (0..call.inputs.len()).map(|input| call.known(input).cloned()).collect();
    if let Some(known) = known {
        let arrays: Vec<&Array> = known.iter().map(|known| &*known.array).collect();
        let elements = known.iter().fold(0usize, |sum, known| sum.saturating_add(known.array.data.len()));
        call.reader.afford(elements)?;
        let joined = concatenated(&arrays, axis).ok_or("constants of different shapes or kinds")?;
        return call.folded(joined);
    }
    let symbols = (0..call.inputs.len()).map(|input| call.symbol(input)).collect::<Result<Vec<_>, _>>()?;
    if let [only] = &symbols[..] {
        return one(only.clone());
    }
    if symbols.iter().any(|symbol| symbol.rank() != rank) {
        return Err("its operands have different numbers of axes".into());
    }
    let order = symbols[0].layout.order();
    let nodes: Vec<Node> = symbols.iter().map(|symbol| symbol.arranged(&order)).collect();
    let place = order.iter().position(|&own| own == axis).ok_or("its axis is nowhere")?;
    let node = call.layer(&nodes[0], |_| Node::concat(&nodes.iter().collect::<Vec<_>>(), Axis::Index(place)));
    one(Symbol::ordered(node, &order))
}

fn concatenated(arrays: &[&Array], axis: usize) -> Option<Array> {
    let first = arrays.first()?;
    let mut shape = first.shape.clone();
    let beside = |array: &Array| {
        array.shape.iter().enumerate().filter(|(own, _)| *own != axis).map(|(_, &size)| size).collect::<Vec<_>>()
    };
    if arrays.iter().any(|array| array.shape.len() != shape.len() || beside(array) != beside(first)) {
        return None;
    }
    shape[axis] = arrays.iter().try_fold(0usize, |sum, array| sum.checked_add(array.shape[axis]))?;
    element_count(&shape)?;
    let outer: usize = shape[..axis].iter().product();
    let rows = |array: &Array, row: usize| {
        let block = array.data.len().checked_div(outer).unwrap_or(0);
        row * block..(row + 1) * block
    };
    let data = match &first.data {
        Data::Float(_) => {
            let parts = (0..outer).flat_map(|row| arrays.iter().map(move |array| (array, row)));
            Data::Float(
                parts
                    .map(|(array, row)| Some(&array.floats()?[rows(array, row)]))
                    .collect::<Option<Vec<_>>>()?
                    .concat(),
            )
        }
        Data::Int(_) => {
            let mut list = Vec::new();
            for row in 0..outer {
                for array in arrays {
                    let Data::Int(own) = &array.data else { return None };
                    list.extend_from_slice(&own[rows(array, row)]);
                }
            }
            Data::Int(list)
        }
        Data::Bool(_) => return None,
    };
    Some(Array { shape, data })
}

/// Takes entries of one axis of a constant.
fn entries(array: &Array, axis: usize, indices: &[usize]) -> Array {
    let mut shape = array.shape.clone();
    shape[axis] = indices.len();
    let mut places = Vec::new();
    // Where there are no elements, other axes may be as long as they like.
    if !shape.contains(&0) {
        let length: usize = array.shape[axis + 1..].iter().product();
        for before in 0..shape[..axis].iter().product() {
            let first = |&index: &usize| (before * array.shape[axis] + index) * length;
            indices.iter().map(first).for_each(|first| places.extend(first..first + length));
        }
    }
    Array { shape, data: array.data.pick(&places) }
}

/// Entries of an axis that are as far from each other.
#[derive(Clone, Copy, Debug)]
struct Steps {
    start: usize,
    step: i64,
    count: usize,
}

impl Steps {
    /// The entries from `start` to `end` of an axis of `size`, as `Slice` says them.
    fn new(start: i64, end: i64, step: i64, size: usize) -> Result<Steps, String> {
        let size = i64::try_from(size).map_err(|_| "an axis beyond all memory")?;
        let from_end = |index: i64| if index < 0 { index.saturating_add(size) } else { index };
        if step == 0 {
            return Err("a step of 0".into());
        }
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let (start, end) = (from_end(start).clamp(low.max(0), high.max(0)), from_end(end).clamp(low, high));
        let span = if step > 0 { end - start } else { start - end };
        let count = (span.max(0) as u64).div_ceil(step.unsigned_abs());
        Ok(Steps { start: start as usize, step, count: count as usize })
    }

    /// All of them; their number is charged.
    fn indices(self, call: &mut Call<'_, '_>) -> Result<Vec<usize>, String> {
        call.reader.charge(self.count)?;
        let index = |place: usize| self.start.wrapping_add_signed((place as i64 * self.step) as isize);
        Ok((0..self.count).map(index).collect())
    }
}

/// Takes entries of one axis of a value.
fn taken(call: &Call<'_, '_>, x: &Symbol, axis: usize, indices: &[usize]) -> Result<Symbol, String> {
    along(x, axis, |node, axis| call.layer(node, |x| x.gather(axis, indices)))
}

/// Takes successive entries of one axis of a value.
fn part(call: &Call<'_, '_>, x: &Symbol, axis: usize, range: Range<usize>) -> Result<Symbol, String> {
    if range.is_empty() {
        return Err(format!("nothing is left of axis {axis}"));
    }
    along(x, axis, |node, axis| call.layer(node, |x| x.slice(axis, range.clone())))
}

/// Applies an operation along one axis of a value, in the order in which it lies.
fn along(x: &Symbol, axis: usize, apply: impl Fn(&Node, Axis) -> Node) -> Result<Symbol, String> {
    let (node, order) = x.in_its_order();
    let place = order.iter().position(|&own| own == axis).ok_or("its axis is nowhere")?;
    Ok(Symbol::ordered(apply(&node, Axis::Index(place)), &order))
}

pub(crate) fn slice(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let rank = rank_of(&x);
    let (starts, ends, axes, steps) = if call.opset() < 10 {
        (call.list("starts")?.unwrap_or_default(), call.list("ends")?.unwrap_or_default(), call.list("axes")?, None)
    } else {
        let given =
            |input: usize, what: &str| if call.has(input) { call.ints(input, what).map(Some) } else { Ok(None) };
        (call.ints(1, "the starts")?, call.ints(2, "the ends")?, given(3, "the axes")?, given(4, "the steps")?)
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps are not as many".into());
    }
    let mut x = x;
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis_of(axis, rank)?;
        let dim = dims_of(&x)[axis];
        let size = match dim {
            Dim::Fixed(size) => size,
            Dim::Batch(_) if start == 0 && end >= i64::from(i32::MAX) && step == 1 => continue,
            Dim::Batch(_) => return Err("samples are cut off, whose number is not known".into()),
        };
        let steps = Steps::new(start, end, step, size)?;
        x = match x {
            Value::Known(known) => {
                let indices = steps.indices(call)?;
                let array = entries(&known.array, axis, &indices);
                call.folded_of(array, known.learnt)?
            }
            Value::Symbol(symbol) if steps.count == size && step == 1 => Value::Symbol(symbol),
            Value::Symbol(symbol) if step == 1 || steps.count == 0 => {
                Value::Symbol(part(call, &symbol, axis, steps.start..steps.start + steps.count)?)
            }
            Value::Symbol(symbol) => {
                let indices = steps.indices(call)?;
                Value::Symbol(taken(call, &symbol, axis, &indices)?)
            }
        };
    }
    Ok(vec![x])
}

pub(crate) fn gather(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let rank = rank_of(&x);
    let axis = axis_of(call.int("axis")?.unwrap_or(0), rank)?;
    let shape = call.array(1, "the indices")?.shape.clone();
    let indices = call.ints(1, "the indices")?;
    let mut dims = dims_of(&x);
    let Dim::Fixed(size) = dims[axis] else { return Err("samples are chosen, whose number is not known".into()) };
    let indices = indices.iter().map(|&index| axis_of(index, size)).collect::<Result<Vec<_>, _>>();
    let indices = indices.map_err(|_| format!("an index beyond {size} entries"))?;
    dims.splice(axis..=axis, shape.iter().map(|&size| Dim::Fixed(size)));
    let taken = match x {
        Value::Known(known) => {
            call.reader.charge(known.array.data.len().checked_div(size).unwrap_or(0).saturating_mul(indices.len()))?;
            let array = entries(&known.array, axis, &indices);
            Value::Known(Known { array: Rc::new(array), ..known })
        }
        Value::Symbol(_) if indices.is_empty() => return Err("nothing is chosen".into()),
        Value::Symbol(x) => {
            call.reader.charge(indices.len())?;
            Value::Symbol(taken(call, &x, axis, &indices)?)
        }
    };
    with_sizes(call, taken, &dims)
}

pub(crate) fn split(call: &mut Call<'_, '_>) -> Results {
    let x = call.value(0)?.clone();
    let dims = dims_of(&x);
    let axis = axis_of(call.int("axis")?.unwrap_or(0), dims.len())?;
    let Dim::Fixed(size) = dims[axis] else { return Err("samples are split, whose number is not known".into()) };
    let lengths = match call.opset() {
        ..13 => call.list("split")?,
        _ if call.has(1) => Some(call.ints(1, "the lengths")?),
        _ => None,
    };
    let parts = call.node.outputs.len();
    let lengths: Vec<usize> = match lengths {
        Some(list) => list.into_iter().map(|length| usize::try_from(length).unwrap_or(usize::MAX)).collect(),
        None => {
            // the last part may be smaller
            let each = size.div_ceil(parts.max(1));
            (0..parts).map(|part| each.min(size.saturating_sub(part * each))).collect()
        }
    };
    let sum = lengths.iter().try_fold(0usize, |sum, &length| sum.checked_add(length));
    if sum != Some(size) || lengths.len() != parts {
        return Err(format!("{lengths:?} are no {parts} parts of {size}"));
    }
    let mut start = 0;
    let mut results = Vec::new();
    for (number, length) in lengths.into_iter().enumerate() {
        let range = start..start + length;
        start = range.end;
        results.push(match &x {
            Value::Known(known) => {
                call.reader.charge(known.array.data.len() / size.max(1) * length)?;
                let array = Rc::new(entries(&known.array, axis, &range.collect::<Vec<_>>()));
                Value::Known(Known { array, name: call.node.outputs[number].into(), learnt: known.learnt })
            }
            Value::Symbol(symbol) => Value::Symbol(part(call, symbol, axis, range)?),
        });
    }
    Ok(results)
}
