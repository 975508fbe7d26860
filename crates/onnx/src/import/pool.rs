//! Pooling, and the padding of windows.

use super::call::{Call, Image, Results, one};
use ocelli_kernels::pool::{CountPadding, PoolSettings, Rounding};

/// Pixels before and after, for rows and for columns.
pub(crate) type Sides = [[usize; 2]; 2];

/// The padding of a window: as it is said, or by a rule.
pub(crate) fn sides(
    call: &Call<'_, '_>,
    image: &Image,
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
) -> Result<Sides, String> {
    let auto = call.text("auto_pad", "NOTSET")?;
    match auto.as_str() {
        "NOTSET" => {
            let pads = call.list("pads")?.unwrap_or_default();
            let (before, after) = pads.split_at(pads.len() / 2);
            let before = image.pair(Some(before.to_vec()), 0, "padding")?;
            let after = image.pair(Some(after.to_vec()), 0, "padding")?;
            Ok([[before[0], after[0]], [before[1], after[1]]])
        }
        "VALID" => Ok([[0; 2]; 2]),
        "SAME_UPPER" | "SAME_LOWER" => {
            let from = image.size()?;
            Ok([0, 1].map(|axis| {
                let out = from[axis].div_ceil(strides[axis].max(1));
                let span = (kernel[axis].saturating_sub(1)).saturating_mul(dilations[axis]).saturating_add(1);
                let covered = (out.saturating_sub(1)).saturating_mul(strides[axis]).saturating_add(span);
                let total = covered.saturating_sub(from[axis]);
                let (less, more) = (total / 2, total - total / 2);
                if auto == "SAME_UPPER" { [less, more] } else { [more, less] }
            }))
        }
        other => Err(format!("the padding \"{other}\" is not known")),
    }
}

fn settings(call: &Call<'_, '_>, image: &Image) -> Result<PoolSettings, String> {
    let kernel = call.list("kernel_shape")?.ok_or("it has no kernel")?;
    let kernel = image.pair(Some(kernel), 1, "kernel")?;
    let strides = image.pair(call.list("strides")?, 1, "stride")?;
    let dilations = image.pair(call.list("dilations")?, 1, "dilation")?;
    if dilations != [1, 1] {
        return Err("windows with gaps (dilations) are not pooled".into());
    }
    let [[pad_top, pad_bottom], [pad_left, pad_right]] = sides(call, image, kernel, strides, dilations)?;
    let rounding = if call.flag("ceil_mode")? { Rounding::Ceil } else { Rounding::Floor };
    let ([kernel_h, kernel_w], [stride_h, stride_w]) = (kernel, strides);
    Ok(PoolSettings { kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, rounding })
}

pub(crate) fn max_pool(call: &mut Call<'_, '_>) -> Results {
    if call.wants(1) {
        return Err("places of maxima are no result here".into());
    }
    let image = call.image(0)?;
    let settings = settings(call, &image)?;
    one(image.symbol(call.layer(&image.node, |x| x.max_pool(settings))))
}

pub(crate) fn average_pool(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    let settings = settings(call, &image)?;
    let count = if call.flag("count_include_pad")? { CountPadding::Include } else { CountPadding::Exclude };
    one(image.symbol(call.layer(&image.node, |x| x.avg_pool(settings, count))))
}

pub(crate) fn global_max_pool(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    let [kernel_h, kernel_w] = image.size()?;
    let settings = PoolSettings { kernel_h, kernel_w, ..PoolSettings::square(1) };
    one(image.symbol(call.layer(&image.node, |x| x.max_pool(settings))))
}

/// The function of this library for windows of different sizes: its matrices say only how many there are.
pub(crate) fn adaptive_average_pool(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    let (rows, columns) = (call.array(1, "the means of rows")?, call.array(2, "the means of columns")?);
    let (&[height, _], &[_, width]) = (&rows.shape[..], &columns.shape[..]) else {
        return Err("its means are no matrices".into());
    };
    one(image.symbol(call.layer(&image.node, |x| x.adaptive_avg_pool(height, width))))
}
