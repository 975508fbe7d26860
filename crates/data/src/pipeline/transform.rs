//! The transforms of a pipeline, as data.

use crate::{
    Error, Result,
    digit::SIZE as DIGIT,
    image::{MAX_ENLARGED_PIXELS, size_fault},
};
use serde::{Deserialize, Serialize};

/// A change of an image within a [`Pipeline`](crate::Pipeline), the same each time or drawn at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Resizes the shorter side to this length and keeps the proportions; the longer side is rounded down.
    ShorterSide(usize),
    /// Stretches the image to these rows and columns.
    Stretch([usize; 2]),
    /// Crops the middle of the image to these rows and columns.
    CentreCrop([usize; 2]),
    /// Puts the whole image in the middle of these rows and columns of black.
    Pad([usize; 2]),
    /// Converts an image that shows one digit to the 28 × 28 pixels of MNIST, light on dark; see `image_files::digit`.
    Digit,
    /// Surrounds the image by a margin and crops it at random to its own size, which moves it by up to the margin each way
    /// (He et al. 2015, section 4.2, with 4 pixels).
    RandomCrop {
        /// Width of the margin in pixels.
        margin: usize,
        /// What the margin shows.
        border: Border,
    },
    /// Crops a random part of the image and stretches it to a size (Szegedy et al. 2014, section 6); as torchvision's
    /// `RandomResizedCrop`.
    RandomResizedCrop {
        /// Rows and columns of the result.
        size: [usize; 2],
        /// Least and largest share of the image's area.
        area: [f32; 2],
        /// Least and largest ratio of width to height, drawn uniformly in its logarithm.
        ratio: [f32; 2],
    },
    /// Mirrors the image with probability 1/2.
    RandomMirror(Mirror),
}

/// The direction in which an image is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mirror {
    /// The left becomes the right.
    LeftRight,
    /// The top becomes the bottom.
    TopBottom,
}

/// What lies beyond the border of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Black.
    #[default]
    Black,
    /// A colour; in a grey image its luminance.
    Colour([u8; 3]),
    /// The nearest pixel.
    Edge,
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
}

impl Transform {
    /// Returns a [`Transform::RandomResizedCrop`] of 8 to 100 % of the area at ratios from 3:4 to 4:3, as networks for ImageNet
    /// are trained with.
    pub fn random_resized_crop(size: [usize; 2]) -> Transform {
        Transform::RandomResizedCrop { size, area: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }

    /// Returns true if the transform draws at random.
    pub fn is_random(&self) -> bool {
        matches!(self, Transform::RandomCrop { .. } | Transform::RandomResizedCrop { .. } | Transform::RandomMirror(_))
    }

    /// Returns the size of the result for an image of `size`, as far as they are known.
    ///
    /// # Errors
    /// [`Error::Setting`] if the transform is not possible.
    pub(crate) fn size_after(&self, size: Option<[usize; 2]>) -> Result<Option<[usize; 2]>> {
        match *self {
            Transform::ShorterSide(side) => {
                checked([side, 1])?;
                size.map(|size| shorter_side(size, side)).transpose()
            }
            Transform::Stretch(wanted) => {
                checked(wanted)?;
                size.map_or(Ok(()), |size| check_enlarged(size, wanted)).map(|()| Some(wanted))
            }
            Transform::CentreCrop(wanted) => {
                checked(wanted)?;
                match size {
                    Some(size) if wanted[0] > size[0] || wanted[1] > size[1] => {
                        mismatch(size, "too few to cut", wanted, "out of them")
                    }
                    _ => Ok(Some(wanted)),
                }
            }
            Transform::Pad(wanted) => {
                checked(wanted)?;
                match size {
                    Some(size) if wanted[0] < size[0] || wanted[1] < size[1] => {
                        mismatch(size, "too many to put into", wanted, "of black")
                    }
                    _ => size.map_or(Ok(()), |size| check_enlarged(size, wanted)).map(|()| Some(wanted)),
                }
            }
            Transform::Digit => Ok(Some([DIGIT, DIGIT])),
            Transform::RandomCrop { margin, .. } => match size {
                Some([height, width]) if margin >= height.min(width) => Err(Error::Setting(format!(
                    "a margin of {margin} pixels around images of {height} x {width} pixels"
                ))),
                _ => Ok(size),
            },
            Transform::RandomResizedCrop { size: wanted, area, ratio } => {
                checked(wanted)?;
                check_range("shares of the area", area, [0.0, 1.0])?;
                check_range("ratios", ratio, [1.0 / 64.0, 64.0])?;
                size.map_or(Ok(()), |size| check_enlarged(size, wanted)).map(|()| Some(wanted))
            }
            Transform::RandomMirror(_) => Ok(size),
        }
    }
}

/// Returns the size of the result of several transforms for an image of `size`, as far as they are known.
pub(super) fn size_after_all(transforms: &[Transform], size: Option<[usize; 2]>) -> Result<Option<[usize; 2]>> {
    transforms.iter().try_fold(size, |size, transform| transform.size_after(size))
}

/// Checks a range `[low, high]` that numbers are drawn from: above the least bound and up to the largest.
fn check_range(what: &str, [low, high]: [f32; 2], [least, most]: [f32; 2]) -> Result<()> {
    match least < low && low <= high && high <= most {
        true => Ok(()),
        false => Err(Error::Setting(format!("{what} from {low} to {high}"))),
    }
}

fn mismatch<T>(have: [usize; 2], than: &str, wanted: [usize; 2], purpose: &str) -> Result<T> {
    let ([height, width], [rows, columns]) = (have, wanted);
    Err(Error::Setting(format!("{height} x {width} pixels are {than} {rows} x {columns} {purpose}")))
}

/// Checks a size that a setting requests.
fn checked(size: [usize; 2]) -> Result<()> {
    match size_fault(size) {
        Some(fault) => Err(Error::Setting(format!("cannot resize to {fault}"))),
        None => Ok(()),
    }
}

/// Returns the size of an image of `size` whose shorter side is resized to `wanted`.
fn shorter_side(size: [usize; 2], wanted: usize) -> Result<[usize; 2]> {
    let shorter = size[0].min(size[1]);
    // No overflow: both factors are sides of images.
    let resized = size.map(|side| side * wanted / shorter);
    if let Some(fault) = size_fault(resized) {
        let [height, width] = size;
        return Err(Error::Setting(format!("{height} x {width} pixels cannot be resized to {fault}")));
    }
    check_enlarged(size, resized)?;
    Ok(resized)
}

/// Checks that resizing from `have` to `wanted` does not enlarge beyond the limit. Both sizes are checked already.
fn check_enlarged(have: [usize; 2], wanted: [usize; 2]) -> Result<()> {
    let [before, after] = [have, wanted].map(|[height, width]| height * width);
    if after <= before.max(MAX_ENLARGED_PIXELS) {
        return Ok(());
    }
    let [[height, width], [rows, columns]] = [have, wanted];
    let reason = format!("{rows} x {columns} pixels are too many to make of {height} x {width}");
    Err(Error::Setting(format!("{reason}: the limit for smaller images is {MAX_ENLARGED_PIXELS}")))
}
