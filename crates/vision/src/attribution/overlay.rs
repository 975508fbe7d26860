//! Maps as colours, alone and over the image.

use crate::{Error, Result, resize};
use ocelli_graph::Tensor;

/// Colours of a map from 0 to 1, dark to light, so that they keep their order in grey: nine points of matplotlib's *inferno*.
const COLOURS: [[f32; 3]; 9] = [
    [0.001, 0.000, 0.014],
    [0.122, 0.047, 0.283],
    [0.335, 0.060, 0.429],
    [0.531, 0.134, 0.415],
    [0.736, 0.216, 0.330],
    [0.894, 0.353, 0.192],
    [0.978, 0.557, 0.035],
    [0.971, 0.795, 0.207],
    [0.988, 0.998, 0.645],
];

/// Resizes a map `[h, w]` to `size` = `[H, W]` and scales it so that its largest value is 1; what is negative becomes 0.
fn scaled(map: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    let &[height, width] = map.shape() else {
        return Err(Error::Invalid("expected a map [h, w]".into()));
    };
    let mut map = resize(&map.reshape([1, height, width, 1])?, size)?;
    let largest = map.data().iter().copied().filter(|value| value.is_finite()).fold(0f32, f32::max);
    let factor = if largest > 0.0 { 1.0 / largest } else { 0.0 };
    // A value that is not a number is 0 too.
    map.data_mut().iter_mut().for_each(|value| *value = if *value > 0.0 { (*value * factor).min(1.0) } else { 0.0 });
    Ok(map)
}

fn colour(value: f32) -> [f32; 3] {
    let at = value * (COLOURS.len() - 1) as f32;
    let first = (at as usize).min(COLOURS.len() - 2);
    let share = at - first as f32;
    std::array::from_fn(|c| COLOURS[first][c] + share * (COLOURS[first + 1][c] - COLOURS[first][c]))
}

/// Draws a map `[h, w]` at `size` = `[H, W]` in colours from black (0 and less) to light yellow (its largest value), as
/// `[H, W, 3]` from 0 to 1.
///
/// # Errors
/// [`Error::Invalid`] for another shape.
pub fn heat(map: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    let pixels = scaled(map, size)?.data().iter().flat_map(|value| colour(*value)).collect();
    Ok(Tensor::from_vec([size[0], size[1], 3], pixels)?)
}

/// Lays a map `[h, w]` over an image `[H, W, C]` from 0 to 1, of one or three channels: the image shows in grey where the map
/// is 0, and vanishes behind its colour where the map is largest. Returns `[H, W, 3]`.
///
/// # Errors
/// [`Error::Invalid`] for other shapes.
pub fn overlay(image: &Tensor, map: &Tensor) -> Result<Tensor> {
    let &[height, width, channels @ (1 | 3)] = image.shape() else {
        return Err(Error::Invalid("expected an image [H, W, 1] or [H, W, 3]".into()));
    };
    let map = scaled(map, [height, width])?;
    let mut pixels = Vec::with_capacity(3 * height * width);
    for (pixel, &value) in image.data().chunks_exact(channels).zip(map.data()) {
        let grey = if channels == 1 { pixel[0] } else { 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] };
        let opacity = 0.75 * value.sqrt();
        pixels.extend(colour(value).map(|colour| (1.0 - opacity) * grey + opacity * colour));
    }
    Ok(Tensor::from_vec([height, width, 3], pixels)?)
}
