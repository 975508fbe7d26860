//! Convolutions and matrix products.

use super::{
    call::{Call, Image, Results, one},
    movement::axis_of,
    pool::{Sides, sides},
    value::{Known, Symbol, Value, shaped},
};
use crate::{constant::Array, layout::Layout};
use ocelli_graph::{
    AxisRole::{self, Features, FlattenedInputs, Inputs, KernelHeight, KernelWidth, Outputs, Unnamed},
    Dim, Node,
    ops::{ConvTranspose2dOp, LinearOp},
};
use ocelli_kernels::conv::{Conv2dSettings, Padding};

const FILTER: [AxisRole; 4] = [KernelHeight, KernelWidth, Inputs, Outputs];

/// The filter `[kernel_h, kernel_w, in / groups, out]` of a convolution, or that of the convolution whose adjoint a
/// transposed one is: both have the axis of outputs first in the file.
fn filter(call: &mut Call<'_, '_>, image: &Image) -> Result<Node, String> {
    if !image.is_sequence() {
        return call.arranged(1, &[2, 3, 1, 0], &FILTER);
    }
    let node = call.arranged(1, &[2, 1, 0], &[Unnamed; 3])?;
    let shape = node.shape();
    Ok(shaped(&node, &[&[Dim::Fixed(1)], shape.dims()].concat()))
}

struct Window {
    settings: Conv2dSettings,
    kernel: [usize; 2],
}

/// The settings that convolutions of both directions have, without padding.
fn window(call: &mut Call<'_, '_>, image: &Image, filter: &Node) -> Result<Window, String> {
    let sizes = filter.shape().at(1);
    let kernel = [sizes.first().copied().unwrap_or(1), sizes.get(1).copied().unwrap_or(1)];
    if let Some(said) = call.list("kernel_shape")?
        && image.pair(Some(said.clone()), 1, "kernel")? != kernel
    {
        return Err(format!("its kernel is said to be {said:?}, but its filter has {kernel:?}"));
    }
    let [stride_h, stride_w] = image.pair(call.list("strides")?, 1, "stride")?;
    let [dilation_h, dilation_w] = image.pair(call.list("dilations")?, 1, "dilation")?;
    let groups = usize::try_from(call.int("group")?.unwrap_or(1)).map_err(|_| "a negative number of groups")?;
    let settings = Conv2dSettings { stride_h, stride_w, dilation_h, dilation_w, groups, ..Conv2dSettings::default() };
    Ok(Window { settings, kernel })
}

fn padding([[top, bottom], [left, right]]: Sides) -> Padding {
    if [top, bottom, left, right] == [0; 4] { Padding::Valid } else { Padding::Explicit { top, bottom, left, right } }
}

pub(crate) fn conv(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    let w = filter(call, &image)?;
    let bias = if call.has(2) { Some(call.arranged(2, &[0], &[Outputs])?) } else { None };
    let Window { mut settings, kernel } = window(call, &image, &w)?;
    let (strides, dilations) = ([settings.stride_h, settings.stride_w], [settings.dilation_h, settings.dilation_w]);
    settings.padding = padding(sides(call, &image, kernel, strides, dilations)?);
    let y = call.layer(&image.node, |x| x.conv2d(settings, &w, bias.as_ref()));
    one(image.symbol(y))
}

pub(crate) fn conv_transpose(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    let w = filter(call, &image)?;
    let bias = if call.has(2) { Some(call.arranged(2, &[0], &[Features])?) } else { None };
    let Window { mut settings, kernel } = window(call, &image, &w)?;
    let mut extra = image.pair(call.list("output_padding")?, 0, "output padding")?;
    let auto = call.text("auto_pad", "NOTSET")?;
    let said = call.list("output_shape")?.filter(|shape| !shape.is_empty());
    let mut taken = match auto.as_str() {
        "NOTSET" if said.is_none() => sides(call, &image, kernel, [1; 2], [1; 2])?,
        "VALID" => [[0; 2]; 2],
        "NOTSET" | "SAME_UPPER" | "SAME_LOWER" => {
            let (from, strides) = (image.size()?, [settings.stride_h, settings.stride_w]);
            let dilations = [settings.dilation_h, settings.dilation_w];
            let out = match said {
                Some(shape) => {
                    let spatial = shape.len().saturating_sub(if image.is_sequence() { 1 } else { 2 });
                    image.pair(Some(shape[spatial..].to_vec()), 1, "size")?
                }
                None => [0, 1].map(|axis| from[axis].saturating_mul(strides[axis])),
            };
            let mut list = [[0; 2]; 2];
            for axis in 0..2 {
                let steps = from[axis].saturating_sub(1).saturating_mul(strides[axis]);
                let reach = kernel[axis].saturating_sub(1).saturating_mul(dilations[axis]);
                let span = steps.saturating_add(reach).saturating_add(1).saturating_add(extra[axis]);
                match span.checked_sub(out[axis]) {
                    Some(total) => {
                        let (less, more) = (total / 2, total - total / 2);
                        list[axis] = if auto == "SAME_UPPER" { [less, more] } else { [more, less] };
                    }
                    None => extra[axis] = extra[axis].saturating_add(out[axis] - span),
                }
            }
            list
        }
        other => return Err(format!("the padding \"{other}\" is not known")),
    };
    // a single row of a sequence is neither padded nor enlarged
    if image.is_sequence() {
        (taken[0], extra[0]) = ([0; 2], 0);
    }
    settings.padding = padding(taken);
    let y = call.layer(&image.node, |x| {
        let y = x.conv_transpose2d(ConvTranspose2dOp::new(settings, extra), &w);
        match &bias {
            Some(bias) => y + bias,
            None => y,
        }
    });
    one(image.symbol(y))
}

