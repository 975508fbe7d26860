//! The normalisation folded into the convolution or matrix product before it, for inference.

use super::BatchNorm;

/// Computes the filter of a product whose result is normalised already: `w'[…, o] = w[…, o] · γ[o] / √(σ²[o] + ε)` for
/// `[…, C]`.
pub fn fold_filter(norm: &BatchNorm<'_>, w: &[f32], folded: &mut [f32]) {
    assert_eq!(w.len(), folded.len(), "a folded filter has the filter's length");
    let channels = norm.channels(w.len());
    if channels == 0 {
        return;
    }
    let scales: Vec<f64> = (0..channels).map(|channel| norm.scale(channel)).collect();
    for (w, folded) in w.chunks_exact(channels).zip(folded.chunks_exact_mut(channels)) {
        for ((w, scale), folded) in w.iter().zip(&scales).zip(folded) {
            *folded = (f64::from(*w) * scale) as f32;
        }
    }
}

/// Computes the bias that belongs to the folded filter: `b'[o] = (b[o] − μ[o]) · γ[o] / √(σ²[o] + ε) + β[o]`, where a
/// product without bias has zero.
pub fn fold_bias(norm: &BatchNorm<'_>, bias: Option<&[f32]>, folded: &mut [f32]) {
    let channels = norm.channels(folded.len());
    assert_eq!(folded.len(), channels, "a bias has a number for each channel");
    assert!(bias.is_none_or(|bias| bias.len() == channels), "a bias has a number for each channel");
    for (channel, folded) in folded.iter_mut().enumerate() {
        let bias = bias.map_or(0.0, |bias| f64::from(bias[channel]));
        let centred = bias - f64::from(norm.mean[channel]);
        *folded = (centred * norm.scale(channel) + f64::from(norm.beta[channel])) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::batch_norm::batch_norm_forward;
    use crate::elementwise::Source;

    /// A product of one row with a diagonal filter is the row times the diagonal: folded or normalised after, the same.
    #[test]
    fn a_folded_product_is_the_normalised_one() {
        let (x, w, bias) = ([1.0_f32, -2.0, 3.0], [0.5_f32, 2.0, -1.0], [0.1_f32, 0.2, 0.3]);
        let (mean, variance) = ([0.3, -4.0, 2.0], [0.5, 1e-6, 9.0]);
        let (gamma, beta) = ([1.5, -0.5, 2.0], [0.0, 1.0, -3.0]);
        let (mean, gamma) = (&mean, &gamma);
        let norm = BatchNorm {
            mean,
            variance: &variance,
            gamma,
            beta: &beta,
            epsilon: 1e-5,
            activation: Activation::Identity,
        };
        for bias in [None, Some(&bias[..])] {
            let product: Vec<f32> = (0..3).map(|o| x[o] * w[o] + bias.map_or(0.0, |bias| bias[o])).collect();
            let mut expected = [0.0; 3];
            batch_norm_forward(&norm, Source::Slice(&product), &mut expected);
            let (mut folded_w, mut folded_bias) = ([0.0; 3], [0.0; 3]);
            fold_filter(&norm, &w, &mut folded_w);
            fold_bias(&norm, bias, &mut folded_bias);
            for o in 0..3 {
                let got = x[o] * folded_w[o] + folded_bias[o];
                assert!((got - expected[o]).abs() <= 1e-6 * expected[o].abs().max(100.0), "{got}, not {}", expected[o]);
            }
        }
    }

    #[test]
    fn nothing_folds_to_nothing() {
        let norm =
            BatchNorm { mean: &[], variance: &[], gamma: &[], beta: &[], epsilon: 1.0, activation: Activation::Relu };
        fold_filter(&norm, &[], &mut []);
        fold_bias(&norm, None, &mut []);
    }
}
