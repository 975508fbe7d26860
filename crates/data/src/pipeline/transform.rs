//! The transforms of a pipeline, as data.

use crate::{
    Error, Operation, PrincipalColours, Result,
    digit::SIZE as DIGIT,
    image::{MAX_ENLARGED_PIXELS, size_fault},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, SeqAccess, Visitor},
};
use std::fmt;

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
    /// Crops a corner of the image to these rows and columns; see [`Pipeline::ten_crops`](crate::Pipeline::ten_crops).
    CornerCrop {
        /// Rows and columns of the result.
        size: [usize; 2],
        /// The corner.
        corner: Corner,
    },
    /// Puts the whole image in the middle of these rows and columns of black.
    Pad([usize; 2]),
    /// Converts an image that shows one digit to the 28 × 28 pixels of MNIST, light on dark; see `image_files::digit`.
    Digit,
    /// Surrounds the image by a margin and crops it at random to its own size, which moves it by up to the margin each way
    /// (He et al. 2015, section 4.2, with 4 pixels).
    RandomCrop {
        /// Width of the margin in pixels.
        margin: usize,
        /// The pixels of the margin.
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
    /// Applies an operation with given parameters.
    Apply(Operation),
    /// Applies some transforms with a probability, or none of them.
    Sometimes {
        /// The probability, 0 to 1.
        probability: f32,
        /// The transforms.
        #[serde(deserialize_with = "few")]
        transforms: Vec<Transform>,
    },
    /// Applies one of some transforms, each as probable as the others.
    OneOf(#[serde(deserialize_with = "few")] Vec<Transform>),
    /// Turns, shears, scales and moves the image by amounts that are drawn uniformly, in one resampling; as torchvision's
    /// `RandomAffine`.
    RandomAffine {
        /// Largest turn in degrees, either way.
        angle: f32,
        /// Largest shift as a share of the width and of the height.
        translate: [f32; 2],
        /// Least and largest factor of the size.
        scale: [f32; 2],
        /// Largest shear in degrees along x and along y, either way.
        shear: [f32; 2],
        /// The pixels beyond the image.
        border: Border,
    },
    /// Moves the corners of the image inwards by drawn amounts; as torchvision's `RandomPerspective`.
    RandomPerspective {
        /// Largest shift as a share of half a side, 0 to 1.
        distortion: f32,
        /// The pixels beyond the image.
        border: Border,
    },
    /// Changes brightness, contrast and saturation by factors from 1 − x to 1 + x and turns the hue by up to x, in an order
    /// that is drawn too; as torchvision's `ColorJitter`.
    ColourJitter {
        /// Largest change of the brightness.
        brightness: f32,
        /// Largest change of the contrast.
        contrast: f32,
        /// Largest change of the saturation.
        saturation: f32,
        /// Largest turn of the hue, 0 to 1/2.
        hue: f32,
    },
    /// Blurs with a Gaussian whose deviation is drawn uniformly.
    RandomBlur {
        /// Pixels of the filter, odd and at most 63.
        size: usize,
        /// Least and largest standard deviation in pixels.
        deviation: [f32; 2],
    },
    /// Raises values to a power that is drawn uniformly.
    RandomGamma([f32; 2]),
    /// Adds normal noise of this standard deviation, in levels of 255.
    RandomNoise(f32),
    /// Adds to each channel a number up to this, either way.
    RandomShift(u8),
    /// Adds a colour along the directions in which those of the dataset vary (Krizhevsky, Sutskever and Hinton 2012,
    /// section 4.1, with a deviation of 0.1).
    PcaColour {
        /// Standard deviation of the normal numbers.
        deviation: f32,
        /// The directions.
        colours: PrincipalColours,
    },
    /// Fills a rectangle at a random place with a colour (Zhong et al. 2017); as torchvision's `RandomErasing`, which does
    /// so with probability 1/2: [`Transform::Sometimes`].
    RandomErasing {
        /// Least and largest share of the image's area.
        area: [f32; 2],
        /// Least and largest ratio of height to width, drawn uniformly in its logarithm.
        ratio: [f32; 2],
        /// The colour.
        colour: [u8; 3],
    },
    /// Applies so many of 14 operations, drawn with the same magnitude of 0 to 30 (Cubuk et al. 2019: `RandAugment`).
    RandAugment {
        /// Number of operations.
        operations: usize,
        /// Their magnitude, 0 to 30.
        magnitude: usize,
        /// The pixels beyond the image.
        border: Border,
    },
    /// Applies one of 14 operations with a magnitude that is drawn too (Müller and Hutter 2021: `TrivialAugmentWide`).
    TrivialAugmentWide(Border),
}

/// Most transforms of a list in a file, which may be short and hold many.
const MAX_TRANSFORMS: usize = 1000;

/// Reads a list of transforms of bounded length.
pub(super) fn few<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Transform>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<Transform>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_TRANSFORMS} transforms")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Vec<Transform>, A::Error> {
            let mut transforms = Vec::new();
            while let Some(transform) = list.next_element()? {
                if transforms.len() == MAX_TRANSFORMS {
                    return Err(A::Error::invalid_length(MAX_TRANSFORMS + 1, &self));
                }
                transforms.push(transform);
            }
            Ok(transforms)
        }
    }

    deserializer.deserialize_seq(Few)
}

