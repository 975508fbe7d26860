//! Gram matrices: correlations of channels.

use super::{expect_rank, four};
use crate::{Compiled, Dim, Fault, Grads, KernelContext, Node, Op, Reach, Request, Shape};
use ocelli_kernels::Accumulate;
use ocelli_kernels::gemm::{Order, gemm_scratch};
use ocelli_kernels::matrices::{Matrices, products};
use ocelli_tensor::{Size, element_count};
use std::ops::RangeInclusive;

/// Computes the Gram matrix of each sample, `G[n, i, j] = Σ x[n, h, w, i]·x[n, h, w, j] / (H·W·C)`, over its pixels
/// (Johnson et al. 2016, equation 3; Gatys et al. 2015 do not divide).
///
/// # Shapes
/// `[N, H, W, C]` → `[N, C, C]`.
///
/// Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gram;

/// Computes `dx = x·(dG + dGᵀ) / (H·W·C)` for each sample. Operands: `dG`, `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GramBackward;

/// Factor of the sums, for an image of these sizes.
fn factor([height, width, channels]: [usize; 3]) -> f32 {
    (1.0 / (height as f64 * width as f64 * channels as f64)) as f32
}

impl Op for Gram {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let [_, height, width, channels] = four(&x[0].at(1));
        if height == 0 || width == 0 || channels == 0 {
            return Err(Fault::Setting(format!("an image of {height} by {width} pixels with {channels} channels")));
        }
        if element_count(&[height, width, channels]).and(element_count(&[channels, channels])).is_none() {
            return Err(Fault::Setting(format!("products of {channels} channels are more than memory has addresses")));
        }
        Ok(vec![Shape::new([x[0].dims()[0], Dim::Fixed(channels), Dim::Fixed(channels)])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let [_, height, width, channels] = four(&request.operands[0]);
        let (pixels, factor) = (height * width, factor([height, width, channels]));
        let kernel = move |k: &mut KernelContext<'_>| {
            let x = Matrices::new(k.input(0), pixels, channels);
            let y = k.output(0);
            products(x.transposed(), x, y, Accumulate::Set);
            y.iter_mut().for_each(|y| *y *= factor);
        };
        let scratch = gemm_scratch([channels, pixels, channels], Order::ColumnMajor, Order::RowMajor);
        Ok(Compiled::new(kernel).with_scratch(scratch))
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

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let [_, height, width, channels] = four(&request.operands[1]);
        let (pixels, factor) = (height * width, factor([height, width, channels]));
        let kernel = move |k: &mut KernelContext<'_>| {
            let (dy, x, accumulate) = (k.input(0), Matrices::new(k.input(1), pixels, channels), k.accumulate());
            let (dx, symmetric) = k.output_and_workspace();
            let matrix = channels * channels;
            for (sum, dy) in symmetric.chunks_exact_mut(matrix).zip(dy.chunks_exact(matrix)) {
                for (i, sum) in sum.chunks_exact_mut(channels).enumerate() {
                    let across = dy[i..].iter().step_by(channels);
                    let along = dy[i * channels..][..channels].iter();
                    sum.iter_mut().zip(along.zip(across)).for_each(|(sum, (a, b))| *sum = (a + b) * factor);
                }
            }
            products(x, Matrices::new(symmetric, channels, channels), dx, accumulate);
        };
        // The workspace holds the matrices of all samples, made symmetric.
        let workspace = Size::product_of(&request.operands[0]).get().unwrap_or(usize::MAX);
        let scratch = gemm_scratch([pixels, channels, channels], Order::RowMajor, Order::RowMajor);
        Ok(Compiled::new(kernel).with_workspace(workspace).with_scratch(scratch))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

impl Node {
    /// Computes the Gram matrix of each sample's channels, `[N, H, W, C]` → `[N, C, C]`: sums over pixels of products
    /// of channels, divided by `H·W·C` (Johnson et al. 2016), for style losses.
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
