//! Sums, means and softmax over axes.

use super::{
    call::{Call, Results, one},
    movement::{axes, axes_of, axis_of},
    value::Symbol,
};
use ocelli_graph::{Axis, Dim, Node};

pub(crate) fn sum(call: &mut Call<'_, '_>) -> Results {
    reduced(call, 13, Node::sum_over)
}

pub(crate) fn mean(call: &mut Call<'_, '_>) -> Results {
    reduced(call, 18, Node::mean_over)
}

/// The mean over all pixels, which keeps their axes.
pub(crate) fn global_average_pool(call: &mut Call<'_, '_>) -> Results {
    let x = call.symbol(0)?;
    match x.rank() {
        0..3 => Err(format!("images are expected, not {} axes", x.rank())),
        rank => one(without(call, &x, &(2..rank).collect::<Vec<_>>(), Keeping::Axes, Node::mean_over)),
    }
}

/// The fate of axes that are reduced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// They keep the size 1.
    Axes,
    Nothing,
}

fn reduced(call: &mut Call<'_, '_>, axes_since: i64, over: fn(&Node, &[Axis]) -> Node) -> Results {
    let x = call.symbol(0)?;
    let rank = x.rank();
    let removed = match axes(call, axes_since)?.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes_of(&axes, rank)?,
        None if call.flag("noop_with_empty_axes")? => return one(x),
        None => (0..rank).collect(),
    };
    let keeping = if call.int("keepdims")?.unwrap_or(1) != 0 { Keeping::Axes } else { Keeping::Nothing };
    one(without(call, &x, &removed, keeping, over))
}

/// Reduces axes of a value.
fn without(
    call: &Call<'_, '_>,
    x: &Symbol,
    removed: &[usize],
    keeping: Keeping,
    over: fn(&Node, &[Axis]) -> Node,
) -> Symbol {
    let rank = x.rank();
    let (node, order) = x.in_its_order();
    let places = order.iter().enumerate().filter(|(_, axis)| removed.contains(axis));
    let places: Vec<Axis> = places.map(|(place, _)| Axis::Index(place)).collect();
    let node = if places.is_empty() { node } else { call.layer(&node, |x| over(x, &places)) };
    // what is left, in the order in which it lies, with numbers among the axes that are left
    let left: Vec<usize> = (0..rank).filter(|axis| !removed.contains(axis)).collect();
    let lying: Vec<usize> = order.iter().filter_map(|axis| left.iter().position(|own| own == axis)).collect();
    let mut symbol = Symbol::ordered(node, &lying);
    if keeping == Keeping::Axes {
        let mut axes = vec![Vec::new(); rank];
        left.iter().zip(&symbol.layout.axes).for_each(|(&axis, own)| axes[axis] = own.clone());
        symbol.layout.axes = axes;
    }
    symbol
}

pub(crate) fn softmax(call: &mut Call<'_, '_>) -> Results {
    over_classes(call, Node::softmax)
}

pub(crate) fn log_softmax(call: &mut Call<'_, '_>) -> Results {
    over_classes(call, Node::log_softmax)
}

fn over_classes(call: &mut Call<'_, '_>, apply: fn(&Node) -> Node) -> Results {
    let x = call.symbol(0)?;
    let is_old = call.opset() < 13;
    let axis = axis_of(call.int("axis")?.unwrap_or(if is_old { 1 } else { -1 }), x.rank())?;
    if is_old && axis + 1 < x.rank() {
        // before version 13 all axes from this one on were one axis of classes
        let dims = x.layout.dims();
        let classes = dims[axis..].iter().try_fold(1usize, |product, dim| product.checked_mul(dim.fixed()?));
        let classes = classes.ok_or("its classes depend on the number of samples")?;
        let merged: Vec<Dim> = dims[..axis].iter().copied().chain([Dim::Fixed(classes)]).collect();
        let rows = x.reshaped(&merged);
        let node = rows.arranged(&(0..=axis).collect::<Vec<_>>());
        let y = Symbol::ordered(call.layer(&node, apply), &(0..=axis).collect::<Vec<_>>());
        return one(y.reshaped(&dims));
    }
    let order: Vec<usize> = x.layout.order().into_iter().filter(|&own| own != axis).chain([axis]).collect();
    one(Symbol::ordered(call.layer(&x.arranged(&order), apply), &order))
}
