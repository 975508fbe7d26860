//! How the operations of this library are written.

use super::{
    Export,
    call::{CallWriter, Value, permuted},
    file::Setting,
    stored_order,
};
use crate::layout::Layout;
use ocelli_graph::{
    Dim, Tensor,
    ops::{
        ActivationOp, AdaptiveAvgPoolOp, Arithmetic, AvgPoolOp, BatchNormOp, ClampOp, Concat, Connections, Conv2dOp,
        ConvTranspose2dOp, DropoutOp, Erf, ExtremumOp, Fill, FollowedBy, Gather, GroupNormOp, Identity, Interpolate,
        Interpolation, LayerNormOp, LinearOp, LocalResponseNormOp, MatMul, MaxPoolOp, Orientation, PadOp, Permute,
        Power, ReduceKind, ReduceOp, Resample, ReshapeOp, Sampling, Slice, SoftmaxOp, SquaredDistance,
    },
};
use ocelli_kernels::{
    broadcast::compare,
    conv::{Conv2dSettings, ConvMode, Padding},
    elementwise::Unary,
    pad::PadMode,
    pool::{CountPadding, PoolSettings, Rounding},
};

type Done = Result<(), String>;

/// Adds the rules of all operations.
pub(super) fn all(export: Export) -> Export {
    export
        .operation(|op: &ActivationOp, call| activation(op.0, call))
        .operation(|op: &Arithmetic, call| binary(call, &format!("{op:?}")))
        .operation(|_: &Power, call| binary(call, "Pow"))
        .operation(|op: &ExtremumOp, call| binary(call, if op.0 == compare::Extremum::Maximum { "Max" } else { "Min" }))
        .operation(|_: &Erf, call| call.elementwise("Erf", &[]))
        .operation(clamp)
        .operation(|_: &Identity, call| same(call))
        .operation(|_: &DropoutOp, call| same(call))
        .operation(conv)
        .operation(conv_transpose)
        .operation(connections)
        .operation(|_: &LinearOp, call| linear(call))
        .operation(matmul)
        .operation(batch_norm)
        .operation(group_norm)
        .operation(layer_norm)
        .operation(local_response_norm)
        .operation(max_pool)
        .operation(average_pool)
        .operation(adaptive_average_pool)
        .operation(reduce)
        .operation(softmax)
        .operation(squared_distance)
        .operation(|op: &ReshapeOp, call| reshape(op, call))
        .operation(|op: &Permute, call| permute(op, call))
        .operation(concat)
        .operation(slice)
        .operation(gather)
        .operation(pad)
        .operation(interpolate)
        .operation(resample)
        .operation(|op: &Fill, call| {
            call.result_of(Value::Filled { value: op.value });
            Ok(())
        })
}

fn ints(list: impl IntoIterator<Item = usize>) -> Setting {
    Setting::Ints(list.into_iter().map(|number| number as i64).collect())
}

/// The result is the operand.
fn same(call: &mut CallWriter<'_>) -> Done {
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
        Unary::Silu => function_of(call, "Silu"),
        Unary::Gelu => function_of(call, "Gelu"),
        Unary::GeluTanh => function_of(call, "GeluTanh"),
    }
}

fn with_number(call: &mut CallWriter<'_>, operator: &str, number: f32) -> Done {
    let (x, layout) = call.stored(0)?;
    let number = call.number(number);
    let name = call.last_node(operator, &[&x, &number], &[]);
    call.result_of(Value::Stored { name, layout });
    Ok(())
}

fn function_of(call: &mut CallWriter<'_>, function: &str) -> Done {
    let (x, layout) = call.stored(0)?;
    let name = call.function(function, &[&x]);
    call.result_of(Value::Stored { name, layout });
    Ok(())
}

fn clamp(op: &ClampOp, call: &mut CallWriter<'_>) -> Done {
    let (x, layout) = call.stored(0)?;
    let (low, high) = (call.number(op.low), call.number(op.high));
    let name = call.last_node("Clip", &[&x, &low, &high], &[]);
    call.result_of(Value::Stored { name, layout });
    Ok(())
}

