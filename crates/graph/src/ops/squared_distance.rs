//! Squared distances of features to fixed codes.

use super::{expect_rank, same_shape, weight_sizes};
use crate::{Axis, Compiled, Dim, Fault, Grads, Node, Op, Reach, Request, Shape};

/// Computes the squared distance of each row to each code, `y[n, i] = Σ (x[n, j] − w[i, j])²` (LeCun et al. 1998, eq.
/// 7).
///
/// # Shapes
/// `[N, D]`, `[codes, D]` → `[N, codes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SquaredDistance;

/// Computes `dx[n, j] = Σ 2·dy[n, i]·(x[n, j] − w[i, j])`. Operands: `dy`, `x`, `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SquaredDistanceBackward;

impl Op for SquaredDistance {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 2, "[N, features] (flatten or pool first)")?;
        let codes = weight_sizes(x, 1, 2, "codes [codes, features]")?;
        let (expected, got) = (codes[1], x[0].dims()[1]);
        if got != Dim::Fixed(expected) {
            return Err(Fault::Size { input: 0, axis: Axis::C, expected, what: "features", got });
        }
        Ok(vec![x[0].with_channels(codes[0])])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let (x, w, features) = (k.input(0), k.input(1), k.shape(0)[1].max(1));
            let distance = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| (x - w) * (x - w)).sum::<f32>();
            let codes = k.output_shape(0)[1].max(1);
            for (row, x) in k.output(0).chunks_exact_mut(codes).zip(x.chunks_exact(features)) {
                row.iter_mut().zip(w.chunks_exact(features)).for_each(|(y, w)| *y = distance(x, w));
            }
        }))
    }

    fn macs(&self, x: &[&Shape], _: &[&Shape]) -> u64 {
        x[1].len(1) as u64
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let codes = g.want(1, || {
            g.x(0).trace().fail("SquaredDistance", "the codes are fixed; a gradient for them is not defined here")
        });
        vec![g.want(0, || Node::call(SquaredDistanceBackward, &[g.dy(), g.x(0), g.x(1)])), codes]
    }
}

impl Op for SquaredDistanceBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(&x[1..])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let (dy, x, w) = (k.input(0), k.input(1), k.input(2));
            let (codes, features) = (k.shape(0)[1].max(1), k.shape(1)[1].max(1));
            let rows = k.output(0).chunks_exact_mut(features).zip(x.chunks_exact(features)).zip(dy.chunks_exact(codes));
            for ((dx, x), dy) in rows {
                dx.fill(0.0);
                for (dy, w) in dy.iter().zip(w.chunks_exact(features)) {
                    dx.iter_mut().zip(x).zip(w).for_each(|((dx, x), w)| *dx += 2.0 * dy * (x - w));
                }
            }
        }))
    }
}

impl Node {
    /// Computes the squared distance of each row to each fixed code: `[N, D]`, `[codes, D]` → `[N, codes]`.
    #[track_caller]
    pub fn squared_distance(&self, codes: &Node) -> Node {
        Node::call(SquaredDistance, &[self, codes])
    }
}
