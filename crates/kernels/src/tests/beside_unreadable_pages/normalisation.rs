//! Normalisations of batches, groups, layers and neighbouring channels, in all passes.

use super::{check, each_case, unwritten};
use crate::batch_norm::{
    BatchNorm, Through, batch_norm_add_backward_parameters, batch_norm_add_forward, batch_norm_backward_data,
    batch_norm_backward_parameters, batch_norm_forward, batch_norm_statistics, fold_bias, fold_filter,
};
use crate::elementwise::Source;
use crate::elementwise::testing::numbers;
use crate::group_norm::{
    GroupNorm, GroupStatistics, GroupSums, group_norm_backward_data, group_norm_backward_sums, group_norm_forward,
    group_norm_statistics,
};
use crate::layer_norm::{LayerNorm, layer_norm_backward_data, layer_norm_backward_parameters, layer_norm_forward};
use crate::local_response::{LocalResponse, local_response_backward, local_response_forward};
use crate::{Accumulate, Activation};

#[test]
fn batch_normalisation() {
    each_case(60, |draw| {
        let (rows, channels) = (draw.between(1..=200), draw.between(1..=150));
        let activation = draw.one_of(&[Activation::Identity, Activation::Relu]);
        let (x, dy, residual) = (numbers(rows * channels, 1), numbers(rows * channels, 2), numbers(rows * channels, 3));
        let [mean, gamma, beta] = [4, 5, 6].map(|seed| numbers(channels, seed));
        let variance: Vec<f32> = gamma.iter().map(|gamma| gamma * gamma).collect();
        let what = format!("batch normalisation of [{rows}, {channels}], {activation:?}");
        let per_channel = || vec![unwritten(channels), unwritten(channels)];
        check(&what, &[&x], &per_channel, &|x, y| {
            let [mean, variance] = y else { unreachable!("two outputs") };
            batch_norm_statistics(x[0], mean, variance);
        });
        let inputs = [&x[..], &dy, &residual, &mean, &variance, &gamma, &beta];
        let outputs = || [vec![unwritten(x.len()); 3], vec![x.clone(), x.clone()], vec![unwritten(x.len())]].concat();
        check(&what, &inputs, &outputs, &|inputs, outputs| {
            let &[x, dy, residual, mean, variance, gamma, beta] = inputs else { unreachable!("seven inputs") };
            let [y, sum, dx, in_place, added, folded] = outputs else { unreachable!("six outputs") };
            let norm = BatchNorm { mean, variance, gamma, beta, epsilon: 1e-3, activation };
            batch_norm_forward(&norm, Source::Slice(x), y);
            batch_norm_forward(&norm, Source::InPlace, in_place);
            batch_norm_add_forward(&norm, x, Source::Slice(residual), sum);
            let through = Through::Batch { dgamma: gamma, dbeta: beta };
            batch_norm_backward_data(&norm, x, Source::Slice(dy), through, dx, Accumulate::Set);
            batch_norm_backward_data(&norm, x, Source::Slice(dy), through, added, Accumulate::Add);
            fold_filter(&norm, x, folded);
        });
        let outputs = || vec![unwritten(channels); 5].into_iter().chain([dy.clone()]).collect();
        check(&what, &inputs, &outputs, &|inputs, outputs| {
            let &[x, dy, residual, mean, variance, gamma, beta] = inputs else { unreachable!("seven inputs") };
            let [dgamma, dbeta, sum_dgamma, sum_dbeta, bias, gradient] = outputs else { unreachable!("six outputs") };
            let norm = BatchNorm { mean, variance, gamma, beta, epsilon: 1e-3, activation };
            batch_norm_backward_parameters(&norm, x, dy, dgamma, dbeta);
            batch_norm_add_backward_parameters(&norm, x, residual, gradient, sum_dgamma, sum_dbeta);
            fold_bias(&norm, Some(beta), bias);
        });
    });
}

#[test]
fn group_normalisation() {
    each_case(40, |draw| {
        let (samples, pixels, groups) = (draw.between(1..=3), draw.between(1..=40), draw.between(1..=5));
        let channels = groups * draw.between(1..=20);
        let length = samples * pixels * channels;
        let (x, dy, gamma, beta) = (numbers(length, 1), numbers(length, 2), numbers(channels, 3), numbers(channels, 4));
        let what = format!("group normalisation of [{samples}, {pixels}, {channels}] in {groups}");
        let outputs = || [vec![unwritten(samples * channels); 4], vec![unwritten(length); 2]].concat();
        check(&what, &[&x, &dy, &gamma, &beta], &outputs, &|inputs, outputs| {
            let &[x, dy, gamma, beta] = inputs else { unreachable!("four inputs") };
            let [mean, variance, products, gradients, y, dx] = outputs else { unreachable!("six outputs") };
            let norm = GroupNorm { groups, pixels, gamma, beta, epsilon: 1e-3 };
            group_norm_statistics(&norm, x, mean, variance);
            let statistics = GroupStatistics { mean, variance };
            group_norm_forward(&norm, statistics, Source::Slice(x), y);
            group_norm_backward_sums(&norm, statistics, (x, dy), products, gradients);
            group_norm_backward_data(&norm, statistics, GroupSums { products, gradients }, (x, dy), dx);
        });
    });
}

#[test]
fn layer_normalisation() {
    each_case(60, |draw| {
        let (rows, columns) = (draw.between(1..=100), draw.between(1..=100));
        let (x, dy) = (numbers(rows * columns, 1), numbers(rows * columns, 2));
        let (gamma, beta) = (numbers(columns, 3), numbers(columns, 4));
        let outputs =
            || vec![unwritten(x.len()), x.clone(), unwritten(x.len()), unwritten(columns), unwritten(columns)];
        let what = format!("layer normalisation of [{rows}, {columns}]");
        check(&what, &[&x, &dy, &gamma, &beta], &outputs, &|inputs, outputs| {
            let &[x, dy, gamma, beta] = inputs else { unreachable!("four inputs") };
            let [y, in_place, dx, dgamma, dbeta] = outputs else { unreachable!("five outputs") };
            let norm = LayerNorm { gamma, beta, epsilon: 1e-3 };
            layer_norm_forward(&norm, Source::Slice(x), y);
            layer_norm_forward(&norm, Source::InPlace, in_place);
            layer_norm_backward_data(&norm, x, dy, dx);
            layer_norm_backward_parameters(&norm, x, dy, dgamma, dbeta);
        });
    });
}

#[test]
fn local_response_normalisation() {
    each_case(60, |draw| {
        let (pixels, channels, size) = (draw.between(1..=60), draw.between(1..=100), draw.between(1..=9));
        let norm = LocalResponse { size, alpha: 0.1, beta: draw.one_of(&[0.5, 0.75, 1.0, 0.6]), k: 2.0 };
        let (x, dy) = (numbers(pixels * channels, 1), numbers(pixels * channels, 2));
        let what = format!("{norm:?} of [{pixels}, {channels}]");
        check(&what, &[&x, &dy], &|| vec![unwritten(x.len()); 2], &|inputs, outputs| {
            local_response_forward(&norm, inputs[0], outputs[0], channels);
            local_response_backward(&norm, inputs[0], inputs[1], outputs[1], channels);
        });
    });
}
