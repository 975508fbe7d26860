//! The gradients of scale and shift.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::{LayerNorm, Statistics};
use crate::elementwise::chunks::{CHUNK, MOST_PARTS, part_length};
use crate::parallel::each_piece;
use crate::reduce::table::{add_to_pairs, load};
use crate::sizes::length;
use crate::softmax::rows::Row;
use crate::{Scratch, scratch};

/// Rows that are added in `f32`; blocks are added in pairs of `f32`.
const BLOCK: usize = 64;

/// Computes `dβ = Σ dy` and `dγ = Σ dy (x - μ) / √(σ² + ε)` over the rows.
pub fn layer_norm_backward_parameters(
    norm: &LayerNorm<'_>,
    x: &[f32],
    dy: &[f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let columns = norm.columns(x.len());
    assert_eq!(x.len(), dy.len(), "input and gradient have one length");
    assert_eq!([dgamma.len(), dbeta.len()], [columns; 2], "each column has a scale and a shift");
    if x.is_empty() {
        dgamma.fill(0.0);
        dbeta.fill(0.0);
        return;
    }
    let (set, epsilon) = (InstructionSet::current(), norm.epsilon);
    let rows = x.len() / columns;
    let part = part_length(rows, columns);
    debug_assert!(rows.div_ceil(part) <= MOST_PARTS);
    let sums_of_part = sums_of_part(columns);
    scratch::with(rows.div_ceil(part) * sums_of_part, |sums| {
        // Sum each part of the rows.
        let sum_part = |i: usize, sums: &mut [f32]| {
            let places = i * part * columns..x.len().min((i + 1) * part * columns);
            dispatch_on(set, Part { x: &x[places.clone()], dy: &dy[places], columns, epsilon, sums });
        };
        if x.len() <= CHUNK {
            sums.chunks_exact_mut(sums_of_part).enumerate().for_each(|(i, sums)| sum_part(i, sums));
        } else {
            each_piece(sums, sums_of_part, &sum_part);
        }
        // Add the sums of the parts.
        for column in 0..columns {
            // High and low halves of both sums, of one part after the other.
            let total = |first: usize| -> f64 {
                let parts = sums.chunks_exact(sums_of_part);
                parts.map(|sums| f64::from(sums[first]) + f64::from(sums[first + 2 * columns])).sum()
            };
            dbeta[column] = total(column) as f32;
            dgamma[column] = total(columns + column) as f32;
        }
    });
}

/// Returns the scratch memory that [`layer_norm_backward_parameters`] takes of a thread, for `[rows, columns]`.
pub fn layer_norm_scratch(rows: usize, columns: usize) -> Scratch {
    Scratch::of(length(&[rows.div_ceil(part_length(rows, columns)), sums_of_part(columns)]))
}

fn sums_of_part(columns: usize) -> usize {
    length(&[6, columns])
}

/// The sums over some rows: high and low halves of the totals, and sums of a block, each `[2, columns]`.
struct Part<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    columns: usize,
    epsilon: f32,
    sums: &'a mut [f32],
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { x, dy, columns, epsilon, sums } = self;
        let row = Row::new(isa, columns);
        let (high, rest) = sums.split_at_mut(2 * columns);
        let (low, block) = rest.split_at_mut(2 * columns);
        high.fill(0.0);
        low.fill(0.0);
        for (x, dy) in x.chunks(BLOCK * columns).zip(dy.chunks(BLOCK * columns)) {
            block.fill(0.0);
            let (shifts, scales) = block.split_at_mut(columns);
            for (x, dy) in x.chunks_exact(columns).zip(dy.chunks_exact(columns)) {
                let statistics = Statistics::of(isa, row, x, columns, epsilon);
                for c in (0..columns).step_by(I::LANES) {
                    let count = I::LANES.min(columns - c);
                    let gradient = load(isa, &dy[c..], count);
                    let normal = statistics.normal(isa, load(isa, &x[c..], count));
                    let shift = isa.add(load(isa, &shifts[c..], count), gradient);
                    let scale = isa.mul_add(gradient, normal, load(isa, &scales[c..], count));
                    isa.store_partial(shift, &mut shifts[c..][..count]);
                    isa.store_partial(scale, &mut scales[c..][..count]);
                }
            }
            add_to_pairs(isa, block, high, low);
        }
    }
}
