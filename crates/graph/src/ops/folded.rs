//! Weights of a product with the batch normalisation after it folded in: operations on parameters only, which a plan
//! for inference runs once.

use super::{batch_norm::check_normalised, expect_bias, weight_sizes};
use crate::{Compiled, Fault, KernelContext, Op, Request, Shape};
use ocelli_kernels::Activation;
use ocelli_kernels::batch_norm::{BatchNorm, fold_bias, fold_filter};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Elements of a filter that are folded at a time: compared with them, computing the scales again takes little.
const PIECE: usize = 1 << 17;

/// Folds a batch normalisation into the filter before it. Operands: the filter `[…, C]`; then weight, bias, running
/// mean and running variance of the normalisation, each `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldedFilter {
    /// `ε` of the normalisation.
    pub epsilon: f32,
}

/// Folds a batch normalisation into the bias before it. Operands: weight, bias, running mean and running variance of
/// the normalisation, then the bias of the product if it has one, each `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldedBias {
    /// `ε` of the normalisation.
    pub epsilon: f32,
}

/// Makes the normalisation whose operands are those from `first` on.
fn norm<'a>(k: &KernelContext<'a>, first: usize, epsilon: f32) -> BatchNorm<'a> {
    let [gamma, beta, mean, variance] = std::array::from_fn(|i| k.input(first + i));
    BatchNorm { mean, variance, gamma, beta, epsilon, activation: Activation::Identity }
}

impl Op for FoldedFilter {
    fn operands(&self) -> RangeInclusive<usize> {
        5..=5
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        check_normalised(x, self.epsilon)?;
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let (w, norm) = (k.input(0), norm(k, 1, op.epsilon));
            let piece = (PIECE / norm.gamma.len().max(1)).max(1) * norm.gamma.len().max(1);
            let folded = k.output(0);
            if w.len() <= piece {
                fold_filter(&norm, w, folded);
            } else {
                let pieces = w.par_chunks(piece).zip(folded.par_chunks_mut(piece));
                pieces.for_each(|(w, folded)| fold_filter(&norm, w, folded));
            }
        }))
    }
}

impl Op for FoldedBias {
    fn operands(&self) -> RangeInclusive<usize> {
        4..=5
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let channels = weight_sizes(x, 0, 1, "a number for each channel")?[0];
        (1..x.len()).try_for_each(|input| expect_bias(x, input, channels))?;
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let bias = (k.len() > 4).then(|| k.input(4));
            fold_bias(&norm(k, 0, op.epsilon), bias, k.output(0));
        }))
    }
}