/// An operator with broadcasting, in the order in which the operand of more axes lies.
fn binary(call: &mut CallWriter<'_>, operator: &str) -> Done {
    let rank = call.result_shape().rank();
    let layouts: Vec<Option<Layout>> = [0, 1]
        .into_iter()
        .map(|operand| match call.value(operand) {
            Ok(Value::Stored { layout, .. }) => Ok(Some(layout)),
            Ok(_) => Ok(None),
            Err(reason) => Err(reason),
        })
        .collect::<Result<_, _>>()?;
    let usual = || stored_order(rank);
    let of_rank = layouts.iter().flatten().find(|layout| layout.rank() == rank);
    let order = of_rank.map_or_else(usual, Layout::order);
    let mut names = Vec::new();
    for operand in [0, 1] {
        let missing = rank - call.shape(operand).rank();
        let own: Vec<usize> = order.iter().filter_map(|axis| axis.checked_sub(missing)).collect();
        names.push(match call.value(operand)? {
            Value::Filled { value } => call.number(value),
            Value::Known { name, tensor } => {
                let (sizes, numbers) = permuted(&tensor, &own);
                // the axes in front are of one entry, wherever they lie in the order
                let mut left = sizes.into_iter();
                let whole = order.iter().map(|&axis| if axis < missing { 1 } else { left.next().unwrap_or(1) });
                let whole: Vec<usize> = whole.skip_while(|&size| size == 1).collect();
                call.numbers(&name, &whole, numbers)
            }
            Value::Stored { name, mut layout } => {
                layout.axes.splice(0..0, vec![Vec::new(); missing]);
                call.arranged_as(&name, &layout, &order)
            }
        });
    }
    let name = call.last_node(operator, &[&names[0], &names[1]], &[]);
    call.result(&name, &order);
    Ok(())
}

/// Rows and columns of zeros around an image: before and after.
fn pads(padding: Padding, sizes: &[usize], kernel: [usize; 2], settings: &Conv2dSettings) -> Setting {
    let same = |from: usize, kernel: usize, stride: usize, dilation: usize| {
        let span = (from.div_ceil(stride) - 1) * stride + (kernel - 1) * dilation + 1;
        let total = span.saturating_sub(from);
        [total / 2, total - total / 2]
    };
    let [[top, bottom], [left, right]] = match padding {
        Padding::Valid => [[0; 2]; 2],
        Padding::Same => [
            same(sizes[1], kernel[0], settings.stride_h, settings.dilation_h),
            same(sizes[2], kernel[1], settings.stride_w, settings.dilation_w),
        ],
        Padding::Explicit { top, bottom, left, right } => [[top, bottom], [left, right]],
    };
    ints([top, left, bottom, right])
}

/// The filter `[out, in / groups, kernel_h, kernel_w]` of the file.
fn filter(call: &mut CallWriter<'_>, mode: ConvMode) -> Result<String, String> {
    match (mode, call.value(1)?) {
        (ConvMode::CrossCorrelation, _) => call.arranged(1, &[3, 2, 0, 1]),
        (_, Value::Known { name, tensor }) => {
            // a convolution in the strict sense turns its filter by half a circle
            let &[height, width, ..] = tensor.shape() else { return Err("its filter is no filter".into()) };
            let turned = Tensor::from_fn(tensor.shape(), |i| tensor[[height - 1 - i[0], width - 1 - i[1], i[2], i[3]]]);
            let (sizes, numbers) = permuted(&turned, &[3, 2, 0, 1]);
            Ok(call.numbers(&name, &sizes, numbers))
        }
        _ => Err("a turned filter that is computed is not written".into()),
    }
}

fn window(settings: &Conv2dSettings, kernel: [usize; 2]) -> Vec<(&'static str, Setting)> {
    vec![
        ("kernel_shape", ints(kernel)),
        ("strides", ints([settings.stride_h, settings.stride_w])),
        ("dilations", ints([settings.dilation_h, settings.dilation_w])),
        ("group", Setting::Int(settings.groups as i64)),
    ]
}

