//! A description, as data, of how an image is prepared for a network.

use crate::Statistics;
use serde::{Deserialize, Serialize};

/// A description of how an image is prepared for a network: resized, cut out, its channels ordered, its values normalised.
///
/// It is plain data and needs no decoder: the registry of networks has one for each network, and `serde` writes it into
/// the file of a network, so that a reader of that file prepares images as in training. With the feature `images` it
/// has methods that load and decode images.
///
/// ```
/// use ocelli_data::{Frame, Preprocess, Resize, Statistics};
/// // Published weights for ImageNet expect this; larger images are resized in proportion.
/// let usual = Preprocess::imagenet([224, 224]);
/// assert_eq!((usual.resize, usual.frame), (Resize::ShorterSide(256), Frame::CentreCrop([224, 224])));
/// assert_eq!(usual.normalisation, Statistics::imagenet());
/// let larger = Preprocess::imagenet([299, 299]);
/// assert_eq!(larger.resize, Resize::ShorterSide(342));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The resizing of the image.
    pub resize: Resize,
    /// The part of the resized image that the network sees.
    pub frame: Frame,
    /// The channels of a pixel and their order.
    pub channels: Channels,
    /// Mean and deviation of each channel, of values from 0 to 1: `y = (x − mean) / deviation`.
    pub normalisation: Statistics,
}

/// The resizing of an image. Reducing the size averages, as Pillow's bilinear filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The size is kept.
    Keep,
    /// The shorter side becomes this long and the proportions are kept; the longer side is rounded down.
    ShorterSide(usize),
    /// The image is stretched to these rows and columns.
    Stretch([usize; 2]),
    /// The image shows one digit, which is converted to the 28 × 28 pixels of MNIST, light on dark; see
    /// `image_files::digit`.
    Digit,
}

/// The part of an image that the network sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// The whole image.
    Whole,
    /// The middle of the image, cropped to these rows and columns.
    CentreCrop([usize; 2]),
    /// The whole image in the middle of these rows and columns of black.
    Pad([usize; 2]),
}

/// The channels of a pixel and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red, green and blue.
    Rgb,
    /// Blue, green and red, as networks from Caffe expect.
    Bgr,
    /// The luminance.
    Grey,
}

impl Channels {
    /// Returns the number of channels.
    pub fn count(self) -> usize {
        match self {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
        }
    }
}

impl Preprocess {
    /// Prepares images as published weights for ImageNet expect, at `size` = `[H, W]`: the shorter side is resized to
    /// 256/224 of the crop's, the middle is cropped, and red, green and blue are normalised by
    /// [`Statistics::imagenet`].
    pub fn imagenet(size: [usize; 2]) -> Preprocess {
        let [height, width] = size;
        let resized = (height.max(width) as u128 * 256).div_ceil(224);
        Preprocess {
            resize: Resize::ShorterSide(usize::try_from(resized).unwrap_or(usize::MAX)),
            frame: Frame::CentreCrop(size),
            channels: Channels::Rgb,
            normalisation: Statistics::imagenet(),
        }
    }

    /// Prepares images as networks for CIFAR-10 expect, at `size` = `[H, W]`: as for [ImageNet](Preprocess::imagenet),
    /// but without cropping the shorter side, because such small images have nothing to spare.
    pub fn cifar(size: [usize; 2]) -> Preprocess {
        Preprocess { resize: Resize::ShorterSide(size[0].max(size[1])), ..Preprocess::imagenet(size) }
    }

    /// Prepares images as networks from Caffe expect: the whole image is stretched to `size` = `[H, W]`, its channels
    /// are blue, green and red, normalised by [`Statistics::caffe`].
    pub fn caffe(size: [usize; 2]) -> Preprocess {
        Preprocess {
            resize: Resize::Stretch(size),
            frame: Frame::Whole,
            channels: Channels::Bgr,
            normalisation: Statistics::caffe(),
        }
    }

    /// Prepares digits as LeNet-5 expects: 28 × 28 pixels as in MNIST, in the middle of `size` = `[H, W]`, with paper
    /// at [`PAPER`] and ink at [`INK`].
    pub fn digits(size: [usize; 2]) -> Preprocess {
        let (mean, deviation) = (vec![-PAPER / (INK - PAPER)], vec![1.0 / (INK - PAPER)]);
        Preprocess {
            resize: Resize::Digit,
            frame: Frame::Pad(size),
            channels: Channels::Grey,
            normalisation: Statistics { mean, deviation },
        }
    }

    /// Returns this preparation for a network of one channel, which reads luminance from 0 to 1.
    pub fn grey(self) -> Preprocess {
        Preprocess { channels: Channels::Grey, normalisation: Statistics::identity(1), ..self }
    }

    /// Returns a preparation that stretches images to `size` = `[H, W]`, red, green and blue from 0 to 1.
    pub fn plain(size: [usize; 2]) -> Preprocess {
        Preprocess {
            resize: Resize::Stretch(size),
            frame: Frame::Whole,
            channels: Channels::Rgb,
            normalisation: Statistics::identity(3),
        }
    }
}

/// The value of paper for LeNet-5 (LeCun et al. 1998, section II-B): with [`INK`], the mean of a digit's pixels is about 0 and
/// their variance about 1.
pub const PAPER: f32 = -0.1;
/// The value of ink for LeNet-5; see [`PAPER`].
pub const INK: f32 = 1.175;
