//! Resizing of images whose values are not bytes: pixels that are optimised, moments of an optimiser, masks.

use crate::{Error, Result};
use ocelli_graph::Tensor;
use std::ops::Range;

/// Largest number of elements that an image is resized to.
const MAX_ELEMENTS: usize = 1 << 28;

/// Resizes an image `[1, H, W, C]` to `size` = `[H, W]` by a triangle filter as wide as the pixels of the result: it averages
/// if it reduces the size, and interpolates linearly if it enlarges.
///
/// # Errors
/// [`Error::Invalid`] for another shape, a size of 0, and a result of more than 2²⁸ elements.
pub fn resize(image: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    let &[1, height, width, channels] = image.shape() else {
        return Err(Error::Invalid("only an image [1, H, W, C] can be resized".into()));
    };
    let elements = size[0].checked_mul(size[1]).and_then(|pixels| pixels.checked_mul(channels));
    if image.is_empty() || !elements.is_some_and(|count| (1..=MAX_ELEMENTS).contains(&count)) {
        return Err(Error::Invalid(format!(
            "{height} x {width} pixels cannot be resized to {} x {}",
            size[0], size[1]
        )));
    }
    if [height, width] == size {
        return Ok(image.clone());
    }
    // rows, then columns
    let row = width * channels;
    let mut tall = vec![0.0; size[0] * row];
    for (taps, out) in taps(height, size[0]).iter().zip(tall.chunks_exact_mut(row)) {
        for (weight, line) in taps.weights.iter().zip(image.data()[taps.from.start * row..].chunks_exact(row)) {
            out.iter_mut().zip(line).for_each(|(out, value)| *out += weight * value);
        }
    }
    let columns = taps(width, size[1]);
    let mut result = Tensor::try_zeros([1, size[0], size[1], channels])?;
    for (line, out) in tall.chunks_exact(row).zip(result.data_mut().chunks_exact_mut(size[1] * channels)) {
        for (taps, out) in columns.iter().zip(out.chunks_exact_mut(channels)) {
            for (weight, pixel) in taps.weights.iter().zip(line[taps.from.start * channels..].chunks_exact(channels)) {
                out.iter_mut().zip(pixel).for_each(|(out, value)| *out += weight * value);
            }
        }
    }
    Ok(result)
}

/// The pixels that one pixel of the result is made of.
struct Taps {
    from: Range<usize>,
    weights: Vec<f32>,
}

fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let radius = scale.max(1.0);
    let of_pixel = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        let first = (centre - radius).max(0.0) as usize;
        let last = ((centre + radius).ceil() as usize).min(from);
        let weight = |p: usize| (1.0 - ((p as f64 + 0.5 - centre) / radius).abs()).max(0.0);
        let sum: f64 = (first..last).map(weight).sum();
        Taps { from: first..last, weights: (first..last).map(|p| (weight(p) / sum) as f32).collect() }
    };
    (0..to).map(of_pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_images_are_means_and_larger_ones_lines() {
        let image = Tensor::from_vec([1, 1, 4, 1], vec![0.0, 0.0, 1.0, 1.0]).unwrap();
        assert_eq!(resize(&image, [1, 1]).unwrap().data(), [0.5]);
        let line = Tensor::from_vec([1, 1, 2, 1], vec![-4.0, 4.0]).unwrap();
        assert_eq!(resize(&line, [1, 4]).unwrap().data(), [-4.0, -2.0, 2.0, 4.0]);
        let flat = Tensor::full([1, 5, 7, 3], 0.25);
        assert!(resize(&flat, [11, 3]).unwrap().data().iter().all(|value| (value - 0.25).abs() < 1e-6));
        assert!(resize(&flat, [0, 3]).is_err() && resize(&flat, [usize::MAX, 3]).is_err());
    }
}
