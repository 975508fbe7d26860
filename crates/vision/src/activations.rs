//! Activations as images, and a map of what a network makes of many images.

use crate::{
    Error, Result,
    attribution::heat,
    spatial::{find, image_input, last_spatial_layer},
};
use ocelli_graph::{Batch, Model, Tensor};

/// Draws the channels of a spatial activation for one image `[1, H, W, C]` beside each other, in rows of `columns`, as
/// `[H', W', 3]`: from black for 0 and less to light yellow for the largest of each channel. At most `channels` are shown,
/// those with the largest means first.
///
/// # Errors
/// [`Error::Invalid`] for a name of something else, and no columns or channels; [`Error::Graph`] for an image of another shape.
pub fn activation_sheet(model: &Model, layer: &str, image: &Tensor, columns: usize, channels: usize) -> Result<Tensor> {
    if columns == 0 || channels == 0 {
        return Err(Error::Invalid("a sheet has at least one column and one channel".into()));
    }
    let [height, width, count] = find(model, layer)?.shape;
    let activation = model.run(&Batch::new().with(image_input(model)?.0, image), &[layer])?.swap_remove(0);
    let sum =
        |channel: usize| activation.data().iter().skip(channel).step_by(count).map(|a| f64::from(*a)).sum::<f64>();
    let mut order: Vec<(usize, f64)> = (0..count).map(|channel| (channel, sum(channel))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    order.truncate(channels);
    let rows = order.len().div_ceil(columns);
    let columns = columns.min(order.len());
    // one pixel of black between the channels
    let size = [rows * (height + 1) - 1, columns * (width + 1) - 1];
    let mut sheet = Tensor::try_zeros(size)?;
    for (number, (channel, _)) in order.iter().enumerate() {
        let (top, left) = (number / columns * (height + 1), number % columns * (width + 1));
        let values = activation.data().iter().skip(*channel).step_by(count);
        let largest = values.clone().copied().fold(f32::MIN_POSITIVE, f32::max);
        for (place, value) in values.enumerate() {
            sheet[[top + place / width, left + place % width]] = value / largest;
        }
    }
    heat(&sheet, size)
}

/// Computes an embedding of each image `[N, H, W, C]`: the mean of each channel of the last spatial activation, `[N, C]`.
///
/// # Errors
/// [`Error::Invalid`] if no activation has places, [`Error::Graph`] for images of another shape.
pub fn embeddings(model: &Model, images: &Tensor) -> Result<Tensor> {
    let layer = last_spatial_layer(model)?;
    let [height, width, channels] = layer.shape;
    let activation = model.run(&Batch::new().with(image_input(model)?.0, images), &[&layer.name])?.swap_remove(0);
    let samples = activation.shape()[0];
    let mut means = vec![0f32; samples * channels];
    let share = 1.0 / (height * width) as f32;
    for (means, values) in
        means.chunks_exact_mut(channels).zip(activation.data().chunks_exact(height * width * channels))
    {
        for place in values.chunks_exact(channels) {
            means.iter_mut().zip(place).for_each(|(mean, value)| *mean += share * value);
        }
    }
    Ok(Tensor::from_vec([samples, channels], means)?)
}

/// Projects vectors `[N, C]` to the two directions in which they differ most (principal component analysis, Pearson 1901).
///
/// # Errors
/// [`Error::Invalid`] for another shape.
pub fn principal_plane(vectors: &Tensor) -> Result<Vec<(f64, f64)>> {
    let &[samples, width] = vectors.shape() else {
        return Err(Error::Invalid("expected vectors [N, C]".into()));
    };
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let mut centred: Vec<f64> = vectors.data().iter().map(|value| f64::from(*value)).collect();
    for column in 0..width {
        let mean = centred.iter().skip(column).step_by(width).sum::<f64>() / samples as f64;
        centred.iter_mut().skip(column).step_by(width).for_each(|value| *value -= mean);
    }
    let mut axes = [vec![0.0; samples], vec![0.0; samples]];
    for axis in &mut axes {
        let (direction, places) = main_direction(&centred, width);
        // what is left has no part along this direction
        for (row, place) in centred.chunks_exact_mut(width).zip(&places) {
            row.iter_mut().zip(&direction).for_each(|(value, d)| *value -= place * d);
        }
        *axis = places;
    }
    let [x, y] = axes;
    Ok(x.into_iter().zip(y).collect())
}

/// Finds the direction of the largest variance of centred rows, by power iteration, and the place of each row along it.
fn main_direction(rows: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    const ITERATIONS: usize = 60;
    let norm = |vector: &[f64]| vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    // the longest row is not orthogonal to all of the variance
    let longest = rows.chunks_exact(width).max_by(|a, b| norm(a).total_cmp(&norm(b)));
    let mut direction = longest.map_or(vec![0.0; width], <[f64]>::to_vec);
    let place = |direction: &[f64]| -> Vec<f64> {
        rows.chunks_exact(width).map(|row| row.iter().zip(direction).map(|(x, d)| x * d).sum()).collect()
    };
    for _ in 0..ITERATIONS {
        let length = norm(&direction);
        if length == 0.0 {
            break;
        }
        direction.iter_mut().for_each(|d| *d /= length);
        let mut next = vec![0.0; width];
        for (row, place) in rows.chunks_exact(width).zip(place(&direction)) {
            next.iter_mut().zip(row).for_each(|(next, x)| *next += place * x);
        }
        direction = next;
    }
    let length = norm(&direction).max(f64::MIN_POSITIVE);
    direction.iter_mut().for_each(|d| *d /= length);
    let places = place(&direction);
    (direction, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{Key, Model};
    use ocelli_models::LeNet5;

    #[test]
    fn the_plane_is_that_of_the_largest_variances() {
        // 3 along the first axis, 1 along the second, 0.1 along the others, turned by nothing
        let mut stream = Key::new(1).stream();
        let rows = Tensor::from_fn([500, 5], |at| stream.normal() * [3.0, 1.0, 0.1, 0.1, 0.1][at[1]] + 7.0);
        let places = principal_plane(&rows).unwrap();
        let variance = |of: &dyn Fn(&(f64, f64)) -> f64| places.iter().map(|p| of(p).powi(2)).sum::<f64>() / 500.0;
        assert!((variance(&|p| p.0) - 9.0).abs() < 1.5 && (variance(&|p| p.1) - 1.0).abs() < 0.3);
        let product: f64 = places.iter().map(|(x, y)| x * y).sum::<f64>() / 500.0;
        assert!(product.abs() < 1e-6);
        assert_eq!(principal_plane(&Tensor::full([3, 2], 1.0)).unwrap(), [(0.0, 0.0); 3]);
        assert!(
            principal_plane(&Tensor::zeros([0, 2])).unwrap().is_empty()
                && principal_plane(&Tensor::zeros([2])).is_err()
        );
    }

    #[test]
    fn a_sheet_has_a_place_for_each_channel() {
        let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42).unwrap();
        let image = Tensor::uniform([1, 32, 32, 1], Key::new(2));
        assert_eq!(activation_sheet(&model, "c3", &image, 5, 100).unwrap().shape(), [43, 54, 3]);
        assert_eq!(activation_sheet(&model, "c3", &image, 5, 2).unwrap().shape(), [10, 21, 3]);
        assert!(activation_sheet(&model, "c3", &image, 0, 2).is_err());
        let error = activation_sheet(&model, "f6", &image, 5, 2).unwrap_err().to_string();
        assert_eq!(error, "\"f6\" is no spatial activation; these are: c1, s2, c3, s4");
        assert_eq!(embeddings(&model, &image).unwrap().shape(), [1, 16]);
    }
}
