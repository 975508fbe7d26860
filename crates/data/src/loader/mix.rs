//! Mixes the samples of a batch with each other.

use crate::{Error, Result};
use ocelli_tensor::{Key, Stream, Tensor};

/// A mixture of each sample of a batch with the next one, and of their labels, which become shares of classes (soft
/// labels).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixing {
    /// The weighted sum of two images; the weight of a batch is drawn from Beta(α, α) (Zhang et al. 2018, equation 1).
    Mixup {
        /// The parameter α.
        alpha: f32,
    },
    /// A rectangle of one image in the other; its share of the area is drawn from Beta(α, α) (Yun et al. 2019, equation 1).
    CutMix {
        /// The parameter α.
        alpha: f32,
    },
    /// One of both for each batch, with equal probability.
    Either {
        /// The parameter α of mixup.
        mixup: f32,
        /// The parameter α of CutMix.
        cut_mix: f32,
    },
}

impl Mixing {
    /// Checks the parameters.
    pub(super) fn check(self) -> Result<()> {
        let alphas = match self {
            Mixing::Mixup { alpha } | Mixing::CutMix { alpha } => [alpha; 2],
            Mixing::Either { mixup, cut_mix } => [mixup, cut_mix],
        };
        match alphas.into_iter().find(|alpha| !(1e-3..=1e3).contains(alpha)) {
            Some(alpha) => Err(Error::Setting(format!("samples are mixed with α = {alpha}"))),
            None => Ok(()),
        }
    }

    /// Mixes the images `[N, H, W, C]` and the targets `[N, count]` of a batch.
    pub(super) fn apply(self, input: &mut Tensor, targets: &mut Tensor, key: Key) {
        let &[count, height, width, channels] = input.shape() else { return };
        let mut random = key.stream();
        let kind = match self {
            Mixing::Either { mixup, .. } if random.below(2) == 0 => Mixing::Mixup { alpha: mixup },
            Mixing::Either { cut_mix, .. } => Mixing::CutMix { alpha: cut_mix },
            kind => kind,
        };
        let sample = height * width * channels;
        let weight = match kind {
            Mixing::Mixup { alpha } => {
                let weight = beta(alpha, &mut random);
                with_the_next(input.data_mut(), sample, |x, next| weighted(x, next, weight));
                weight
            }
            Mixing::CutMix { alpha } | Mixing::Either { cut_mix: alpha, .. } => {
                let side = 0.5 * (1.0 - beta(alpha, &mut random)).sqrt();
                let [rows, columns] = [height, width].map(|length| {
                    let (middle, half) = (random.below(length), (side * length as f32) as usize);
                    middle.saturating_sub(half)..(middle + half).min(length)
                });
                with_the_next(input.data_mut(), sample, |x, next| {
                    for y in rows.clone() {
                        let part = (y * width + columns.start) * channels..(y * width + columns.end) * channels;
                        x[part.clone()].copy_from_slice(&next[part]);
                    }
                });
                1.0 - (rows.len() * columns.len()) as f32 / (height * width) as f32
            }
        };
        let classes = targets.len() / count.max(1);
        with_the_next(targets.data_mut(), classes, |target, next| weighted(target, next, weight));
    }
}

fn weighted(x: &mut [f32], next: &[f32], weight: f32) {
    x.iter_mut().zip(next).for_each(|(x, next)| *x = weight * *x + (1.0 - weight) * next);
}

/// Calls `mix` with each piece of `length` values and the one after it, as it was; the last one's is the first.
fn with_the_next(values: &mut [f32], length: usize, mix: impl Fn(&mut [f32], &[f32])) {
    let first = values[..length.min(values.len())].to_vec();
    let mut rest = values;
    while let Some((piece, others)) = rest.split_at_mut_checked(length).filter(|_| length > 0) {
        mix(piece, others.get(..length).unwrap_or(&first));
        rest = others;
    }
}

/// Draws from Beta(α, α).
fn beta(alpha: f32, random: &mut Stream) -> f32 {
    let (a, b) = (gamma(alpha.into(), random), gamma(alpha.into(), random));
    // Both may be 0 for a small α: then either end is as probable.
    if a + b > 0.0 { (a / (a + b)) as f32 } else { random.below(2) as f32 }
}

/// Draws from the gamma distribution of this shape (Marsaglia and Tsang 2000).
fn gamma(shape: f64, random: &mut Stream) -> f64 {
    if shape < 1.0 {
        let smaller: f64 = (1.0 - random.unit()).into();
        return gamma(shape + 1.0, random) * smaller.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let x = f64::from(random.normal());
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        let u: f64 = (1.0 - random.unit()).into();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> (Tensor, Tensor) {
        let input = Tensor::from_fn([3, 4, 5, 2], |at| at[0] as f32);
        let targets = Tensor::from_fn([3, 3], |at| if at[0] == at[1] { 1.0 } else { 0.0 });
        (input, targets)
    }

    #[test]
    fn shares_of_labels_are_those_of_the_images() {
        for kind in
            [Mixing::Mixup { alpha: 0.4 }, Mixing::CutMix { alpha: 1.0 }, Mixing::Either { mixup: 1.0, cut_mix: 1.0 }]
        {
            for seed in 0..50 {
                let (mut input, mut targets) = batch();
                kind.apply(&mut input, &mut targets, Key::new(seed));
                for sample in 0..3 {
                    let next = (sample + 1) % 3;
                    let target = &targets.data()[3 * sample..3 * sample + 3];
                    assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                    let expected = target[sample] * sample as f32 + target[next] * next as f32;
                    let mean = input.rows(sample..sample + 1).data().iter().sum::<f32>() / 40.0;
                    assert!((mean - expected).abs() < 1e-5, "{kind:?}: {mean} for {expected}");
                }
            }
        }
    }

    #[test]
    fn beta_has_its_mean_and_variance() {
        let mut random = Key::new(1).stream();
        for alpha in [0.2, 1.0, 4.0] {
            let values: Vec<f32> = (0..20_000).map(|_| beta(alpha, &mut random)).collect();
            let mean = values.iter().sum::<f32>() / 20_000.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 20_000.0;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.01 && (variance / expected - 1.0).abs() < 0.05,
                "{alpha}: {mean} {variance}"
            );
        }
    }
}
