//! Convolution as matrix products of patches and filters, in all three passes.
//!
//! A *patch* is the input of one output pixel, laid out as a row of `kernel_h · kernel_w · in_c` values; with the
//! filters as a matrix of as many rows, forward is `y = patches · w`, backward-data `patches(dx) = dy · wᵀ` with every
//! value added back to the pixel it came from, and backward-filter `dw = patchesᵀ · dy`. The patch matrix never exists
//! as a whole: it is made in blocks of output rows and of filter rows that stay in the cache, and where a patch already
//! lies in memory as it should (a 1×1 convolution, a filter as large as its image) nothing is copied.
//!
//! Output rows of the whole batch are numbered on, so that a block may hold several small images.

mod cost;
mod patches;
mod plan;

use self::patches::{add_patches, copy_patches};
use self::plan::{Plan, Slab};
use super::algorithm::{Algorithm, Pass, assert_operands};
use super::geometry::Conv2dGeometry;
use super::partial::add_pieces;
use crate::gemm::{Matrix, MatrixMut, Order, Threads, gemm_on_scratch, gemm_packed_scratch};
use crate::parallel::{each_pair_of_pieces, each_piece};
use crate::{Accumulate, Epilogue, Scratch};

/// Patches × filters; supports every geometry.
#[derive(Clone, Copy, Debug)]
pub struct Im2col;

impl Algorithm for Im2col {
    fn name(&self) -> &'static str {
        "im2col"
    }

    fn supports(&self, _g: &Conv2dGeometry, _pass: Pass) -> bool {
        true
    }

    fn cost(&self, g: &Conv2dGeometry, pass: Pass) -> f64 {
        cost::cost(g, pass)
    }

    fn workspace(&self, g: &Conv2dGeometry, pass: Pass) -> usize {
        Plan::new(g, pass).workspace()
    }

    fn scratch(&self, g: &Conv2dGeometry, pass: Pass) -> Scratch {
        if g.input_len() == 0 || g.output_len() == 0 {
            return Scratch::NONE;
        }
        let plan = Plan::new(g, pass);
        let product = |pixels: usize, slab: &Slab| match pass {
            Pass::Forward => {
                let row = if plan.in_place { g.patch_len() * g.groups } else { slab.width() };
                let left = gemm_packed_scratch(pixels, row, Order::RowMajor);
                gemm_on_scratch(slab.width(), g.group_out_c(), left)
            }
            Pass::BackwardData => {
                let left = gemm_packed_scratch(pixels, g.out_c, Order::RowMajor);
                gemm_on_scratch(g.group_out_c(), slab.width(), left)
            }
            Pass::BackwardFilter => {
                let left = gemm_packed_scratch(slab.width(), pixels, Order::ColumnMajor);
                gemm_on_scratch(pixels, g.group_out_c(), left)
            }
        };
        let slabs = plan.outermost_slabs();
        let products = slabs.iter().flat_map(|slab| plan.blocks().map(move |rows| product(rows * g.out_w, slab)));
        products.fold(Scratch::NONE, Scratch::or)
    }

    fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        w: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        workspace: &mut [f32],
    ) {
        assert_operands(g, x, w, y);
        epilogue.assert_fits(y.len(), g.out_c);
        if y.is_empty() {
            return;
        }
        let plan = Plan::new(g, Pass::Forward);
        let workspace = &mut workspace[..plan.workspace()];
        let rows = (&mut *y, plan.rows_per_piece * plan.output_row);
        each_pair_of_pieces(rows, (workspace, plan.piece_workspace), &|piece, y, workspace| {
            forward_piece(&plan, x, w, epilogue.accumulate, piece * plan.rows_per_piece, y, workspace);
        });
        epilogue.apply(y, g.out_c);
    }

    fn backward_data(
        &self,
        g: &Conv2dGeometry,
        dy: &[f32],
        w: &[f32],
        dx: &mut [f32],
        accumulate: Accumulate,
        workspace: &mut [f32],
    ) {
        assert_operands(g, dx, w, dy);
        if dx.is_empty() {
            return;
        }
        let plan = Plan::new(g, Pass::BackwardData);
        let workspace = &mut workspace[..plan.workspace()];
        let image = g.in_h * plan.input_row;
        // Either a piece is several images, or an image is several bands: one of the two loops has one turn.
        let (images, bands) = (plan.images_per_piece * image, plan.bands * plan.piece_workspace);
        each_pair_of_pieces((dx, images), (workspace, bands), &|group, dx, workspace| {
            let rows = (dx, plan.band_rows * plan.input_row);
            each_pair_of_pieces(rows, (workspace, plan.piece_workspace), &|band, dx, workspace| {
                let origin = Origin { image: group * plan.images_per_piece, row: band * plan.band_rows };
                backward_data_piece(&plan, dy, w, origin, dx, accumulate, workspace);
            });
        });
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
        if dy.is_empty() {
            if accumulate == Accumulate::Set {
                dw.fill(0.0);
            }
            return;
        }
        let plan = Plan::new(g, Pass::BackwardFilter);
        let workspace = &mut workspace[..plan.workspace()];
        if plan.pieces == 1 {
            return backward_filter_piece(&plan, x, dy, 0, dw, accumulate, workspace);
        }
        let (patches, sums) = workspace.split_at_mut(plan.pieces * plan.piece_workspace);
        let len = plan.rows_per_piece * plan.output_row;
        each_pair_of_pieces((patches, plan.piece_workspace), (sums, dw.len()), &|piece, patches, sum| {
            let dy = &dy[piece * len..dy.len().min((piece + 1) * len)];
            backward_filter_piece(&plan, x, dy, piece * plan.rows_per_piece, sum, Accumulate::Set, patches);
        });
        add_pieces(sums, dw, accumulate);
    }
}

