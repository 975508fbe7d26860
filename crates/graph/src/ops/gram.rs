//! Gram matrices: which channels are active together.

use super::{equal, expect_rank, four};
use crate::{Dim, Fault, Grads, Node, Op, Operands, Reach, Scratch, Shape};
use ocelli_kernels::Accumulate;
use ocelli_kernels::gemm::{Order, gemm_scratch};
use ocelli_kernels::matrices::{Matrices, products};
use ocelli_tensor::{Size, element_count};
use std::ops::RangeInclusive;

/// `G[n, i, j] = Σ x[n, h, w, i]·x[n, h, w, j] / (H·W·C)` over the pixels of each sample (Johnson et al. 2016, equation 3;
/// Gatys et al. 2015 do not divide).
///
/// # Shapes
/// `[N, H, W, C]` → `[N, C, C]`.
///
/// Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gram;

/// `dx = x·(dG + dGᵀ) / (H·W·C)` for each sample. Operands: `dG`, `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GramBackward;

/// What sums are multiplied with, for a picture of these sizes.
fn factor([_, height, width, channels]: [usize; 4]) -> f32 {
    (1.0 / (height as f64 * width as f64 * channels as f64)) as f32
}

impl Op for Gram {
    fn is_same(&self, other: &dyn Op) -> bool {
        equal(self, other)
    }

    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let [_, height, width, channels] = four(&x[0].at(1));
        if height == 0 || width == 0 || channels == 0 {
            return Err(Fault::Setting(format!("a picture of {height} by {width} pixels with {channels} channels")));
        }
        if element_count(&[height, width, channels]).and(element_count(&[channels, channels])).is_none() {
            return Err(Fault::Setting(format!("products of {channels} channels are more than memory has addresses")));
        }
        Ok(vec![Shape::new([x[0].dims()[0], Dim::Fixed(channels), Dim::Fixed(channels)])])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let sizes = four(k.shape(0));
        let x = Matrices::new(k.input(0), sizes[1] * sizes[2], sizes[3]);
        let y = k.output(0);
        products(x.transposed(), x, y, Accumulate::Set);
        y.iter_mut().for_each(|y| *y *= factor(sizes));
        Ok(())
    }

    fn scratch(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> Scratch {
        let [_, height, width, channels] = four(&x[0]);
        gemm_scratch([channels, height * width, channels], Order::ColumnMajor, Order::RowMajor)
    }

    fn macs(&self, x: &[&Shape], _: &[&Shape]) -> u64 {
        let [_, height, width, channels] = four(&x[0].at(1));
        Size::product_of(&[height, width, channels, channels]).get().map_or(u64::MAX, |macs| macs as u64)
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(GramBackward, &[g.dy(), g.x(0)]))]
    }
}

impl Op for GramBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[1].clone()])
    }

    fn forward(&self, k: &mut Operands<'_>) -> Result<(), Fault> {
        let (sizes, accumulate) = (four(k.shape(1)), k.accumulate());
        let [_, height, width, channels] = sizes;
        let (dy, x) = (k.input(0), Matrices::new(k.input(1), height * width, channels));
        let (dx, symmetric) = k.output_and_workspace();
        let matrix = channels * channels;
        for (sum, dy) in symmetric.chunks_exact_mut(matrix).zip(dy.chunks_exact(matrix)) {
            for (i, sum) in sum.chunks_exact_mut(channels).enumerate() {
                let across = dy[i..].iter().step_by(channels);
                let along = dy[i * channels..][..channels].iter();
                sum.iter_mut().zip(along.zip(across)).for_each(|(sum, (a, b))| *sum = (a + b) * factor(sizes));
            }
        }
        products(x, Matrices::new(symmetric, channels, channels), dx, accumulate);
        Ok(())
    }

    fn accumulates(&self) -> bool {
        true
    }

    /// The matrices of all samples made symmetric.
    fn workspace(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> usize {
        Size::product_of(&x[0]).get().unwrap_or(usize::MAX)
    }

    fn scratch(&self, x: &[Vec<usize>], _: &[Vec<usize>]) -> Scratch {
        let [_, height, width, channels] = four(&x[1]);
        gemm_scratch([height * width, channels, channels], Order::RowMajor, Order::RowMajor)
    }
}

impl Node {
    /// The Gram matrix of each sample's channels, `[N, H, W, C]` → `[N, C, C]`: sums over pixels of products of channels,
    /// divided by `H·W·C` (Johnson et al. 2016), for losses of style.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.gram(), [1, 2, 2], 0)?;
    /// let g = model.predict(&Tensor::from_vec([1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0])?)?;
    /// assert_eq!(g.data(), [10.0, 14.0, 14.0, 20.0].map(|sum| sum / 4.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn gram(&self) -> Node {
        Node::call(Gram, &[self])
    }
}
