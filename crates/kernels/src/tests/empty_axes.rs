//! Axes of no elements: every kernel ends, and writes what an empty sum is where anything is to be written.

use super::draw::{Draw, cases};
use crate::batch_norm::{
    BatchNorm, Through, batch_norm_add_backward_parameters, batch_norm_add_forward, batch_norm_backward_data,
    batch_norm_backward_parameters, batch_norm_forward, batch_norm_statistics, fold_bias, fold_filter,
};
use crate::broadcast::{Binary, Broadcast, binary};
use crate::conv::{ALGORITHMS, Conv2dGeometry, Conv2dSettings, GeometryError, Padding, Pass};
use crate::dropout::dropout;
use crate::elementwise::testing::on_every_set;
use crate::elementwise::{Source, Unary, unary, unary_backward};
use crate::finite::first_non_finite;
use crate::gemm::{Matrix, MatrixMut, Order, PackedMatrix, gemm, gemm_packed, gemm_scratch, packed_len};
use crate::group_norm::{
    GroupNorm, GroupStatistics, GroupSums, group_norm_backward_data, group_norm_backward_sums, group_norm_forward,
    group_norm_statistics,
};
use crate::layer_norm::{
    LayerNorm, layer_norm_backward_data, layer_norm_backward_parameters, layer_norm_forward, layer_norm_scratch,
};
use crate::local_response::{LocalResponse, local_response_backward, local_response_forward};
use crate::optimizer::{GradientTransform, Momentum, SgdStep, WeightDecay, sgd, sum_of_squares};
use crate::pad::{PadError, PadGeometry, PadMode, PadSettings, pad_backward, pad_forward};
use crate::pool::{
    AdaptiveGeometry, CountPadding, PoolError, PoolGeometry, PoolSettings, adaptive_backward, adaptive_forward,
    average_backward, average_forward, max_backward, max_forward,
};
use crate::reduce::{Reduction, spread, sum};
use crate::softmax::{
    CrossEntropy, cross_entropy_backward, cross_entropy_forward, log_softmax, log_softmax_backward, softmax,
    softmax_backward,
};
use crate::{Accumulate, Activation, Epilogue, batch_norm};

/// Sizes of which at least one is 0.
fn some_empty<const N: usize>(draw: &mut Draw) -> [usize; N] {
    let mut sizes = [0; N].map(|_| draw.one_of(&[0, 1, 2, 5, 17, 130]));
    sizes[draw.between(0..=N - 1)] = 0;
    sizes
}

fn of(length: usize) -> Vec<f32> {
    vec![1.0; length]
}

/// Runs `f` on drawn sizes, on every instruction set.
fn on_drawn<const N: usize>(f: impl Fn([usize; N])) {
    for case in 0..cases(200) {
        let sizes = some_empty(&mut Draw::of_case(case));
        on_every_set(|_| f(sizes));
    }
}

/// The widened row of a table of no columns never became wide.
#[test]
fn batch_normalisation() {
    on_drawn(|[rows, channels]| {
        let (x, mut y, mut dx) = (of(rows * channels), of(rows * channels), of(rows * channels));
        let (mut mean, mut variance) = (of(channels), of(channels));
        batch_norm_statistics(&x, &mut mean, &mut variance);
        assert!(mean.iter().chain(&variance).all(|x| x.is_nan()));
        let ones = of(channels);
        let norm = BatchNorm {
            mean: &ones,
            variance: &ones,
            gamma: &ones,
            beta: &ones,
            epsilon: 1.0,
            activation: Activation::Relu,
        };
        batch_norm_forward(&norm, Source::Slice(&x), &mut y);
        batch_norm_forward(&norm, Source::InPlace, &mut y);
        batch_norm_add_forward(&norm, &x, Source::Slice(&x), &mut y);
        let (mut dgamma, mut dbeta) = (of(channels), of(channels));
        batch_norm_backward_parameters(&norm, &x, &x, &mut dgamma, &mut dbeta);
        assert!(dgamma.iter().chain(&dbeta).all(|&sum| sum == 0.0));
        let through = Through::Batch { dgamma: &ones, dbeta: &ones };
        batch_norm_backward_data(&norm, &x, Source::Slice(&x), through, &mut dx, Accumulate::Add);
        batch_norm_add_backward_parameters(&norm, &x, &x, &mut y, &mut dgamma, &mut dbeta);
        assert!(dgamma.iter().chain(&dbeta).all(|&sum| sum == 0.0));
        fold_filter(&norm, &x, &mut y);
        fold_bias(&norm, Some(&ones), &mut of(channels));
        let _ = batch_norm::scratch(rows * channels, channels);
    });
}

