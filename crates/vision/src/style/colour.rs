//! Keeping the colours of the content (Gatys et al. 2016, "Preserving color in neural artistic style transfer").

use crate::eigen::{SymmetricEigen, product};
use crate::resize::resize;
use crate::{Error, Result};
use ocelli_graph::Tensor;

/// Weights of red, green and blue in the luminance (Rec. 601).
const LUMINANCE: [f32; 3] = [0.299, 0.587, 0.114];

/// Returns the luminance of `image` with the colours of `colours`, which is resized: both are `[1, H, W, 3]`.
///
/// # Errors
/// [`Error::Invalid`] for other shapes.
pub fn with_colours_of(image: &Tensor, colours: &Tensor) -> Result<Tensor> {
    check(image)?;
    check(colours)?;
    let mut result = resize(colours, [image.shape()[1], image.shape()[2]])?;
    let luminance = |pixel: &[f32]| pixel.iter().zip(LUMINANCE).map(|(value, weight)| weight * value).sum::<f32>();
    for (pixel, new) in result.data_mut().chunks_exact_mut(3).zip(image.data().chunks_exact(3)) {
        // What is added to all three channels alike changes the luminance and leaves both differences of colour.
        let change = luminance(new) - luminance(pixel);
        pixel.iter_mut().for_each(|value| *value = (*value + change).clamp(0.0, 1.0));
    }
    Ok(result)
}

/// Returns `image` with its colours mapped linearly, so that their mean and covariance are those of `colours`: both are
/// `[1, H, W, 3]`, of any sizes. Of all maps it is the symmetric one.
///
/// # Errors
/// [`Error::Invalid`] for other shapes.
pub fn match_colours(image: &Tensor, colours: &Tensor) -> Result<Tensor> {
    check(image)?;
    check(colours)?;
    let (from, to) = (moments(image), moments(colours));
    // A = Σ_to^½ Σ_from^-½ (equation 5 there)
    let map =
        product(&SymmetricEigen::new(&to.1, 3).power(0.5, 0.0), &SymmetricEigen::new(&from.1, 3).power(-0.5, 1e-5), 3);
    let mut result = image.clone();
    for pixel in result.data_mut().chunks_exact_mut(3) {
        let centred: [f64; 3] = std::array::from_fn(|c| f64::from(pixel[c]) - from.0[c]);
        for (channel, value) in pixel.iter_mut().enumerate() {
            let mapped: f64 = (0..3).map(|c| map[channel * 3 + c] * centred[c]).sum();
            *value = (mapped + to.0[channel]).clamp(0.0, 1.0) as f32;
        }
    }
    Ok(result)
}

fn check(image: &Tensor) -> Result<()> {
    match *image.shape() {
        [1, height, width, 3] if height > 0 && width > 0 => Ok(()),
        _ => Err(Error::Invalid("colours belong to images [1, H, W, 3]".into())),
    }
}

/// Mean and covariance of the colours.
fn moments(image: &Tensor) -> ([f64; 3], Vec<f64>) {
    let count = (image.len() / 3) as f64;
    let mut mean = [0.0; 3];
    for pixel in image.data().chunks_exact(3) {
        mean.iter_mut().zip(pixel).for_each(|(mean, value)| *mean += f64::from(*value) / count);
    }
    let mut covariance = vec![0.0; 9];
    for pixel in image.data().chunks_exact(3) {
        let centred: [f64; 3] = std::array::from_fn(|c| f64::from(pixel[c]) - mean[c]);
        for (row, a) in covariance.chunks_exact_mut(3).zip(centred) {
            row.iter_mut().zip(centred).for_each(|(sum, b)| *sum += a * b / count);
        }
    }
    (mean, covariance)
}
