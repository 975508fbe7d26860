//! Local response normalisation against its definition in `f64`.

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};

const CHANNELS: [usize; 11] = [1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 100];

fn norms() -> [LocalResponse; 6] {
    let norm = |size, alpha, beta, k| LocalResponse { size, alpha, beta, k };
    [
        norm(5, 1e-4, 0.75, 2.0),
        norm(5, 0.3, 0.75, 1.0),
        norm(4, 0.3, 0.5, 1.0),
        norm(3, 0.2, 1.0, 0.5),
        norm(1, 0.2, 0.6, 1.0),
        // Wider than the pixel.
        norm(1000, 0.1, 0.75, 1.0),
    ]
}

/// The channels that are summed for `c`.
fn window(norm: &LocalResponse, c: usize, channels: usize) -> std::ops::Range<usize> {
    c.saturating_sub(norm.size / 2)..channels.min(c + (norm.size - 1) / 2 + 1)
}

fn denominators(norm: &LocalResponse, x: &[f32]) -> Vec<f64> {
    let square = |x: &f32| f64::from(*x).powi(2);
    let of = |c| x[window(norm, c, x.len())].iter().map(square).sum::<f64>();
    (0..x.len()).map(|c| f64::from(norm.k) + f64::from(norm.alpha) * of(c)).collect()
}

fn naive_forward(norm: &LocalResponse, x: &[f32]) -> Vec<f64> {
    let s = denominators(norm, x);
    x.iter().zip(s).map(|(&x, s)| f64::from(x) * s.powf(-f64::from(norm.beta))).collect()
}

fn naive_backward(norm: &LocalResponse, x: &[f32], dy: &[f32]) -> Vec<f64> {
    let (s, beta) = (denominators(norm, x), f64::from(norm.beta));
    let mut dx = vec![0.0; x.len()];
    for i in 0..x.len() {
        dx[i] += f64::from(dy[i]) * s[i].powf(-beta);
        for j in window(norm, i, x.len()) {
            let of_sum = -beta * f64::from(dy[i]) * f64::from(x[i]) * s[i].powf(-beta - 1.0);
            dx[j] += of_sum * 2.0 * f64::from(norm.alpha) * f64::from(x[j]);
        }
    }
    dx
}

#[test]
fn both_passes_are_the_definition() {
    on_every_set(|set| {
        for norm in norms() {
            for channels in CHANNELS {
                let (x, dy) = (numbers(5 * channels, 1), numbers(5 * channels, 2));
                let (mut y, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                local_response_forward(&norm, &x, &mut y, channels);
                local_response_backward(&norm, &x, &dy, &mut dx, channels);
                for pixel in (0..x.len()).step_by(channels) {
                    let here = pixel..pixel + channels;
                    let forward = naive_forward(&norm, &x[here.clone()]);
                    let backward = naive_backward(&norm, &x[here.clone()], &dy[here]);
                    for c in 0..channels {
                        assert_near(y[pixel + c], forward[c], 2e-6, (set, norm, channels, pixel, c));
                        assert_near(dx[pixel + c], backward[c], 5e-6, (set, norm, channels, pixel, c));
                    }
                }
            }
        }
    });
}

#[test]
fn nothing_is_normalised_without_a_number() {
    local_response_forward(&norms()[0], &[], &mut [], 0);
    local_response_backward(&norms()[0], &[], &[], &mut [], 3);
}

#[test]
fn threads_change_no_bit() {
    for channels in [7, 96] {
        let (x, dy) = (numbers(2_500 * channels, 1), numbers(2_500 * channels, 2));
        let norm = norms()[1];
        assert_same_bits_on_any_threads(x.len(), &|y| local_response_forward(&norm, &x, y, channels));
        assert_same_bits_on_any_threads(x.len(), &|dx| local_response_backward(&norm, &x, &dy, dx, channels));
    }
}
