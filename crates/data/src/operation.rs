//! Changes of an image with given parameters.

mod colour;
mod rectangle;
mod smooth;
mod warp;

pub use colour::PrincipalColours;
pub use warp::Affine;

use crate::{Border, Error, Image, Mirror, Result};
use serde::{Deserialize, Serialize};

/// A change of an image with given parameters, which keeps its size. With the same parameters each is within one level of
/// 255 of what torchvision's `v2` computes for bytes, but for pixels along a border of a colour, which torchvision weighs
/// twice; colours of grey images are left as they are.
///
/// A [`Transform`](crate::Transform) draws the parameters, or applies an operation as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Nothing.
    Identity,
    /// Mirrors the image.
    Mirror(Mirror),
    /// Turns, shears, scales and moves the image in one bilinear resampling.
    Affine {
        /// The map.
        map: Affine,
        /// The pixels beyond the image.
        border: Border,
    },
    /// Moves the corners of the image, top left, top right, bottom right and bottom left, by these pixels [x, y], in one
    /// bilinear resampling.
    Perspective {
        /// The shift of each corner.
        corners: [[f32; 2]; 4],
        /// The pixels beyond the image.
        border: Border,
    },
    /// Multiplies by a factor: 0 is black, 1 leaves the image as it is.
    Brightness(f32),
    /// Moves away from the mean luminance by a factor: 0 is grey, 1 leaves the image as it is.
    Contrast(f32),
    /// Moves away from the luminance of each pixel by a factor: 0 is a grey image, 1 leaves it as it is.
    Saturation(f32),
    /// Turns the hue by a share of the circle, from −1/2 to 1/2.
    Hue(f32),
    /// Replaces each colour by its luminance.
    Grey,
    /// Replaces each value `x` by `255 − x`.
    Invert,
    /// Raises values from 0 to 1 to a power: above 1 is darker.
    Gamma(f32),
    /// Keeps this many leading bits of each value, 0 to 8.
    Posterise(u8),
    /// Inverts all values from a threshold on.
    Solarise(u8),
    /// Spreads the values of each channel so that all levels are equally frequent.
    Equalise,
    /// Stretches the values of each channel from black to white.
    AutoContrast,
    /// Moves away from a smoothed image by a factor: 0 is smooth, 1 leaves the image as it is, 2 is sharper.
    Sharpness(f32),
    /// Blurs with a Gaussian of this odd number of pixels.
    Blur {
        /// Pixels of the filter, odd and at most 63.
        size: usize,
        /// Standard deviation in pixels.
        deviation: f32,
    },
    /// Adds normal noise of this standard deviation, in levels of 255, drawn from the seed.
    Noise {
        /// Standard deviation.
        deviation: f32,
        /// The seed of the noise.
        seed: u64,
    },
    /// Adds numbers to red, green and blue; the mean of them to grey.
    Shift([i16; 3]),
    /// Fills a rectangle, which may reach beyond the image, with a colour.
    Erase {
        /// Row and column of its first pixel.
        first: [usize; 2],
        /// Rows and columns.
        size: [usize; 2],
        /// The colour; in a grey image its luminance.
        colour: [u8; 3],
    },
}

/// The memory of operations, kept from image to image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    /// The result, which then changes places with the image.
    pub(crate) next: Image,
    sums: Vec<f32>,
}

