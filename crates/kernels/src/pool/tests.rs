//! Poolings against their definition; backward passes by the adjoint identity.

use proptest::prelude::*;

use super::*;
use crate::Accumulate;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, dot, numbers, on_every_set};

fn geometry(settings: PoolSettings, input: [usize; 4]) -> PoolGeometry {
    PoolGeometry::new(settings, input).expect("the settings fit")
}

/// Asserts that `dx`, added to `before`, is the adjoint of the linear map from `x` to `y`.
fn assert_adjoint(x: &[f32], y: &[f32], dy: &[f32], dx: &[f32], place: impl std::fmt::Debug) {
    let size: f64 = y.iter().zip(dy).map(|(&y, &dy)| f64::from(y * dy).abs()).sum();
    let (left, right) = (dot(dy, y), dot(dx, x));
    assert!((left - right).abs() <= 1e-5 * (1.0 + size), "{place:?}: {left} and {right}");
}

/// Backward in both ways of accumulation; returns the one that sets.
fn backward(length: usize, run: impl Fn(&mut [f32], Accumulate)) -> Vec<f32> {
    let mut set = vec![f32::NAN; length];
    run(&mut set, Accumulate::Set);
    let before = numbers(length, 8);
    let mut added = before.clone();
    run(&mut added, Accumulate::Add);
    for i in 0..length {
        assert_near(added[i], f64::from(before[i]) + f64::from(set[i]), 1e-5, i);
    }
    set
}

fn check(g: &PoolGeometry) {
    // Few different values, so that there are equal maxima.
    let x: Vec<f32> = numbers(g.input_length(), 1).iter().map(|x| (x * 4.0).round() / 4.0).collect();
    let dy = numbers(g.output_length(), 2);
    on_every_set(|set| {
        let place = (set, g);
        let (mut y, mut at) = (vec![f32::NAN; dy.len()], vec![f32::NAN; dy.len()]);
        let (mut naive_y, mut naive_at) = (y.clone(), at.clone());
        max_forward(g, &x, &mut y, Some(&mut at));
        naive::max_forward(g, &x, &mut naive_y, &mut naive_at);
        assert_eq!(y, naive_y, "{place:?}");
        assert_eq!(at, naive_at, "{place:?}");
        y.fill(f32::NAN);
        max_forward(g, &x, &mut y, None);
        assert_eq!(y, naive_y, "{place:?}");
        let dx = backward(x.len(), |dx, accumulate| max_backward(g, &dy, &at, dx, accumulate));
        assert_adjoint(&x, &y, &dy, &dx, place);

        for count in [CountPadding::Include, CountPadding::Exclude] {
            let mut exact = vec![0.0; dy.len()];
            average_forward(g, count, &x, &mut y);
            naive::average_forward(g, count, &x, &mut exact);
            for (&y, &exact) in y.iter().zip(&exact) {
                assert_near(y, exact, 1e-6, place);
            }
            let dx = backward(x.len(), |dx, accumulate| average_backward(g, count, &dy, dx, accumulate));
            assert_adjoint(&x, &y, &dy, &dx, place);
        }
    });
}

fn check_adaptive(g: &AdaptiveGeometry) {
    let x = numbers(g.batch * g.in_h * g.in_w * g.channels, 1);
    let dy = numbers(g.batch * g.out_h * g.out_w * g.channels, 2);
    on_every_set(|set| {
        let place = (set, g);
        let mut y = vec![f32::NAN; dy.len()];
        let mut exact = vec![0.0; dy.len()];
        adaptive_forward(g, &x, &mut y);
        naive::adaptive_forward(g, &x, &mut exact);
        for (&y, &exact) in y.iter().zip(&exact) {
            assert_near(y, exact, 1e-6, place);
        }
        let dx = backward(x.len(), |dx, accumulate| adaptive_backward(g, &dy, dx, accumulate));
        assert_adjoint(&x, &y, &dy, &dx, place);
    });
}

#[test]
fn named_geometries() {
    let ceil = |settings: PoolSettings| settings.rounding(Rounding::Ceil);
    for (settings, input) in [
        (PoolSettings::square(2), [2, 28, 28, 6]),
        (PoolSettings::square(3).stride(2), [1, 13, 13, 20]),
        (PoolSettings::square(3).stride(2).padding(1), [2, 11, 12, 33]),
        (ceil(PoolSettings::square(3).stride(2)), [1, 14, 14, 5]),
        (ceil(PoolSettings::square(3).stride(2).padding(1)), [1, 8, 7, 3]),
        (PoolSettings::square(3).stride(1).padding(1), [1, 5, 5, 17]),
        (PoolSettings { pad_bottom: 1, pad_right: 1, ..PoolSettings::square(2) }, [1, 5, 7, 1]),
        (PoolSettings::square(1).stride(3), [1, 7, 7, 2]),
        (PoolSettings::square(2).stride(3), [1, 9, 8, 4]),
        (PoolSettings::square(7), [3, 7, 7, 40]),
        (PoolSettings::square(2), [0, 4, 4, 3]),
        (PoolSettings::square(2), [3, 4, 4, 0]),
    ] {
        check(&geometry(settings, input));
    }
}

#[test]
fn every_number_of_channels() {
    for channels in 1..=49 {
        check(&geometry(PoolSettings::square(3).stride(2).padding(1), [1, 4, 5, channels]));
    }
}

