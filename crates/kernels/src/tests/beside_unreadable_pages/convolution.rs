//! Every algorithm of convolution, in all passes.

use super::{check, each_case, unwritten};
use crate::conv::{ALGORITHMS, Algorithm, Conv2dGeometry, Pass};
use crate::elementwise::testing::numbers;
use crate::{Accumulate, Activation, Epilogue};

#[test]
fn convolutions() {
    each_case(40, |draw| {
        let g = draw.convolution();
        let accumulate = draw.one_of(&[Accumulate::Set, Accumulate::Add]);
        for pass in Pass::ALL {
            for &algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&g, pass)) {
                check_pass(algorithm, &g, pass, accumulate);
            }
        }
    });
}

/// Operands are those of the pass: two that are read, a bias and a residual of the forward pass; the result, the prepared
/// filter and the workspace.
fn check_pass(algorithm: &dyn Algorithm, g: &Conv2dGeometry, pass: Pass, accumulate: Accumulate) {
    let [x, w, dy] = [g.input_len(), g.filter_len(), g.output_len()].map(|length| numbers(length, 1));
    let (bias, residual) = (numbers(g.out_c, 2), numbers(dy.len(), 3));
    let (a, b, result) = match pass {
        Pass::Forward => (&x, &w, dy.len()),
        Pass::BackwardData => (&dy, &w, x.len()),
        Pass::BackwardFilter => (&x, &dy, w.len()),
    };
    let outputs = || {
        let held = if accumulate == Accumulate::Add { numbers(result, 4) } else { unwritten(result) };
        vec![held, unwritten(algorithm.prepared_len(g, pass)), unwritten(algorithm.workspace(g, pass))]
    };
    let what = format!("{} {pass:?} {accumulate:?} of {g:?}", algorithm.name());
    check(&what, &[a, b, &bias, &residual], &outputs, &|inputs, outputs| {
        let &[a, b, bias, residual] = inputs else { unreachable!("four inputs") };
        let [result, prepared, workspace] = outputs else { unreachable!("three outputs") };
        if pass != Pass::BackwardFilter {
            algorithm.prepare(g, pass, b, prepared);
        }
        let filter = if prepared.is_empty() { b } else { prepared };
        match pass {
            Pass::Forward => {
                let (bias, residual) = (Some(bias), Some(residual));
                let epilogue = Epilogue { accumulate, bias, residual, activation: Activation::Relu };
                algorithm.forward(g, a, filter, &epilogue, result, workspace);
            }
            Pass::BackwardData => algorithm.backward_data(g, a, filter, result, accumulate, workspace),
            Pass::BackwardFilter => algorithm.backward_filter(g, a, b, result, accumulate, workspace),
        }
    });
}
