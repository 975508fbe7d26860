//! Convolutions whose patches already lie in memory: matrix products on the tensors.
//!
//! A 1×1 filter that visits every pixel reads the matrix `[pixels, channels]`; a filter as large as its image reads
//! `[images, height · width · channels]`. Strided 1×1 filters are left to [`super::implicit`], which gathers their
//! pixels. The gradient of a 1×1 filter is a sum of outer products, one for each pixel.

use ocelli_simd::MOST_LANES;

use super::algorithm::{Algorithm, Pass, assert_operands};
use super::choice::{storing, vectors};
use super::geometry::{Conv2dGeometry, ConvMode};
use super::implicit::Implicit;
use super::partial::{add_pieces, add_transposed_pieces};
use crate::gemm::outer::OuterProducts;
use crate::gemm::{
    Bf16Matrix, Matrix, MatrixMut, Order, PackedMatrix, bf16_len, gemm_bf16, gemm_bf16_scratch, gemm_packed,
    gemm_packed_scratch, packed_len,
};
use crate::{Accumulate, Epilogue, Scratch};

/// Products on the tensors as they lie; for 1×1 filters of stride 1 and filters of the image's size, without padding
/// and groups.
#[derive(Clone, Copy, Debug)]
pub struct Pointwise {
    weights: Weights,
}

/// The form in which the prepared filter of the forward pass is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weights {
    F32,
    Bf16,
}

impl Pointwise {
    /// The algorithm as it is chosen.
    pub const NEW: Self = Self { weights: Weights::F32 };
    /// The algorithm with filters in bf16.
    const BF16: Self = Self { weights: Weights::Bf16 };
}

/// Returns true if the patches are the rows of `x` in [`patches`].
fn patches_lie_in_input(g: &Conv2dGeometry) -> bool {
    let unpadded = (g.pad_top, g.pad_bottom, g.pad_left, g.pad_right) == (0, 0, 0, 0);
    let one_pixel = (g.kernel_h, g.kernel_w, g.stride_h, g.stride_w) == (1, 1, 1, 1);
    let whole_image = (g.kernel_h, g.kernel_w, g.dilation_h, g.dilation_w) == (g.in_h, g.in_w, 1, 1)
        && g.mode == ConvMode::CrossCorrelation;
    g.groups == 1 && unpadded && (one_pixel || whole_image)
}

/// Cost of a multiply-add of vectors, beside stores; and in the gradient of the filter. Fitted, like all of these, to the
/// layers that `examples/choice.rs` measures.
const MULTIPLY_ADD: f64 = 1.15;
const MULTIPLY_ADD_FILTER: f64 = 1.11;

/// Cost of storing a vector of outputs, and the extra cost of a partial one.
const STORED: f64 = 2.84;
const STORED_IN_PART: f64 = 42.6;

/// Cost of adding to a vector of the filter's gradient, once for so many pixels.
const SUMMED: f64 = 6.5;
const SUMMED_PIXELS: f64 = 192.0;

/// Cost of a pixel in the gradient of the filter, beside its multiply-adds.
const PIXEL: f64 = 24.4;

/// Cost of an element through memory; and in the gradient of the filter.
const MOVED: f64 = 0.369;
const MOVED_FILTER: f64 = 0.931;

/// Largest filter, in elements, whose gradient is computed transposed, and fewest pixels; beyond them the transposition
/// costs more than it saves.
const TRANSPOSED: usize = 1 << 16;
const TRANSPOSED_PIXELS: usize = 4096;

/// The gradient of a 1×1 filter as a sum of outer products.
struct FilterGradient {
    products: OuterProducts,
    /// True if `dy`, which has the longer rows, is the left operand; the sums are then transposed.
    transposed: bool,
}

impl FilterGradient {
    /// Plans the gradient of a 1×1 filter; `None` for a larger filter, which has few outputs.
    fn of(g: &Conv2dGeometry) -> Option<Self> {
        if (g.kernel_h, g.kernel_w) != (1, 1) || g.filter_len() == 0 || g.output_pixels() == 0 {
            return None;
        }
        // The vectors of the sums then lie along `x`: they are to be whole.
        let transposed = g.out_c > g.in_c
            && g.in_c.is_multiple_of(MOST_LANES)
            && g.filter_len() <= TRANSPOSED
            && g.output_pixels() >= TRANSPOSED_PIXELS;
        let (left, right) = if transposed { (g.out_c, g.in_c) } else { (g.in_c, g.out_c) };
        Some(Self { products: OuterProducts::new(g.output_pixels(), left, right), transposed })
    }

    /// Returns the number of elements of the sums, where they are not the gradient itself.
    fn workspace(&self, g: &Conv2dGeometry) -> usize {
        let pieces = self.products.pieces();
        if pieces > 1 || self.transposed { pieces * g.filter_len() } else { 0 }
    }

    fn run(&self, g: &Conv2dGeometry, x: &[f32], dy: &[f32], dw: &mut [f32], accumulate: Accumulate, sums: &mut [f32]) {
        let sums = &mut sums[..self.workspace(g)];
        if self.transposed {
            self.products.run(dy, x, sums, Accumulate::Set);
            add_transposed_pieces(sums, g.out_c, dw, accumulate);
        } else if sums.is_empty() {
            self.products.run(x, dy, dw, accumulate);
        } else {
            self.products.run(x, dy, sums, Accumulate::Set);
            add_pieces(sums, dw, accumulate);
        }
    }
}

