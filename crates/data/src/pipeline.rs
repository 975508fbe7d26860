//! The one way from a decoded image to the values that a network reads.

mod draw;
mod presets;
mod run;
#[cfg(test)]
mod tests;
mod transform;

pub use presets::{INK, PAPER};
pub use run::Scratch;
pub use transform::{Border, Corner, Mirror, Transform};

use crate::{Error, Filter, Image, Operation, Result, Statistics};
use ocelli_tensor::Key;
use serde::{Deserialize, Serialize};

/// A description of how an image becomes what a network reads: transforms on its bytes in order, which may change its size and
/// may be drawn at random, then its channels, and last its normalisation.
///
/// It is plain data and needs no decoder: the registry of networks has one for each network, `serde` writes it into the
/// file of a network, and a [`Loader`](crate::Loader) applies it to every sample of training. With the feature `images` it
/// has methods that load and decode images. Images stay bytes until the last transform.
///
/// ```
/// use ocelli_data::{Mirror, Pipeline, Statistics, Transform};
/// // Published weights for ImageNet expect this; larger images are resized in proportion.
/// let usual = Pipeline::imagenet([224, 224]);
/// assert_eq!(usual.transforms, [Transform::ShorterSide(256), Transform::CentreCrop([224, 224])]);
/// assert_eq!(usual.normalisation, Statistics::imagenet());
/// // The same for training, with random crops and mirroring.
/// let training = usual.with_transforms([Transform::random_resized_crop([224, 224]), Transform::RandomMirror(Mirror::LeftRight)]);
/// assert_eq!(training.shape(None)?, [224, 224, 3]);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The transforms of the image while it is bytes, in order.
    #[serde(deserialize_with = "transform::few")]
    pub transforms: Vec<Transform>,
    /// The filter of all transforms that resize.
    pub filter: Filter,
    /// The channels of a pixel and their order.
    pub channels: Channels,
    /// Mean and deviation of each channel, of values from 0 to 1: `y = (x − mean) / deviation`.
    pub normalisation: Statistics,
}

/// The channels of a pixel and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red, green and blue.
    Rgb,
    /// Blue, green and red, as networks from Caffe expect.
    Bgr,
    /// The luminance (ITU-R BT.601).
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

impl Pipeline {
    /// Returns this pipeline with other transforms.
    pub fn with_transforms(self, transforms: impl Into<Vec<Transform>>) -> Pipeline {
        Pipeline { transforms: transforms.into(), ..self }
    }

    /// Returns this pipeline with one more transform at the end.
    pub fn then(mut self, transform: Transform) -> Pipeline {
        self.transforms.push(transform);
        self
    }

    /// Returns this pipeline with another normalisation.
    pub fn normalised_by(self, normalisation: Statistics) -> Pipeline {
        Pipeline { normalisation, ..self }
    }

    /// Returns this pipeline for a network of one channel, which reads luminance from 0 to 1.
    pub fn grey(self) -> Pipeline {
        Pipeline { channels: Channels::Grey, normalisation: Statistics::identity(1), ..self }
    }

    /// Returns ten pipelines, whose results are averaged for a prediction: with the crop at the end of this one in the middle
    /// and at each corner, and the same mirrored (Krizhevsky, Sutskever and Hinton 2012, section 4.1).
    ///
    /// # Errors
    /// [`Error::Setting`] if the last transform is no [`Transform::CentreCrop`].
    ///
    /// ```
    /// use ocelli_data::Pipeline;
    /// let views = Pipeline::imagenet([224, 224]).ten_crops()?;
    /// assert_eq!(views[7].shape(None)?, [224, 224, 3]);
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    pub fn ten_crops(&self) -> Result<[Pipeline; 10]> {
        let Some((Transform::CentreCrop(size), before)) = self.transforms.split_last() else {
            return Err(Error::Setting("ten crops are made of a pipeline that ends with a centre crop".into()));
        };
        let corner = |corner| Transform::CornerCrop { size: *size, corner };
        let corners = [Corner::TopLeft, Corner::TopRight, Corner::BottomLeft, Corner::BottomRight].map(corner);
        let five = |at: usize| at.checked_sub(1).map_or(Transform::CentreCrop(*size), |at| corners[at].clone());
        Ok(std::array::from_fn(|at| {
            let view = self.clone().with_transforms(before).then(five(at % 5));
            if at < 5 { view } else { view.then(Transform::Apply(Operation::Mirror(Mirror::LeftRight))) }
        }))
    }

    /// Returns true if a transform draws at random: then a sample depends on its key.
    pub fn is_random(&self) -> bool {
        self.transforms.iter().any(Transform::is_random)
    }

    /// Returns the shape `[H, W, C]` of what the pipeline makes of images of `size` = `[H, W]`, or of any size (`None`).
    ///
    /// # Errors
    /// [`Error::Setting`] if a transform is not possible, the result has no certain size, or there is not one mean and one
    /// positive deviation for each channel.
    pub fn shape(&self, size: Option<[usize; 2]>) -> Result<[usize; 3]> {
        self.normalisation.maps(self.channels.count())?;
        let Some([height, width]) = transform::size_after_all(&self.transforms, size)? else {
            let remedy = "end its transforms with one that does, such as a crop";
            return Err(Error::Setting(format!("the pipeline does not say the size of its result: {remedy}")));
        };
        Ok([height, width, self.channels.count()])
    }

    /// Checks what does not depend on the size of an image.
    #[cfg(feature = "images")]
    pub(crate) fn check(&self) -> Result<()> {
        self.normalisation.maps(self.channels.count())?;
        transform::size_after_all(&self.transforms, None).map(|_| ())
    }

    /// Applies the pipeline to an image and writes the values `[H, W, C]` to `out`. Random transforms draw from `key`, each from
    /// a stream of its own. The image is changed: its memory and that of `scratch` are reused from call to call, and
    /// nothing is allocated once they are large enough.
    ///
    /// # Errors
    /// [`Error::Setting`] if a transform is not possible for an image of this size; [`Error::Room`] if the result does not fill
    /// `out`.
    ///
    /// ```
    /// use ocelli_data::{Image, Pipeline, Scratch};
    /// use ocelli_tensor::Key;
    /// let mut image = Image::new([1, 2, 1], vec![0, 255])?;
    /// let mut out = [0.0; 3];
    /// Pipeline::stretch([1, 1]).apply(&mut image, Key::new(0), &mut Scratch::default(), &mut out)?;
    /// assert_eq!(out, [128.0 / 255.0; 3]);
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    pub fn apply(&self, image: &mut Image, key: Key, scratch: &mut Scratch, out: &mut [f32]) -> Result<()> {
        self.run_transforms(image, key, scratch)?;
        self.write(image, out)
    }
}
