//! Padding of values.

use super::{
    call::{Call, Results, one},
    movement::axis_of,
    value::Symbol,
};
use ocelli_graph::{Axis, Dim, Node, Shape};
use ocelli_kernels::pad::{PadMode, PadSettings};

pub(crate) fn pad(call: &mut Call<'_, '_>) -> Results {
    let x = call.symbol(0)?;
    let rank = x.rank();
    let (pads, value) = if call.opset() < 11 {
        (call.list("pads")?.unwrap_or_default(), call.float("value", 0.0)?)
    } else {
        let value =
            if call.has(2) { call.scalar(2).ok_or("its number must be known when the file is read")? } else { 0.0 };
        (call.ints(1, "the amounts")?, value)
    };
    let axes = match call.has(3) {
        true => call.ints(3, "the axes")?.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        false => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} amounts for {} axes", pads.len(), axes.len()));
    }
    let mut amounts = vec![[0i64; 2]; rank];
    axes.iter().enumerate().for_each(|(place, &axis)| amounts[axis] = [pads[place], pads[place + axes.len()]]);
    let mode = match call.text("mode", "constant")?.as_str() {
        "constant" => PadMode::Zero,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Replicate,
        other => return Err(format!("padding by \"{other}\" is not known")),
    };
    let of_images = rank == 4 && amounts[0] == [0, 0] && amounts[1] == [0, 0];
    let positive = |amount: i64| usize::try_from(amount).ok();
    let sides: Option<Vec<usize>> = amounts.iter().flatten().map(|&amount| positive(amount)).collect();
    match sides {
        Some(sides) if of_images && (mode != PadMode::Zero || value == 0.0) => {
            let (top, bottom, left, right) = (sides[4], sides[5], sides[6], sides[7]);
            let settings = PadSettings { mode, top, bottom, left, right };
            let node = x.arranged(&[0, 2, 3, 1]);
            let is_nothing = sides.iter().all(|&side| side == 0);
            let y = if is_nothing { node } else { call.layer(&node, |x| x.pad(settings)) };
            one(Symbol::usual(y))
        }
        _ if mode == PadMode::Zero => constant(call, &x, &amounts, value),
        _ => Err("only height and width of images are continued by their own pixels".into()),
    }
}

/// Adds numbers on any axis, or takes entries away.
fn constant(call: &Call<'_, '_>, x: &Symbol, amounts: &[[i64; 2]], value: f32) -> Results {
    let (mut node, order) = x.in_its_order();
    for (place, &axis) in order.iter().enumerate() {
        let [before, after] = amounts[axis];
        if [before, after] == [0, 0] {
            continue;
        }
        let shape = node.shape();
        let Dim::Fixed(size) = shape.dims()[place] else { return Err("samples are added or taken away".into()) };
        let cut = |amount: i64| usize::try_from(amount.checked_neg().unwrap_or(i64::MAX)).unwrap_or(0);
        let (start, end) = (cut(before), size.saturating_sub(cut(after)));
        if start >= end {
            return Err(format!("nothing is left of axis {axis}"));
        }
        if (start, end) != (0, size) {
            node = node.slice(Axis::Index(place), start..end);
        }
        let filled = |amount: i64| {
            let count = usize::try_from(amount).ok().filter(|&count| count > 0)?;
            let mut dims = shape.dims().to_vec();
            dims[place] = Dim::Fixed(count);
            Some(node.trace().filled(value, Shape::new(dims)))
        };
        let (first, last) = (filled(before), filled(after));
        let parts: Vec<&Node> = first.iter().chain([&node]).chain(&last).collect();
        node = call.layer(&node, |_| Node::concat(&parts, Axis::Index(place)));
    }
    one(Symbol::ordered(node, &order))
}