/// Returns the same convolution as a 1×1 filter on images of one pixel where possible, else `g` itself.
fn as_one_pixel(g: &Conv2dGeometry) -> Conv2dGeometry {
    if (g.kernel_h, g.kernel_w) == (1, 1) {
        return *g;
    }
    Conv2dGeometry { in_c: g.patch_len(), in_h: 1, in_w: 1, kernel_h: 1, kernel_w: 1, stride_h: 1, stride_w: 1, ..*g }
}

impl Algorithm for Pointwise {
    fn name(&self) -> &'static str {
        match self.weights {
            Weights::F32 => "pointwise",
            Weights::Bf16 => "pointwise in bf16",
        }
    }

    fn in_bf16(&self) -> Option<&'static dyn Algorithm> {
        Some(&Self::BF16)
    }

    fn supports(&self, g: &Conv2dGeometry, _pass: Pass) -> bool {
        patches_lie_in_input(g)
    }

    fn cost(&self, g: &Conv2dGeometry, pass: Pass) -> f64 {
        let pixels = g.output_pixels() as f64;
        let (depth, width) = match pass {
            Pass::Forward => (g.patch_len(), g.out_c),
            Pass::BackwardData => (g.out_c, g.patch_len()),
            Pass::BackwardFilter => {
                let Some(gradient) = FilterGradient::of(g) else {
                    return Implicit.cost(&as_one_pixel(g), pass);
                };
                if gradient.transposed { (g.out_c, g.in_c) } else { (g.in_c, g.out_c) }
            }
        };
        let results = depth as f64 * vectors(width);
        let moved = (g.input_len() + g.output_len()) as f64;
        if pass == Pass::BackwardFilter {
            let summed = SUMMED * (pixels / SUMMED_PIXELS).ceil();
            return results * (MULTIPLY_ADD_FILTER * pixels + summed) + PIXEL * pixels + MOVED_FILTER * moved;
        }
        let stored = storing(width, STORED, STORED_IN_PART);
        pixels * (MULTIPLY_ADD * results + stored) + MOVED * moved
    }

    fn prepared_len(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::Forward if self.weights == Weights::Bf16 => bf16_len(g.patch_len(), g.out_c),
            Pass::Forward => packed_len(g.patch_len(), g.out_c),
            Pass::BackwardData => packed_len(g.out_c, g.patch_len()),
            Pass::BackwardFilter => 0,
        }
    }

    fn prepare(&self, g: &Conv2dGeometry, pass: Pass, w: &[f32], prepared: &mut [f32]) {
        let w = Matrix::new(w, g.patch_len(), g.out_c);
        match pass {
            Pass::Forward if self.weights == Weights::Bf16 => _ = Bf16Matrix::pack(w, prepared),
            Pass::Forward => _ = PackedMatrix::pack(w, prepared),
            Pass::BackwardData => _ = PackedMatrix::pack(w.transposed(), prepared),
            Pass::BackwardFilter => (),
        }
    }

    fn workspace(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        match pass {
            Pass::BackwardFilter => match FilterGradient::of(g) {
                Some(gradient) => gradient.workspace(g),
                None => Implicit.workspace(&as_one_pixel(g), pass),
            },
            Pass::Forward | Pass::BackwardData => 0,
        }
    }

    fn scratch(&self, g: &Conv2dGeometry, pass: Pass) -> Scratch {
        match pass {
            Pass::Forward if self.weights == Weights::Bf16 => {
                gemm_bf16_scratch(g.output_pixels(), g.patch_len(), g.out_c, Order::RowMajor)
            }
            Pass::Forward => gemm_packed_scratch(g.output_pixels(), g.patch_len(), Order::RowMajor),
            Pass::BackwardData => gemm_packed_scratch(g.output_pixels(), g.out_c, Order::RowMajor),
            Pass::BackwardFilter => match FilterGradient::of(g) {
                Some(gradient) => gradient.products.scratch(),
                None => Implicit.scratch(&as_one_pixel(g), pass),
            },
        }
    }

    fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        filter: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        _workspace: &mut [f32],
    ) {
        let (pixels, patch) = (g.output_pixels(), g.patch_len());
        let (x, y) = (Matrix::new(x, pixels, patch), MatrixMut::new(y, pixels, g.out_c));
        match self.weights {
            Weights::F32 => gemm_packed(x, &PackedMatrix::from_packed(filter, patch, g.out_c), y, epilogue),
            Weights::Bf16 => gemm_bf16(x, &Bf16Matrix::from_packed(filter, patch, g.out_c), y, epilogue),
        }
    }

    fn backward_data(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        filter: &[f32],
        dx: &mut [f32],
        accumulate: Accumulate,
        _workspace: &mut [f32],
    ) {
        let (pixels, patch) = (g.output_pixels(), g.patch_len());
        let filter = PackedMatrix::from_packed(filter, g.out_c, patch);
        let dx = MatrixMut::new(dx, pixels, patch);
        gemm_packed(Matrix::new(dy, pixels, g.out_c), &filter, dx, &Epilogue::of(accumulate));
    }

    fn backward_filter(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        accumulate: Accumulate,
        workspace: &mut [f32],
    ) {
        assert_operands(g, x, dw, dy);
        match FilterGradient::of(g) {
            Some(gradient) => gradient.run(g, x, dy, dw, accumulate, workspace),
            None => Implicit.backward_filter(&as_one_pixel(g), x, dy, dw, accumulate, workspace),
        }
    }
}