fn conv(op: &Conv2dOp, call: &mut CallWriter<'_>) -> Done {
    let (x, w) = (call.image()?, filter(call, op.settings.mode)?);
    let mut inputs = vec![x, w];
    if call.operands() > 2 {
        inputs.push(call.arranged(2, &[0])?);
    }
    let (sizes, filter) = (call.sizes(0), call.sizes(1));
    let kernel = [filter[0], filter[1]];
    let mut settings = window(&op.settings, kernel);
    settings.push(("pads", pads(op.settings.padding, &sizes, kernel, &op.settings)));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let name = call.last_node("Conv", &inputs, &settings);
    call.image_result(&name);
    Ok(())
}

fn conv_transpose(op: &ConvTranspose2dOp, call: &mut CallWriter<'_>) -> Done {
    let own = &op.convolution.settings;
    let (x, w) = (call.image()?, filter(call, own.mode)?);
    let (y, filter) = (call.result_shape().at(1), call.sizes(1));
    let kernel = [filter[0], filter[1]];
    let mut settings = window(own, kernel);
    settings.push(("pads", pads(own.padding, &y, kernel, own)));
    settings.push(("output_padding", ints(op.output_padding)));
    let name = call.last_node("ConvTranspose", &[&x, &w], &settings);
    call.image_result(&name);
    Ok(())
}

/// A filter by its connections has zeros where there are none.
fn connections(op: &Connections, call: &mut CallWriter<'_>) -> Done {
    let Value::Known { name, tensor } = call.value(0)? else {
        return Err("connections that are computed are not written".into());
    };
    let (table, sizes) = (&op.0, call.result_shape().at(1));
    let mut filter = Tensor::zeros(sizes);
    let taps = filter.data_mut().chunks_exact_mut(table.inputs() * table.outputs());
    for (tap, weights) in taps.zip(tensor.data().chunks_exact(table.len().max(1))) {
        for ((input, output), weight) in table.pairs().zip(weights) {
            tap[input * table.outputs() + output] = *weight;
        }
    }
    call.result_of(Value::Known { name, tensor: filter });
    Ok(())
}