/// A corner of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corner {
    /// At the top left.
    TopLeft,
    /// At the top right.
    TopRight,
    /// At the bottom left.
    BottomLeft,
    /// At the bottom right.
    BottomRight,
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

/// The pixels beyond the border of an image.
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
        !matches!(
            self,
            Transform::ShorterSide(_)
                | Transform::Stretch(_)
                | Transform::CentreCrop(_)
                | Transform::CornerCrop { .. }
                | Transform::Pad(_)
                | Transform::Digit
                | Transform::Apply(_)
        )
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
            Transform::CentreCrop(wanted) | Transform::CornerCrop { size: wanted, .. } => {
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
            Transform::Sometimes { probability, ref transforms } => {
                check_range("a probability", [0.0, probability], [f32::NEG_INFINITY, 1.0])?;
                Ok(size_after_all(transforms, size)?.filter(|after| size == Some(*after)))
            }
            Transform::OneOf(ref transforms) => {
                let Some((first, others)) = transforms.split_first() else {
                    return Err(Error::Setting("one of no transforms".into()));
                };
                let first = first.size_after(size)?;
                others.iter().try_fold(first, |known, other| {
                    let after = other.size_after(size)?;
                    Ok(known.filter(|known| after == Some(*known)))
                })
            }
            _ => self.check().map(|()| size),
        }
    }

    /// Checks the settings of a transform that keeps the size.
    fn check(&self) -> Result<()> {
        let least = |what, value: f32, most| check_range(what, [0.0, value], [f32::NEG_INFINITY, most]);
        match *self {
            Transform::Apply(ref operation) => operation.check(),
            Transform::RandomAffine { angle, translate, scale, shear, border: _ } => {
                least("a turn", angle, 360.0)?;
                least("a share of the width", translate[0], 1.0)?;
                least("a share of the height", translate[1], 1.0)?;
                check_range("factors of the size", scale, [1e-3, 1e3])?;
                shear.into_iter().try_for_each(|angle| least("a shear", angle, 89.0))
            }
            Transform::RandomPerspective { distortion, .. } => least("a distortion", distortion, 1.0),
            Transform::ColourJitter { brightness, contrast, saturation, hue } => {
                [brightness, contrast, saturation]
                    .into_iter()
                    .try_for_each(|change| least("a change", change, 100.0))?;
                least("a turn of the hue", hue, 0.5)
            }
            Transform::RandomBlur { size, deviation } => {
                check_range("deviations", deviation, [0.0, 1000.0])?;
                Operation::Blur { size, deviation: deviation[0] }.check()
            }
            Transform::RandomGamma(gamma) => check_range("powers", gamma, [0.0, 100.0]),
            Transform::RandomNoise(deviation) => least("a deviation", deviation, 1000.0),
            Transform::PcaColour { deviation, .. } => least("a deviation", deviation, 100.0),
            Transform::RandomErasing { area, ratio, .. } => {
                check_range("shares of the area", area, [0.0, 1.0])?;
                check_range("ratios", ratio, [1.0 / 64.0, 64.0])
            }
            Transform::RandAugment { magnitude, .. } if magnitude > 30 => {
                Err(Error::Setting(format!("a magnitude of {magnitude}, but the largest is 30")))
            }
            Transform::RandAugment { operations, .. } if operations > 14 => {
                Err(Error::Setting(format!("{operations} operations, but there are 14")))
            }
            _ => Ok(()),
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