#[test]
fn group_normalisation() {
    on_drawn(|[samples, pixels, channels]| {
        let (x, mut y) = (of(samples * pixels * channels), of(samples * pixels * channels));
        let of_channels = of(channels);
        let norm = GroupNorm { groups: 1, pixels, gamma: &of_channels, beta: &of_channels, epsilon: 1.0 };
        let [mut mean, mut variance, mut products, mut gradients] = [0; 4].map(|_| of(samples * channels));
        group_norm_statistics(&norm, &x, &mut mean, &mut variance);
        assert!(mean.iter().chain(&variance).all(|x| x.is_nan()));
        let statistics = GroupStatistics { mean: &mean, variance: &variance };
        group_norm_forward(&norm, statistics, Source::Slice(&x), &mut y);
        group_norm_backward_sums(&norm, statistics, (&x, &x), &mut products, &mut gradients);
        assert!(products.iter().chain(&gradients).all(|&sum| sum == 0.0));
        let sums = GroupSums { products: &products, gradients: &gradients };
        group_norm_backward_data(&norm, statistics, sums, (&x, &x), &mut y);
    });
}

#[test]
fn layer_normalisation() {
    on_drawn(|[rows, columns]| {
        let (x, mut y, of_columns) = (of(rows * columns), of(rows * columns), of(columns));
        let norm = LayerNorm { gamma: &of_columns, beta: &of_columns, epsilon: 1.0 };
        layer_norm_forward(&norm, Source::Slice(&x), &mut y);
        layer_norm_backward_data(&norm, &x, &x, &mut y);
        let (mut dgamma, mut dbeta) = (of(columns), of(columns));
        layer_norm_backward_parameters(&norm, &x, &x, &mut dgamma, &mut dbeta);
        assert!(dgamma.iter().chain(&dbeta).all(|&sum| sum == 0.0));
        let _ = layer_norm_scratch(rows, columns);
    });
}

#[test]
fn local_response_normalisation() {
    let norm = LocalResponse { size: 5, alpha: 1.0, beta: 0.75, k: 1.0 };
    on_drawn(|[pixels, channels]| {
        let mut y = of(pixels * channels);
        local_response_forward(&norm, &of(pixels * channels), &mut y, channels);
        local_response_backward(&norm, &of(pixels * channels), &of(pixels * channels), &mut y, channels);
    });
    local_response_forward(&norm, &[], &mut [], usize::MAX);
    local_response_backward(&norm, &[], &[], &mut [], usize::MAX);
}

#[test]
fn softmax_and_cross_entropy() {
    let on = |rows: usize, classes: usize| {
        let (x, mut y) = (of(rows * classes), of(rows * classes));
        softmax(Source::Slice(&x), &mut y, classes);
        log_softmax(Source::InPlace, &mut y, classes);
        softmax_backward(&x, Source::Slice(&x), &mut y, classes);
        log_softmax_backward(&x, Source::InPlace, &mut y, classes);
        let loss = CrossEntropy { classes, class_weights: None, smoothing: 0.1 };
        let value = cross_entropy_forward(loss, &x, &vec![0; rows], &mut y);
        if rows == 0 {
            assert!(value.is_ok_and(f32::is_nan));
            cross_entropy_backward(loss, &x, &[], 1.0, &mut y);
        } else {
            assert!(value.is_err(), "label 0 is none of no classes");
        }
    };
    on_drawn(|[rows, classes]| on(rows, classes));
    on(0, usize::MAX / 2);
}

#[test]
fn sums_and_their_adjoint() {
    on_drawn(|dims: [usize; 4]| {
        for axes in 0..16 {
            let axes: Vec<usize> = (0..4).filter(|axis| axes >> axis & 1 == 1).collect();
            let g = Reduction::new(&dims, &axes).expect("axes are the shape's");
            let mut y = of(g.reduced_length());
            sum(&g, &of(g.length()), &mut y, 1.0, Accumulate::Set);
            assert!(y.iter().all(|&y| y == 0.0), "{dims:?} over {axes:?}");
            spread(&g, &y, &mut of(g.length()), 1.0, Accumulate::Add);
            let _ = g.scratch();
        }
    });
}

#[test]
fn broadcasts() {
    for case in 0..cases(200) {
        let draw = &mut Draw::of_case(case);
        let dims: [usize; 3] = some_empty(draw);
        let a = dims.map(|size| if draw.once_in(3) { 1 } else { size });
        let b = &dims[draw.between(0..=2)..];
        let Some(g) = Broadcast::new(&a, b) else { continue };
        let (left, right) = (of(a.iter().product()), of(b.iter().product()));
        on_every_set(|_| binary(Binary::Div, &g, Source::Slice(&left), Source::Slice(&right), &mut of(g.length())));
    }
}

