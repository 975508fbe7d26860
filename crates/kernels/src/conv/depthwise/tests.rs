//! Cases that the small geometries of `conv::tests` do not reach.

use ocelli_simd::{InstructionSet, Stores};
use ocelli_tensor::Arena;

use super::super::naive::{conv2d_backward_data, conv2d_forward};
use super::super::{Algorithm, Conv2dGeometry, Conv2dSettings, Padding};
use super::{Depthwise, stores};
use crate::{Accumulate, Epilogue};

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

fn same(input: [usize; 4], kernel: usize, stride: usize) -> Conv2dGeometry {
    let settings = Conv2dSettings {
        stride_h: stride,
        stride_w: stride,
        groups: input[3],
        padding: Padding::Same,
        ..Conv2dSettings::default()
    };
    Conv2dGeometry::new(&settings, input, [kernel, kernel, 1, input[3]]).unwrap()
}

fn assert_near(got: &[f32], exact: &[f32]) {
    let worst = got.iter().zip(exact).map(|(got, exact)| (got - exact).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4, "{worst}");
}

fn check(g: &Conv2dGeometry) {
    let (x, w, dy) = (numbers(g.input_len()), numbers(g.filter_len()), numbers(g.output_len()));
    let (mut y, mut dx) = (vec![0.0; g.output_len()], vec![0.0; g.input_len()]);
    conv2d_forward(g, &x, &w, &Epilogue::default(), &mut y);
    conv2d_backward_data(g, &dy, &w, &mut dx, Accumulate::Set);
    // On whole lines, to which stores past the caches are bound.
    let mut arena = Arena::new(y.len().max(dx.len()));
    for set in InstructionSet::available() {
        set.scoped(|| {
            let got = &mut arena.as_mut_slice()[..y.len()];
            Depthwise.forward(g, &x, &w, &Epilogue::default(), got, &mut []);
            assert_near(got, &y);
            let got = &mut arena.as_mut_slice()[..dx.len()];
            Depthwise.backward_data(g, &dy, &w, got, Accumulate::Set, &mut []);
            assert_near(got, &dx);
        });
    }
}

#[test]
fn results_past_the_caches_are_whole() {
    let g = same([1, 256, 259, 32], 3, 1);
    let arena = Arena::new(g.output_len());
    assert_eq!(stores(&g, Accumulate::Set, &arena.as_slice()[..g.output_len()]), Stores::NonTemporal);
    check(&g);
}

/// Twelve rows of twelve taps, each a run of its own because of the stride.
#[test]
fn more_taps_than_are_summed_at_once() {
    check(&same([1, 29, 31, 19], 12, 2));
}
