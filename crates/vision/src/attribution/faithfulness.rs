//! How good a map is: what the network says when the pixels that it points at are removed, or are all there is.

use super::Attribution;
use crate::{Error, Result, resize};
use ocelli_graph::{Key, Tensor};

/// Number of changed images that are run at once.
const AT_ONCE: usize = 16;

/// The probability of a class while pixels are exchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The shares of the pixels that were exchanged, from 0 to 1.
    pub shares: Vec<f32>,
    /// The probability of the class at each of them.
    pub probabilities: Vec<f32>,
}

impl Curve {
    /// Returns the area under the curve, by trapezia.
    pub fn area(&self) -> f32 {
        let pairs = self.shares.windows(2).zip(self.probabilities.windows(2));
        pairs.map(|(x, y)| 0.5 * (x[1] - x[0]) * (y[0] + y[1])).sum()
    }
}

/// The curves of a map, beside the mean curves of random maps of the same size.
#[derive(Clone, Debug, PartialEq)]
pub struct Faithfulness {
    /// The probability while the highest pixels are replaced by the mean colour: small is good.
    pub deletion: Curve,
    /// The probability while the highest pixels come into a blurred image: large is good.
    pub insertion: Curve,
    /// The mean deletion curve of random maps.
    pub random_deletion: Curve,
    /// The mean insertion curve of random maps.
    pub random_insertion: Curve,
}

impl Faithfulness {
    /// Returns true if the map beats random ones in both areas.
    pub fn beats_random(&self) -> bool {
        self.deletion.area() < self.random_deletion.area() && self.insertion.area() > self.random_insertion.area()
    }
}

/// The settings of [`faithfulness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaithfulnessSettings {
    /// Number of steps from no pixel to all.
    pub steps: usize,
    /// Number of random maps.
    pub random_maps: usize,
    /// Seed of the random maps.
    pub seed: u64,
}

impl Default for FaithfulnessSettings {
    fn default() -> FaithfulnessSettings {
        FaithfulnessSettings { steps: 20, random_maps: 4, seed: 0 }
    }
}

/// Measures a map `[h, w]` of an image `[1, H, W, C]` and a class by deletion and insertion (Petsiuk, Das and Saenko 2018,
/// section 3.3), beside random maps of the same size `[h, w]`: a map of few places is compared with maps as coarse as itself,
/// because scattered pixels disturb a network more than connected ones.
///
/// # Errors
/// [`Error::Invalid`] for other shapes, no steps or no random maps, [`Error::Graph`] if the network cannot be run.
pub fn faithfulness(
    attribution: &Attribution<'_>,
    image: &Tensor,
    class: usize,
    map: &Tensor,
    settings: FaithfulnessSettings,
) -> Result<Faithfulness> {
    attribution.check_image(image)?;
    if class >= attribution.classes || settings.steps == 0 || settings.random_maps == 0 {
        return Err(Error::Invalid("a measurement needs a class, at least one step and one random map".into()));
    }
    let [height, width, channels] = attribution.sample;
    // what pixels are replaced by, and what they come into
    let mut means = vec![0f64; channels];
    image.data().iter().enumerate().for_each(|(at, value)| means[at % channels] += f64::from(*value));
    let plain = Tensor::from_fn([1, height, width, channels], |at| (means[at[3]] / (height * width) as f64) as f32);
    let few = [height, width].map(|side| side.div_ceil(16).max(2).min(side));
    let blurred = resize(&resize(image, few)?, [height, width])?;

    let curves = |map: &Tensor| {
        let order = order(map, [height, width])?;
        let deletion = exchange(attribution, image, &plain, &order, class, settings.steps)?;
        let insertion = exchange(attribution, &blurred, image, &order, class, settings.steps)?;
        Ok::<_, Error>([deletion, insertion])
    };
    let [deletion, insertion] = curves(map)?;
    let mut random = [vec![0f32; settings.steps + 1], vec![0f32; settings.steps + 1]];
    for number in 0..settings.random_maps {
        let key = Key::new(settings.seed).with("random maps").at(number as u64);
        let curves = curves(&Tensor::uniform(map.shape(), key))?;
        for (mean, curve) in random.iter_mut().zip(&curves) {
            let share = 1.0 / settings.random_maps as f32;
            mean.iter_mut().zip(&curve.probabilities).for_each(|(mean, p)| *mean += share * p);
        }
    }
    let [random_deletion, random_insertion] =
        random.map(|probabilities| Curve { shares: deletion.shares.clone(), probabilities });
    Ok(Faithfulness { deletion, insertion, random_deletion, random_insertion })
}

/// Returns the pixels of an image in falling order of a map.
fn order(map: &Tensor, size: [usize; 2]) -> Result<Vec<usize>> {
    let &[height, width] = map.shape() else {
        return Err(Error::Invalid("expected a map [h, w]".into()));
    };
    let map = resize(&map.reshape([1, height, width, 1])?, size)?;
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by(|&a, &b| map.data()[b].total_cmp(&map.data()[a]));
    Ok(order)
}

/// Exchanges the pixels of `from` for those of `to`, in order, and returns the probability of the class on the way.
fn exchange(
    attribution: &Attribution<'_>,
    from: &Tensor,
    to: &Tensor,
    order: &[usize],
    class: usize,
    steps: usize,
) -> Result<Curve> {
    let [height, width, channels] = attribution.sample;
    let shares: Vec<f32> = (0..=steps).map(|step| step as f32 / steps as f32).collect();
    let mut probabilities = Vec::with_capacity(steps + 1);
    for steps_at_once in (0..=steps).collect::<Vec<_>>().chunks(AT_ONCE) {
        let mut images = Tensor::try_zeros([steps_at_once.len(), height, width, channels])?;
        for (values, step) in images.data_mut().chunks_exact_mut(from.len()).zip(steps_at_once) {
            values.copy_from_slice(from.data());
            for &pixel in &order[..order.len() * step / steps] {
                let range = pixel * channels..(pixel + 1) * channels;
                values[range.clone()].copy_from_slice(&to.data()[range]);
            }
        }
        let scores = attribution.scores(&images)?;
        probabilities.extend(scores.data().chunks_exact(attribution.classes).map(|scores| probability(scores, class)));
    }
    Ok(Curve { shares, probabilities })
}

/// The softmax of one score.
fn probability(scores: &[f32], class: usize) -> f32 {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores.iter().map(|score| f64::from(score - highest).exp()).sum();
    (f64::from(scores[class] - highest).exp() / sum) as f32
}