#[test]
fn functions_of_nothing() {
    on_every_set(|_| {
        unary(Unary::Gelu, Source::Slice(&[]), &mut []);
        unary_backward(Unary::Gelu, &[], Source::InPlace, &mut []);
        dropout(1, 0.5, Source::Slice(&[]), &mut []);
        assert_eq!((first_non_finite(&[]), sum_of_squares(&[])), (None, 0.0));
        let step = SgdStep {
            learning_rate: 1.0,
            momentum: 0.5,
            rule: Momentum::Nesterov,
            weight_decay: WeightDecay::None,
            gradient: GradientTransform::default(),
        };
        sgd(&mut [], &[], Some(&mut []), &step);
    });
}

#[test]
fn products() {
    on_drawn(|[m, k, n]| {
        let (a, b, mut c, bias) = (of(m * k), of(k * n), of(m * n), of(n));
        let (left, right) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
        gemm(left, right, MatrixMut::new(&mut c, m, n), &Epilogue::bias(Some(&bias)));
        assert!(c.iter().all(|&c| c == 1.0), "an empty sum and a bias of 1");
        let mut packed = of(packed_len(k, n));
        let right = PackedMatrix::pack(right, &mut packed);
        gemm_packed(left, &right, MatrixMut::new(&mut c, m, n), &Epilogue::of(Accumulate::Add));
        assert!(c.iter().all(|&c| c == 1.0), "nothing is added");
        let _ = gemm_scratch([m, k, n], Order::ColumnMajor, Order::ColumnMajor);
    });
}

/// An image has pixels, a window and a filter too; there may be no images, and pooled ones may have no channels.
#[test]
fn poolings() {
    on_drawn(|[batch, height, width, channels]| {
        let input = [batch, height, width, channels];
        let axis = [('H', height), ('W', width)].into_iter().find(|&(_, pixels)| pixels == 0);
        let error = axis.map(|(axis, _)| PoolError::NoPixels { axis });
        let settings = PoolSettings::square(2).stride(1).padding(1);
        match PoolGeometry::new(settings, input) {
            Err(told) => assert_eq!(Some(told), error),
            Ok(g) => {
                let (x, mut y, mut dx) = (of(g.input_length()), of(g.output_length()), of(g.input_length()));
                let mut indices = y.clone();
                max_forward(&g, &x, &mut y, Some(&mut indices));
                max_backward(&g, &y, &indices, &mut dx, Accumulate::Set);
                average_forward(&g, CountPadding::Exclude, &x, &mut y);
                average_backward(&g, CountPadding::Exclude, &y, &mut dx, Accumulate::Add);
            }
        }
        match AdaptiveGeometry::new([2, 3], input) {
            Err(told) => assert_eq!(Some(told), error),
            Ok(g) => {
                let (input, output) = (batch * height * width * channels, batch * 6 * channels);
                adaptive_forward(&g, &of(input), &mut of(output));
                adaptive_backward(&g, &of(output), &mut of(input), Accumulate::Set);
            }
        }
    });
}

#[test]
fn convolutions() {
    let settings = Conv2dSettings { padding: Padding::uniform(1), ..Conv2dSettings::default() };
    on_drawn(|[batch, height, width, channels]| {
        match Conv2dGeometry::new(&settings, [batch, height, width, channels], [2, 1, channels, 3]) {
            Err(error) => {
                let zero = matches!(error, GeometryError::Zero { .. });
                assert!(zero && height.min(width).min(channels) == 0, "{error}");
            }
            Ok(g) => {
                assert_eq!(batch, 0);
                for algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&g, Pass::Forward)) {
                    let mut prepared = of(algorithm.prepared_len(&g, Pass::Forward));
                    let w = of(g.filter_len());
                    algorithm.prepare(&g, Pass::Forward, &w, &mut prepared);
                    let filter = if prepared.is_empty() { &w } else { &prepared };
                    let mut workspace = of(algorithm.workspace(&g, Pass::Forward));
                    algorithm.forward(&g, &[], filter, &Epilogue::default(), &mut [], &mut workspace);
                }
            }
        }
    });
}

#[test]
fn paddings() {
    on_drawn(|input: [usize; 4]| {
        for mode in [PadMode::Zero, PadMode::Replicate, PadMode::Reflect] {
            let settings = PadSettings { mode, top: 1, bottom: 2, left: 0, right: 3 };
            match PadGeometry::new(&settings, input) {
                Err(error) => assert!(matches!(error, PadError::TooFew { .. }) && mode != PadMode::Zero),
                Ok(g) => {
                    let mut y = of(g.output_shape().iter().product());
                    pad_forward(&g, &of(input.iter().product()), &mut y);
                    assert!(y.iter().all(|&y| y == 0.0), "{input:?}");
                    pad_backward(&g, &y, &mut of(input.iter().product()));
                }
            }
        }
    });
}
