//! Occlusion: what the score loses when a part of the image is covered.

use super::Attribution;
use crate::{Error, Result};
use ocelli_graph::Tensor;

/// Number of covered images that are run at once.
const AT_ONCE: usize = 16;

/// The window that covers a part of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Height and width in pixels.
    pub size: usize,
    /// Pixels from one position to the next.
    pub stride: usize,
    /// The value that covers, in the network's own units: 0 is the mean of a standardised image.
    pub value: f32,
}

impl Window {
    /// Creates a window of an eighth of the image that moves by half of itself and covers with 0.
    pub fn for_side(side: usize) -> Window {
        let size = side.div_ceil(8).max(1);
        Window { size, stride: size.div_ceil(2), value: 0.0 }
    }
}

impl Attribution<'_> {
    /// An occlusion map (Zeiler and Fergus 2013, section 4.2), `[H, W]`: how much the score of the class falls when a window
    /// covers a pixel, as the mean over all windows that do.
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`], and [`Error::Invalid`] for a window or stride of 0.
    pub fn occlusion(&mut self, image: &Tensor, class: usize, window: Window) -> Result<Tensor> {
        self.check_image(image)?;
        if window.size == 0 || window.stride == 0 || class >= self.classes {
            return Err(Error::Invalid(
                "an occlusion has a window and a stride of at least one pixel, and a class".into(),
            ));
        }
        let [height, width, channels] = self.sample;
        let starts = |side: usize| {
            let last = side.saturating_sub(window.size);
            (0..last).step_by(window.stride).chain([last])
        };
        let places: Vec<[usize; 2]> = starts(height).flat_map(|y| starts(width).map(move |x| [y, x])).collect();
        let whole = self.scores(image)?.data()[class];
        let (mut falls, mut counts) = (vec![0f32; height * width], vec![0f32; height * width]);
        let pixels = |[y, x]: [usize; 2]| {
            let (bottom, right) = ((y + window.size).min(height), (x + window.size).min(width));
            (y..bottom).flat_map(move |row| (x..right).map(move |column| row * width + column))
        };
        for places in places.chunks(AT_ONCE) {
            let mut covered = Tensor::try_zeros([places.len(), height, width, channels])?;
            for (values, place) in covered.data_mut().chunks_exact_mut(image.len()).zip(places) {
                values.copy_from_slice(image.data());
                for pixel in pixels(*place) {
                    values[pixel * channels..][..channels].fill(window.value);
                }
            }
            let scores = self.scores(&covered)?;
            for (scores, place) in scores.data().chunks_exact(self.classes).zip(places) {
                for pixel in pixels(*place) {
                    falls[pixel] += whole - scores[class];
                    counts[pixel] += 1.0;
                }
            }
        }
        falls.iter_mut().zip(counts).for_each(|(fall, count)| *fall /= count.max(1.0));
        Ok(Tensor::from_vec([height, width], falls)?)
    }
}
