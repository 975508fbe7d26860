use super::super::naive::{conv2d_backward_filter, conv2d_forward};
use super::super::{Algorithm, Conv2dGeometry, Conv2dSettings, Padding, Pass};
use super::Implicit;
use super::cut::FilterTasks;
use super::problem::Problem;
use crate::cache::testing::on_other_caches;
use crate::scratch::recorder::taken_here;
use crate::{Accumulate, Epilogue};
use ocelli_tensor::Arena;

/// Numbers of zero mean and unit variance, as a sum of twelve uniform ones.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..len).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

/// `‖got − exact‖ / ‖exact‖`
fn relative_error(got: &[f32], exact: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let error: f64 = got.iter().zip(exact).map(|(&got, &exact)| square(f64::from(got) - f64::from(exact))).sum();
    (error / exact.iter().map(|&exact| square(f64::from(exact))).sum::<f64>()).sqrt()
}

fn same(input: [usize; 4], filter: [usize; 4], stride: usize) -> Conv2dGeometry {
    let settings =
        Conv2dSettings { stride_h: stride, stride_w: stride, padding: Padding::Same, ..Conv2dSettings::default() };
    Conv2dGeometry::new(&settings, input, filter).unwrap()
}

#[test]
fn errors_stay_small_at_many_channels() {
    let g = same([1, 7, 9, 512], [3, 3, 512, 32], 1);
    let (x, w) = (numbers(1, g.input_len()), numbers(2, g.filter_len()));
    let mut prepared = vec![f32::NAN; Implicit.prepared_len(&g, Pass::Forward)];
    Implicit.prepare(&g, Pass::Forward, &w, &mut prepared);
    let (mut got, mut exact) = (vec![0.0; g.output_len()], vec![0.0; g.output_len()]);
    Implicit.forward(&g, &x, &prepared, &Epilogue::default(), &mut got, &mut []);
    conv2d_forward(&g, &x, &w, &Epilogue::default(), &mut exact);
    let error = relative_error(&got, &exact);
    assert!(error <= 5e-7, "{error}");
}

#[test]
fn errors_stay_small_over_many_pixels() {
    let g = same([4, 56, 56, 4], [3, 3, 4, 8], 1);
    let (x, dy) = (numbers(1, g.input_len()), numbers(2, g.output_len()));
    let (mut got, mut exact) = (vec![0.0; g.filter_len()], vec![0.0; g.filter_len()]);
    let mut workspace = vec![f32::NAN; Implicit.workspace(&g, Pass::BackwardFilter)];
    Implicit.backward_filter(&g, &x, &dy, &mut got, Accumulate::Set, &mut workspace);
    conv2d_backward_filter(&g, &x, &dy, &mut exact, Accumulate::Set);
    let error = relative_error(&got, &exact);
    assert!(error <= 3e-6, "{error}");
}

/// One band of pixels, of few channels, is work for several threads where the filters are many.
#[test]
fn gradients_of_many_filters_are_cut_by_filters() {
    let blocks = |g| FilterTasks::new(&Problem::forward(&g, Pass::BackwardFilter)).column_blocks;
    for (input, filter, stride, expected) in [
        ([1, 56, 56, 6], [3, 3, 6, 1024], 3, 16),
        ([4, 16, 16, 32], [3, 3, 32, 512], 2, 8),
        ([1, 10, 9, 5], [3, 3, 5, 300], 1, 4),
        ([8, 56, 56, 64], [3, 3, 64, 128], 1, 1),
        ([1, 4, 4, 8], [3, 3, 8, 512], 1, 1),
    ] {
        assert_eq!(blocks(same(input, filter, stride)), expected, "{input:?} and {filter:?}");
    }
}

/// Large enough to be stored past the caches.
#[test]
fn a_large_result_is_whole() {
    let g = same([8, 257, 256, 1], [1, 1, 1, 16], 1);
    let (x, w) = (numbers(1, g.input_len()), numbers(2, g.filter_len()));
    let mut prepared = vec![f32::NAN; Implicit.prepared_len(&g, Pass::Forward)];
    Implicit.prepare(&g, Pass::Forward, &w, &mut prepared);
    let mut arena = Arena::new(g.output_len());
    let y = &mut arena.as_mut_slice()[..g.output_len()];
    Implicit.forward(&g, &x, &prepared, &Epilogue::default(), y, &mut []);
    let all = y.chunks_exact(16).zip(&x).all(|(y, x)| y.iter().zip(&w).all(|(&y, w)| y == x * w));
    assert!(all);
}

/// Bands follow the caches, and those of the filter gradient, whose pixels are a depth, do not.
#[test]
fn the_caches_decide_neither_the_bits_nor_what_is_promised() {
    for g in [same([2, 40, 36, 70], [3, 3, 70, 40], 1), same([3, 23, 20, 30], [5, 5, 30, 9], 2)] {
        let (x, w, dy) = (numbers(1, g.input_len()), numbers(2, g.filter_len()), numbers(3, g.output_len()));
        let passes = || {
            let promised = |pass, taken| {
                let promised = Implicit.scratch(&g, pass);
                assert_eq!(promised.or(taken), promised, "{pass:?}: {taken:?}");
            };
            let prepared = |pass| {
                let mut prepared = vec![f32::NAN; Implicit.prepared_len(&g, pass)];
                Implicit.prepare(&g, pass, &w, &mut prepared);
                prepared
            };
            let lens = [g.output_len(), g.input_len(), g.filter_len()];
            let [mut y, mut dx, mut dw] = lens.map(|len| vec![f32::NAN; len]);
            let filter = prepared(Pass::Forward);
            promised(
                Pass::Forward,
                taken_here(|| {
                    Implicit.forward(&g, &x, &filter, &Epilogue::default(), &mut y, &mut []);
                }),
            );
            let filter = prepared(Pass::BackwardData);
            promised(
                Pass::BackwardData,
                taken_here(|| {
                    Implicit.backward_data(&g, &dy, &filter, &mut dx, Accumulate::Set, &mut []);
                }),
            );
            let mut workspace = vec![f32::NAN; Implicit.workspace(&g, Pass::BackwardFilter)];
            promised(
                Pass::BackwardFilter,
                taken_here(|| {
                    Implicit.backward_filter(&g, &x, &dy, &mut dw, Accumulate::Set, &mut workspace);
                }),
            );
            [y, dx, dw]
        };
        let expected = on_other_caches(512 << 10, 32 << 20, passes);
        for second_level in [256 << 10, 1 << 20, 4 << 20] {
            assert!(on_other_caches(second_level, 32 << 20, passes) == expected, "{second_level} bytes: {g:?}");
        }
    }
}
