//! Softmax and cross-entropy against `f64`.

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, numbers, on_every_set};

fn log_softmax_exact(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let norm = largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
    x.iter().map(|x| x - norm).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// The definition in [`CrossEntropy`]'s documentation.
fn loss_exact(loss: CrossEntropy<'_>, x: &[f64], labels: &[u32]) -> f64 {
    let weight = |c: usize| loss.class_weights.map_or(1.0, |weights| f64::from(weights[c]));
    let epsilon = f64::from(loss.smoothing);
    let (mut total, mut weights) = (0.0, 0.0);
    for (x, &label) in x.chunks(loss.classes).zip(labels) {
        let log = log_softmax_exact(x);
        let uniform: f64 = (0..loss.classes).map(|c| -weight(c) * log[c]).sum();
        let label = label as usize;
        total += (1.0 - epsilon) * -weight(label) * log[label] + epsilon / loss.classes as f64 * uniform;
        weights += weight(label);
    }
    total / weights
}

#[test]
fn forward_and_backward_of_every_width() {
    on_every_set(|set| {
        for classes in 1..=50 {
            let rows = 3;
            let x: Vec<f32> = numbers(rows * classes, 1).iter().map(|x| 10.0 * x).collect();
            let dy = numbers(rows * classes, 2);
            let mut y = vec![f32::NAN; x.len()];
            let mut log = x.clone();
            softmax(Source::Slice(&x), &mut y, classes);
            log_softmax(Source::InPlace, &mut log, classes);
            let mut dx = vec![f32::NAN; x.len()];
            let mut log_dx = dy.clone();
            softmax_backward(&y, Source::Slice(&dy), &mut dx, classes);
            log_softmax_backward(&log, Source::InPlace, &mut log_dx, classes);
            for row in 0..rows {
                let range = row * classes..(row + 1) * classes;
                let exact = log_softmax_exact(&wide(&x[range.clone()]));
                let dy = wide(&dy[range.clone()]);
                let weighted: f64 = exact.iter().zip(&dy).map(|(log, dy)| log.exp() * dy).sum();
                let sum: f64 = dy.iter().sum();
                for (c, i) in range.enumerate() {
                    let p = exact[c].exp();
                    let place = (set, classes, i);
                    assert_near(y[i], p, 1e-5 * p, place);
                    assert_near(log[i], exact[c], 1e-6 * (1.0 + exact[c].abs()), place);
                    assert_near(dx[i], p * (dy[c] - weighted), 1e-5 * p, place);
                    assert_near(log_dx[i], dy[c] - p * sum, 1e-5 * (1.0 + sum.abs()), place);
                }
            }
        }
    });
}

#[test]
fn large_logits_do_not_overflow() {
    let mut y = [3e38, 3e38, -3e38, 1e4];
    softmax(Source::InPlace, &mut y, 4);
    assert_eq!(y, [0.5, 0.5, 0.0, 0.0]);
    let mut y = [f32::NAN, 1.0, 2.0, 3.0, 1.0, f32::NEG_INFINITY];
    softmax(Source::InPlace, &mut y, 3);
    assert!(y[..3].iter().all(|y| y.is_nan()));
    assert_eq!(y[5], 0.0);
}

#[test]
fn cross_entropy_and_its_gradient() {
    let labels = [2, 0, 1, 2, 2];
    for classes in [3, 10, 16, 17, 40] {
        let weights: Vec<f32> = numbers(classes, 7).iter().map(|w| w.abs()).collect();
        let x = numbers(labels.len() * classes, 1);
        for class_weights in [None, Some(&weights[..])] {
            for smoothing in [0.0, 0.1, 1.0] {
                let loss = CrossEntropy { classes, class_weights, smoothing };
                on_every_set(|set| {
                    let mut p = vec![f32::NAN; x.len()];
                    let value = cross_entropy_forward(loss, &x, &labels, &mut p).expect("labels are classes");
                    let exact = loss_exact(loss, &wide(&x), &labels);
                    assert_near(value, exact, 1e-6 * exact, (set, classes, smoothing));
                    let mut dx = vec![f32::NAN; x.len()];
                    cross_entropy_backward(loss, &p, &labels, 2.5, &mut dx);
                    for i in 0..x.len() {
                        let difference = |h: f64| {
                            let mut x = wide(&x);
                            x[i] += h;
                            loss_exact(loss, &x, &labels)
                        };
                        let slope = (difference(1e-4) - difference(-1e-4)) / 2e-4;
                        assert_near(dx[i], 2.5 * slope, 1e-6, (set, classes, smoothing, i));
                    }
                });
            }
        }
    }
}

/// Compares with PyTorch 2's `cross_entropy(x, [2, 0], weight=[0.2, 0.5, 0.3], label_smoothing=0.1)`, by hand.
#[test]
fn weights_and_smoothing_by_hand() {
    let x = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let loss = CrossEntropy { classes: 3, class_weights: Some(&[0.2, 0.5, 0.3]), smoothing: 0.1 };
    let value = cross_entropy_forward(loss, &x, &[2, 0], &mut [0.0; 6]).expect("labels are classes");
    // ln 3 · (0.9 (0.3 + 0.2) + 2 · 0.1 / 3 · 1.0) / (0.3 + 0.2)
    let expected = 3.0_f64.ln() * (0.45 + 0.2 / 3.0) / 0.5;
    assert_near(value, expected, 1e-6, "uniform logits");
}

#[test]
fn a_label_out_of_range_is_told_and_nothing_written() {
    let mut p = [7.0; 6];
    let loss = CrossEntropy { classes: 3, class_weights: None, smoothing: 0.0 };
    let error = cross_entropy_forward(loss, &[0.0; 6], &[1, 3], &mut p).expect_err("3 is no class");
    assert_eq!(error.to_string(), "label 3 of row 1 is none of the 3 classes");
    assert_eq!(p, [7.0; 6]);
}

#[test]
fn no_rows_and_no_weight_give_nan() {
    let loss = CrossEntropy { classes: 3, class_weights: None, smoothing: 0.0 };
    assert!(cross_entropy_forward(loss, &[], &[], &mut []).is_ok_and(f32::is_nan));
    let loss = CrossEntropy { class_weights: Some(&[0.0; 3]), ..loss };
    assert!(cross_entropy_forward(loss, &[1.0; 3], &[0], &mut [0.0; 3]).is_ok_and(f32::is_nan));
}

#[test]
fn threads_change_no_bit() {
    let (rows, classes) = (3000, 100);
    let x = numbers(rows * classes, 1);
    let labels: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 100).collect();
    let loss = CrossEntropy { classes, class_weights: None, smoothing: 0.1 };
    assert_same_bits_on_any_threads(x.len() + 1, &|y| {
        let (value, p) = y.split_at_mut(1);
        value[0] = cross_entropy_forward(loss, &x, &labels, p).expect("labels are classes");
        let exact = loss_exact(loss, &wide(&x), &labels);
        assert_near(value[0], exact, 1e-6 * exact, "many rows");
    });
    let mut p = vec![0.0; x.len()];
    softmax(Source::Slice(&x), &mut p, classes);
    assert_same_bits_on_any_threads(x.len(), &|dx| cross_entropy_backward(loss, &p, &labels, 1.0, dx));
    assert_same_bits_on_any_threads(x.len(), &|dx| softmax_backward(&p, Source::Slice(&x), dx, classes));
}