/// A matrix of weights `[in, out]` whose rows stand in the order in which the features of `x` lie.
fn rows_in_order(call: &mut Call<'_, '_>, x: &Symbol, known: &Known, transposed: bool) -> Result<Symbol, String> {
    let factors = &x.layout.axes[1];
    let mut lying = factors.clone();
    lying.sort_unstable();
    let order = if transposed { [1, 0] } else { [0, 1] };
    if lying == *factors || call.reader.made(known).is_some() {
        return call.reader.parameter_with(known, &order, &[Inputs, Outputs]);
    }
    let sizes: Option<Vec<usize>> = factors.iter().map(|&factor| x.layout.factors[factor].fixed()).collect();
    let sizes = sizes.ok_or("its features depend on the number of samples")?;
    let matrix: Array = known.array.permuted(&order);
    let &[inputs, outputs] = &matrix.shape[..] else { return Err("its weights are no matrix".into()) };
    if inputs != sizes.iter().product::<usize>() {
        return Err(format!("{inputs} rows of weights for {sizes:?} features"));
    }
    // rows as the file's axes, in the order in which they lie
    let split = matrix.reshaped([&sizes[..], &[outputs]].concat());
    let mut moved: Vec<usize> =
        lying.iter().filter_map(|factor| factors.iter().position(|own| own == factor)).collect();
    moved.push(sizes.len());
    let role = match (&sizes[..], &moved[..]) {
        (&[channels, height, width], &[1, 2, 0, 3]) => FlattenedInputs { height, width, channels },
        _ => Unnamed,
    };
    let values = call.reader.tensor(known, &split.permuted(&moved).data)?;
    // in memory: the factors of the rows as they lie, and the columns
    let mut rows = vec![0; sizes.len()];
    moved[..sizes.len()].iter().enumerate().for_each(|(place, &axis)| rows[axis] = place);
    let lying_sizes = moved.iter().map(|&axis| Dim::Fixed(split.shape[axis])).collect();
    let columns = vec![sizes.len()];
    let axes = if transposed { vec![columns, rows] } else { vec![rows, columns] };
    let layout = Layout { factors: lying_sizes, axes };
    let roles = if role == Unnamed { [Unnamed, Unnamed] } else { [role, Outputs] };
    call.reader.made_of(known, values, &[inputs, outputs], &roles, layout)
}

/// Multiplies rows of features with a known matrix, where the features lie as they do.
fn dense(
    call: &mut Call<'_, '_>,
    x: &Symbol,
    weights: &Known,
    transposed: bool,
    bias: Option<Node>,
) -> Result<Symbol, String> {
    // The features may lie in another order than the file's; then so do the rows.
    let w = rows_in_order(call, x, weights, transposed)?;
    let mut lying = x.layout.clone();
    lying.axes[1].sort_unstable();
    let rows = Symbol { node: x.node.clone(), layout: lying }.arranged(&[0, 1]);
    let order = if transposed { [1, 0] } else { [0, 1] };
    let mut matrix = w.layout.clone();
    matrix.axes.iter_mut().for_each(|axis| axis.sort_unstable());
    let w = Symbol { node: w.node, layout: matrix }.arranged(&order);
    let y = call.layer(&rows, |x| {
        let operands: Vec<&Node> = [x, &w].into_iter().chain(&bias).collect();
        Node::call(LinearOp, &operands)
    });
    Ok(Symbol::ordered(y, &[0, 1]))
}