proptest! {
    #[test]
    fn drawn_geometries(
        (kernel_h, kernel_w, stride_h, stride_w) in (1_usize..5, 1_usize..5, 1_usize..5, 1_usize..5),
        (top, bottom, left, right) in (0_usize..3, 0_usize..3, 0_usize..3, 0_usize..3),
        (batch, in_h, in_w, channels) in (1_usize..3, 1_usize..10, 1_usize..10, 1_usize..20),
        ceil: bool,
    ) {
        let settings = PoolSettings {
            kernel_h, kernel_w, stride_h, stride_w,
            pad_top: top.min(kernel_h / 2),
            pad_bottom: bottom.min(kernel_h / 2),
            pad_left: left.min(kernel_w / 2),
            pad_right: right.min(kernel_w / 2),
            rounding: if ceil { Rounding::Ceil } else { Rounding::Floor },
        };
        if let Ok(g) = PoolGeometry::new(settings, [batch, in_h, in_w, channels]) {
            check(&g);
        }
    }

    #[test]
    fn drawn_adaptive_geometries(
        output in (1_usize..9, 1_usize..9),
        (batch, in_h, in_w, channels) in (1_usize..3, 1_usize..12, 1_usize..12, 1_usize..20),
    ) {
        let g = AdaptiveGeometry::new(output.into(), [batch, in_h, in_w, channels]);
        check_adaptive(&g.expect("there are pixels"));
    }
}

/// The last window must begin in the input or in the padding before it (PyTorch's `pooling_output_shape`).
#[test]
fn ceil_mode_drops_a_window_that_begins_in_the_padding() {
    let size = |kernel, stride, padding, input| {
        let settings = PoolSettings::square(kernel).stride(stride).padding(padding).rounding(Rounding::Ceil);
        geometry(settings, [1, input, input, 1]).out_h
    };
    assert_eq!(size(3, 2, 0, 112), 56);
    assert_eq!(size(3, 2, 0, 13), 6);
    assert_eq!(size(2, 2, 1, 3), 2);
    assert_eq!(size(3, 2, 1, 6), 4);
    assert_eq!(size(1, 3, 0, 2), 1);
}

#[test]
fn the_first_of_equal_maxima_and_the_last_nan_count() {
    let g = geometry(PoolSettings::square(2), [1, 2, 2, 3]);
    let nan = f32::NAN;
    let low = f32::NEG_INFINITY;
    // Channels: equal maxima; NaN among values; minus infinity everywhere.
    let x = [1.0, nan, low, 3.0, 1.0, low, 3.0, nan, low, 2.0, 5.0, low];
    on_every_set(|set| {
        let (mut y, mut at) = ([0.0; 3], [0.0; 3]);
        max_forward(&g, &x, &mut y, Some(&mut at));
        assert_eq!((y[0], at), (3.0, [1.0, 2.0, 0.0]), "{set}");
        assert!(y[1].is_nan() && y[2] == low, "{set}");
        max_forward(&g, &x, &mut y, None);
        assert!(y[0] == 3.0 && y[1].is_nan() && y[2] == low, "{set}");
    });
}

#[test]
fn settings_that_do_not_fit_are_told() {
    let told = |settings, input| PoolGeometry::new(settings, input).map_err(|error| error.to_string());
    let square = PoolSettings::square;
    for (settings, input, text) in [
        (square(0), [1, 4, 4, 1], "the pooling window is 0 x 0: both must be 1 or more"),
        (square(2).stride(0), [1, 4, 4, 1], "the pooling stride is 0 x 0: both must be 1 or more"),
        (square(2).padding(2), [1, 4, 4, 1], "padding of 2 on axis H is more than half of the pooling window's 2"),
        (square(5), [1, 6, 4, 1], "the pooling window needs 5 or more pixels on axis W, got 4 (padding included)"),
        (square(1), [1, 0, 4, 1], "axis H has no pixels"),
    ] {
        assert_eq!(told(settings, input), Err(text.to_owned()));
    }
    let error = AdaptiveGeometry::new([1, 0], [1, 4, 4, 1]).map_err(|error| error.to_string());
    assert_eq!(error, Err("axis W has no pixels".to_owned()));
}

#[test]
fn threads_change_no_bit() {
    let g = geometry(PoolSettings::square(3).stride(2).padding(1), [5, 60, 50, 30]);
    check(&g);
    let x = numbers(g.input_length(), 1);
    let dy = numbers(g.output_length(), 2);
    let mut y = vec![0.0; dy.len()];
    let mut at = y.clone();
    max_forward(&g, &x, &mut y, Some(&mut at));
    let include = CountPadding::Include;
    assert_same_bits_on_any_threads(dy.len(), &|y| max_forward(&g, &x, y, None));
    assert_same_bits_on_any_threads(dy.len(), &|at| max_forward(&g, &x, &mut vec![0.0; at.len()], Some(at)));
    assert_same_bits_on_any_threads(x.len(), &|dx| max_backward(&g, &dy, &at, dx, Accumulate::Add));
    assert_same_bits_on_any_threads(dy.len(), &|y| average_forward(&g, include, &x, y));
    assert_same_bits_on_any_threads(x.len(), &|dx| average_backward(&g, include, &dy, dx, Accumulate::Add));
    check_adaptive(&AdaptiveGeometry::new([6, 7], [4, 60, 50, 30]).expect("there are pixels"));
}
