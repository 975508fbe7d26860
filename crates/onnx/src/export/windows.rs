//! How operations on windows of images are written.

use super::{
    call::{CallWriter, Value, permuted},
    file::Setting,
    operations::{Done, ints, same},
};
use ocelli_graph::{
    Tensor,
    ops::{
        AdaptiveAvgPoolOp, AvgPoolOp, Connections, Conv2dOp, ConvTranspose2dOp, Interpolate, Interpolation, MaxPoolOp,
        PadOp, Resample, Sampling,
    },
};
use ocelli_kernels::{
    conv::{Conv2dSettings, ConvMode, Padding},
    pad::PadMode,
    pool::{CountPadding, PoolSettings, Rounding},
};

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

pub(super) fn conv(op: &Conv2dOp, call: &mut CallWriter<'_>) -> Done {
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

pub(super) fn conv_transpose(op: &ConvTranspose2dOp, call: &mut CallWriter<'_>) -> Done {
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
pub(super) fn connections(op: &Connections, call: &mut CallWriter<'_>) -> Done {
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

fn pool_settings(settings: &PoolSettings) -> Vec<(&'static str, Setting)> {
    let PoolSettings { pad_top, pad_left, pad_bottom, pad_right, .. } = *settings;
    vec![
        ("kernel_shape", ints([settings.kernel_h, settings.kernel_w])),
        ("strides", ints([settings.stride_h, settings.stride_w])),
        ("pads", ints([pad_top, pad_left, pad_bottom, pad_right])),
        ("ceil_mode", Setting::Int(i64::from(settings.rounding == Rounding::Ceil))),
    ]
}

pub(super) fn max_pool(op: &MaxPoolOp, call: &mut CallWriter<'_>) -> Done {
    let x = call.image()?;
    let name = call.last_node("MaxPool", &[&x], &pool_settings(&op.settings));
    call.image_result(&name);
    Ok(())
}

pub(super) fn average_pool(op: &AvgPoolOp, call: &mut CallWriter<'_>) -> Done {
    let x = call.image()?;
    let mut settings = pool_settings(&op.settings);
    settings.push(("count_include_pad", Setting::Int(i64::from(op.count == CountPadding::Include))));
    let name = call.last_node("AveragePool", &[&x], &settings);
    call.image_result(&name);
    Ok(())
}

pub(super) fn adaptive_average_pool(op: &AdaptiveAvgPoolOp, call: &mut CallWriter<'_>) -> Done {
    let sizes = call.sizes(0);
    let [height, width] = [(sizes[1], op.out_h), (sizes[2], op.out_w)].map(|(from, to)| (from / to.max(1), from, to));
    if [height, width].iter().all(|(_, from, to)| from == to) {
        return same(call);
    }
    if [height, width].iter().any(|(each, from, to)| each * to != *from) {
        return uneven_average_pool([height.1, width.1], [height.2, width.2], call);
    }
    let x = call.image()?;
    let kernel = ints([height.0, width.0]);
    let name = call.last_node("AveragePool", &[&x], &[("kernel_shape", kernel.clone()), ("strides", kernel)]);
    call.image_result(&name);
    Ok(())
}

/// Windows of different sizes are a product with a matrix of means on either side.
fn uneven_average_pool(from: [usize; 2], to: [usize; 2], call: &mut CallWriter<'_>) -> Done {
    let matrix = |from: usize, to: usize| {
        let mut rows = vec![0.0; to * from];
        for (i, row) in rows.chunks_exact_mut(from.max(1)).enumerate() {
            let window = i * from / to..((i + 1) * from).div_ceil(to);
            let share = 1.0 / window.len() as f32;
            row[window].fill(share);
        }
        Tensor::from_vec([to, from], rows).map_err(|error| error.to_string())
    };
    let x = call.image()?;
    let (rows, columns) = sides(call, &matrix(from[0], to[0])?, &matrix(from[1], to[1])?);
    let name = call.function("AdaptiveAveragePool", &[&x, &rows, &columns]);
    call.image_result(&name);
    Ok(())
}

/// Matrices `[to, from]` that images are multiplied with from the left and, turned, from the right.
fn sides(call: &mut CallWriter<'_>, rows: &Tensor, columns: &Tensor) -> (String, String) {
    let rows = call.numbers("rows", rows.shape(), rows.data().to_vec());
    let (sizes, numbers) = permuted(columns, &[1, 0]);
    (rows, call.numbers("columns", &sizes, numbers))
}

pub(super) fn pad(op: &PadOp, call: &mut CallWriter<'_>) -> Done {
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

pub(super) fn interpolate(op: &Interpolate, call: &mut CallWriter<'_>) -> Done {
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
pub(super) fn resample(op: &Resample, call: &mut CallWriter<'_>) -> Done {
    let matrix = |sampling: &Sampling| {
        let mut rows = vec![0.0; sampling.taps.len() * sampling.from];
        for (row, taps) in rows.chunks_exact_mut(sampling.from.max(1)).zip(&sampling.taps) {
            taps.iter().for_each(|&(index, weight)| row[index] += weight);
        }
        Tensor::from_vec([sampling.taps.len(), sampling.from], rows).map_err(|error| error.to_string())
    };
    let x = call.image()?;
    let (rows, columns) = (matrix(&op.rows)?, matrix(&op.columns)?);
    let (rows, columns) = sides(call, &rows, &columns);
    let resized = call.node("MatMul", &[&rows, &x], &[]);
    let name = call.last_node("MatMul", &[&resized, &columns], &[]);
    call.image_result(&name);
    Ok(())
}