pub(crate) fn gemm(call: &mut Call<'_, '_>) -> Results {
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let [a_turned, b_turned] = [call.flag("transA")?, call.flag("transB")?];
    let mut x = call.symbol(0)?;
    if x.rank() != 2 {
        return Err(format!("its first operand has {} axes, expected 2", x.rank()));
    }
    if a_turned {
        x.layout = x.layout.transposed(&[1, 0]);
    }
    let added = call.has(2) && beta != 0.0;
    let is_bias = added && alpha == 1.0 && beta == 1.0 && call.known(2).is_some_and(|c| c.array.shape.len() == 1);
    let weights = call.known(1).filter(|weights| weights.array.shape.len() == 2).cloned();
    let mut is_done = false;
    let mut y = match &weights {
        Some(weights) => {
            let columns = weights.array.shape[if b_turned { 0 } else { 1 }];
            let fits = is_bias && call.known(2).is_some_and(|c| c.array.shape == [columns]);
            let bias = if fits { Some(call.arranged(2, &[0], &[Outputs])?) } else { None };
            is_done = fits;
            dense(call, &x, weights, b_turned, bias)?
        }
        None => {
            let b = call.symbol(1)?;
            if b.rank() != 2 {
                return Err(format!("its second operand has {} axes, expected 2", b.rank()));
            }
            let b = b.arranged(if b_turned { &[1, 0] } else { &[0, 1] });
            Symbol::ordered(call.layer(&x.arranged(&[0, 1]), |a| a.matmul(&b)), &[0, 1])
        }
    };
    if alpha != 1.0 {
        y = y.with_node(y.node.scale(alpha));
    }
    if added && !is_done {
        let c = match call.scalar(2) {
            Some(number) => return one(y.with_node(y.node.shift(number * beta))),
            None => call.symbol(2)?,
        };
        if c.rank() > 2 {
            return Err(format!("its third operand has {} axes", c.rank()));
        }
        let c = c.arranged(&(0..c.rank()).collect::<Vec<_>>());
        let c = if beta == 1.0 { c } else { c.scale(beta) };
        y = y.with_node(&y.node + &c);
    }
    one(y)
}

pub(crate) fn matmul(call: &mut Call<'_, '_>) -> Results {
    let a = call.symbol(0)?;
    if let Some(weights) = call.known(1).filter(|weights| weights.array.shape.len() == 2).cloned()
        && a.rank() == 2
    {
        return dense(call, &a, &weights, false, None).and_then(one);
    }
    let b = call.symbol(1)?;
    let (a_rank, b_rank) = (a.rank(), b.rank());
    if a_rank == 0 || b_rank == 0 {
        return Err("a product of single numbers".into());
    }
    // vectors are matrices of one row or column, whose axis goes again
    let raised = |x: &Symbol, dims: Vec<Dim>| if x.rank() == 1 { x.reshaped(&dims) } else { x.clone() };
    let a = raised(&a, vec![Dim::Fixed(1), a.layout.dim(0)]);
    let b = raised(&b, vec![b.layout.dim(0), Dim::Fixed(1)]);
    let rank = a.rank().max(b.rank());
    let whole = |x: &Symbol| x.arranged(&(0..x.rank()).collect::<Vec<_>>());
    let (left, right) = (whole(&a), whole(&b));
    let y = call.layer(&left, |a| a.matmul(&right));
    let y = Symbol::ordered(y, &(0..rank).collect::<Vec<_>>());
    let mut dims = y.layout.dims();
    if b_rank == 1 {
        dims.remove(axis_of(-1, rank)?);
    }
    if a_rank == 1 {
        dims.remove(axis_of(if b_rank == 1 { -1 } else { -2 }, dims.len())?);
    }
    one(if dims.len() == rank { y } else { y.reshaped(&dims) })
}

/// The function of this library for products of channels.
pub(crate) fn gram(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    one(Symbol::ordered(call.layer(&image.node, Node::gram), &[0, 1, 2]))
}

/// The function of this library for units with fixed codes.
pub(crate) fn squared_distance(call: &mut Call<'_, '_>) -> Results {
    if let Some(Value::Known(codes)) = call.inputs.get_mut(1).and_then(Option::as_mut) {
        codes.learnt = false;
    }
    let x = call.symbol(0)?;
    let codes = call.arranged(1, &[0, 1], &[Outputs, Inputs])?;
    if x.rank() != 2 {
        return Err(format!("its operand has {} axes, expected 2", x.rank()));
    }
    one(Symbol::ordered(call.layer(&x.arranged(&[0, 1]), |x| x.squared_distance(&codes)), &[0, 1]))
}
