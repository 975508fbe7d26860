//! A repeatable pass of a layer: the one place where the tables meet the kernels.

use ocelli::kernels::conv::{Algorithm, Conv2dGeometry, Pass};
use ocelli::kernels::gemm::{Matrix, MatrixMut, baseline::gemm_parallel, gemm};
use ocelli::kernels::{Accumulate, Epilogue};
use ocelli::tensor::Arena;

use super::fill;
use super::layer::Dense;

/// Returns the pass of a convolution by an algorithm, with operands of its own, in the kind of memory that plans use.
/// The filter is prepared once, as for inference or for all the calls of a training step. The forward pass adds a bias.
pub fn convolution(g: Conv2dGeometry, pass: Pass, algorithm: &'static dyn Algorithm) -> impl FnMut() {
    let (mut x, mut w, mut y) = (numbers(g.input_len()), numbers(g.filter_len()), numbers(g.output_len()));
    let bias = numbers(g.out_c);
    let mut workspace = Arena::new(algorithm.workspace(&g, pass));
    let mut prepared = Arena::new(algorithm.prepared_len(&g, pass));
    algorithm.prepare(&g, pass, w.as_slice(), prepared.as_mut_slice());
    move || {
        let workspace = workspace.as_mut_slice();
        let (x, w, y) = (x.as_mut_slice(), w.as_mut_slice(), y.as_mut_slice());
        let filter = if prepared.is_empty() { &*w } else { prepared.as_slice() };
        match pass {
            Pass::Forward => {
                algorithm.forward(&g, x, filter, &Epilogue::bias(Some(bias.as_slice())), y, workspace);
            }
            Pass::BackwardData => algorithm.backward_data(&g, y, filter, x, Accumulate::Set, workspace),
            Pass::BackwardFilter => algorithm.backward_filter(&g, x, y, w, Accumulate::Set, workspace),
        }
    }
}

/// Returns the pass of a fully connected layer: `y = x·w`, `dx = dy·wᵀ` or `dw = xᵀ·dy`.
pub fn dense(Dense { inputs, outputs }: Dense, batch: usize, pass: Pass) -> impl FnMut() {
    let (mut x, mut w, mut y) = (numbers(batch * inputs), numbers(inputs * outputs), numbers(batch * outputs));
    move || {
        let (x, w, y) = (x.as_mut_slice(), w.as_mut_slice(), y.as_mut_slice());
        let set = Epilogue::default();
        match pass {
            Pass::Forward => {
                let (x, w) = (Matrix::new(x, batch, inputs), Matrix::new(w, inputs, outputs));
                gemm(x, w, MatrixMut::new(y, batch, outputs), &set);
            }
            Pass::BackwardData => {
                let (dy, w) = (Matrix::new(y, batch, outputs), Matrix::new(w, inputs, outputs));
                gemm(dy, w.transposed(), MatrixMut::new(x, batch, inputs), &set);
            }
            Pass::BackwardFilter => {
                let (x, dy) = (Matrix::new(x, batch, inputs), Matrix::new(y, batch, outputs));
                gemm(x.transposed(), dy, MatrixMut::new(w, inputs, outputs), &set);
            }
        }
    }
}

/// Returns the forward pass by `matrixmultiply`, beside which [`dense`] is measured.
pub fn dense_by_baseline(Dense { inputs, outputs }: Dense, batch: usize) -> impl FnMut() {
    let (x, w, mut y) = (numbers(batch * inputs), numbers(inputs * outputs), numbers(batch * outputs));
    move || {
        let (x, w) = (Matrix::new(x.as_slice(), batch, inputs), Matrix::new(w.as_slice(), inputs, outputs));
        gemm_parallel(x, w, MatrixMut::new(y.as_mut_slice(), batch, outputs), Accumulate::Set);
    }
}

fn numbers(len: usize) -> Arena {
    let mut arena = Arena::new(len);
    fill(arena.as_mut_slice());
    arena
}