/// A dense layer takes features as they lie in the file: the rows of known weights are moved.
fn linear(call: &mut CallWriter<'_>) -> Done {
    let (x, mut layout) = call.stored(0)?;
    let factors = layout.axes[1].clone();
    let mut lying = factors.clone();
    lying.sort_unstable();
    let w = match call.value(1)? {
        Value::Known { name, tensor } if lying != factors => {
            let sizes: Vec<usize> = factors.iter().map(|&factor| layout.factors[factor].at(1)).collect();
            let outputs = tensor.shape()[1];
            let split = tensor.reshape([&sizes[..], &[outputs]].concat()).map_err(|error| error.to_string())?;
            let moved = lying.iter().filter_map(|factor| factors.iter().position(|own| own == factor));
            let order: Vec<usize> = std::iter::once(sizes.len()).chain(moved).collect();
            layout.axes[1] = lying;
            let (_, numbers) = permuted(&split, &order);
            call.numbers(&name, &[outputs, tensor.shape()[0]], numbers)
        }
        _ => call.arranged(1, &[1, 0])?,
    };
    let x = call.arranged_as(&x, &layout, &[0, 1]);
    let mut inputs = vec![x, w];
    if call.operands() > 2 {
        inputs.push(call.arranged(2, &[0])?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let name = call.last_node("Gemm", &inputs, &[("transB", Setting::Int(1))]);
    call.result(&name, &[0, 1]);
    Ok(())
}

fn matmul(op: &MatMul, call: &mut CallWriter<'_>) -> Done {
    let order = |orientation: Orientation| if orientation == Orientation::AsIs { [0, 1] } else { [1, 0] };
    let (a, b) = (call.arranged(0, &order(op.a))?, call.arranged(1, &order(op.b))?);
    let name = call.last_node("MatMul", &[&a, &b], &[]);
    call.result(&name, &[0, 1]);
    Ok(())
}

/// The order of axes with channels as the second.
fn channels_second(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(rank.checked_sub(1)).chain(1..rank.saturating_sub(1)).collect()
}

fn batch_norm(op: &BatchNormOp, call: &mut CallWriter<'_>) -> Done {
    if op.followed_by != FollowedBy::Nothing {
        return Err("a normalisation that was fused is not written".into());
    }
    let order = channels_second(call.shape(0).rank());
    let mut inputs = vec![call.arranged(0, &order)?];
    for operand in 1..5 {
        inputs.push(call.arranged(operand, &[0])?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let settings = [("epsilon", Setting::Float(op.epsilon)), ("momentum", Setting::Float(1.0 - op.momentum))];
    let name = call.last_node("BatchNormalization", &inputs, &settings);
    call.result(&name, &order);
    Ok(())
}

fn group_norm(op: &GroupNormOp, call: &mut CallWriter<'_>) -> Done {
    let shape = call.shape(0);
    let (order, channels) = (channels_second(shape.rank()), shape.channels());
    let x = call.arranged(0, &order)?;
    let epsilon = [("epsilon", Setting::Float(op.epsilon))];
    if op.groups == channels {
        let (scale, bias) = (call.arranged(1, &[0])?, call.arranged(2, &[0])?);
        let name = call.last_node("InstanceNormalization", &[&x, &scale, &bias], &epsilon);
        call.result(&name, &order);
        return Ok(());
    }
    // a group is an instance of one channel
    let dims: Vec<Dim> = order.iter().map(|&axis| shape.dims()[axis]).collect();
    let of_group = shape.len(1) / op.groups.max(1);
    let grouped = call.reshaped(&x, &[dims[0], Dim::Fixed(op.groups), Dim::Fixed(of_group)]);
    let ones = call.numbers("ones", &[op.groups], vec![1.0; op.groups]);
    let zeros = call.numbers("zeros", &[op.groups], vec![0.0; op.groups]);
    let normalised = call.node("InstanceNormalization", &[&grouped, &ones, &zeros], &epsilon);
    let normalised = call.reshaped(&normalised, &dims);
    let mut of_channels = Vec::new();
    for operand in [1, 2] {
        let Value::Known { name, tensor } = call.value(operand)? else {
            return Err("its scale and shift are computed, which is not written".into());
        };
        let sizes: Vec<usize> = std::iter::once(channels).chain(vec![1; shape.rank() - 2]).collect();
        of_channels.push(call.numbers(&name, &sizes, tensor.data().to_vec()));
    }
    let scaled = call.node("Mul", &[&normalised, &of_channels[0]], &[]);
    let name = call.last_node("Add", &[&scaled, &of_channels[1]], &[]);
    call.result(&name, &order);
    Ok(())
}

fn layer_norm(op: &LayerNormOp, call: &mut CallWriter<'_>) -> Done {
    let order: Vec<usize> = (0..call.shape(0).rank()).collect();
    let x = call.arranged(0, &order)?;
    let (scale, bias) = (call.arranged(1, &[0])?, call.arranged(2, &[0])?);
    let settings = [("axis", Setting::Int(-1)), ("epsilon", Setting::Float(op.epsilon))];
    let name = call.last_node("LayerNormalization", &[&x, &scale, &bias], &settings);
    call.result(&name, &order);
    Ok(())
}

fn local_response_norm(op: &LocalResponseNormOp, call: &mut CallWriter<'_>) -> Done {
    let norm = op.0;
    if norm.size.is_multiple_of(2) {
        return Err("a sum over an even number of channels is not written".into());
    }
    let order = channels_second(call.shape(0).rank());
    let x = call.arranged(0, &order)?;
    let settings = [
        ("size", Setting::Int(norm.size as i64)),
        ("alpha", Setting::Float(norm.alpha * norm.size as f32)),
        ("beta", Setting::Float(norm.beta)),
        ("bias", Setting::Float(norm.k)),
    ];
    let name = call.last_node("LRN", &[&x], &settings);
    call.result(&name, &order);
    Ok(())
}

fn pool_settings(settings: &PoolSettings) -> Vec<(&'static str, Setting)> {
    let PoolSettings { pad_top, pad_left, pad_bottom, pad_right, .. } = *settings;
    vec![
        ("kernel_shape", ints([settings.kernel_h, settings.kernel_w])),
        ("strides", ints([settings.stride_h, settings.stride_w])),
        ("pads", ints([pad_top, pad_left, pad_bottom, pad_right])),
        ("ceil_mode", Setting::Int(i64::from(settings.rounding == Rounding::Ceil))),
    ]
}

fn max_pool(op: &MaxPoolOp, call: &mut CallWriter<'_>) -> Done {
    let x = call.image()?;
    let name = call.last_node("MaxPool", &[&x], &pool_settings(&op.settings));
    call.image_result(&name);
    Ok(())
}

fn average_pool(op: &AvgPoolOp, call: &mut CallWriter<'_>) -> Done {
    let x = call.image()?;
    let mut settings = pool_settings(&op.settings);
    settings.push(("count_include_pad", Setting::Int(i64::from(op.count == CountPadding::Include))));
    let name = call.last_node("AveragePool", &[&x], &settings);
    call.image_result(&name);
    Ok(())
}

fn adaptive_average_pool(op: &AdaptiveAvgPoolOp, call: &mut CallWriter<'_>) -> Done {
    let sizes = call.sizes(0);
    let [height, width] = [(sizes[1], op.out_h), (sizes[2], op.out_w)].map(|(from, to)| (from / to.max(1), from, to));
    if [height, width].iter().all(|(_, from, to)| from == to) {
        return same(call);
    }
    if [height, width].iter().any(|(each, from, to)| each * to != *from) {
        let (from, to) = (format!("{}×{}", sizes[1], sizes[2]), format!("{}×{}", op.out_h, op.out_w));
        return Err(format!("windows of different sizes, from {from} to {to} pixels, are not written"));
    }
    let x = call.image()?;
    let kernel = ints([height.0, width.0]);
    let name = call.last_node("AveragePool", &[&x], &[("kernel_shape", kernel.clone()), ("strides", kernel)]);
    call.image_result(&name);
    Ok(())
}

fn reduce(op: &ReduceOp, call: &mut CallWriter<'_>) -> Done {
    let (x, layout) = call.stored(0)?;
    let order = layout.order();
    let x = call.arranged_as(&x, &layout, &order);
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
    let (x, layout) = call.stored(0)?;
    let order = layout.order();
    let x = call.arranged_as(&x, &layout, &order);
    let last = order.iter().position(|&axis| axis + 1 == order.len()).ok_or("it has no axes")?;
    let operator = if *op == SoftmaxOp::Plain { "Softmax" } else { "LogSoftmax" };
    let name = call.last_node(operator, &[&x], &[("axis", Setting::Int(last as i64))]);
    call.result(&name, &order);
    Ok(())
}

fn squared_distance(_: &SquaredDistance, call: &mut CallWriter<'_>) -> Done {
    let (x, codes) = (call.arranged(0, &[0, 1])?, call.arranged(1, &[0, 1])?);
    let name = call.function("SquaredDistance", &[&x, &codes]);
    call.result(&name, &[0, 1]);
    Ok(())
}

fn reshape(op: &ReshapeOp, call: &mut CallWriter<'_>) -> Done {
    let dims = op.shape.dims();
    let (name, layout) = match call.value(0)? {
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
        Value::Stored { name, layout } => (name, layout),
    };
    match layout.reshaped(dims) {
        // nothing moves in the file either
        Some(layout) => call.result_of(Value::Stored { name, layout }),
        None => {
            let whole: Vec<usize> = (0..layout.rank()).collect();
            let x = call.arranged_as(&name, &layout, &whole);
            let name = call.reshaped(&x, dims);
            call.result(&name, &(0..dims.len()).collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn permute(op: &Permute, call: &mut CallWriter<'_>) -> Done {
    let (name, layout) = call.stored(0)?;
    call.result_of(Value::Stored { name, layout: layout.transposed(&op.axes) });
    Ok(())
}

/// Operands side by side; zeros at either end are padding.
fn concat(op: &Concat, call: &mut CallWriter<'_>) -> Done {
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
    let order = call.stored(first)?.1.order();
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

fn slice(op: &Slice, call: &mut CallWriter<'_>) -> Done {
    let (Some(start), Some(len)) = (op.start.fixed(), op.len.fixed()) else {
        return Err("a part of the samples is not written".into());
    };
    let (x, layout) = call.stored(0)?;
    let order = layout.order();
    let x = call.arranged_as(&x, &layout, &order);
    let place = order.iter().position(|&axis| axis == op.axis).ok_or("its axis is nowhere")?;
    let [start, end, place] = [start, start + len, place].map(|number| call.integers(&[number as i64]));
    let name = call.last_node("Slice", &[&x, &start, &end, &place], &[]);
    call.result(&name, &order);
    Ok(())
}

fn gather(op: &Gather, call: &mut CallWriter<'_>) -> Done {
    let (x, layout) = call.stored(0)?;
    let order = layout.order();
    let x = call.arranged_as(&x, &layout, &order);
    let place = order.iter().position(|&axis| axis == op.axis).ok_or("its axis is nowhere")?;
    let indices = call.integers(&op.indices.iter().map(|&index| index as i64).collect::<Vec<_>>());
    let name = call.last_node("Gather", &[&x, &indices], &[("axis", Setting::Int(place as i64))]);
    call.result(&name, &order);
    Ok(())
}

fn pad(op: &PadOp, call: &mut CallWriter<'_>) -> Done {
    let x = call.image()?;
    let [top, left, bottom, right] = [op.0.top, op.0.left, op.0.bottom, op.0.right].map(|pixels| pixels as i64);
    let amounts = call.integers(&[0, 0, top, left, 0, 0, bottom, right]);
    let mode = match op.0.mode {
        PadMode::Reflect => "reflect",
        PadMode::Replicate => "edge",
        PadMode::Zero => "constant",
    };
    let name = call.last_node("Pad", &[&x, &amounts], &[("mode", Setting::Text(mode.into()))]);
    call.image_result(&name);
    Ok(())
}

fn interpolate(op: &Interpolate, call: &mut CallWriter<'_>) -> Done {
    let sizes = call.sizes(0);
    let scale = |to: usize, from: usize| to as f32 / from as f32;
    let scales = [1.0, 1.0, scale(op.size[0], sizes[1]), scale(op.size[1], sizes[2])];
    let becomes = |from: usize, scale: f32| (from as f32 * scale).floor() as usize;
    if [becomes(sizes[1], scales[2]), becomes(sizes[2], scales[3])] != op.size {
        return Err(format!("no scale makes {:?} pixels of {:?}", op.size, &sizes[1..3]));
    }
    let x = call.image()?;
    let (mode, coordinates) = match op.interpolation {
        Interpolation::Nearest => ("nearest", "asymmetric"),
        Interpolation::Bilinear => ("linear", "half_pixel"),
    };
    let region = "";
    let scales = call.numbers("scales", &[4], scales.to_vec());
    let settings = [
        ("mode", Setting::Text(mode.into())),
        ("coordinate_transformation_mode", Setting::Text(coordinates.into())),
        ("nearest_mode", Setting::Text("floor".into())),
    ];
    let name = call.last_node("Resize", &[&x, region, &scales], &settings);
    call.image_result(&name);
    Ok(())
}

/// A resizing by weights is a product with a matrix on either side.
fn resample(op: &Resample, call: &mut CallWriter<'_>) -> Done {
    let matrix = |sampling: &Sampling| {
        let mut rows = vec![0.0; sampling.taps.len() * sampling.from];
        for (row, taps) in rows.chunks_exact_mut(sampling.from.max(1)).zip(&sampling.taps) {
            taps.iter().for_each(|&(index, weight)| row[index] += weight);
        }
        Tensor::from_vec([sampling.taps.len(), sampling.from], rows).map_err(|error| error.to_string())
    };
    let x = call.image()?;
    let (rows, columns) = (matrix(&op.rows)?, matrix(&op.columns)?);
    let rows = call.numbers("rows", rows.shape(), rows.data().to_vec());
    let (sizes, numbers) = permuted(&columns, &[1, 0]);
    let columns = call.numbers("columns", &sizes, numbers);
    let resized = call.node("MatMul", &[&rows, &x], &[]);
    let name = call.last_node("MatMul", &[&resized, &columns], &[]);
    call.image_result(&name);
    Ok(())
}
