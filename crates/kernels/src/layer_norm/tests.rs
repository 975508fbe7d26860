//! Layer normalisation against its definition in `f64`.

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};

const EPSILON: f32 = 1e-3;
const COLUMNS: [usize; 10] = [1, 2, 3, 7, 8, 15, 16, 17, 100, 257];

/// Normal values and `1 / √(σ² + ε)` of a row.
fn normal(x: &[f32]) -> (Vec<f64>, f64) {
    let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let inverse = 1.0 / (variance + f64::from(EPSILON)).sqrt();
    (x.iter().map(|x| (x - mean) * inverse).collect(), inverse)
}

#[test]
fn every_pass_is_the_definition() {
    on_every_set(|set| {
        for columns in COLUMNS {
            for rows in [1, 5, 131] {
                let (mut x, dy) = (numbers(rows * columns, 1), numbers(rows * columns, 2));
                x.iter_mut().for_each(|x| *x += 20.0);
                let (gamma, beta) = (numbers(columns, 3), numbers(columns, 4));
                let norm = LayerNorm { gamma: &gamma, beta: &beta, epsilon: EPSILON };
                let (mut y, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                let (mut dgamma, mut dbeta) = (vec![f32::NAN; columns], vec![f32::NAN; columns]);
                layer_norm_forward(&norm, Source::Slice(&x), &mut y);
                layer_norm_backward_data(&norm, &x, &dy, &mut dx);
                layer_norm_backward_parameters(&norm, &x, &dy, &mut dgamma, &mut dbeta);
                let mut in_place = x.clone();
                layer_norm_forward(&norm, Source::InPlace, &mut in_place);
                assert_eq!(in_place, y);
                let (mut scales, mut shifts) = (vec![0.0; columns], vec![0.0; columns]);
                for row in (0..x.len()).step_by(columns) {
                    let (normal, inverse) = normal(&x[row..row + columns]);
                    let gradient = |c: usize| f64::from(dy[row + c]) * f64::from(gamma[c]);
                    let mean = |f: &dyn Fn(usize) -> f64| (0..columns).map(f).sum::<f64>() / columns as f64;
                    let (first, second) = (mean(&gradient), mean(&|c| gradient(c) * normal[c]));
                    // The rounding of 20 in the mean is seen through the deviation, which may be as small as √ε.
                    let tolerance = 3e-6 * inverse.max(1.0);
                    for c in 0..columns {
                        let place = (set, columns, rows, row, c);
                        let exact = normal[c] * f64::from(gamma[c]) + f64::from(beta[c]);
                        assert_near(y[row + c], exact, 3.0 * tolerance, place);
                        let exact = inverse * (gradient(c) - first - normal[c] * second);
                        assert_near(dx[row + c], exact, 10.0 * tolerance * inverse.max(1.0), place);
                        shifts[c] += f64::from(dy[row + c]);
                        scales[c] += f64::from(dy[row + c]) * normal[c];
                    }
                }
                for c in 0..columns {
                    let tolerance = 1e-5 * (rows as f64).max(4.0);
                    assert_near(dbeta[c], shifts[c], tolerance, (set, columns, rows, c));
                    assert_near(dgamma[c], scales[c], 3.0 * tolerance, (set, columns, rows, c));
                }
            }
        }
    });
}

#[test]
fn no_rows_have_no_gradient() {
    let norm = LayerNorm { gamma: &[1.0; 3], beta: &[0.0; 3], epsilon: EPSILON };
    let (mut dgamma, mut dbeta) = ([1.0; 3], [1.0; 3]);
    layer_norm_forward(&norm, Source::Slice(&[]), &mut []);
    layer_norm_backward_parameters(&norm, &[], &[], &mut dgamma, &mut dbeta);
    assert_eq!((dgamma, dbeta), ([0.0; 3], [0.0; 3]));
}

#[test]
fn threads_change_no_bit() {
    for columns in [7, 96] {
        let (x, dy) = (numbers(2_500 * columns, 1), numbers(2_500 * columns, 2));
        let (gamma, beta) = (numbers(columns, 3), numbers(columns, 4));
        let norm = LayerNorm { gamma: &gamma, beta: &beta, epsilon: EPSILON };
        assert_same_bits_on_any_threads(x.len(), &|y| layer_norm_forward(&norm, Source::Slice(&x), y));
        assert_same_bits_on_any_threads(x.len(), &|dx| layer_norm_backward_data(&norm, &x, &dy, dx));
        assert_same_bits_on_any_threads(2 * columns, &|y| {
            let (dgamma, dbeta) = y.split_at_mut(columns);
            layer_norm_backward_parameters(&norm, &x, &dy, dgamma, dbeta);
        });
    }
}
