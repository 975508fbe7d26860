//! Pipelines that networks in use expect.

use super::{Channels, Pipeline, Transform};
use crate::{Filter, Statistics};

/// The value of paper for LeNet-5 (LeCun et al. 1998, section II-B): with [`INK`], the mean of a digit's pixels is about 0 and
/// their variance about 1.
pub const PAPER: f32 = -0.1;
/// The value of ink for LeNet-5; see [`PAPER`].
pub const INK: f32 = 1.175;

impl Pipeline {
    /// Returns a pipeline without transforms: images keep their size; red, green and blue are from 0 to 1.
    pub fn new() -> Pipeline {
        Pipeline {
            transforms: Vec::new(),
            filter: Filter::Bilinear,
            channels: Channels::Rgb,
            normalisation: Statistics::identity(3),
        }
    }

    /// Stretches images to `size` = `[H, W]`, red, green and blue from 0 to 1.
    pub fn stretch(size: [usize; 2]) -> Pipeline {
        Pipeline::new().with_transforms([Transform::Stretch(size)])
    }

    /// Prepares images as published weights for ImageNet expect, at `size` = `[H, W]`: the shorter side is resized to
    /// 256/224 of the crop's, the middle is cropped, and red, green and blue are normalised by
    /// [`Statistics::imagenet`].
    pub fn imagenet(size: [usize; 2]) -> Pipeline {
        let [height, width] = size;
        let resized = (height.max(width) as u128 * 256).div_ceil(224);
        let resized = usize::try_from(resized).unwrap_or(usize::MAX);
        Pipeline::new()
            .with_transforms([Transform::ShorterSide(resized), Transform::CentreCrop(size)])
            .normalised_by(Statistics::imagenet())
    }

    /// Prepares images as networks for CIFAR-10 expect, at `size` = `[H, W]`: as for [ImageNet](Pipeline::imagenet),
    /// but without cropping the shorter side, because such small images have nothing to spare.
    pub fn cifar(size: [usize; 2]) -> Pipeline {
        Pipeline::imagenet(size)
            .with_transforms([Transform::ShorterSide(size[0].max(size[1])), Transform::CentreCrop(size)])
    }

    /// Prepares images as networks from Caffe expect: the whole image is stretched to `size` = `[H, W]`, its channels
    /// are blue, green and red, normalised by [`Statistics::caffe`].
    pub fn caffe(size: [usize; 2]) -> Pipeline {
        Pipeline { channels: Channels::Bgr, ..Pipeline::stretch(size).normalised_by(Statistics::caffe()) }
    }

    /// Prepares images of MNIST as LeNet-5 expects: in the middle of `size` = `[H, W]`, with paper at [`PAPER`] and ink at
    /// [`INK`].
    pub fn mnist(size: [usize; 2]) -> Pipeline {
        let (mean, deviation) = (vec![-PAPER / (INK - PAPER)], vec![1.0 / (INK - PAPER)]);
        Pipeline::new().grey().with_transforms([Transform::Pad(size)]).normalised_by(Statistics { mean, deviation })
    }

    /// Prepares photographs of digits as LeNet-5 expects: converted to 28 × 28 pixels as in MNIST, then as
    /// [`mnist`](Pipeline::mnist) does.
    pub fn digits(size: [usize; 2]) -> Pipeline {
        Pipeline::mnist(size).with_transforms([Transform::Digit, Transform::Pad(size)])
    }
}

impl Default for Pipeline {
    fn default() -> Pipeline {
        Pipeline::new()
    }
}