/// Position of the first row of a piece of `dx`.
#[derive(Clone, Copy, Debug)]
struct Origin {
    image: usize,
    row: usize,
}

/// Computes the output rows of the batch from `first_row` on, as many as `y` holds.
fn forward_piece(
    plan: &Plan<'_>,
    x: &[f32],
    w: &[f32],
    accumulate: Accumulate,
    first_row: usize,
    y: &mut [f32],
    workspace: &mut [f32],
) {
    let g = plan.g;
    let filters = Matrix::new(w, g.patch_len(), g.out_c);
    for (block, y) in y.chunks_mut(plan.block_rows * plan.output_row).enumerate() {
        let row = first_row + block * plan.block_rows;
        let pixels = y.len() / g.out_c;
        for slab in plan.slabs() {
            let accumulate = if slab.is_first() { accumulate } else { Accumulate::Add };
            for group in 0..g.groups {
                let patches = patches_of(plan, x, group, &slab, row, pixels, workspace);
                let y = MatrixMut::new(y, pixels, g.out_c).columns(plan.output_columns(group));
                let filters = filters.rows(slab.filter_rows()).columns(plan.output_columns(group));
                plan.multiply(patches, filters, y, accumulate);
            }
        }
    }
}

/// Computes the rows of `dx` from `origin` on: whole images, or a band of one.
fn backward_data_piece(
    plan: &Plan<'_>,
    dy: &[f32],
    w: &[f32],
    origin: Origin,
    dx: &mut [f32],
    accumulate: Accumulate,
    workspace: &mut [f32],
) {
    let g = plan.g;
    let filters = Matrix::new(w, g.patch_len(), g.out_c);
    let rows = plan.output_rows_of(origin, dx.len() / plan.input_row);
    // Patches are the input: one product for each group.
    if plan.in_place {
        let pixels = rows.len() * g.out_w;
        let dy = Matrix::new(&dy[rows.start * plan.output_row..rows.end * plan.output_row], pixels, g.out_c);
        for group in 0..g.groups {
            let dx = MatrixMut::new(dx, pixels, g.patch_len() * g.groups).columns(plan.patch_columns(group));
            let columns = plan.output_columns(group);
            let filters = filters.columns(columns.clone()).transposed();
            plan.multiply(dy.columns(columns), filters, dx, accumulate);
        }
        return;
    }
    // Elsewhere, products of a block, added back to the pixels.
    if accumulate == Accumulate::Set {
        dx.fill(0.0);
    }
    for row in rows.clone().step_by(plan.block_rows) {
        let end = rows.end.min(row + plan.block_rows);
        let pixels = (end - row) * g.out_w;
        let dy = Matrix::new(&dy[row * plan.output_row..end * plan.output_row], pixels, g.out_c);
        for slab in plan.slabs() {
            for group in 0..g.groups {
                let columns = plan.output_columns(group);
                let filters = filters.rows(slab.filter_rows()).columns(columns.clone()).transposed();
                let patches = &mut workspace[..pixels * slab.width()];
                let product = MatrixMut::new(patches, pixels, slab.width());
                plan.multiply(dy.columns(columns), filters, product, Accumulate::Set);
                add_patches(g, group, slab.taps(), row, patches, origin, dx);
            }
        }
    }
}

/// Computes the part of `dw` that comes from the output rows from `first_row` on, as many as `dy` holds.
fn backward_filter_piece(
    plan: &Plan<'_>,
    x: &[f32],
    dy: &[f32],
    first_row: usize,
    dw: &mut [f32],
    accumulate: Accumulate,
    workspace: &mut [f32],
) {
    let g = plan.g;
    for (block, dy) in dy.chunks(plan.block_rows * plan.output_row).enumerate() {
        let row = first_row + block * plan.block_rows;
        let pixels = dy.len() / g.out_c;
        let dy = Matrix::new(dy, pixels, g.out_c);
        let accumulate = if block == 0 { accumulate } else { Accumulate::Add };
        for slab in plan.slabs() {
            for group in 0..g.groups {
                let patches = patches_of(plan, x, group, &slab, row, pixels, workspace);
                let columns = plan.output_columns(group);
                let dw = MatrixMut::new(dw, g.patch_len(), g.out_c).rows(slab.filter_rows()).columns(columns.clone());
                plan.multiply(patches.transposed(), dy.columns(columns), dw, accumulate);
            }
        }
    }
}

/// Returns the patches `[pixels, slab.width()]` of one group from output row `row` on: a view of `x`, or a copy in
/// `workspace`.
fn patches_of<'a>(
    plan: &Plan<'_>,
    x: &'a [f32],
    group: usize,
    slab: &Slab,
    row: usize,
    pixels: usize,
    workspace: &'a mut [f32],
) -> Matrix<'a> {
    let g = plan.g;
    if plan.in_place {
        let width = g.patch_len() * g.groups;
        let begin = row * g.out_w * width;
        return Matrix::new(&x[begin..begin + pixels * width], pixels, width).columns(plan.patch_columns(group));
    }
    let patches = &mut workspace[..pixels * slab.width()];
    let patch_row = g.out_w * slab.width();
    match plan.threads {
        Threads::One => {
            for (index, patches) in patches.chunks_exact_mut(patch_row).enumerate() {
                copy_patches(g, group, slab.taps(), row + index, x, patches);
            }
        }
        Threads::Pool => {
            each_piece(patches, patch_row, &|index, patches| {
                copy_patches(g, group, slab.taps(), row + index, x, patches);
            });
        }
    }
    Matrix::new(patches, pixels, slab.width())
}