impl Operation {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] if the operation is not possible.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Setting(text));
        match *self {
            Operation::Brightness(x)
            | Operation::Contrast(x)
            | Operation::Saturation(x)
            | Operation::Gamma(x)
            | Operation::Sharpness(x)
            | Operation::Noise { deviation: x, .. }
                if !(0.0..=1000.0).contains(&x) =>
            {
                refuse(format!("{self:?} is not from 0 to 1000"))
            }
            Operation::Hue(turn) if !(-0.5..=0.5).contains(&turn) => refuse(format!("a turn of the hue by {turn}")),
            Operation::Posterise(bits) if bits > 8 => refuse(format!("{bits} bits of a byte")),
            Operation::Blur { size, deviation } if size % 2 == 0 || size > 63 || !(1e-3..=1e3).contains(&deviation) => {
                refuse(format!("a blur of {size} pixels and a deviation of {deviation}"))
            }
            Operation::Affine { map, .. } => map.check(),
            Operation::Perspective { corners, .. } if !corners.as_flattened().iter().all(|value| value.is_finite()) => {
                refuse(format!("corners moved by {corners:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Applies the operation, whose parameters were checked.
    pub(crate) fn apply(&self, image: &mut Image, workspace: &mut Workspace) {
        let Workspace { next, sums } = workspace;
        match *self {
            Operation::Identity => {}
            Operation::Mirror(direction) => warp::mirror(image, direction),
            Operation::Affine { map, border } => warp::affine(image, &map, border, next),
            Operation::Perspective { corners, border } => warp::perspective(image, &corners, border, next),
            Operation::Brightness(factor) => colour::table(image, |x| blend(x, 0.0, factor)),
            Operation::Contrast(factor) => colour::contrast(image, factor),
            Operation::Saturation(factor) => colour::saturation(image, factor),
            Operation::Hue(turn) => colour::hue(image, turn),
            Operation::Grey => colour::grey(image),
            Operation::Invert => colour::table(image, |x| 255 - x),
            Operation::Gamma(gamma) => colour::table(image, |x| colour::from_unit((f32::from(x) / 255.0).powf(gamma))),
            Operation::Posterise(bits) => colour::table(image, |x| x & !(0xFFu16 >> bits) as u8),
            Operation::Solarise(threshold) => colour::table(image, |x| if x >= threshold { 255 - x } else { x }),
            Operation::Equalise => colour::equalise(image),
            Operation::AutoContrast => colour::auto_contrast(image),
            Operation::Sharpness(factor) => smooth::sharpness(image, factor, next),
            Operation::Blur { size, deviation } => smooth::blur(image, size, deviation, sums),
            Operation::Noise { deviation, seed } => colour::noise(image, deviation, seed),
            Operation::Shift(by) => colour::shift(image, by.map(f32::from)),
            Operation::Erase { first, size, colour } => rectangle::erase(image, first, size, colour),
        }
    }
}

/// Returns `factor·x + (1 − factor)·other`, cut to a byte.
fn blend(x: u8, other: f32, factor: f32) -> u8 {
    // Cut and not rounded, as torchvision does.
    (factor * f32::from(x) + (1.0 - factor) * other).clamp(0.0, 255.0) as u8
}

/// Rounds to a byte.
fn rounded(value: f32) -> u8 {
    value.round_ties_even().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Image {
        let source = include_bytes!("../tests/reference/source.ppm");
        Image::new([16, 24, 3], source[source.len() - 16 * 24 * 3..].to_vec()).unwrap()
    }

    /// The operations whose results `tests/reference/make.py` wrote.
    fn operations() -> Vec<Operation> {
        let still = Affine::identity();
        let affine = |map| Operation::Affine { map, border: Border::Black };
        // Sheared about the top left corner.
        let shear = 0.27f32;
        let along_x = Affine { shear: [shear.atan().to_degrees(), 0.0], translate: [-shear * 8.0, 0.0], ..still };
        let along_y = Affine { shear: [0.0, -shear.atan().to_degrees()], translate: [0.0, shear * 12.0], ..still };
        let turned = Affine { angle: 30.0, ..still };
        vec![
            Operation::Mirror(Mirror::LeftRight),
            Operation::Mirror(Mirror::TopBottom),
            affine(turned),
            affine(Affine { translate: [3.0, -2.0], ..still }),
            affine(Affine { scale: 1.3, ..still }),
            affine(Affine { shear: [20.0, 0.0], ..still }),
            affine(Affine { shear: [0.0, -15.0], ..still }),
            affine(Affine { angle: -40.0, translate: [2.0, 1.0], scale: 0.8, shear: [10.0, 5.0] }),
            Operation::Affine { map: turned, border: Border::Colour([200, 30, 90]) },
            affine(along_x),
            affine(along_y),
            Operation::Perspective {
                corners: [[3.0, 2.0], [-2.0, 1.0], [-4.0, -3.0], [4.0, -1.0]],
                border: Border::Black,
            },
            Operation::Brightness(0.4),
            Operation::Brightness(1.7),
            Operation::Contrast(0.4),
            Operation::Contrast(1.7),
            Operation::Saturation(0.3),
            Operation::Saturation(1.8),
            Operation::Hue(0.2),
            Operation::Hue(-0.35),
            Operation::Grey,
            Operation::Invert,
            Operation::Gamma(0.5),
            Operation::Gamma(2.2),
            Operation::Posterise(3),
            Operation::Solarise(110),
            Operation::Equalise,
            Operation::AutoContrast,
            Operation::Sharpness(0.2),
            Operation::Sharpness(2.5),
            Operation::Blur { size: 5, deviation: 1.1 },
            Operation::Erase { first: [4, 7], size: [6, 9], colour: [10, 200, 30] },
        ]
    }

    #[test]
    fn every_operation_is_within_a_level_of_torchvisions() {
        let (mut workspace, mut worst) = (Workspace::default(), Vec::new());
        let mut expected = include_bytes!("../tests/reference/operations.bin").chunks_exact(16 * 24 * 3);
        for operation in operations() {
            let mut image = source();
            operation.check().unwrap();
            operation.apply(&mut image, &mut workspace);
            let expected = expected.next().unwrap();
            let differences = image.pixels().iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
            let most = differences.max().unwrap_or(0);
            if most > 1 {
                worst.push(format!("{operation:?}: {most}"));
            }
        }
        assert!(expected.next().is_none());
        assert!(worst.is_empty(), "{worst:#?}");
    }

    /// Every operation on images of one pixel, one row and one column, grey and in colours.
    #[test]
    fn no_size_is_too_small() {
        let mut all = operations();
        all.extend([
            Operation::Identity,
            Operation::Noise { deviation: 20.0, seed: 1 },
            Operation::Shift([-300, 5, 300]),
            Operation::Erase { first: [usize::MAX, 0], size: [usize::MAX, 3], colour: [1, 2, 3] },
            Operation::Blur { size: 63, deviation: 9.0 },
            Operation::Perspective {
                corners: [[0.0, 0.0], [-23.0, 0.0], [0.0, 0.0], [0.0, -15.0]],
                border: Border::Edge,
            },
        ]);
        let mut workspace = Workspace::default();
        for shape in [[1, 1, 1], [1, 1, 3], [1, 9, 3], [9, 1, 1], [2, 2, 3], [16, 24, 1]] {
            for operation in &all {
                let mut image = Image::new(shape, vec![77; shape.iter().product()]).unwrap();
                operation.apply(&mut image, &mut workspace);
                assert_eq!((image.size(), image.channels()), ([shape[0], shape[1]], shape[2]), "{operation:?}");
            }
        }
    }

    #[test]
    fn parameters_without_sense_are_refused() {
        let text = |operation: Operation| operation.check().unwrap_err().to_string();
        assert_eq!(text(Operation::Brightness(-1.0)), "Brightness(-1.0) is not from 0 to 1000");
        assert_eq!(text(Operation::Gamma(f32::NAN)), "Gamma(NaN) is not from 0 to 1000");
        assert_eq!(text(Operation::Hue(0.6)), "a turn of the hue by 0.6");
        assert_eq!(text(Operation::Posterise(9)), "9 bits of a byte");
        assert_eq!(text(Operation::Blur { size: 4, deviation: 1.0 }), "a blur of 4 pixels and a deviation of 1");
        let map = Affine { scale: 0.0, ..Affine::identity() };
        assert!(
            text(Operation::Affine { map, border: Border::Edge }).starts_with("an image cannot be mapped by Affine {")
        );
    }
}
