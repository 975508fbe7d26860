//! Resizing of images.

use super::{
    call::{Call, Results, one},
    movement::axis_of,
};
use ocelli_graph::ops::{Interpolation, Sampling};

/// Most pixels of an axis of a resized image.
const MOST_PIXELS: usize = 1 << 16;

/// The settings of one axis.
struct Axis {
    from: usize,
    to: usize,
    scale: f64,
    /// The part of the image that is kept, from 0 to 1.
    region: [f64; 2],
}

/// The attributes that all axes have in common.
struct Rules {
    coordinates: String,
    mode: String,
    nearest: String,
    cubic: f64,
    excludes_outside: bool,
    antialias: bool,
    extrapolation: f32,
}

pub(crate) fn resize(call: &mut Call<'_, '_>) -> Results {
    let image = call.image(0)?;
    let rank = if image.is_sequence() { 3 } else { 4 };
    let axes = match call.list("axes")? {
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let rules = Rules {
        coordinates: call
            .text("coordinate_transformation_mode", if call.opset() < 11 { "asymmetric" } else { "half_pixel" })?,
        mode: call.text("mode", "nearest")?,
        nearest: call.text("nearest_mode", if call.opset() < 11 { "floor" } else { "round_prefer_floor" })?,
        cubic: f64::from(call.float("cubic_coeff_a", -0.75)?),
        excludes_outside: call.flag("exclude_outside")?,
        antialias: call.flag("antialias")?,
        extrapolation: call.float("extrapolation_value", 0.0)?,
    };
    // sizes along all axes, by scales or as such
    let old: Vec<usize> = match image.size()? {
        [_, width] if image.is_sequence() => vec![0, 0, width],
        [height, width] => vec![0, 0, height, width],
    };
    let mut list: Vec<Axis> = old.iter().map(|&from| Axis { from, to: from, scale: 1.0, region: [0.0, 1.0] }).collect();
    let (scales_at, sizes_at) = if call.opset() < 11 { (1, usize::MAX) } else { (2, 3) };
    let scales = numbers(call, scales_at)?;
    let count = |what: &[f64]| {
        let got = what.len();
        if got == axes.len() { Ok(()) } else { Err(format!("{got} numbers for {} axes", axes.len())) }
    };
    if let Some(scales) = scales.filter(|scales| !scales.is_empty()) {
        count(&scales)?;
        for (&axis, scale) in axes.iter().zip(scales) {
            list[axis].scale = scale;
            if axis < 2 && scale != 1.0 {
                return Err("samples or channels are resized".into());
            }
            list[axis].to = (list[axis].from as f64 * scale).floor() as usize;
        }
    } else {
        let sizes = numbers(call, sizes_at)?.ok_or("it has neither scales nor sizes")?;
        count(&sizes)?;
        let policy = call.text("keep_aspect_ratio_policy", "stretch")?;
        let ratios = axes.iter().zip(&sizes).filter(|(axis, _)| **axis >= 2);
        let ratios: Vec<f64> = ratios.map(|(&axis, size)| size / list[axis].from as f64).collect();
        let same = match policy.as_str() {
            "stretch" => None,
            "not_larger" => ratios.iter().copied().reduce(f64::min),
            "not_smaller" => ratios.iter().copied().reduce(f64::max),
            other => return Err(format!("the policy \"{other}\" is not known")),
        };
        for (&axis, &size) in axes.iter().zip(&sizes) {
            // Sizes of samples and channels are those that there are.
            if axis < 2 {
                continue;
            }
            let own = &mut list[axis];
            own.scale = same.unwrap_or(size / own.from as f64);
            own.to = if same.is_some() { (own.scale * own.from as f64 + 0.5).floor() as usize } else { size as usize };
        }
    }
    if rules.coordinates == "tf_crop_and_resize" {
        let region = numbers(call, 1)?.ok_or("it has no region")?;
        if region.len() != 2 * axes.len() {
            return Err(format!("a region of {} numbers for {} axes", region.len(), axes.len()));
        }
        for (place, &axis) in axes.iter().enumerate() {
            list[axis].region = [region[place], region[place + axes.len()]];
        }
    }
    let columns = list.pop().ok_or("it has no axes")?;
    let one_row = Axis { from: 1, to: 1, scale: 1.0, region: [0.0, 1.0] };
    let rows = if image.is_sequence() { one_row } else { list.pop().ok_or("it has no rows")? };
    // a scale that is NaN is none
    let possible = |axis: &Axis| axis.from > 0 && (1..=MOST_PIXELS).contains(&axis.to) && axis.scale > 0.0;
    if !(possible(&rows) && possible(&columns)) {
        return Err(format!("images of {} by {} pixels are not made", rows.to, columns.to));
    }
    let node = match interpolation(&rules, &[&rows, &columns]) {
        Some(interpolation) => call.layer(&image.node, |x| x.resized([rows.to, columns.to], interpolation)),
        None => {
            call.reader.charge(rules.work(&rows).saturating_add(rules.work(&columns)))?;
            let (rows, columns) = (rules.sampling(&rows)?, rules.sampling(&columns)?);
            call.layer(&image.node, |x| x.resampled(rows.clone(), columns.clone()))
        }
    };
    one(image.symbol(node))
}

/// The numbers of an operand, if it is there.
fn numbers(call: &Call<'_, '_>, input: usize) -> Result<Option<Vec<f64>>, String> {
    if !call.has(input) {
        return Ok(None);
    }
    let array = call.array(input, "its sizes")?;
    Ok(Some(match array.floats() {
        Some(list) => list.iter().map(|&number| f64::from(number)).collect(),
        None => call.sizes(input, "its sizes")?.iter().map(|int| int.fixed().unwrap_or(0) as f64).collect(),
    }))
}

/// The interpolation of this library that these rules are, if there is one.
fn interpolation(rules: &Rules, axes: &[&Axis; 2]) -> Option<Interpolation> {
    let exact = axes.iter().all(|axis| axis.scale * axis.from as f64 == axis.to as f64);
    let whole = axes.iter().all(|axis| axis.to % axis.from.max(1) == 0);
    match (rules.mode.as_str(), rules.coordinates.as_str()) {
        ("linear", "half_pixel") if exact && !rules.antialias && !rules.excludes_outside => {
            Some(Interpolation::Bilinear)
        }
        ("nearest", "asymmetric") if exact && rules.nearest == "floor" => Some(Interpolation::Nearest),
        // at whole multiples both rules name the same pixel
        ("nearest", "half_pixel") if whole && exact && rules.nearest.starts_with("round") => {
            Some(Interpolation::Nearest)
        }
        _ => None,
    }
}

impl Rules {
    /// The old pixel, with its fraction, where a new one lies.
    fn coordinate(&self, axis: &Axis, x: f64) -> Result<f64, String> {
        let (from, to) = (axis.from as f64, axis.to as f64);
        // the size as the scale makes it, before it became whole
        let exact = axis.scale * from;
        Ok(match self.coordinates.as_str() {
            "half_pixel" => (x + 0.5) / axis.scale - 0.5,
            "half_pixel_symmetric" => {
                let centre = from / 2.0 * (1.0 - to / exact);
                centre + (x + 0.5) / axis.scale - 0.5
            }
            "pytorch_half_pixel" if axis.to > 1 => (x + 0.5) / axis.scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "align_corners" if exact > 1.0 && to > 1.0 => x * (from - 1.0) / (exact - 1.0),
            "align_corners" => 0.0,
            "asymmetric" => x / axis.scale,
            "tf_crop_and_resize" => {
                let [start, end] = axis.region;
                match axis.to {
                    ..2 => 0.5 * (start + end) * (from - 1.0),
                    _ => start * (from - 1.0) + x * (end - start) * (from - 1.0) / (to - 1.0),
                }
            }
            other => return Err(format!("coordinates by \"{other}\" are not known")),
        })
    }

    /// A smaller image takes more pixels in, if it is to.
    fn stretch(&self, axis: &Axis) -> f64 {
        if self.antialias { axis.scale.min(1.0) } else { 1.0 }
    }

    /// The distance of the farthest old pixel that a new one is made of.
    fn reach(&self, axis: &Axis) -> f64 {
        let reach = match self.mode.as_str() {
            "linear" => 1.0,
            "cubic" => 2.0,
            _ => 0.5,
        };
        reach / self.stretch(axis)
    }

    /// Number of old pixels that are looked at for the new ones.
    fn work(&self, axis: &Axis) -> usize {
        (axis.to as f64 * (2.0 * self.reach(axis)).ceil()) as usize
    }

    /// Which old pixels each new one is a sum of.
    fn sampling(&self, axis: &Axis) -> Result<Sampling, String> {
        let mut taps = Vec::new();
        for x in 0..axis.to {
            let at = self.coordinate(axis, x as f64)?;
            let outside = self.coordinates == "tf_crop_and_resize" && !(0.0..=(axis.from - 1) as f64).contains(&at);
            if outside && self.extrapolation != 0.0 {
                return Err("what lies outside of the image is filled with 0 only".into());
            }
            taps.push(if outside { vec![(0, 0.0)] } else { self.taps(axis, at)? });
        }
        Ok(Sampling { from: axis.from, taps })
    }

    fn taps(&self, axis: &Axis, at: f64) -> Result<Vec<(usize, f32)>, String> {
        let last = axis.from as i64 - 1;
        let nearest = |pixel: f64| Ok(vec![((pixel as i64).clamp(0, last) as usize, 1.0)]);
        let (reach, stretch) = (self.reach(axis), self.stretch(axis));
        let weight: &dyn Fn(f64) -> f64 = match (self.mode.as_str(), self.nearest.as_str()) {
            ("nearest", "floor") => return nearest(at.floor()),
            ("nearest", "ceil") => return nearest(at.ceil()),
            ("nearest", "round_prefer_floor") => return nearest((at - 0.5).ceil()),
            ("nearest", "round_prefer_ceil") => return nearest((at + 0.5).floor()),
            ("linear", _) => &|distance| (1.0 - distance.abs()).max(0.0),
            ("cubic", _) => &|distance| self.cubic_weight(distance.abs()),
            (mode, rule) => return Err(format!("the mode \"{mode}\" by \"{rule}\" is not known")),
        };
        let (first, end) = ((at - reach).floor() as i64 + 1, (at + reach).ceil() as i64);
        let mut list: Vec<(usize, f64)> = Vec::new();
        for pixel in first..end.max(first + 1) {
            let share = weight((pixel as f64 - at) * stretch);
            if self.excludes_outside && !(0..=last).contains(&pixel) {
                continue;
            }
            // pixels outside are those at the edge
            let inside = pixel.clamp(0, last) as usize;
            match list.last_mut().filter(|(known, _)| *known == inside) {
                Some((_, known)) => *known += share,
                None => list.push((inside, share)),
            }
        }
        let sum: f64 =
            if self.excludes_outside || self.antialias { list.iter().map(|(_, share)| share).sum() } else { 1.0 };
        Ok(list.into_iter().map(|(pixel, share)| (pixel, (share / sum) as f32)).collect())
    }

    /// Keys 1981, with the usual free coefficient.
    fn cubic_weight(&self, distance: f64) -> f64 {
        let (a, d) = (self.cubic, distance);
        match d {
            ..=1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            ..2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            _ => 0.0,
        }
    }
}
